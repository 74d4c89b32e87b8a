"""A real stack's state may not be in the local stack's folder."""

from __future__ import annotations

from pathlib import Path

import pytest

from components.stack.local_state import LOCAL, check_state
from components.stack.settings import Settings, parse
from components.values.errors import SettingsError
from local.environment import Environment
from local.paths import LOCAL as MADE_BY_MAKE
from rig.stack import local_settings, merged

LOCAL_SHELL = Environment(()).variables()
ELSEWHERE = {"PULUMI_BACKEND_URL": "s3://state", "PULUMI_CONFIG_PASSPHRASE_FILE": "/elsewhere/passphrase"}


def real() -> Settings:
    """Settings of a stack in the real AWS."""
    return parse(merged(local_settings(), {"aws": {"emulator": None}}))


@pytest.mark.parametrize("name", ["PULUMI_BACKEND_URL", "PULUMI_CONFIG_PASSPHRASE_FILE"])
def test_a_real_stack_may_not_use_the_local_stacks_state(name: str) -> None:
    with pytest.raises(SettingsError) as caught:
        check_state(real(), ELSEWHERE | {name: LOCAL_SHELL[name]})
    [line] = caught.value.problems
    assert line.startswith(f"{name}: it is the local stack's")
    assert LOCAL_SHELL[name] in line


def test_both_are_two_lines() -> None:
    with pytest.raises(SettingsError) as caught:
        check_state(real(), LOCAL_SHELL)
    assert len(caught.value.problems) == 2


@pytest.mark.parametrize(
    "environment",
    [
        {},
        ELSEWHERE,
        ELSEWHERE | {"PULUMI_BACKEND_URL": "file:///elsewhere/.local/state"},
        # Like Pulumi: the passphrase itself has precedence.
        LOCAL_SHELL | {"PULUMI_BACKEND_URL": "s3://state", "PULUMI_CONFIG_PASSPHRASE": "its own"},
    ],
)
def test_a_real_stack_may_be_anywhere_else(environment: dict[str, str]) -> None:
    check_state(real(), environment)


def test_the_local_stack_is_kept_there() -> None:
    check_state(parse(local_settings()), LOCAL_SHELL)


def test_a_link_leads_nowhere_else(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(LOCAL)
    with pytest.raises(SettingsError):
        check_state(real(), {"PULUMI_BACKEND_URL": (tmp_path / "link" / "state").as_uri()})


def test_the_guarded_folder_is_the_one_that_make_fills() -> None:
    assert LOCAL == MADE_BY_MAKE
