"""Every mistake in the settings is one line with key, rule and value; several mistakes are several lines."""

from __future__ import annotations

import pytest

from components.stack.settings import parse
from components.values.errors import SettingsError
from rig.stack import Settings
from tests.support.mistakes import MISTAKES, named
from tests.support.mistakes.mistake import Mistake
from tests.support.settings import CANARY, LOCAL, put


def problems(settings: Settings) -> list[str]:
    """The lines about wrong settings."""
    with pytest.raises(SettingsError) as caught:
        parse(settings)
    return caught.value.problems


@pytest.mark.parametrize("mistake", MISTAKES, ids=str)
def test_a_mistake_is_one_line_with_key_rule_and_value(mistake: Mistake) -> None:
    [line] = problems(mistake.put_into(mistake.base))
    assert line.startswith(f"campus-monitor:{mistake.says}")
    assert mistake.matches(line), line
    assert "\n" not in line
    assert CANARY not in line


def test_the_settings_without_the_mistakes_are_valid() -> None:
    bases = {id(mistake.base): mistake.base for mistake in MISTAKES}
    assert len(bases) >= 5
    for base in bases.values():
        parse(base)


def test_several_mistakes_are_several_lines() -> None:
    some = [
        named("edge.httpsPort: a port is a whole number 1 to 65535 999999"),
        named("loki.instances.aws.allow: at least one entry []"),
        named("aws.region: seoul"),
    ]
    lines = problems(put(LOCAL, {path: value for one in some for path, value in one.changes.items()}))
    assert len(lines) == len(some)
    assert all(any(one.matches(line) for line in lines) for one in some)
