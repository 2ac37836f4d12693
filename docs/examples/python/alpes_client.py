#!/usr/bin/env python3
"""A client of Alpes that is not Alpes: Apache Pulsar's own library for Python, the topics' schemas from the registry, and nothing of ours.

    pip install -r requirements.txt
    python alpes_client.py listen                       says what happens, an event a line; goes on where it stopped
    python alpes_client.py register c-9 --brand b-1 --budget 15000.00 USD --partner p-1 influencer "Alice Doe"
                                                        sends the command that starts a campaign's registration

A message is JSON, described in the registry as an Avro record: attributes with CloudEvents' names, and one member that is called like the
kind of the message and holds its body. Which kind it is says `type`, nothing else. wire/CATALOGUE.md lists all of them.
"""
import argparse
import decimal
import json
import sys
import time
import urllib.error
import urllib.request
import uuid

import pulsar
import pulsar.schema

MINOR_DIGITS = {"JPY": 0, "CLP": 0, "KWD": 3}  # Two for all others that are used here.


class RegistrySchema(pulsar.schema.Schema):
    """JSON that has been held against the Avro record which the registry keeps for a topic."""

    def __init__(self, definition):
        super().__init__(dict, pulsar._pulsar.SchemaType.JSON, definition, definition["name"])
        self.definition = definition
        self.names = named(definition, {})

    def encode(self, message):
        wrong = why_not(self.definition, message, self.names)
        if wrong:
            raise ValueError(f"the registry's schema does not allow this message: {wrong}")
        return json.dumps(message, ensure_ascii=False).encode()

    def decode(self, data):
        try:
            message = json.loads(data)
        except ValueError as error:
            raise ValueError(f"not JSON: {error}") from None
        wrong = why_not(self.definition, message, self.names)
        if wrong:
            raise ValueError(wrong)
        return message


PRIMITIVES = {
    "null": lambda value: value is None,
    "boolean": lambda value: isinstance(value, bool),
    "int": lambda value: isinstance(value, int) and not isinstance(value, bool) and -(2**31) <= value < 2**31,
    "long": lambda value: isinstance(value, int) and not isinstance(value, bool) and -(2**63) <= value < 2**63,
    "float": lambda value: isinstance(value, (int, float)) and not isinstance(value, bool),
    "double": lambda value: isinstance(value, (int, float)) and not isinstance(value, bool),
    "string": lambda value: isinstance(value, str),
}


def named(schema, found):
    """The types that a schema defines somewhere and means by their names elsewhere."""
    if isinstance(schema, list):
        for branch in schema:
            named(branch, found)
    elif isinstance(schema, dict):
        if "name" in schema and schema.get("type") in ("record", "enum", "fixed"):
            found[schema["name"]] = schema
        for inner in (schema.get("type"), schema.get("items"), schema.get("values"), *(field["type"] for field in schema.get("fields", []))):
            named(inner, found)
    return found


def why_not(schema, value, names, at="the message"):
    """Why a value of JSON is none of an Avro schema's, or None. Members that the schema does not know come from a newer version: they are
    let pass, as every reader must."""
    if isinstance(schema, list):
        reasons = [why_not(branch, value, names, at) for branch in schema]
        return None if None in reasons else reasons[-1]
    kind = schema if isinstance(schema, str) else schema["type"]
    if isinstance(kind, (dict, list)):
        return why_not(kind, value, names, at)
    if kind in PRIMITIVES:
        return None if PRIMITIVES[kind](value) else f"{at} is no {kind}: {value!r:.60}"
    if kind in names:
        return why_not(names[kind], value, names, at)
    if kind == "enum":
        return None if value in schema["symbols"] else f"{at} is none of {schema['symbols']}: {value!r:.60}"
    if kind == "array":
        if not isinstance(value, list):
            return f"{at} is no list"
        return next(filter(None, (why_not(schema["items"], item, names, f"{at}[{n}]") for n, item in enumerate(value))), None)
    if kind == "map":
        if not isinstance(value, dict):
            return f"{at} is no object"
        return next(filter(None, (why_not(schema["values"], item, names, f"{at}.{key}") for key, item in value.items())), None)
    if kind == "record":
        if not isinstance(value, dict):
            return f"{at} is no object"
        for field in schema["fields"]:
            member = f"{at}.{field['name']}"
            if field["name"] not in value:
                if "default" not in field:
                    return f"{member} is missing"
            elif wrong := why_not(field["type"], value[field["name"]], names, member):
                return wrong
        return None
    return f"the schema has a type that this client does not know: {kind}"


