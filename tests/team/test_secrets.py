"""Canary secrets in every command and update of a stack: in plain text only where they belong."""

from __future__ import annotations

import json
import os
import re
import time
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import yaml
from pulumi import automation

from components.stack.settings import Settings
from rig import figures
from rig.deployment import Deployment, configured
from rig.emulator import Emulator
from rig.idle_alloy import make_idle_image
from rig.live_grafana import PLAYED, make_played_image
from rig.object_store import running_object_store
from rig.rig import Rig
from tests.team.canaries import (
    AWKWARD,
    AWKWARD_ASCII,
    AWKWARD_IN_URL,
    Canary,
    leaks,
    secret_settings,
)
from tests.team.started import Started, watching_starts

pytestmark = pytest.mark.docker

IDLE = "campus-monitor/idle-alloy:test"
WEBHOOK = "https://hooks.example.org/services/"
ACCESS_KEY = "loki.instances.aws.s3.accessKeyId"
# Every secret setting, and the form of its canaries.
SETTINGS = {
    "grafana.adminPassword": (AWKWARD, ""),
    "grafana.smtp.password": (AWKWARD, ""),
    "grafana.alertsTo.discord": (AWKWARD_IN_URL, WEBHOOK),
    "grafana.alertsTo.slack": (AWKWARD_IN_URL, WEBHOOK),
    "loki.instances.aws.accounts[0].password": (AWKWARD, ""),
    "loki.instances.aws.accounts[1].password": (AWKWARD, ""),
    "loki.instances.test.accounts[0].password": (AWKWARD, ""),
    "loki.instances.test.accounts[1].password": (AWKWARD, ""),
    "prometheus.accounts[0].password": (AWKWARD, ""),
    "loki.instances.aws.s3.secretAccessKey": (AWKWARD_ASCII, ""),
    ACCESS_KEY: ("._-", ""),
}
# No client of ours has this password: only Caddy has its hash.
NO_CLIENT = ("loki.instances.test.accounts[1].password",)
# The variables in which a person gives Pulumi and AWS' tools their secrets.
PASSPHRASE = "PULUMI_CONFIG_PASSPHRASE"
OWN_VARIABLES = ("AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN")
# Pulumi puts the stack's settings into the environment of this program and its children.
PROGRAM_VARIABLES = (PASSPHRASE, "PULUMI_CONFIG", *OWN_VARIABLES)
BCRYPT = re.compile(rb"\$2[aby]\$[0-9]{2}\$[A-Za-z0-9./]{20}")


def test_every_secret_of_the_settings_has_a_canary() -> None:
    """The access key's id is an addition to the secrets in Loki's documentation."""
    paths = {re.sub(r"\[\d+\]", ".*", path) for path in SETTINGS if path != ACCESS_KEY}
    tried = {re.sub(r"(?<=instances)\.\w+", ".*", path) for path in paths}
    assert tried == secret_settings(Settings)


@dataclass
class Trial:
    """The stack, its canaries, and everything that it wrote."""

    deployment: Deployment
    canaries: list[Canary] = field(default_factory=list[Canary])
    sinks: dict[str, bytes] = field(default_factory=dict[str, bytes])
    began: int = field(default_factory=lambda: int(time.time()))

    @property
    def folder(self) -> Path:
        """The folder for plans and event logs."""
        return self.deployment.stack.folder

    def set_canaries(self, generation: str) -> None:
        """Give every secret setting a new value, encrypted in the stack's file."""
        stack = self.deployment.stack
        made = {path: Canary.make(f"{generation} {path}", *how) for path, how in SETTINGS.items()}
        self.canaries += made.values()
        stack.automation.set_all_config(
            {
                f"{stack.project}:{path}": automation.ConfigValue(one.text, secret=True)
                for path, one in made.items()
            },
            path=True,
        )

    def run(self, sink: str, *arguments: str) -> None:
        """Run a Pulumi command; its output, event log and plan are sinks."""
        events = self.folder / "events.json"
        logged = ["--event-log", str(events)] if arguments[0] in ("preview", "up", "refresh") else []
        printed, said = self.deployment.stack.ran(*arguments, *logged)
        self.sinks |= {
            f"the output of {sink}": printed.encode(),
            f"the errors of {sink}": said.encode(),
        }
        if logged:
            self.sinks[f"the event log of {sink}"] = events.read_bytes()
            events.unlink()

    def plan(self, sink: str) -> None:
        """Preview with --diff, and read its saved plan."""
        plan = self.folder / "plan.json"
        self.run(sink, "preview", "--diff", "--save-plan", str(plan))
        self.sinks[f"the plan of {sink}"] = plan.read_bytes()


