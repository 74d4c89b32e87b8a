"""The lint of the log router's settings: every mistake is an error, with option, rule and suggestion."""

from __future__ import annotations

from typing import Any
from urllib.parse import unquote, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from components.aws.firelens import (
    FLUENT_BIT_OPTIONS,
    GRAFANA_OPTIONS,
    OUTPUTS,
    output_name,
    seconds,
    url_with_credentials,
)
from components.settings import SettingsError, parse
from tests.rig.stack import settings_of

SERVICE = "campus-monitor:services.client-api."
CANARY = "s3cret-canary"


def problem(**changes: Any) -> str:
    """The one line that settings with a changed service fail with, after the service's key."""
    tree = settings_of("local")
    service = tree["services"]["client-api"]
    tree["services"]["client-api"] = service | changes
    with pytest.raises(SettingsError) as caught:
        parse(tree)
    [line] = caught.value.problems
    assert line.startswith(SERVICE)
    return line.removeprefix(SERVICE)


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


OLD = "grafana/fluent-bit-plugin-loki:2.0.0-amd64"
# Output, options, and what the line says: option, rule, suggestion.
WRONG_OPTIONS: list[tuple[str, dict[str, str], tuple[str, ...]]] = [
    ("grafana", {"Http_User": "admin"}, ("options.Http_User", "no such option", "accounts", "remove it")),
    ("grafana", {"Http_Passwd": CANARY}, ("options.Http_Passwd", "no such option", "remove it")),
    ("grafana", {"label_keys": "source"}, ("options.label_keys", "did you mean LabelKeys?")),
    ("grafana", {"BatchWat": "1s"}, ("options.BatchWat", "did you mean BatchWait?", "'1s'")),
    ("grafana", {"Colour": "red"}, ("options.Colour", "would ignore it: remove it", "'red'")),
    ("grafana", {"Name": "loki"}, ("options.Name", "'grafana-loki'", "write that", "'loki'")),
    ("grafana", {"Url": "http://x/push"}, ("options.Url", "http://", "clear", "remove it")),
    ("grafana", {"Url": f"https://a:{CANARY}@x/"}, ("options.Url", "by hand", "remove it")),
    ("grafana", {"Timeout": "10"}, ("options.Timeout", "with its unit, such as 10s", "'10'")),
    ("grafana", {"MinBackoff": "1 s"}, ("options.MinBackoff", "with its unit", "'1 s'")),
    ("grafana", {"BatchWait": "1"}, ("options.BatchWait", "with its unit", "'1'")),
    ("grafana", {"BatchSize": "1MB"}, ("options.BatchSize", "whole bytes", "'1MB'")),
    ("grafana", {"MaxRetries": "0"}, ("options.MaxRetries", "from 1", "'0'")),
    ("grafana", {"Buffer": "on"}, ("options.Buffer", "exactly true or false", "'on'")),
    ("grafana", {"Buffer": "True"}, ("options.Buffer", "exactly true or false", "'True'")),
    ("grafana", {"LineFormat": "kv"}, ("options.LineFormat", "one of json, key_value", "'kv'")),
    ("grafana", {"LabelKeys": "source, ecs_cluster"}, ("options.LabelKeys", "commas alone")),
    ("grafana", {"LabelKeys": "container_name"}, ("options.LabelKeys", "random hex", "leave it")),
    ("grafana", {"LabelKeys": "source,ecs_task_definition"}, ("options.LabelKeys", "revision", "leave it")),
    ("grafana", {"LabelKeys": "ecs_task_arn"}, ("options.LabelKeys", "one per task", "leave it")),
    ("grafana", {"LabelKeys": "log"}, ("options.LabelKeys", "line itself", "leave it")),
    ("grafana", {"Labels": '{a="b"}'}, ("options.Labels", "`labels`", "remove it")),
    ("grafana", {"DqueDir": "/x"}, ("options.DqueDir", "queue of its own", "remove it")),
    ("grafana", {"TenantID": "x"}, ("options.TenantID", "tenants", "remove it")),
    ("grafana", {"insecure_skip_verify": "true"}, ("options.insecure_skip_verify", "password to anyone")),
    ("grafana", {"Match": "*"}, ("options.Match", "FireLens", "remove it")),
    ("grafana", {"timeout": "10s", "Timeout": "9s"}, ("options.Timeout", "same option as timeout")),
    ("fluent-bit", {"LabelKeys": "source"}, ("options.LabelKeys", "did you mean label_keys?")),
    ("fluent-bit", {"Url": "https://x"}, ("options.Url", "no such option")),
    ("fluent-bit", {"host": "x"}, ("options.host", "by hand", "remove it")),
    ("fluent-bit", {"http_passwd": CANARY}, ("options.http_passwd", "by hand", "remove it")),
    ("fluent-bit", {"tls.verify": "off"}, ("options.tls.verify", "password to anyone")),
    ("fluent-bit", {"label_keys": "$container_name"}, ("options.label_keys", "random hex", "leave it")),
    ("fluent-bit", {"net.connect_timeout": "10s"}, ("options.net.connect_timeout", "whole seconds")),
    ("fluent-bit", {"storage.total_limit_size": "100"}, ("options.storage.total_limit_size", "its unit")),
    ("fluent-bit", {"tls.ca_file": " "}, ("options.tls.ca_file", "a text")),
    ("fluent-bit", {"workers": "-1"}, ("options.workers", "from 1")),
    ("fluent-bit", {"retry_limit": "False"}, ("options.retry_limit", "no_limits")),
]


