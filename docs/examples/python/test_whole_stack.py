#!/usr/bin/env python3
"""The foreign client against all of Alpes: four services over a real PostgreSQL and a real Pulsar.

    scripts/servers up && cargo build --features distributed -p platform && python docs/examples/python/test_whole_stack.py

ALPES_TEST_BINARY names another program than target/debug/alpes. Without the servers it is skipped loudly; with ALPES_TEST_REQUIRED=1 it
fails instead.
"""
import json
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile
import time
import unittest
import urllib.error
import urllib.parse
import urllib.request
import uuid

import pulsar

from test_alpes_client import HERE, ask, required, server

CONTEXTS = ["campaign", "partner", "tracking"]
BINARY = pathlib.Path(os.environ.get("ALPES_TEST_BINARY") or HERE.parents[2] / "target/debug/alpes")


class WholeStack(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.broker = required("Pulsar", server("ALPES_TEST_PULSAR"))
        cls.admin = required("Pulsar", server("ALPES_TEST_PULSAR_ADMIN"))
        cls.postgres = required("PostgreSQL", server("ALPES_TEST_POSTGRES"))
        required(f"program {BINARY}", BINARY.exists())
        cls.psql = required("psql", shutil.which("psql"))
        cls.unique = f"foreign_{uuid.uuid4().hex[:12]}"
        cls.namespace = f"public/{cls.unique}"
        cls.scratch = tempfile.TemporaryDirectory()
        cls.running = []
        cls.addClassCleanup(cls.clean_up)
        ask(cls.admin, "PUT", f"namespaces/{cls.namespace}", {})
        for context in CONTEXTS:
            cls.sql(f'CREATE DATABASE "{cls.unique}_{context}"')
        cls.at = {context: cls.start(context) for context in CONTEXTS}
        cls.at["bff"] = cls.start("bff", *(f"--services-{context}={cls.at[context]}" for context in CONTEXTS))

    @classmethod
    def clean_up(cls):
        for process, _ in cls.running:
            process.terminate()
        for process, _ in cls.running:
            process.wait(timeout=60)
        for context in CONTEXTS:
            cls.sql(f'DROP DATABASE IF EXISTS "{cls.unique}_{context}" WITH (FORCE)')
        # Pulsar is in no haste to let topics go whose clients have just left; what stays is empty and has a name of its own.
        ask(cls.admin, "DELETE", f"namespaces/{cls.namespace}?force=true", None, allow=(404, 405, 409, 412, 500))
        cls.scratch.cleanup()

    @classmethod
    def sql(cls, statement):
        subprocess.run([cls.psql, "--quiet", "--no-psqlrc", cls.postgres, "--command", statement], check=True, capture_output=True, text=True)

    @classmethod
    def start(cls, role, *more):
        """Starts a service on a free port, and gives its address when it is ready."""
        log = pathlib.Path(cls.scratch.name, f"{role}.log")
        parts = urllib.parse.urlsplit(cls.postgres)
        database = urllib.parse.urlunsplit(parts._replace(path=f"/{cls.unique}_{{context}}"))
        command = [BINARY, "serve", role, "--port", "0", "--broker", cls.broker, "--broker-admin", cls.admin, "--broker-namespace", cls.namespace,
                   *(["--database", database] if role != "bff" else []), *more]
        with log.open("wb") as output:
            process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT, cwd=cls.scratch.name)
        cls.running.append((process, log))
        limit, address = time.monotonic() + 60, None
        while time.monotonic() < limit:
            if process.poll() is not None:
                raise AssertionError(f"{role} ended with status {process.returncode}: {log.read_text()}")
            address = address or next(iter(re.findall(r"http://127\.0\.0\.1:\d+", log.read_text())), None)
            if address:
                try:
                    urllib.request.urlopen(f"{address}/readyz", timeout=5).close()
                    return address
                except OSError:
                    pass
            time.sleep(0.1)
        raise AssertionError(f"{role} is not ready within 60 s: {log.read_text()}")

    def run_client(self, *arguments):
        command = [sys.executable, HERE / "alpes_client.py", *arguments, "--broker", self.broker, "--admin", self.admin, "--namespace", self.namespace]
        return subprocess.run(command, capture_output=True, text=True, timeout=120)

    def logs(self):
        return "\n".join(f"{log.name}: {log.read_text()[-1500:]}" for _, log in self.running)

    def query(self, path):
        with urllib.request.urlopen(f"{self.at['bff']}{path}", timeout=10) as answer:
            return json.load(answer)

    def test_a_foreign_command_starts_a_saga_whose_events_the_foreign_client_reads(self):
        campaigns = [f"f-{uuid.uuid4().hex[:10]}" for _ in range(5)]
        for campaign in campaigns:
            sent = self.run_client("register", campaign, "--brand", "b-1", "--budget", "15000.00", "USD", "--partner", "p-1", "influencer", "Alice Doe")
            self.assertEqual(sent.returncode, 0, sent.stderr)
        # Registered, reserved and activated: three events of each.
        heard = self.run_client("listen", "--topic", "campaign.events", "--count", str(3 * len(campaigns)), "--seconds", "60")
        self.assertEqual(heard.returncode, 0, f"{heard.stdout}\n{heard.stderr}\n{self.logs()}")
        events = [json.loads(line) for line in heard.stdout.splitlines()]
        for campaign in campaigns:
            of_it = [event["type"] for event in events if event["subject"] == campaign]
            self.assertEqual(of_it[0], "campaign.registered.v1", of_it)
            self.assertIn("campaign.activated.v1", of_it)
            self.assertEqual(self.query(f"/v1/campaigns/{campaign}")["status"], "active")

    def test_the_same_command_again_changes_nothing_and_one_that_is_none_holds_nothing_up(self):
        campaign, key = f"f-{uuid.uuid4().hex[:10]}", uuid.uuid4().hex
        arguments = ["register", campaign, "--brand", "b-2", "--budget", "1.00", "USD", "--partner", "p-2", "affiliate", "Blog", "--key", key]
        for _ in range(3):
            self.assertEqual(self.run_client(*arguments).returncode, 0)
        client = pulsar.Client(self.broker, logger=pulsar.FileLogger(pulsar.LoggerLevel.Error, os.devnull))
        producer = client.create_producer(f"persistent://{self.namespace}/campaign.commands-partition-0")
        producer.send(b"this is no command")
        client.close()
        after = f"f-{uuid.uuid4().hex[:10]}"
        self.assertEqual(self.run_client("register", after, *arguments[2:-2]).returncode, 0)
        limit = time.monotonic() + 60
        for known in (campaign, after):
            while True:
                try:
                    if self.query(f"/v1/campaigns/{known}")["status"] == "active":
                        break
                except urllib.error.HTTPError as error:
                    self.assertEqual(error.code, 404, self.logs())
                self.assertLess(time.monotonic(), limit, self.logs())
                time.sleep(0.2)
        letters = self.query("/v1/dead-letters?context=campaign")["items"]
        self.assertEqual(len(letters), 1, letters)
        sagas = [saga for saga in self.query("/v1/sagas?context=campaign&limit=100")["items"] if saga["id"].startswith(f"{campaign}~")]
        self.assertEqual(len(sagas), 1, "sent three times, started once")


if __name__ == "__main__":
    unittest.main()