@pytest.fixture
def trial(rig: Rig, emulator: Emulator) -> Iterator[Trial]:
    """A stack that uses each secret, not yet deployed."""
    make_played_image(rig)
    make_idle_image(rig, IDLE)
    app = {"image": "nginx:1.29.4", "memoryMib": 128}
    # As if it were another host's: each host has one collector.
    other = rig.engine.url.replace("/docker.sock", "/./docker.sock")
    with running_object_store(rig) as store:
        keys = ("accessKeyId", "secretAccessKey")
        bucket = {key: value for key, value in store.settings.items() if key not in keys}
        changes: dict[str, Any] = {
            "images": {"grafana": PLAYED, "alloy": IDLE},
            # Shippers trust no other kind; no authority is reachable.
            "edge": {"domain": "campus.example.org", "tls": "acme", "email": "operators@example.org"},
            "grafana": {
                "enabled": True,
                "smtp": {"host": "smtp.example.org", "fromAddress": "grafana@example.org", "user": "campus"},
                "alertsTo": {"mail": ["team@example.org"]},
            },
            "loki": {
                "instances": {
                    "aws": {
                        "accounts": [{"user": "shipper-1"}, {"user": "shipper-2"}, {"user": "generated"}],
                        "natWithoutPassword": False,
                        "storage": "s3",
                        "s3": bucket,
                    },
                    "test": {"accounts": [{"user": "admin-1"}, {"user": "admin-2"}]},
                }
            },
            "prometheus": {
                "route": "/metrics",
                "allow": ["nat"],
                "accounts": [{"user": "sender-1"}, {"user": "generated"}],
            },
            "services": {
                "client-api": {
                    "account": "shipper-1",
                    "logRouter": {"output": "grafana"},
                    "memoryMib": 1024,
                    "metrics": {"enabled": True},
                },
                "admin-api": {
                    "account": "shipper-2",
                    "cpuUnits": 256,
                    "memoryMib": 512,
                    "containers": {"app": app},
                },
            },
            "hostMetrics": {"enabled": True, "account": "sender-1"},
            "shippers": {"other": {"dockerHost": other, "loki": "test", "account": "admin-1"}},
        }
        with configured(rig, emulator, changes) as deployment:
            made = Trial(deployment)
            variables = deployment.stack.automation.workspace.env_vars
            made.canaries.append(Canary.of(PASSPHRASE, variables[PASSPHRASE]))
            own = [Canary.make(name, "/+") for name in OWN_VARIABLES]
            made.canaries += own
            # Pulumi's --event-log needs the last one.
            more = {one.name: one.text for one in own} | {"PULUMI_DEBUG_COMMANDS": "true"}
            deployment.stack.set_environment(more)
            yield made


