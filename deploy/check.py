#!/usr/bin/env python3
"""Holds compose.yaml, .env, the Dockerfile and deploy/kubernetes against each other and against the settings that the program has.

    python3 deploy/check.py

Needs PyYAML. With kubectl on the path the overlays are rendered, else the files are read one by one. With the packages
`kubernetes-validate` and `compose-spec` everything is also held against the schemas of Kubernetes and Compose; without them it says so.
"""
import pathlib
import re
import shutil
import subprocess
import sys

import yaml

ROOT = pathlib.Path(__file__).resolve().parent.parent
KUBERNETES = ROOT / "deploy/kubernetes"
PROFILES = ["pulsar", "db", "alpespartners", "ui", "notificacion"]
CONTEXTS = ["campaign", "partner", "tracking"]
SERVICES = [*CONTEXTS, "bff"]
wrong = []


def check(holds, what):
    if not holds:
        wrong.append(what)


def unchecked(what):
    print(f"NOT CHECKED: {what}", file=sys.stderr)


def settings():
    """The variables that the program reads, from the documented file of its settings."""
    return set(re.findall(r"\bALPES_[A-Z_]+", (ROOT / "docs/alpes.toml").read_text()))


def check_variables(where, names):
    known = settings()
    for name in names:
        # Read by deploy/compose/databases.sh and by compose.yaml itself.
        if name.startswith("ALPES_") and name != "ALPES_DATABASE_PASSWORD":
            check(name in known, f"{where}: {name} is no setting (docs/alpes.toml)")


def check_compose():
    compose = yaml.safe_load((ROOT / "compose.yaml").read_text())
    services = compose["services"]
    env = dict(line.split("=", 1) for line in (ROOT / ".env").read_text().splitlines() if "=" in line and not line.startswith("#"))
    check(env["COMPOSE_PROFILES"].split(",") == PROFILES, ".env: without a profile the whole system is started: all profiles, in order")
    used = {profile for service in services.values() for profile in service["profiles"]}
    check(used == set(PROFILES), f"compose.yaml: the profiles are exactly the seeds': {sorted(used)}")
    for name, service in services.items():
        # Compose refuses a profile in which something is needed that is not in it.
        for needed in service.get("depends_on", {}):
            for profile in service["profiles"]:
                check(profile in services[needed]["profiles"], f"compose.yaml: {name} needs {needed}, which is not in the profile {profile}")
            if service["depends_on"][needed]["condition"] == "service_healthy":
                check("healthcheck" in services[needed], f"compose.yaml: {needed} has no healthcheck to wait for")
        for port in service.get("ports", []):
            check(port.startswith("127.0.0.1:"), f"compose.yaml: {name} publishes {port} to other machines")
        check_variables(f"compose.yaml, {name}", service.get("environment", {}))
    published = {port.split(":")[1]: name for name, service in services.items() for port in service.get("ports", [])}
    for port, name in {"8000": "bff", "8001": "campaign", "8002": "partner", "8003": "tracking", "5001": "bff", "6650": "pulsar"}.items():
        check(published.get(port) == name, f"compose.yaml: {name} is not at {port}, where the seeds have it")
    for name in SERVICES:
        service = services[name]
        check(service["command"] == ["serve", name], f"compose.yaml: {name} serves something else")
        check(service["read_only"] and service["cap_drop"] == ["ALL"], f"compose.yaml: {name} could write or do more than it must")
        check(service["environment"]["ALPES_TRUST_NETWORK"] == "true", f"compose.yaml: {name} does not say that its network is trusted")
        check(("ALPES_DATABASE" in service["environment"]) == (name in CONTEXTS), f"compose.yaml: {name} and its database")
    check(services["pulsar"]["environment"]["journalSyncData"] == "true", "compose.yaml: Pulsar's receipts are not durable")
    check("fsync=on" in services["db"]["command"] and "synchronous_commit=on" in services["db"]["command"], "compose.yaml: PostgreSQL's commits are not durable")
    try:
        from compose_spec import PyCompose
    except ImportError:
        unchecked("compose.yaml against the schema of Compose (pip install compose-spec)")
    else:
        PyCompose.from_yaml(yaml.safe_dump(compose))


