"""The lint of the log router's settings: valid settings. The mistakes are in support/mistakes/services.py."""

from __future__ import annotations

from urllib.parse import unquote, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from components.ecs.firelens import (
    FLUENT_BIT_OPTIONS,
    GRAFANA_OPTIONS,
    OUTPUTS,
    output_name,
    seconds,
    url_with_credentials,
)
from components.stack.settings import parse
from rig.stack import settings_of


@pytest.mark.parametrize(
    ("image", "name"),
    [
        ("grafana/fluent-bit-plugin-loki:1.6.1-amd64", "loki"),
        ("grafana/fluent-bit-plugin-loki:2.0.0-amd64", "loki"),
        ("grafana/fluent-bit-plugin-loki:2.1.0", "grafana-loki"),
        ("grafana/fluent-bit-plugin-loki:2.9.3-amd64", "grafana-loki"),
        ("grafana/fluent-bit-plugin-loki:3.5", "grafana-loki"),
        ("registry.example:5000/plugin:v2.0.1", "loki"),
        (OUTPUTS["grafana"].image, "grafana-loki"),
    ],
)
def test_the_output_is_named_as_the_image_registers_it(image: str, name: str) -> None:
    assert output_name("grafana", image) == name
    assert output_name("fluent-bit", image) == "loki"


def test_valid_settings_pass() -> None:
    tree = settings_of("local")
    tree["services"]["client-api"] |= {
        "architecture": "arm64",
        "launch": "fargate",
        "memoryMib": 1024,
        # On Fargate a container's name is the definition's.
        "logRouter": {
            "output": "grafana",
            "image": "team/fluent-bit-plugin-loki:3.7.8-arm64",
            "options": {"LabelKeys": "source,container_name", "batchwait": "2s", "Name": "grafana-loki"},
        },
    }
    assert parse(tree).services["client-api"].log_router.options["batchwait"] == "2s"


@pytest.mark.parametrize(
    "router",
    [
        {"output": "fluent-bit"},
        {"output": "grafana", "image": "grafana/fluent-bit-plugin-loki:2.9.3"},
        {"output": "grafana", "image": "grafana/fluent-bit-plugin-loki:2.9.3-arm64"},
        {"output": "grafana", "image": "ghcr.io/team/fluent-bit-plugin-loki:3.7.8"},
    ],
)
def test_log_routers_that_there_are_for_arm_pass(router: dict[str, str]) -> None:
    tree = settings_of("local")
    tree["services"]["client-api"] |= {"architecture": "arm64", "logRouter": router}
    assert parse(tree).services["client-api"].architecture == "arm64"


def test_every_option_has_a_type_that_judges() -> None:
    for options in (GRAFANA_OPTIONS, FLUENT_BIT_OPTIONS):
        for key, option in options.items():
            assert option.problem("  ") is not None, key


def test_option_names_are_looked_up_whatever_their_case() -> None:
    for output in OUTPUTS.values():
        lower = [name.lower() for name in output.options]
        assert len(set(lower)) == len(lower)


def test_as_many_labels_as_loki_takes_pass() -> None:
    tree = settings_of("local")
    labels = {f"label{number}": "x" for number in range(10)}
    tree["services"]["client-api"] |= {
        "launch": "fargate",
        "memoryMib": 1024,
        "labels": labels,
        # The stack's own 3, 10 more, and 2.
        "logRouter": {"options": {"label_keys": "$source,$container_name"}},
    }
    assert parse(tree).services["client-api"].labels == labels


@pytest.mark.parametrize(("text", "length"), [("500ms", 0.5), ("1m30s", 90), ("1.5h", 5400), ("10us", 1e-5)])
def test_go_durations(text: str, length: float) -> None:
    assert seconds(text) == pytest.approx(length)


@given(password=st.text(min_size=1, max_size=40).filter(lambda text: "\0" not in text))
def test_a_password_survives_the_url(password: str) -> None:
    try:
        password.encode()
    except UnicodeEncodeError:
        return
    url = url_with_credentials("https://x.org:8443/lokiaws/loki/api/v1/push", "admin", password)
    parts = urlsplit(url)
    assert (parts.username, unquote(parts.password or "")) == ("admin", password)
    assert (parts.hostname, parts.port, parts.path) == ("x.org", 8443, "/lokiaws/loki/api/v1/push")
    assert url.isascii()
    assert url.isprintable()