def test_no_secret_is_in_plain_text_anywhere(trial: Trial, emulator: Emulator) -> None:
    started = Started()
    trial.set_canaries("first")
    with watching_starts(started):
        trial.plan("the first preview")
        trial.run("the first up", "up", "--yes", "--skip-preview", "--diff")
    # Here the test itself passes them as arguments.
    trial.set_canaries("second")
    with watching_starts(started):
        trial.run("the second preview", "preview", "--json")
        trial.plan("the second preview with --diff")
        trial.run("the second up", "up", "--yes")
        trial.run("a refresh", "refresh", "--yes", "--diff")
    in_state = whole_state(trial)
    trial.canaries += generated(in_state)

    # Each was used, and reached its destination.
    shown = json.dumps(in_state).encode()
    settings = [one for one in trial.canaries if one.name not in PROGRAM_VARIABLES]
    assert [one.name for one in settings if "first" not in one.name and not is_in(one, shown)] == []
    kept = kept_in_files(trial)
    parameters = json.dumps(parameters_of(emulator)).encode()
    ours = {one.name.partition(" ")[2]: one for one in settings if one.name.startswith("second")}
    for path, one in ours.items():
        used = one.name in kept or is_in(one, parameters)
        assert used or path in NO_CLIENT, path

    refused(trial)
    failed(trial)
    look_at_pulumi(trial)
    look_at_docker(trial)
    look_at_aws(trial, emulator)
    look_at_processes(trial, started)
    trial.run("a destroy", "destroy", "--yes", "--diff")
    assert len(trial.canaries) > 20
    assert len(trial.sinks) > 50
    found = leaks(trial.canaries, trial.sinks)
    found += [f"a password's hash in {sink}" for sink, data in trial.sinks.items() if BCRYPT.search(data)]
    cases = len(trial.canaries) * len(trial.sinks)
    figures.record(
        "secret_leaks", len(found), "", cases, f"{len(trial.canaries)} secrets, {len(trial.sinks)} sinks"
    )
    assert not found, "\n".join(found)


def is_in(canary: Canary, content: bytes) -> bool:
    """Whether a secret is in the content, plain or encoded."""
    return leaks([canary], {"": content}) != []


def refused(trial: Trial) -> None:
    """Check Pulumi's output about a secret that breaks a rule."""
    stack, path = trial.deployment.stack, f"{trial.deployment.stack.project}:grafana.adminPassword"
    kept = stack.automation.get_config(path, path=True)
    too_long = Canary.make("a password that is too long", AWKWARD * 10)
    trial.canaries.append(too_long)
    stack.automation.set_config(path, automation.ConfigValue(too_long.text, secret=True), path=True)
    said = stack.preview_error()
    assert "grafana.adminPassword: " in said
    trial.sinks["a refused preview"] = said.encode()
    stack.automation.set_config(path, kept, path=True)


def failed(trial: Trial) -> None:
    """Check Pulumi's output of an update of every secret that fails half-way: a Loki's name is taken."""
    deployment, stack = trial.deployment, trial.deployment.stack
    trial.set_canaries("third")
    path = stack.folder / f"Pulumi.{stack.name}.yaml"
    settings = yaml.safe_load(path.read_text())
    extra = {"port": 3202, "route": "/extra", "allow": ["nat"], "natWithoutPassword": True}
    settings["config"][f"{stack.project}:loki"]["instances"]["extra"] = extra
    path.write_text(yaml.safe_dump(settings))
    with closing(deployment.rig.engine.client()) as engine:
        name = deployment.settings["campus"]["namePrefix"] + "loki-extra"
        foreign = engine.containers.create(PLAYED, name=name)
        try:
            with pytest.raises(automation.CommandError, match="already in use") as raised:
                stack.automation.up(color="never", diff=True)
        finally:
            foreign.remove()
    trial.sinks["an up that failed"] = str(raised.value).encode()


def whole_state(trial: Trial) -> dict[str, Any]:
    """The state with its secrets, as for a person who asks for them."""
    return json.loads(trial.deployment.stack.run("stack", "export", "--show-secrets"))


def generated(state: dict[str, Any]) -> list[Canary]:
    """The passwords that the stack generated."""
    made = [
        Canary.of(one["urn"], json.loads(one["outputs"]["value"]["plaintext"]))
        for one in state["deployment"]["resources"]
        if one["type"].endswith(":GeneratedPassword")
    ]
    assert len(made) > 1
    return made


def look_at_pulumi(trial: Trial) -> None:
    """Check Pulumi's output without --show-secrets, and all its files."""
    for command in ("stack export", "stack output", "stack output --json", "stack --show-ids --show-urns",
                    "stack history --json", "config", "config --json"):  # fmt: skip
        trial.run(f"pulumi {command}", *command.split())
    folder = trial.folder.parent
    for part in ("project", "state"):
        trial.sinks |= {
            f"Pulumi's {path.relative_to(folder)}": content for path, content in files_below(folder / part)
        }