def murmur3(data):
    """Murmur3-32, seed 0: modulo the number of partitions it says where a key is at home."""
    mask, h = 0xFFFFFFFF, 0
    whole = len(data) // 4 * 4
    for at in range(0, whole, 4):
        k = int.from_bytes(data[at:at + 4], "little") * 0xCC9E2D51 & mask
        h ^= ((k << 15 | k >> 17) & mask) * 0x1B873593 & mask
        h = ((h << 13 | h >> 19) & mask) * 5 + 0xE6546B64 & mask
    if data[whole:]:
        k = int.from_bytes(data[whole:], "little") * 0xCC9E2D51 & mask
        h ^= ((k << 15 | k >> 17) & mask) * 0x1B873593 & mask
    h ^= len(data)
    h = (h ^ h >> 16) * 0x85EBCA6B & mask
    h = (h ^ h >> 13) * 0xC2B2AE35 & mask
    return h ^ h >> 16


def registered(admin, namespace, topic, token=None, patience=60):
    """The schema that the registry keeps for a topic; waits for it, because a service registers it when it starts."""
    request = urllib.request.Request(f"{admin}/admin/v2/schemas/{namespace}/{topic}/schema")
    if token:
        request.add_header("Authorization", f"Bearer {token}")
    limit, said = time.monotonic() + patience, False
    while True:
        try:
            with urllib.request.urlopen(request, timeout=10) as answer:
                kept = json.load(answer)
            if kept["type"] != "JSON":
                raise SystemExit(f"the schema of {topic} is of the type {kept['type']}, and JSON is expected")
            return RegistrySchema(json.loads(kept["data"]))
        except urllib.error.HTTPError as error:
            if error.code != 404:
                raise SystemExit(f"the registry answers {error.code} for {topic}: {error.reason}") from None
            why = f"there is no schema for {topic} in {namespace}: has its service ever been started?"
        except urllib.error.URLError as error:
            why = f"nobody answers at {admin}: {error.reason}"
        if time.monotonic() > limit:
            raise SystemExit(why)
        if not said:
            print(f"waiting: {why}", file=sys.stderr, flush=True)
            said = True
        time.sleep(1)


def connect(options):
    """A client, for one program: it says errors and nothing else."""
    authentication = pulsar.AuthenticationToken(options.token) if options.token else None
    return pulsar.Client(options.broker, authentication=authentication, logger=pulsar.ConsoleLogger(pulsar.LoggerLevel.Error))


def body(schema, message):
    """The member that holds what happened: the one of its members that is a record of the topic's schema."""
    records = [field["name"] for field in schema.definition["fields"] if isinstance(field["type"], list) and field["name"][:1].isupper()]
    return next(((name, message[name]) for name in records if message.get(name) is not None), (None, None))