@pytest.mark.parametrize(("output", "options", "says"), WRONG_OPTIONS, ids=lambda one: str(one)[:40])
def test_a_wrong_option_is_named_with_its_rule_and_what_to_do(
    output: str, options: dict[str, str], says: tuple[str, ...]
) -> None:
    line = problem(logRouter={"output": output, "options": options})
    assert line.startswith("logRouter.options.")
    for word in says:
        assert word in line
    assert CANARY not in line


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        (
            {"logRouter": {"image": OLD, "options": {"Name": "grafana-loki"}}},
            ("options.Name", "named 'loki'"),
        ),
        (
            {"architecture": "arm64", "logRouter": {"image": OLD}},
            ("logRouter.image", "amd64", "arm64", OLD),
        ),
        (
            {"architecture": "arm64"},
            ("logRouter.image", "amd64 alone", "output: fluent-bit", OUTPUTS["grafana"].image),
        ),
        (
            {"containers": {"app": {"image": "team/app:1-arm64", "memoryMib": 64}}},
            ("containers.app.image", "arm64", "amd64"),
        ),
        (
            {
                "launch": "fargate",
                "memoryMib": 1024,
                "logRouter": {"config": {"type": "s3", "value": "arn:aws:s3:::bucket/own.conf"}},
            },
            ("logRouter.config.type", "Fargate", "type: file", "'s3'"),
        ),
        (
            {"logRouter": {"config": {"type": "file", "value": "own.conf"}}},
            ("logRouter.config.value", "absolute path", "'own.conf'"),
        ),
        (
            {"logRouter": {"healthCheck": {"command": ["CMD-SHELL", "true"]}}},
            ("logRouter.healthCheck", "no shell", "remove it"),
        ),
        (
            {"logRouter": {"options": {"MaxRetries": "3"}}},
            ("options.MaxRetries", "10 min", "raise it", "3"),
        ),
        (
            {"logRouter": {"options": {"Timeout": "60s"}}},
            ("options.Timeout", "128 s", "120 s", "'60s'"),
        ),
        ({"labels": {"job": "x"}}, ("labels", "sets job itself")),
        ({"labels": {"a-b": "x"}}, ("labels.a-b", "a label's name", "")),
        ({"labels": {"a": 'x"'}}, ("labels.a", "a label's value", 'x\\"')),
        ({"account": "admin"}, ("account", "one of the accounts", "'admin'")),
        ({"taskRoleArn": "role"}, ("taskRoleArn", "a role's ARN", "role")),
        ({"containers": {"log-router": {"image": "a:1", "memoryMib": 6}}}, ("containers", "log-router")),
        (
            {"containers": {"app": {"image": "a:1", "memoryMib": 6, "secrets": {"A": "*"}}}},
            ("containers.app.secrets.A", "ARN"),
        ),
        (
            {
                "containers": {
                    "app": {
                        "image": "a:1",
                        "memoryMib": 6,
                        "environment": {"A": "1"},
                        "secrets": {"A": "arn:aws:ssm:ap-northeast-2:123456789012:parameter/a"},
                    }
                }
            },
            ("containers.app.secrets", "either plain or secret", "'A'"),
        ),
        (
            {"containers": {"app": {"image": "a:1", "memoryMib": 6, "healthCheck": {"command": ["x", "y"]}}}},
            ("containers.app.healthCheck.command", "CMD", "'x'"),
        ),
        ({"launch": "fargate", "memoryMib": 1536}, ("memoryMib", "1024, 2048", "1536")),
        ({"launch": "fargate", "cpuUnits": 300}, ("cpuUnits", "256, 512", "300")),
        ({"cpuUnits": 16384}, ("cpuUnits", "10240", "16384")),
        (
            {
                "launch": "fargate",
                "memoryMib": 1024,
                "containers": {"app": {"image": "a:1", "memoryMib": 6, "port": 24224}},
            },
            ("containers.app.port", "log-router has it", "24224"),
        ),
        (
            {"logRate": {"linesPerSecond": 100000, "outageMinutes": 1440}},
            ("logRate", "more than the log driver can hold", "1440"),
        ),
        (
            {
                "launch": "fargate",
                "memoryMib": 1024,
                "logRate": {"linesPerSecond": 1000, "bytesPerLine": 1000, "outageMinutes": 600},
            },
            ("logRate", "a Fargate task has 20480", "600"),
        ),
        (
            {"logRouter": {"output": "fluent-bit"}, "logRate": {"linesPerSecond": 1000}},
            ("memoryMib", "the log router", "512"),
        ),
    ],
    ids=lambda one: str(one)[:60],
)
def test_what_would_not_work_is_an_error(changes: dict[str, Any], says: tuple[str, ...]) -> None:
    line = problem(**changes)
    for word in says:
        assert word in line


def test_what_is_right_passes() -> None:
    tree = settings_of("local")
    tree["services"]["client-api"] |= {
        "architecture": "arm64",
        "launch": "fargate",
        "memoryMib": 1024,
        # On Fargate a container's name is the definition's.
        "logRouter": {
            "image": "team/fluent-bit-plugin-loki:3.7.8-arm64",
            "options": {"LabelKeys": "source,container_name", "batchwait": "2s", "Name": "grafana-loki"},
        },
    }
    assert parse(tree).services["client-api"].log_router.options["batchwait"] == "2s"


@pytest.mark.parametrize(
    "router",
    [
        {"output": "fluent-bit"},
        {"image": "grafana/fluent-bit-plugin-loki:2.9.3"},
        {"image": "grafana/fluent-bit-plugin-loki:2.9.3-arm64"},
        {"image": "ghcr.io/team/fluent-bit-plugin-loki:3.7.8"},
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
