"""Valid settings, and mistakes without a row in tests/support/mistakes; no message shows a secret."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import example, given
from hypothesis import strategies as st

from components.certificate_probe.config import PORT as PROBE_PORT
from components.docker_hosts.settings import CampusSettings
from components.edge.settings import EdgeSettings
from components.loki.settings import LOKIS_RESERVED_PORTS
from components.prometheus.settings import PORT as PROMETHEUS_PORT
from components.stack.settings import parse, parse_part
from components.values.area import Area
from components.values.errors import SettingsError
from rig.stack import settings_of
from tests.support.settings import LOCAL, SHIPPER, SHIPPING, SMTP, changed, put

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.parametrize("stack", ["local", "stage", "prod"])
def test_the_shipped_stacks_are_valid(stack: str) -> None:
    settings = parse(settings_of(stack))
    assert settings.images.require_digest is (stack != "local")


def test_each_image_without_its_digest_has_a_line() -> None:
    with pytest.raises(SettingsError) as caught:
        parse(changed("images.requireDigest", True))
    of_metrics = ["prometheus", "blackboxExporter", "otelCollector"]
    names = ["caddy", "loki", "grafana", "portGuard", "alloy", *of_metrics]
    assert [line.partition(": ")[0] for line in caught.value.problems] == [
        f"campus-monitor:images.{name}" for name in names
    ]
    assert "tag and digest are required here" in caught.value.problems[0]
    assert "caddy:2.11.7" in caught.value.problems[0]


class CampusAlone(Area):
    """One area."""

    campus: CampusSettings


@pytest.mark.parametrize(
    ("area", "problem"),
    [
        (None, "campus-monitor:campus: Input should be a valid dictionary or instance of Campus"),
        ({}, "campus-monitor:campus.dockerHost: required key is missing"),
        ({"dockerHost": "localhost"}, "campus-monitor:campus.dockerHost: a URL"),
    ],
)
def test_a_part_is_read_with_the_same_errors(area: Any, problem: str) -> None:
    with pytest.raises(SettingsError) as caught:
        parse_part(CampusAlone, {"campus": area, "edge": "not looked at"})
    [line] = caught.value.problems
    assert line.startswith(problem)


def test_keys_are_written_as_in_a_stack_file_and_not_as_in_python() -> None:
    for changes in ({"edge.http_port": 80}, {"port_policy": {}}):
        with pytest.raises(SettingsError, match="unknown key"):
            parse(put(LOCAL, changes))
    assert EdgeSettings(domain="a.example.org", tls="internal", http_port=81).http_port == 81


GUARDED: dict[str, Any] = {
    "namespace": "host",
    "operatorCidrs": ["198.51.100.0/24", "2001:db8::/64"],
    "sshPort": 21541,
}
OPEN = [{"action": "allow", "port": port} for port in (18080, 18443)]


def guarded(*rules: dict[str, Any], **changes: Any) -> dict[str, Any]:
    """The local stack's settings with a policy for the host: these rules, and Caddy's ports."""
    return changed("portPolicy", GUARDED | {"rules": [*rules, *OPEN]} | changes)


def ssh(action: str, *sources: str, port: int | str = 21541, protocol: str = "tcp") -> dict[str, Any]:
    """A rule for SSH, or for another port."""
    return {"action": action, "port": port, "protocol": protocol, "from": list(sources)}


CAMPUS_4, CAMPUS_6 = ("198.51.100.0/24", "2001:db8::/64")


@pytest.mark.parametrize(
    "rules",
    [
        [ssh("limit")],
        [ssh("allow", CAMPUS_4, CAMPUS_6)],
        [ssh("allow", "198.51.100.0/25", "198.51.100.128/25"), ssh("limit", "2001:db8::/32")],
        [ssh("allow", port="21000-22000")],
        [ssh("allow", protocol="both")],
        [ssh("deny", "203.0.113.0/24"), ssh("limit")],
        [ssh("deny", port=22), ssh("deny", protocol="udp"), ssh("limit")],
        [ssh("limit", CAMPUS_4, CAMPUS_6), ssh("deny")],
    ],
)
def test_rules_that_let_the_operators_in_pass(rules: list[dict[str, Any]]) -> None:
    parse(guarded(*rules))


@pytest.mark.parametrize(
    ("rules", "why"),
    [
        ([], "no rule lets 198.51.100.0 in"),
        ([ssh("allow", protocol="udp")], "no rule lets 198.51.100.0 in"),
        ([ssh("allow", port=22)], "no rule lets 198.51.100.0 in"),
        ([ssh("allow", CAMPUS_4)], "no rule lets 2001:db8:: in"),
        ([ssh("allow", CAMPUS_6)], "no rule lets 198.51.100.0 in"),
        ([ssh("limit", "198.51.100.0/25", CAMPUS_6)], "no rule lets 198.51.100.128 in"),
        ([ssh("deny"), ssh("limit")], "rules.0 denies 198.51.100.0 first"),
        ([ssh("deny", "198.51.100.7/32"), ssh("limit")], "rules.0 denies 198.51.100.7 first"),
        ([ssh("deny", "::/0", protocol="both"), ssh("limit")], "rules.0 denies 2001:db8:: first"),
        (
            [ssh("limit", "198.51.100.0/25"), ssh("deny", CAMPUS_4), ssh("allow")],
            "rules.1 denies 198.51.100.128",
        ),
    ],
)
def test_rules_that_lock_an_operator_out_are_refused(rules: list[dict[str, Any]], why: str) -> None:
    with pytest.raises(SettingsError) as caught:
        parse(guarded(*rules))
    [line] = caught.value.problems
    assert line.startswith(
        "campus-monitor:portPolicy.rules: operators would be locked out of SSH (port 21541)"
    )
    assert why in line
    assert "received operatorCidrs" in line


def test_rules_that_guard_nothing_lock_nobody_out() -> None:
    parse(guarded(ssh("deny"), namespace="own"))


@pytest.mark.parametrize(
    ("docker_host", "named", "port"),
    [
        ("ssh://deploy@campus.example:2222", None, 2222),
        ("ssh://deploy@campus.example", None, 22),
        ("unix:///var/run/docker.sock", None, 22),
        ("ssh://deploy@campus.example:2222", 21541, 21541),
    ],
)
def test_the_ssh_port_is_known_from_the_docker_host(docker_host: str, named: int | None, port: int) -> None:
    tree = guarded(ssh("limit", port=port), sshPort=named)
    tree["campus"]["dockerHost"] = docker_host
    assert parse(tree).ssh_port == port
    tree["portPolicy"]["rules"][0]["port"] = port + 1
    with pytest.raises(SettingsError, match=rf"locked out of SSH \(port {port}\)"):
        parse(tree)


@pytest.mark.parametrize(
    ("rules", "says"),
    [
        ([], "no rule of portPolicy.rules lets port 3100/tcp in"),
        ([ssh("allow", CAMPUS_4, port=3100, protocol="udp")], "no rule of portPolicy.rules lets port 3100"),
        ([ssh("deny", CAMPUS_4, port=3100)], "no rule of portPolicy.rules lets port 3100/tcp in"),
        ([ssh("deny", port=3100), ssh("allow", CAMPUS_4, port=3100)], "no rule of portPolicy.rules lets"),
        ([ssh("allow", port=3100)], "let anybody in to port 3100/tcp"),
        ([ssh("allow", CAMPUS_4, port=3100), ssh("limit", port="3000-4000")], "let anybody in to port 3100"),
        ([ssh("allow", "::/0", port=3100)], "let anybody in to port 3100/tcp"),
        ([ssh("allow", CAMPUS_4, port=3100)], None),
        ([ssh("allow", CAMPUS_4, port=3100), ssh("deny", port=3100), ssh("allow", port=3100)], None),
        ([ssh("limit", CAMPUS_6, port="3000-3200", protocol="tcp")], None),
    ],
)
def test_a_published_port_must_be_open_to_some_sources(rules: list[dict[str, Any]], says: str | None) -> None:
    tree = guarded(ssh("limit"), *rules)
    tree["loki"]["instances"]["aws"] |= {"published": True, "publishedWide": True}
    if says is None:
        assert parse(tree).loki.instances["aws"].published
        return
    with pytest.raises(SettingsError) as caught:
        parse(tree)
    [line] = caught.value.problems
    assert line.startswith("campus-monitor:loki.instances.aws.published: ")
    assert says in line


def test_caddys_ports_must_be_open() -> None:
    with pytest.raises(SettingsError, match=r"portPolicy\.rules: no rule lets Caddy's port 18080/tcp in"):
        parse(guarded(ssh("limit"), {"action": "deny", "port": 18080}))


def test_the_documents_example_is_valid() -> None:
    text = (ROOT / "docs/port-policy.md").read_text().partition("```yaml\n")[2].partition("```")[0]
    tree = changed("edge", settings_of("local")["edge"] | {"httpPort": 80, "httpsPort": 443})
    # With `ssh://` the URL has the port.
    tree["portPolicy"] = yaml.safe_load(text)["campus-monitor:portPolicy"] | {"sshPort": 21541}
    assert parse(tree).port_policy.namespace == "host"


def test_http3_needs_its_udp_port_open() -> None:
    tree = settings_of("prod")
    tree["edge"]["http3"] = True
    with pytest.raises(SettingsError, match="no rule lets Caddy's port 443/udp in"):
        parse(tree)
    tree["portPolicy"]["rules"].append({"action": "allow", "port": 443, "protocol": "udp"})
    assert parse(tree).edge.http3


def test_a_password_that_alloy_would_strip_is_refused_and_not_echoed() -> None:
    tree = put(SHIPPING, {"shippers.a": SHIPPER})
    tree["loki"]["instances"]["test"]["accounts"] = [{"user": "admin", "password": "s3cret-canary "}]
    with pytest.raises(SettingsError, match=r"shippers\.a\.account: Alloy would strip") as caught:
        parse(tree)
    assert "s3cret-canary" not in str(caught.value)


def test_shippers_that_can_ship_pass() -> None:
    settings = parse(
        put(SHIPPING, {"shippers.a": SHIPPER, "shippers.b": SHIPPER | {"dockerHost": "unix:///b"}})
    )
    assert set(settings.shippers) == {"a", "b"}
    assert parse(put(SHIPPING, {"campus.logsTo": "aws"})).campus.logs_to == "aws"


def test_alloys_image_needs_a_digest_like_the_others() -> None:
    tree = settings_of("prod")
    tree["images"]["alloy"] = "grafana/alloy:v1.18.1"
    with pytest.raises(SettingsError, match=r"images\.alloy: tag and digest are required"):
        parse(tree)


@pytest.mark.parametrize(
    "password", ["", "s3cret-canary" * 8, {"secret": "s3cret-canary"}, ["s3cret-canary"]]
)
def test_a_refused_password_is_never_echoed(password: Any) -> None:
    tree = changed("loki.instances.test.accounts", [{"user": "a", "password": password}])
    with pytest.raises(SettingsError) as caught:
        parse(tree)
    assert "password" in str(caught.value)
    assert "s3cret-canary" not in str(caught.value)


def test_an_older_schema_period_refuses_opentelemetry() -> None:
    tree = changed(
        "loki.instances.aws.schemaPeriods",
        [{"from": "2023-01-01", "store": "boltdb-shipper", "version": "v11"}, {"from": "2024-01-01"}],
    )
    assert not parse(tree).loki.instances["aws"].keeps_structured_metadata
    tree["loki"]["instances"]["aws"]["otlp"] = True
    with pytest.raises(SettingsError, match=r"loki\.instances\.aws\.otlp: OpenTelemetry logs need"):
        parse(tree)


@pytest.mark.parametrize(
    ("key", "url"),
    [
        ("campus.dockerHost", "ssh://me:s3cret-canary@campus"),
        ("campus.dockerHost", "tcp://me:s3cret-canary@campus"),
        ("campus.dockerHost", "ssh://me:s3cret-canary/@campus"),
        ("campus.dockerHost", "ssh://me%3As3cret-canary@campus"),
        ("campus.dockerHost", "ssh://me@here:s3cret-canary@campus"),
        ("campus.otherHosts", {"b": {"dockerHost": "ssh://me:s3cret-canary@b", "address": "10.0.0.2"}}),
        ("shippers", {"b": {"dockerHost": "ssh://me:s3cret-canary@b", "loki": "test", "account": "admin"}}),
        ("portPolicy.confirmTarget", "me:s3cret-canary@campus"),
        ("aws.emulator", "http://me:s3cret-canary@127.0.0.1:15000"),
        ("edge.acme", {"directory": "https://me:s3cret-canary@ca.example.org/"}),
    ],
)
def test_a_password_in_a_url_is_refused_and_not_echoed(key: str, url: Any) -> None:
    with pytest.raises(SettingsError) as caught:
        parse(changed(key, url))
    assert any(key in line for line in caught.value.problems)
    assert "s3cret-canary" not in str(caught.value)


def test_rules_for_everybody_are_for_the_containers_too() -> None:
    everybody = {"action": "allow", "port": 9000, "from": ["0.0.0.0/0", "::/0"]}
    denied = {"action": "deny", "port": 9001, "from": ["172.16.0.0/12"]}
    parse(changed("portPolicy.rules", [everybody, denied]))


def test_a_password_is_not_in_the_settings_repr() -> None:
    tree = changed("loki.instances.test.accounts", [{"user": "a", "password": "s3cret-canary"}])
    assert "s3cret-canary" not in repr(parse(tree))


@given(port=st.integers())
# Grafana's and Alloy's, which are in a network of their own.
@example(port=3000)
@example(port=12345)
@example(port=PROMETHEUS_PORT)
@example(port=PROBE_PORT)
def test_only_real_ports_pass(port: int) -> None:
    tree = changed("loki.instances.aws.port", port)
    taken = {*LOKIS_RESERVED_PORTS, 3199, PROMETHEUS_PORT, PROBE_PORT}
    free = 1 < port < 65535 and port not in taken
    if free:
        assert parse(tree).loki.instances["aws"].port == port
    else:
        with pytest.raises(SettingsError):
            parse(tree)


def test_allowed_cidrs_are_the_union() -> None:
    tree = changed("edge.extraAllowedCidrs", ["198.51.100.9/32"])
    assert parse(tree).allowed_cidrs(["203.0.113.7"]) == ["198.51.100.9/32", "203.0.113.7/32"]


def test_allowed_cidrs_are_each_lokis_own() -> None:
    tree = changed("edge.extraAllowedCidrs", ["198.51.100.9/32"])
    tree["loki"]["instances"]["test"]["allow"] = ["192.0.2.1/32"]
    by_loki = parse(tree).allowed_cidrs_by_loki(["203.0.113.7"])
    assert by_loki == {
        "aws": ["198.51.100.9/32", "203.0.113.7/32"],
        "test": ["192.0.2.1/32", "198.51.100.9/32"],
    }


@pytest.mark.parametrize("kind", ["discord", "slack"])
@pytest.mark.parametrize(
    "url",
    [
        "http://hooks.example/s3cret-canary",
        "https://hooks.example/$s3cret-canary",
        "s3cret-canary",
        ["s3cret-canary"],
    ],
)
def test_a_webhook_is_checked_and_not_echoed(kind: str, url: Any) -> None:
    with pytest.raises(SettingsError, match=rf"grafana\.alertsTo\.{kind}: ") as caught:
        parse(changed(f"grafana.alertsTo.{kind}", url))
    assert "s3cret-canary" not in str(caught.value)


@pytest.mark.parametrize(
    "password",
    [
        "",
        "s3cret-canary---\n",
        " s3cret-canary---",
        "s3cret\0-canary---",
        "s3cret-canary-${HOME}",
        "s3cret-canary-$__file{/x}",
        {"s3cret-canary": 1},
    ],
)
@pytest.mark.parametrize("key", ["grafana.smtp.password", "grafana.adminPassword"])
def test_a_password_for_grafana_is_checked_and_not_echoed(key: str, password: Any) -> None:
    tree = changed("grafana.smtp", SMTP | {"user": "u", "password": "p"})
    with pytest.raises(SettingsError, match=key.replace(".", r"\.")) as caught:
        parse(put(tree, {key: password}))
    assert "canary" not in str(caught.value)


def test_valid_contacts_pass() -> None:
    tree = changed("grafana.smtp", SMTP | {"user": "u", "password": "p"})
    urls = {
        "discord": "https://discord.com/api/webhooks/1/a-B_c",
        "slack": "https://hooks.slack.com/services/T/B/x",
    }
    tree["grafana"]["alertsTo"] = {"mail": ["a@x.org", "b@x.org"], **urls}
    alerts_to = parse(tree).grafana.alerts_to
    assert alerts_to is not None
    assert alerts_to.mail == ("a@x.org", "b@x.org")
    assert "discord.com" not in repr(alerts_to)
