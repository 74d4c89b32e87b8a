"""A mistake in the settings: one line with key, rule and value, at preview, and nothing made."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest

from components.campus.preflight import check_docker_host
from components.settings import SettingsError, parse
from tests.rig.deployment import docker_contents, settings_for
from tests.rig.emulator import Emulator
from tests.rig.rig import Rig
from tests.rig.stack import Settings, local_settings, merged, running_stack

Spoil = Callable[[Settings], Settings]


@dataclass(frozen=True)
class Mistake:
    """How good settings are spoiled, and what the one line about it has to say."""

    spoil: Spoil
    key: str
    rule: str
    value: str = ""

    def is_told_by(self, line: str) -> bool:
        """Whether a line names the key, then the rule and the value."""
        said = line.partition(f"campus-monitor:{self.key}: ")[2]
        return self.rule in said and self.value in said


def changed(changes: dict[str, Any]) -> Spoil:
    """Settings with these changes."""
    return lambda good: merged(good, changes)


def removed(*path: str) -> Spoil:
    """Settings without the key at this path."""

    def remove(good: Settings) -> Settings:
        result = merged(good, {})
        area = result
        for part in path[:-1]:
            area = area[part]
        del area[path[-1]]
        return result

    return remove


def allowing(*entries: str) -> Spoil:
    """Settings with this allowlist for the Loki instance `aws`."""
    return changed({"loki": {"instances": {"aws": {"allow": list(entries)}}}})


def publishing(*, aws: bool) -> dict[str, Any]:
    """The area `loki` in which Docker publishes the port of the Loki instance `aws`, or doesn't."""
    return {"instances": {"aws": {"published": aws}}}


ALLOW = "loki.instances.aws.allow"
OPERATORS = "198.51.100.0/24"
SSH_FOR_OTHERS = {"action": "allow", "port": 21541, "from": ["203.0.113.0/24"]}
LOCKING = {"namespace": "host", "sshPort": 21541, "operatorCidrs": [OPERATORS], "rules": [SSH_FOR_OTHERS]}
SSH_ALONE = LOCKING | {"rules": [{"action": "limit", "port": 21541}]}
WRONG_PORT_RULE = {"portPolicy": {"rules": [{"action": "allow", "port": 999999}]}}

MISTAKES = {
    "unknown key": Mistake(changed({"edge": {"domian": "x.test"}}), "edge.domian", "unknown key"),
    "unknown area": Mistake(changed({"egde": {"a": 1}}), "egde", "unknown key"),
    "port": Mistake(changed({"edge": {"httpsPort": 999999}}), "edge.httpsPort", "1 to 65535", "999999"),
    "port of a rule": Mistake(changed(WRONG_PORT_RULE), "portPolicy.rules.0.port", "1 to 65535", "999999"),
    "wrong CIDR": Mistake(allowing("nat", "1.2.3.4/33"), ALLOW, "CIDR", "1.2.3.4/33"),
    "wrong CIDR of an operator": Mistake(
        changed({"edge": {"extraAllowedCidrs": ["1.2.3.4/33"]}}),
        "edge.extraAllowedCidrs.0",
        "CIDR",
        "1.2.3.4/33",
    ),
    "wide CIDR": Mistake(allowing("1.2.3.0/24"), ALLOW, "allowWide", "1.2.3.0/24"),
    "private CIDR": Mistake(allowing("10.1.2.3/32"), ALLOW, "global unicast", "10.1.2.3/32"),
    "empty allowlist": Mistake(allowing(), ALLOW, "at least one entry", "[]"),
    "no allowlist": Mistake(removed("loki", "instances", "aws", "allow"), ALLOW, "missing"),
    "no image": Mistake(removed("images", "caddy"), "images.caddy", "missing"),
    "empty image": Mistake(changed({"images": {"caddy": ""}}), "images.caddy", "tag", '""'),
    "image without a tag": Mistake(
        changed({"images": {"caddy": "caddy"}}), "images.caddy", "name:tag", "caddy"
    ),
    "rules that lock the operators out": Mistake(
        changed({"portPolicy": LOCKING, "loki": publishing(aws=False)}),
        "portPolicy.rules",
        "locked out of SSH (port 21541)",
        OPERATORS,
    ),
    "a published port that no rule names": Mistake(
        changed({"portPolicy": SSH_ALONE, "loki": publishing(aws=True)}),
        "loki.instances.aws.published",
        "no rule of portPolicy.rules lets port 3100/tcp in",
    ),
    "Docker host": Mistake(
        changed({"campus": {"dockerHost": "server3"}}), "campus.dockerHost", "URL", "server3"
    ),
}


def test_the_local_settings_are_good() -> None:
    parse(local_settings())


@pytest.mark.parametrize("mistake", MISTAKES.values(), ids=MISTAKES.keys())
def test_each_mistake_is_one_line_with_key_rule_and_value(mistake: Mistake) -> None:
    with pytest.raises(SettingsError) as caught:
        parse(mistake.spoil(local_settings()))
    [line] = str(caught.value).splitlines()
    assert mistake.is_told_by(line), line


def test_two_mistakes_are_two_lines() -> None:
    both = [MISTAKES["port"], MISTAKES["empty allowlist"]]
    with pytest.raises(SettingsError) as caught:
        parse(both[1].spoil(both[0].spoil(local_settings())))
    lines = str(caught.value).splitlines()
    assert len(lines) == 2
    assert all(any(mistake.is_told_by(line) for line in lines) for mistake in both)


@pytest.mark.docker
@pytest.mark.parametrize(
    "name",
    [
        "unknown key",
        "unknown area",
        "port",
        "empty allowlist",
        "rules that lock the operators out",
        "a published port that no rule names",
    ],
)
def test_a_mistake_fails_the_preview_before_anything_is_made(name: str, rig: Rig, emulator: Emulator) -> None:
    assert_preview_fails(MISTAKES[name], rig, emulator)


def assert_preview_fails(mistake: Mistake, rig: Rig, emulator: Emulator) -> None:
    """The preview says what it has to, without a Python traceback, and nothing was made."""
    before = docker_contents(rig), emulator.contents()
    with running_stack(mistake.spoil(settings_for(rig, emulator))) as stack:
        said = stack.preview_error()
    assert any(mistake.is_told_by(line) for line in said.splitlines()), said
    assert "Traceback" not in said
    assert (docker_contents(rig), emulator.contents()) == before


@pytest.mark.docker
def test_a_docker_that_is_not_running_fails_the_preview(rig: Rig, emulator: Emulator) -> None:
    nobody = f"unix://{rig.run.folder}/nobody.sock"
    mistake = Mistake(
        changed({"campus": {"dockerHost": nobody}}),
        "campus.dockerHost",
        "start Docker",
        nobody,
    )
    assert_preview_fails(mistake, rig, emulator)


@pytest.mark.docker
@pytest.mark.parametrize("role", ["caddy", "alloy"])
def test_an_image_that_is_nowhere_fails_the_preview(role: str, rig: Rig, emulator: Emulator) -> None:
    """The rig reaches no registry: what isn't loaded can't be had."""
    image = "campus-monitor/nowhere:1"
    changes = {"campus": {"logsTo": "test"}, "images": {role: image}}
    mistake = Mistake(changed(changes), f"images.{role}", "can't pull it", image)
    assert_preview_fails(mistake, rig, emulator)


def test_a_host_that_is_not_this_machine_is_not_asked() -> None:
    far = changed({"campus": {"dockerHost": "ssh://nobody@198.51.100.1"}})
    check_docker_host(parse(far(local_settings())))
