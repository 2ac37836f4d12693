#!/usr/bin/env python3
"""The foreign client against a real Pulsar whose registry holds the schemas of wire/golden.

    scripts/servers up && python docs/examples/python/test_alpes_client.py

Without the servers it is skipped loudly; with ALPES_TEST_REQUIRED=1 it fails instead.
"""
import json
import os
import pathlib
import subprocess
import sys
import unittest
import urllib.error
import urllib.request
import uuid

import pulsar

import alpes_client

HERE = pathlib.Path(__file__).resolve().parent
WIRE = HERE.parents[2] / "wire/golden"
PARTITIONS = 8


def server(name):
    """Where a server is: the variable, else the file of scripts/servers."""
    if os.environ.get(name):
        return os.environ[name]
    cache = os.environ.get("XDG_CACHE_HOME") or os.path.join(os.environ.get("HOME", "/"), ".cache")
    try:
        lines = pathlib.Path(cache, "alpes/servers/env").read_text().splitlines()
    except OSError:
        return None
    return dict(line.split("=", 1) for line in lines if "=" in line).get(name)


def required(what, found):
    """What a test needs: skips all of it loudly when it is not there, or fails."""
    if not found:
        if os.environ.get("ALPES_TEST_REQUIRED") == "1":
            raise AssertionError(f"no {what}, and ALPES_TEST_REQUIRED=1 (scripts/servers up)")
        print(f"SKIPPED: {pathlib.Path(sys.argv[0]).stem}: no {what} (scripts/servers up)", file=sys.stderr)
        raise unittest.SkipTest(f"no {what}")
    return found


def ask(admin, method, path, content, allow=()):
    """Asks Pulsar's administration."""
    request = urllib.request.Request(f"{admin}/admin/v2/{path}", method=method, headers={"Content-Type": "application/json"})
    request.data = None if content is None else json.dumps(content).encode()
    try:
        urllib.request.urlopen(request, timeout=30).close()
    except urllib.error.HTTPError as error:
        if error.code not in allow:
            raise AssertionError(f"{method} {path}: {error.code} {error.read().decode()[:200]}") from None


