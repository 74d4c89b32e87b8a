"""A mistake in the settings is one line with key, rule and value, at preview, and nothing is created."""

from __future__ import annotations

import pytest

from components.stack.preflight import check_docker_host
from components.stack.settings import parse
from rig.deployment import docker_contents, settings_for
from rig.emulator import Emulator
from rig.rig import Rig
from rig.stack import running_stack
from tests.support.mistakes import named
from tests.support.mistakes.mistake import Mistake
from tests.support.settings import changed


@pytest.mark.docker
@pytest.mark.parametrize(
    "name",
    [
        "edge.domian: unknown key",
        "edges: unknown key",
        "edge.httpsPort: a port is a whole number 1 to 65535 999999",
        "loki.instances.aws.allow: at least one entry []",
        "portPolicy.rules: operators would be locked out of SSH (port 21541) 198.51.100.0/24",
        "loki.instances.aws.published: no rule of portPolicy.rules lets port 3100/tcp in",
    ],
)
def test_a_mistake_fails_the_preview_before_anything_is_made(name: str, rig: Rig, emulator: Emulator) -> None:
    assert_preview_fails(named(name), rig, emulator)


def assert_preview_fails(mistake: Mistake, rig: Rig, emulator: Emulator) -> None:
    """The preview fails with the mistake's line, without a Python traceback, and nothing is created."""
    before = docker_contents(rig), emulator.contents()
    with running_stack(mistake.put_into(settings_for(rig, emulator))) as stack:
        said = stack.preview_error()
    assert any(mistake.matches(line) for line in said.splitlines()), said
    assert "Traceback" not in said
    assert (docker_contents(rig), emulator.contents()) == before


@pytest.mark.docker
def test_a_docker_that_is_not_running_fails_the_preview(rig: Rig, emulator: Emulator) -> None:
    nobody = f"unix://{rig.run.folder}/nobody.sock"
    mistake = Mistake({"campus.dockerHost": nobody}, "campus.dockerHost:", "start Docker", nobody)
    assert_preview_fails(mistake, rig, emulator)


@pytest.mark.docker
@pytest.mark.parametrize("role", ["caddy", "alloy"])
def test_an_image_that_does_not_exist_fails_the_preview(role: str, rig: Rig, emulator: Emulator) -> None:
    """The rig reaches no registry: an image that isn't loaded isn't available."""
    image = "campus-monitor/nowhere:1"
    changes = {"campus.logsTo": "test", f"images.{role}": image}
    mistake = Mistake(changes, f"images.{role}:", "can't pull it", image)
    assert_preview_fails(mistake, rig, emulator)


def test_a_host_that_is_not_this_machine_is_not_contacted() -> None:
    check_docker_host(parse(changed("campus.dockerHost", "ssh://nobody@198.51.100.1")))
