"""One resource of every type, with the real engine: up, no change, changed, drifted, destroyed."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import docker
import pytest

from tests.plugins.conftest import IMAGE
from tests.rig.emulator import Emulator
from toolchain.paths import STAND_IN_PLUGINS

pytestmark = pytest.mark.docker

PASSWORD = "correct-horse-battery-staple"
PREFIX = "every-type-"
NO_CHANGE = "--expect-no-changes"


class Program:
    """The program in `program/`, with a state of its own."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder / "program"
        self.state = folder / "state"
        shutil.copytree(Path(__file__).with_name("program"), self._folder)
        self.state.mkdir()
        self._destroyed = False
        self._environment = os.environ | {
            "PATH": f"{STAND_IN_PLUGINS}:{os.environ['PATH']}",
            "PULUMI_BACKEND_URL": self.state.as_uri(),
            "PULUMI_CONFIG_PASSPHRASE": "test",
            "PULUMI_HOME": str(folder / "home"),
            "PULUMI_SKIP_UPDATE_CHECK": "true",
        }
        self._environment.pop("PULUMI_CONFIG_PASSPHRASE_FILE", None)

    def pulumi(self, *arguments: str) -> str:
        """What one pulumi command says; it has to succeed."""
        done = subprocess.run(
            ["pulumi", "--non-interactive", "--color=never", *arguments],
            cwd=self._folder,
            env=self._environment,
            capture_output=True,
            text=True,
            timeout=300,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def up(self, *options: str) -> dict[str, Any]:
        """Deploy; the outputs."""
        self.pulumi("up", "--yes", "--skip-preview", *options)
        return json.loads(self.pulumi("stack", "output", "--json"))

    def planned(self) -> dict[str, str]:
        """What a preview would do, by logical name."""
        steps = json.loads(self.pulumi("preview", "--json"))["steps"]
        return {one["urn"].rsplit("::", 1)[-1]: one["op"] for one in steps if one["op"] != "same"}

    def destroy(self) -> None:
        """Remove everything, unless that is done already."""
        if not self._destroyed:
            self.pulumi("destroy", "--yes", "--skip-preview")
            self._destroyed = True


@pytest.fixture
def program(tmp_path: Path, docker_host: str, emulator: Emulator) -> Iterator[Program]:
    emulator.reset()
    made = Program(tmp_path)
    made.pulumi("stack", "init", "test")
    settings = {
        "image": IMAGE,
        "docker": docker_host,
        "aws": emulator.url,
        "prefix": PREFIX,
    }
    plain = [word for name, value in settings.items() for word in ("--plaintext", f"{name}={value}")]
    made.pulumi("config", "set-all", *plain, "--secret", f"password={PASSWORD}")
    yield made
    made.destroy()


def test_one_of_every_type(program: Program, engine: docker.APIClient, emulator: Emulator) -> None:
    first = program.up()
    program.pulumi("preview", NO_CHANGE)
    program.pulumi("refresh", "--yes", "--skip-preview", NO_CHANGE)
    assert first["address"] == "203.0.113.7"

    program.pulumi("config", "set", "changed", "true")
    planned = program.planned()
    replaced = {name for name, step in planned.items() if step == "replace"}
    updated = {name for name, step in planned.items() if step == "update"}
    assert replaced == {"container", "address", "nat", "task"}
    in_place = {"vpc", "subnet", "route", "in", "inline", "group", "filter", "alarm", "parameter"}
    assert updated == in_place
    second = program.up()
    assert program.planned() == {}
    assert (second["address"], second["revision"]) == ("203.0.113.8", 2)
    assert second["container"] != first["container"]
    assert second["helper"] == first["helper"]

    engine.remove_container(f"{PREFIX}sleeper", force=True)
    third = program.up("--refresh")
    assert third["container"] != second["container"]
    assert engine.inspect_container(third["container"])["State"]["Running"]

    written = [path.read_text() for path in program.state.rglob("*") if path.is_file()]
    assert not any(PASSWORD in text for text in written)

    program.destroy()
    assert not engine.containers(all=True, filters={"name": PREFIX})
    assert not engine.networks(names=[f"{PREFIX}net"])
    assert not engine.volumes(filters={"name": "volume-"})["Volumes"]
    left = {kind: count for kind, count in emulator.contents().items() if count}
    assert left == {}
    assert emulator.client("ecs").list_task_definitions()["taskDefinitionArns"] == []