def look_at_docker(trial: Trial) -> None:
    """Check Docker's objects and events, and the containers' logs."""
    rig, sinks = trial.deployment.rig, trial.sinks
    with closing(rig.engine.client()) as engine:
        for container in engine.containers.list(all=True):
            sinks[f"docker inspect {container.name}"] = json.dumps(container.attrs).encode()
            sinks[f"docker logs {container.name}"] = container.logs()
        for kind in (engine.volumes, engine.networks, engine.images):
            for one in kind.list():
                sinks[f"docker inspect {one.id}"] = json.dumps(one.attrs).encode()
        events = engine.events(since=trial.began, until=int(time.time()), decode=True)
        sinks["Docker's events"] = json.dumps(list(events)).encode()
    assert b"exec_start" in sinks["Docker's events"]
    kept = rig.run.folder / "docker" / "containers"
    sinks |= {f"Docker's {path.relative_to(kept)}": content for path, content in files_below(kept)}
    sinks["dockerd's log"] = (rig.run.folder / "dockerd.log").read_bytes()


def look_at_aws(trial: Trial, emulator: Emulator) -> None:
    """Check AWS' answers to somebody who may list but not decrypt."""
    ecs, iam = emulator.client("ecs"), emulator.client("iam")
    sinks = {
        f"AWS' {arn}": ecs.describe_task_definition(taskDefinition=arn)
        for arn in ecs.list_task_definitions()["taskDefinitionArns"]
    }
    assert sinks
    sinks |= {
        f"AWS' {role['RoleName']} {name}": iam.get_role_policy(RoleName=role["RoleName"], PolicyName=name)
        for role in iam.list_roles()["Roles"]
        for name in iam.list_role_policies(RoleName=role["RoleName"])["PolicyNames"]
    }
    sinks["AWS' parameters"] = emulator.client("ssm").describe_parameters()
    sinks["AWS' alarms"] = emulator.client("cloudwatch").describe_alarms()
    sinks["AWS' log groups"] = emulator.client("logs").describe_log_groups()
    trial.sinks |= {sink: json.dumps(answer, default=str).encode() for sink, answer in sinks.items()}


def look_at_processes(trial: Trial, started: Started) -> None:
    """Check processes' arguments and environments, which `ps` shows."""
    arguments = b"\n".join(started.arguments)
    # The engine, its program, and a process in a container.
    for program in (b"\0up\0--yes", b"pulumi-language-python", b"caddy\0"):
        assert program in arguments
    variables = [one for one in started.variables if not one.startswith(_names(PROGRAM_VARIABLES))]
    assert len(variables) < len(started.variables)
    trial.sinks |= {"process arguments": arguments, "process environments": b"\n".join(variables)}


def _names(variables: tuple[str, ...]) -> tuple[bytes, ...]:
    return tuple(f"{name}=".encode() for name in variables)


def kept_in_files(trial: Trial) -> set[str]:
    """The secrets in volumes, where they belong; it is a leak if others than the owner may read them."""
    found: set[str] = set()
    volumes = trial.deployment.rig.run.folder / "docker" / "volumes"
    for path, content in files_below(volumes):
        names = {one.name for one in trial.canaries if is_in(one, content)}
        # A file with a secret is the stack's own, and stays.
        if names and path.stat().st_mode & 0o077:
            trial.sinks[f"{path.relative_to(volumes)}, which others may read"] = content
        found |= names
    return found


def files_below(folder: Path) -> Iterator[tuple[Path, bytes]]:
    """Every file with its content, without files that were just removed, as by Loki."""
    for place, _, names in os.walk(folder):
        for path in (Path(place, name) for name in names):
            if path.is_symlink() or not path.is_file():
                continue
            try:
                content = path.read_bytes()
            except FileNotFoundError:
                continue
            yield path, content


def parameters_of(emulator: Emulator) -> list[str]:
    """The values that ECS gets from SSM, where they are encrypted."""
    ssm = emulator.client("ssm")
    found = ssm.describe_parameters()["Parameters"]
    assert {one["Type"] for one in found} == {"SecureString"}
    return [ssm.get_parameter(Name=one["Name"], WithDecryption=True)["Parameter"]["Value"] for one in found]