class ForeignClient(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.broker = required("Pulsar", server("ALPES_TEST_PULSAR"))
        cls.admin = required("Pulsar", server("ALPES_TEST_PULSAR_ADMIN"))
        cls.namespace = f"public/foreign-{uuid.uuid4().hex[:12]}"
        ask(cls.admin, "PUT", f"namespaces/{cls.namespace}", {})
        for topic in ("campaign.events", "campaign.commands"):
            ask(cls.admin, "PUT", f"persistent/{cls.namespace}/{topic}/partitions", PARTITIONS)
            schema = (WIRE / f"schema/{topic}.avsc").read_text()
            ask(cls.admin, "POST", f"schemas/{cls.namespace}/{topic}/schema", {"type": "JSON", "schema": schema, "properties": {}})
        # The library tells at length of a schema that is refused, which is what a test here wants.
        cls.client = pulsar.Client(cls.broker, logger=pulsar.FileLogger(pulsar.LoggerLevel.Error, os.devnull))

    @classmethod
    def tearDownClass(cls):
        cls.client.close()
        ask(cls.admin, "DELETE", f"namespaces/{cls.namespace}?force=true", None, allow=(404, 405, 409, 412, 500))

    def run_client(self, *arguments):
        command = [sys.executable, HERE / "alpes_client.py", *arguments,
                   "--broker", self.broker, "--admin", self.admin, "--namespace", self.namespace]
        return subprocess.run(command, capture_output=True, text=True, timeout=90)

    def test_it_reads_our_events_by_the_registrys_schema_and_goes_on_after_one_that_is_none(self):
        golden = [(WIRE / f"messages/campaign.{kind}.v1.json").read_text() for kind in ("registered", "activated", "cancelled")]
        lines = [line for text in golden for line in text.splitlines()]
        producer = self.client.create_producer(f"persistent://{self.namespace}/campaign.events-partition-3")
        producer.send(lines[0].encode())
        producer.send(b'{"type": "campaign.registered.v1", "subject": 7')
        for line in lines[1:]:
            producer.send(line.encode())
        heard = self.run_client("listen", "--topic", "campaign.events", "--count", str(len(lines) + 1), "--seconds", "60")
        self.assertEqual(heard.returncode, 0, heard.stderr)
        said = [json.loads(line) for line in heard.stdout.splitlines()]
        self.assertEqual([one["type"] for one in said], [json.loads(line)["type"] for line in lines])
        self.assertEqual(said[0]["CampaignRegistered"]["budget"], {"amount": 1500000, "currency": "USD"})
        self.assertIn("cannot be read", heard.stderr)

    def test_a_command_is_durable_on_the_partition_of_its_key_and_reads_as_ours(self):
        reader = self.client.subscribe(f"persistent://{self.namespace}/campaign.commands", "test", initial_position=pulsar.InitialPosition.Earliest)
        for campaign in ("c-1", "c-12345", "c-ñ", "c-9~x"):
            sent = self.run_client("register", campaign, "--brand", "b-1", "--budget", "15000.00", "USD", "--partner", "p-1", "influencer", "Alice Doe")
            self.assertEqual(sent.returncode, 0, sent.stderr)
            received = reader.receive(timeout_millis=20_000)
            reader.acknowledge(received)
            partition = int(received.topic_name().rsplit("-", 1)[1])
            self.assertEqual(partition, alpes_client.murmur3(campaign.split("~")[0].encode()) % PARTITIONS, campaign)
            message = json.loads(received.data())
            golden = json.loads((WIRE / "messages/campaign.register.v1.json").read_text().splitlines()[0])
            self.assertEqual(message["type"], golden["type"])
            self.assertEqual(message["RegisterCampaign"]["budget"], {"amount": 1500000, "currency": "USD"})
            self.assertLessEqual(set(message), set(golden), "no member that our messages do not have")
            self.assertLessEqual(set(message["RegisterCampaign"]), set(golden["RegisterCampaign"]))
            self.assertEqual(message["id"], json.loads(sent.stdout)["command"])

    def test_the_registry_refuses_a_client_whose_schema_breaks_ours(self):
        definition = json.loads((WIRE / "schema/campaign.events.avsc").read_text())
        for field in definition["fields"]:
            if field["name"] == "subject":
                field["type"] = "int"
        with self.assertRaises(pulsar.IncompatibleSchema):
            self.client.create_producer(f"persistent://{self.namespace}/campaign.events", schema=alpes_client.RegistrySchema(definition))

    def test_a_key_is_at_home_where_murmur3_says(self):
        # The reference values of the hash's author.
        for text, expected in {"": 0, "hello": 0x248BFA47, "hello, world": 0x149BBB7F, "The quick brown fox jumps over the lazy dog": 0x2E4FF723}.items():
            self.assertEqual(alpes_client.murmur3(text.encode()), expected, text)

    def test_a_message_is_held_against_the_schema_before_it_is_sent_or_believed(self):
        schema = alpes_client.RegistrySchema(json.loads((WIRE / "schema/campaign.events.avsc").read_text()))
        for file in sorted(WIRE.glob("messages/campaign.*.json")):
            for line in file.read_text().splitlines():
                message = json.loads(line)
                if alpes_client.body(schema, message)[0]:
                    self.assertEqual(schema.decode(line.encode()), message)
        good = json.loads((WIRE / "messages/campaign.registered.v1.json").read_text().splitlines()[0])
        self.assertEqual(schema.decode(json.dumps({**good, "newer": 1}).encode())["newer"], 1)
        for wrong in ({**good, "time": "now"}, {**good, "subject": None}, {k: v for k, v in good.items() if k != "id"},
                      {**good, "CampaignRegistered": {**good["CampaignRegistered"], "budget": {"amount": 1.5, "currency": "USD"}}}):
            with self.assertRaises(ValueError):
                schema.encode(wrong)


if __name__ == "__main__":
    unittest.main()