def check_dockerfile():
    lines = (ROOT / "Dockerfile").read_text()
    stages = re.split(r"(?m)^FROM ", lines)[1:]
    names = [re.search(r" AS (\S+)", stage.splitlines()[0]).group(1) for stage in stages]
    check(names == ["build", "notificacion", "alpes"], f"Dockerfile: its stages are {names}; the last is what is built without --target")
    for stage, name in zip(stages[1:], names[1:]):
        users = re.findall(r"(?m)^USER (\S+)", stage)
        check(users and users[-1].split(":")[0] not in ("0", "root"), f"Dockerfile: {name} runs as root")
    check("distributed" in stages[0] and "--locked" in stages[0], "Dockerfile: it builds the feature `distributed`, as locked")
    toolchain = re.search(r'channel = "(\d+\.\d+)', (ROOT / "rust-toolchain.toml").read_text()).group(1)
    check(stages[0].startswith(f"rust:{toolchain}-"), f"Dockerfile: rust-toolchain.toml wants Rust {toolchain}")
    # What COPY takes must get past .dockerignore, which names everything that may.
    allowed = {line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")}
    members = yaml.safe_load(re.search(r"(?m)^members = (\[.*\])", (ROOT / "Cargo.toml").read_text()).group(1))
    for needed in [*(member.split("/")[0] for member in members), "Cargo.toml", "Cargo.lock", "LICENSE", "docs/examples/python"]:
        check(needed in allowed, f".dockerignore: {needed} is left out, and the image is built from it")
        check((ROOT / needed).exists(), f".dockerignore: there is no {needed}")


def rendered():
    """The name of each rendering and what it consists of."""
    if shutil.which("kubectl"):
        for overlay in [KUBERNETES / "base", *sorted((KUBERNETES / "overlays").iterdir())]:
            text = subprocess.run(["kubectl", "kustomize", overlay], check=True, capture_output=True, text=True).stdout
            yield str(overlay.relative_to(ROOT)), [thing for thing in yaml.safe_load_all(text) if thing]
    else:
        unchecked("the overlays of deploy/kubernetes, rendered (kubectl)")
        files = [KUBERNETES / folder / file for folder in ("base", "scaling")
                 for file in yaml.safe_load((KUBERNETES / folder / "kustomization.yaml").read_text())["resources"]]
        yield "deploy/kubernetes", [thing for file in files for thing in yaml.safe_load_all(file.read_text()) if thing]


def check_kubernetes():
    try:
        import kubernetes_validate
    except ImportError:
        kubernetes_validate = None
        unchecked("deploy/kubernetes against the schemas of Kubernetes (pip install kubernetes-validate)")
    for where, things in rendered():
        by = {(thing["kind"], thing["metadata"]["name"]): thing for thing in things}
        settings_of_all = by["ConfigMap", "alpes"]["data"]
        check_variables(where, settings_of_all)
        check(settings_of_all["ALPES_TRUST_NETWORK"] == "true", f"{where}: the network is not said to be trusted")
        check(not any(kind == "Secret" for kind, _ in by), f"{where}: a secret is in the repository")
        for name in SERVICES:
            spec = by["Deployment", name]["spec"]["template"]["spec"]
            labels = by["Deployment", name]["spec"]["template"]["metadata"]["labels"]
            container = spec["containers"][0]
            check(container["args"] == ["serve", name], f"{where}: {name} serves something else")
            check_variables(f"{where}, {name}", [variable["name"] for variable in container["env"]])
            for variable in container["env"]:
                secret = variable["name"] in ("ALPES_DATABASE", "ALPES_BROKER_TOKEN")
                check(not secret or "secretKeyRef" in variable["valueFrom"], f"{where}: {variable['name']} of {name} is not a reference to a secret")
            asked = {probe: container[probe]["httpGet"]["path"] for probe in ("startupProbe", "livenessProbe", "readinessProbe")}
            check(asked == {"startupProbe": "/healthz", "livenessProbe": "/healthz", "readinessProbe": "/readyz"}, f"{where}: the probes of {name} are {asked}")
            check(spec["securityContext"]["runAsNonRoot"] and container["securityContext"]["readOnlyRootFilesystem"], f"{where}: {name} may do more than it must")
            for kind, selector in [
                ("Deployment", by["Deployment", name]["spec"]["selector"]["matchLabels"]),
                ("Service", by["Service", name]["spec"]["selector"]),
                ("PodDisruptionBudget", by["PodDisruptionBudget", name]["spec"]["selector"]["matchLabels"]),
            ]:
                check(selector.items() <= labels.items(), f"{where}: the {kind} {name} does not choose the pods of {name}")
                others = [by["Deployment", other]["spec"]["template"]["metadata"]["labels"] for other in SERVICES if other != name]
                check(not any(selector.items() <= other.items() for other in others), f"{where}: the {kind} {name} chooses pods of others")
        check(("ScaledObject", "campaign") in by or not where.startswith("deploy/kubernetes/overlays"), f"{where}: nothing is scaled")
        for name in CONTEXTS if ("ScaledObject", "campaign") in by else []:
            scaled = by["ScaledObject", name]["spec"]
            check(scaled["maxReplicaCount"] <= int(settings_of_all["ALPES_PARTITIONS"]), f"{where}: more replicas of {name} than partitions")
            topics = [trigger["metadata"]["topic"].rsplit("/", 1)[1] for trigger in scaled["triggers"]]
            check(f"{name}.commands" in topics, f"{where}: {name} does not scale by its commands")
            for trigger in scaled["triggers"]:
                check(trigger["metadata"]["topic"].startswith(f"persistent://{settings_of_all['ALPES_BROKER_NAMESPACE']}/"), f"{where}: {name} scales by topics of another namespace")
                check(trigger["metadata"]["subscription"] == name, f"{where}: the subscription of {name} is called like the context")
        for thing in things:
            if kubernetes_validate and thing["apiVersion"].split("/")[0] != "keda.sh":
                try:
                    kubernetes_validate.validate(thing, "1.34", strict=True)
                except kubernetes_validate.ValidationError as error:
                    check(False, f"{where}: {thing['kind']} {thing['metadata']['name']}: {error.message}")


check_compose()
check_dockerfile()
check_kubernetes()
for line in wrong:
    print(line, file=sys.stderr)
sys.exit(1 if wrong else 0)
