"""The search for canary secrets: it finds each form, and names every secret of the settings."""

from __future__ import annotations

import base64
import hashlib
import json
import traceback
from collections.abc import Callable
from itertools import pairwise
from typing import Any
from urllib.parse import quote, quote_plus

import pytest

from components.grafana.settings import GrafanaSettings
from components.stack.settings import Settings, parse
from components.values.errors import SettingsError
from rig.stack import local_settings
from tests.team.canaries import Canary, leaks, secret_settings

CANARY = Canary.make("it")
FORMS: dict[str, Callable[[str], str]] = {
    "plain": str,
    "percent-encoded": lambda text: quote(text, safe=""),
    "of a form": quote_plus,
    "JSON": json.dumps,
    "JSON in JSON": lambda text: json.dumps(json.dumps([text])),
    "hexadecimal": lambda text: text.encode().hex(),
    "cut off": lambda text: text[: len(text) // 2],
    "a hash": lambda text: hashlib.sha256(text.encode()).hexdigest(),
    **{
        f"base64 after {before}": lambda text, before=before: base64.b64encode(
            b"x" * before + text.encode() + b":y"
        ).decode()
        for before in range(6)
    },
}


@pytest.mark.parametrize("form", FORMS.values(), ids=FORMS.keys())
def test_a_secret_is_found_in_each_form(form: Callable[[str], str]) -> None:
    sinks = {"log": f"a line, {form(CANARY.text)} and more".encode(), "other": b"nothing"}
    assert leaks([CANARY, Canary.make("another")], sinks) == ["it in log"]


def test_the_secrets_of_an_area_are_listed() -> None:
    assert secret_settings(GrafanaSettings) == {
        "adminPassword",
        "smtp.password",
        "alertsTo.discord",
        "alertsTo.slack",
    }


def places(path: str) -> list[tuple[str | int, ...]]:
    """The places for a secret: under its key, under a mistyped key, and in place of its parent."""
    names: list[str | int] = [
        {"instances": "test", "accounts": 0}[before] if name == "*" else name
        for before, name in pairwise(["", *path.split(".")])
    ]
    mistyped = [*names[:-1], f"{names[-1]}s"]
    return [tuple(mistyped), *(tuple(names[:length]) for length in range(1, len(names) + 1))]


PLACES = sorted({place for path in secret_settings(Settings) for place in places(path)}, key=str)


@pytest.mark.parametrize("place", PLACES, ids=str)
def test_no_error_about_a_secret_shows_it(place: tuple[str | int, ...]) -> None:
    text = CANARY.text
    for value in (text, text * 3, f"{text}\n", [text], {"value": text}, {"password": [text]}):
        tree: Any = local_settings()
        area: Any = tree
        for name in place[:-1]:
            area = area.setdefault(name, {}) if isinstance(area, dict) else area[name]
        area[place[-1]] = value
        try:
            parse(tree)
        except SettingsError as error:
            shown = "".join(traceback.format_exception(error)) + repr(error)
            assert leaks([CANARY], {"the error": shown.encode()}) == [], place