def listen(options):
    """Prints events; acknowledges each after it was printed, so a restart goes on there and may say the last one twice."""
    client = connect(options)
    consumers = []
    for topic in options.topic:
        schema = registered(options.admin, options.namespace, topic, options.token, options.patience)
        consumers.append((schema, client.subscribe(
            f"persistent://{options.namespace}/{topic}", options.subscription, schema=schema,
            consumer_type=pulsar.ConsumerType.Failover, initial_position=pulsar.InitialPosition.Earliest,
        )))
    limit, said = time.monotonic() + (options.seconds or float("inf")), 0
    while time.monotonic() < limit and (options.count is None or said < options.count):
        for schema, consumer in consumers:
            try:
                received = consumer.receive(timeout_millis=max(10, 500 // len(consumers)))
            except pulsar.Timeout:
                continue
            try:
                message = received.value()
                name, what = body(schema, message)
                print(json.dumps({"type": message["type"], "subject": message["subject"], name or "unknown": what}, ensure_ascii=False), flush=True)
            except ValueError as error:
                # Never in the way of the next: say it, and go on.
                print(f"a message that cannot be read, {received.message_id()}: {error}", file=sys.stderr, flush=True)
            consumer.acknowledge(received)
            said += 1
    client.close()
    return 0 if options.count is None or said >= options.count else 1


def minor(amount, currency):
    """Money is a whole number of minor units, never a float."""
    scaled = decimal.Decimal(amount).scaleb(MINOR_DIGITS.get(currency, 2))
    if scaled != scaled.to_integral_value():
        raise SystemExit(f"{amount} {currency} has more digits than the currency")
    return int(scaled)


def register(options):
    """Sends the command. Its receipt means that it is durable; what became of it is an event, or a query."""
    schema = registered(options.admin, options.namespace, "campaign.commands", options.token, options.patience)
    amount, currency = options.budget
    identity = options.key or str(uuid.uuid4())
    message = {
        "specversion": "1.0",
        # Send the same id again, and nothing happens twice.
        "id": identity,
        "source": "example-client",
        "type": "campaign.register.v1",
        "subject": options.campaign,
        "time": time.time_ns() // 1000,
        "correlationid": identity,
        "actor": options.actor,
        "RegisterCampaign": {
            "campaign": options.campaign,
            "name": options.name or options.campaign,
            "kind": options.kind,
            "budget": {"amount": minor(amount, currency), "currency": currency},
            "brand": options.brand,
            "participants": [{"id": partner, "kind": kind, "name": name} for partner, kind, name in options.partner],
        },
    }
    client = connect(options)
    # This library's own hash is another one. What it would put on a partition where its key is not at home is taken all the same, and costs a
    # hop more.
    producer = client.create_producer(
        f"persistent://{options.namespace}/campaign.commands", schema=schema, block_if_queue_full=True,
        message_router=lambda sent, partitions: murmur3(sent.partition_key().encode()) % partitions,
    )
    receipt = producer.send(message, partition_key=options.campaign.split("~")[0])
    client.close()
    print(json.dumps({"command": identity, "receipt": str(receipt)}))
    return 0


def main(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    shared = argparse.ArgumentParser(add_help=False)
    shared.add_argument("--broker", default="pulsar://127.0.0.1:6650", help="where Pulsar is")
    shared.add_argument("--admin", default="http://127.0.0.1:8080", help="where its administration is, which holds the schemas")
    shared.add_argument("--namespace", default="public/default", help="tenant and namespace")
    shared.add_argument("--token", help="to be let in, if Pulsar asks for one")
    shared.add_argument("--patience", type=float, default=60, help="seconds to wait until a topic has a schema")
    commands = parser.add_subparsers(dest="command", required=True)

    listening = commands.add_parser("listen", parents=[shared], help="say what happens")
    listening.add_argument("--topic", action="append", help="of which topics (default: the events of every context)")
    listening.add_argument("--subscription", default="notificacion", help="under which name the broker keeps the place")
    listening.add_argument("--count", type=int, help="end after so many messages")
    listening.add_argument("--seconds", type=float, help="end after so many seconds")
    listening.set_defaults(run=listen)

    registering = commands.add_parser("register", parents=[shared], help="start a campaign's registration")
    registering.add_argument("campaign", help="the campaign's id")
    registering.add_argument("--name")
    registering.add_argument("--kind", default="influencer", choices=["influencer", "affiliate", "ambassador"])
    registering.add_argument("--brand", required=True)
    registering.add_argument("--budget", nargs=2, metavar=("AMOUNT", "CURRENCY"), required=True)
    registering.add_argument("--partner", nargs=3, metavar=("ID", "KIND", "NAME"), action="append", required=True)
    registering.add_argument("--actor", default="example-client")
    registering.add_argument("--key", help="the command's id; sent again, nothing happens twice")
    registering.set_defaults(run=register)

    options = parser.parse_args(arguments)
    if options.command == "listen" and not options.topic:
        options.topic = ["campaign.events", "partner.events", "tracking.events"]
    return options.run(options)


if __name__ == "__main__":
    sys.exit(main())
