"""Every mistake in the settings is one line: key path, rule, value; never a secret's value."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from components.campus.caddyfile import ACME_STAGING
from components.settings import SettingsError, parse, parse_campus
from tests.rig.authority import made_authority

ROOT = Path(__file__).resolve().parents[2]


def tree_of(stack: str) -> dict[str, Any]:
    """The settings tree of a stack file in this repository."""
    config = yaml.safe_load((ROOT / f"Pulumi.{stack}.yaml").read_text())["config"]
    return {key.split(":", 1)[1]: value for key, value in config.items()}


def changed(path: str, value: Any) -> dict[str, Any]:
    """The local stack's tree with one value put at a dotted path; `...` removes the key."""
    tree = copy.deepcopy(tree_of("local"))
    *parents, last = path.split(".")
    node: Any = tree
    for part in parents:
        node = node[int(part)] if isinstance(node, list) else node.setdefault(part, {})
    if value is ...:
        del node[last]
    else:
        node[last] = value
    return tree


@pytest.mark.parametrize("stack", ["local", "stage", "prod"])
def test_the_shipped_stacks_are_valid(stack: str) -> None:
    settings = parse(tree_of(stack))
    assert settings.images.require_digest is (stack != "local")


SMTP = {"host": "smtp.example.org", "fromAddress": "grafana@example.org"}

ACME = {"directory": "https://ca.example.org/acme/directory"}
AUTHORITY = made_authority("ca.example.org")
ROOT_PEM = AUTHORITY.root
SERVER_PEM, KEY_PEM = AUTHORITY.certificate, AUTHORITY.key

MISTAKES = [
    ("edge.domian", "x", "campus-monitor:edge.domian: unknown key", ""),
    ("edges", {"domain": "x"}, "campus-monitor:edges: unknown key", ""),
    ("edge.domain", ..., "campus-monitor:edge.domain: required key is missing", ""),
    ("edge.domain", "https://x.org", "campus-monitor:edge.domain: a lower-case host name", "https://x.org"),
    ("edge.httpsPort", 999999, "campus-monitor:edge.httpsPort: a port is a whole number", "999999"),
    ("edge.httpsPort", 0, "campus-monitor:edge.httpsPort: a port is a whole number", "0"),
    ("edge.httpsPort", "web", "campus-monitor:edge.httpsPort:", "web"),
    ("edge.httpPort", 18443, "campus-monitor:edge.httpPort: must differ", "18443"),
    ("edge.tls", "none", "campus-monitor:edge.tls:", "none"),
    ("edge.tls", "acme", "campus-monitor:edge.email: an address is required", "acme"),
    ("edge.acme", ACME, "campus-monitor:edge.acme: names the authority of tls: acme", "'internal'"),
    ("edge.acme", {}, "campus-monitor:edge.acme.directory: required key is missing", ""),
    (
        "edge.acme",
        ACME | {"directory": "http://ca.test"},
        "edge.acme.directory: the URL of an ACME",
        "http://",
    ),
    ("edge.acme", ACME | {"directory": "https://a.test:0/"}, "edge.acme.directory: the URL of an", "test:0/"),
    ("edge.acme", ACME | {"directory": "https://a.test/{x}"}, "edge.acme.directory: the URL of an", "{x}"),
    ("edge.acme", ACME | {"directory": "https://u@ca.test"}, "edge.acme.directory: the URL of an", "u@ca"),
    ("edge.acme", ACME | {"directory": ACME_STAGING}, "edge.acme.directory: Let's Encrypt's", ACME_STAGING),
    ("edge.acme", ACME | {"root": "ca.pem"}, "edge.acme.root: certificates as PEM", "received 6 characters"),
    ("edge.acme", ACME | {"root": SERVER_PEM + KEY_PEM}, "edge.acme.root: certificates as PEM", "characters"),
    ("edge.acme", ACME | {"root": ROOT_PEM[:200]}, "edge.acme.root: a certificate can't be read", "200 char"),
    ("edge.acme", ACME | {"root": ROOT_PEM[:200] + ROOT_PEM}, "edge.acme.root: a certificate can't", "char"),
    ("edge.acme", ACME | {"root": SERVER_PEM}, "edge.acme.root: an authority's certificate", "characters"),
    ("edge.extraAllowedCidrs", ["1.2.3.4/33"], "campus-monitor:edge.extraAllowedCidrs.0:", "1.2.3.4/33"),
    (
        "edge.extraAllowedCidrs",
        ["1.2.3.0/24"],
        "campus-monitor:edge.extraAllowedCidrs: an entry",
        "1.2.3.0/24",
    ),
    ("edge.extraAllowedCidrs", ["0.0.0.0/0"], "campus-monitor:edge.extraAllowedCidrs: an entry", "0.0.0.0/0"),
    ("edge.extraAllowedCidrs", ["10.0.0.1/32"], "campus-monitor:edge.extraAllowedCidrs:", "10.0.0.1/32"),
    ("loki.instances.aws.allow", [], "campus-monitor:loki.instances.aws.allow: at least one", "[]"),
    ("loki.instances.aws.allow", ["1.2.3.4/33"], "campus-monitor:loki.instances.aws.allow:", "1.2.3.4/33"),
    ("loki.instances.aws.allow", ["::/0"], "campus-monitor:loki.instances.aws.allow:", "::/0"),
    ("loki.instances.aws.route", "lokiaws", "campus-monitor:loki.instances.aws.route: a route", "lokiaws"),
    ("loki.instances.aws.route", "/a/../b", "campus-monitor:loki.instances.aws.route: a route", "/a/../b"),
    ("loki.instances.aws.port", 3199, "campus-monitor:loki.instances.test.port: 3199 is already", "aws"),
    ("loki.instances.aws.port", 3000, "campus-monitor:loki.instances.aws.port: 3000 is Grafana's", ""),
    ("loki.instances.aws.port", 1, "campus-monitor:loki.instances.aws.port: the private network's", "1"),
    ("loki.instances.aws.port", 9095, "campus-monitor:loki.instances.aws.port: Loki's own gRPC", "9095"),
    ("loki.instances.aws.port", 12345, "loki.instances.aws.port: the campus host's log shipper", "12345"),
    ("loki.instances.aws.port", 65535, "campus-monitor:loki.instances.aws.port: that address", "65535"),
    ("loki.instances.aws.retention", "23h", "loki.instances.aws.retention: lines are kept for at", "23h"),
    ("loki.instances.aws.retention", "101y", "loki.instances.aws.retention: lines are kept for", "101y"),
    ("loki.instances.aws.retention", "1 month", "loki.instances.aws.retention: a duration", "1 month"),
    ("loki.instances.aws.memoryBytes", 1, "loki.instances.aws.memoryBytes:", "1"),
    ("loki.instances.aws.limits.rate", 1, "loki.instances.aws.limits.rate: unknown key", ""),
    ("loki.instances.aws.limits.rateMib", 0, "loki.instances.aws.limits.rateMib:", "0"),
    ("loki.instances.aws.limits.burstMib", 8, "loki.instances.aws.limits.burstMib: at least rateMib", "8"),
    (
        "loki.instances.aws.limits.streamBurstMib",
        4,
        "loki.instances.aws.limits.streamBurstMib: at least streamRateMib",
        "4",
    ),
    ("loki.instances.aws.limits.lineKib", 8193, "loki.instances.aws.limits.lineKib:", "8193"),
    ("loki.instances.aws.limits.maxAge", "7", "loki.instances.aws.limits.maxAge: a duration", "7"),
    ("loki.instances.aws.schemaPeriods", [], "loki.instances.aws.schemaPeriods: at least one is", "[]"),
    (
        "loki.instances.aws.schemaPeriods",
        [{"from": "2024-02-30"}],
        "loki.instances.aws.schemaPeriods.0.from: a day is written",
        "2024-02-30",
    ),
    (
        "loki.instances.aws.schemaPeriods",
        [{"from": "2024-01-01T00:00:00Z"}],
        "loki.instances.aws.schemaPeriods.0.from: a day is written",
        "2024-01-01T00:00:00Z",
    ),
    (
        "loki.instances.aws.schemaPeriods",
        [{"from": "2024-01-01"}, {"from": "2023-01-01"}],
        "loki.instances.aws.schemaPeriods: each begins after the one before",
        "2023-01-01",
    ),
    (
        "loki.instances.aws.schemaPeriods",
        [{"from": "2023-01-01", "store": "boltdb-shipper", "version": "v11"}],
        "loki.instances.aws.schemaPeriods: the last one is store: tsdb",
        "boltdb-shipper v11",
    ),
    (
        "loki.instances.aws.schemaPeriods",
        [{"from": "2023-01-01", "store": "boltdb-shipper", "version": "v13"}],
        "loki.instances.aws.schemaPeriods.0.version: one of v11, v12",
        "v13",
    ),
    ("loki.instances.test.accounts", [{"user": "a"}, {"user": "a"}], "accounts: each user", "a"),
    ("loki.instances.test.accounts", [{"user": "a b"}], "accounts.0.user: a user name", "a b"),
    ("loki.instances", {}, "campus-monitor:loki.instances:", ""),
    ("grafana.stmp", {}, "campus-monitor:grafana.stmp: unknown key", ""),
    (
        "grafana.smtp",
        SMTP | {"fromAdress": "a@x.org"},
        "grafana.smtp.fromAdress: unknown",
        "",
    ),
    (
        "grafana.smtp",
        SMTP | {"host": "smtp.x.org:587"},
        "grafana.smtp.host: a lower-case host",
        "smtp.x.org:587",
    ),
    ("grafana.smtp", SMTP | {"port": 0}, "grafana.smtp.port: a port is", "0"),
    ("grafana.smtp", SMTP | {"fromAddress": "x"}, "grafana.smtp.fromAddress: a mail address", "x"),
    ("grafana.smtp", SMTP | {"user": "u"}, "grafana.smtp.password: user and password are needed", "None"),
    ("grafana.smtp", SMTP | {"password": "p"}, "grafana.smtp.user: user and password are needed", "None"),
    ("grafana.alertsTo.mail", ["a@x.org"], "grafana.smtp: a mail server is needed", "None"),
    (
        "grafana.alertsTo.mail",
        ["a@x.org;b@x.org"],
        "grafana.alertsTo.mail.0: a mail address",
        "a@x.org;b@x.org",
    ),
    ("grafana.alertsTo.teams", "https://x", "grafana.alertsTo.teams: unknown key", ""),
    ("images.caddy", "caddy", "campus-monitor:images.caddy: an image is named with its tag", "caddy"),
    ("images.caddy", ..., "campus-monitor:images.caddy: required key is missing", ""),
    ("images.loki", "grafana/loki:latest", "campus-monitor:images.loki: the tag 'latest'", "latest"),
    ("campus.networkCidr", "172.29.0.0/24", "campus-monitor:campus.networkCidr:", "172.29.0.0/24"),
    ("campus.networkCidr", "8.8.0.0/16", "campus-monitor:campus.networkCidr:", "8.8.0.0/16"),
    ("campus.dockerHost", "localhost", "campus-monitor:campus.dockerHost: an URL", "localhost"),
    ("portPolicy.rules", [{"action": "allow", "port": 999999}], "portPolicy.rules.0.port: a port", "999999"),
    ("portPolicy.rules", [{"action": "allow", "port": "9-5"}], "portPolicy.rules.0.port: a range", "9-5"),
    ("portPolicy.rules", [{"action": "open", "port": 1}], "portPolicy.rules.0.action:", "open"),
    (
        "portPolicy.rules",
        [{"action": "allow", "port": 1, "comment": 'a" drop'}],
        "portPolicy.rules.0.comment:",
        "",
    ),
    (
        "portPolicy.rules",
        [{"action": "allow", "port": "5-9", "protocol": "both"}],
        "protocol: a range",
        "both",
    ),
    ("portPolicy.namespace", "host", "campus-monitor:portPolicy.operatorCidrs: at least one", "[]"),
    ("portPolicy.operatorCidrs", ["10.0.0.1/8"], "portPolicy.operatorCidrs.0:", "10.0.0.1/8"),
    ("portPolicy.sshPort", 0, "campus-monitor:portPolicy.sshPort: a port is a whole number", "0"),
    ("portPolicy.confirmSeconds", 0, "campus-monitor:portPolicy.confirmSeconds:", "0"),
    ("portPolicy.confirmSeconds", 51, "campus-monitor:portPolicy.confirmSeconds:", "51"),
    ("portPolicy.confirmTarget", "host", "campus-monitor:portPolicy.confirmTarget: a login", "host"),
    ("portPolicy.confirmTarget", "me:pass@host", "portPolicy.confirmTarget: a login", ""),
    ("portPolicy.confirmTarget", "me@host:99999", "portPolicy.confirmTarget: a login", "me@host:99999"),
    ("loki.instances.aws.published", True, "loki.instances.aws.published: with portPolicy.namespace own", ""),
    ("egress.create.zones", ["ap-northeast-2a"], "egress.create.zones: at least two", "['ap-northeast-2a']"),
    (
        "egress.create.zones",
        ["ap-northeast-2a", "eu-central-1b"],
        "campus-monitor:egress.create.zones: zones of aws.region (ap-northeast-2)",
        "'eu-central-1b'",
    ),
    ("aws.region", "eu-central-1", "egress.create.zones: zones of aws.region (eu-central-1)", "northeast-2a"),
    ("egress.create.addresses", ["10.0.0.1"], "egress.create.addresses.0: the address must be", "10.0.0.1"),
    ("egress.create.addresses", ["203.0.113.7", "203.0.113.8"], "egress.create.addresses: one per", ".8"),
    ("egress.create.vpcCidr", "10.0.0.0/28", "campus-monitor:egress.create.vpcCidr:", "10.0.0.0/28"),
    ("services.client-api.loki", "none", "campus-monitor:services.client-api.loki: one of", "none"),
    ("services.client-api.memoryMib", 100, "campus-monitor:services.client-api.memoryMib:", "100"),
    (
        "services.client-api.ingress",
        [{"action": "allow", "port": 80, "from": ["10.0.0.0/16"]}],
        "campus-monitor:services.client-api.ingress: with bridge networking",
        "ec2",
    ),
    ("aws.emulator", "http://10.0.0.1:5000", "campus-monitor:aws.emulator:", "10.0.0.1"),
    ("aws.emulator", "http://127.0.0.1.example.org:1", "campus-monitor:aws.emulator:", "example.org"),
    ("aws.region", "seoul", "campus-monitor:aws.region:", "seoul"),
]


@pytest.mark.parametrize(("path", "value", "says", "received"), MISTAKES, ids=lambda v: str(v)[:40])
def test_a_mistake_is_one_line_with_key_rule_and_value(
    path: str, value: Any, says: str, received: str
) -> None:
    with pytest.raises(SettingsError) as caught:
        parse(changed(path, value))
    assert len(caught.value.problems) == 1
    line = caught.value.problems[0]
    assert says in line
    assert received in line
    assert "\n" not in line


def test_each_image_without_its_digest_has_a_line() -> None:
    with pytest.raises(SettingsError) as caught:
        parse(changed("images.requireDigest", True))
    names = ["caddy", "loki", "grafana", "portGuard", "alloy"]
    assert [line.partition(": ")[0] for line in caught.value.problems] == [
        f"campus-monitor:images.{name}" for name in names
    ]
    assert "tag and digest are required here" in caught.value.problems[0]
    assert "caddy:2.11.7" in caught.value.problems[0]


@pytest.mark.parametrize(
    ("area", "problem"),
    [
        (None, "campus-monitor:campus: Input should be a valid dictionary or instance of Campus"),
        ({}, "campus-monitor:campus.dockerHost: required key is missing"),
        ({"dockerHost": "localhost"}, "campus-monitor:campus.dockerHost: an URL"),
    ],
)
def test_the_campus_alone_is_read_with_the_same_errors(area: Any, problem: str) -> None:
    with pytest.raises(SettingsError) as caught:
        parse_campus(area)
    [line] = caught.value.problems
    assert line.startswith(problem)


GUARDED: dict[str, Any] = {
    "namespace": "host",
    "operatorCidrs": ["198.51.100.0/24", "2001:db8::/64"],
    "sshPort": 21541,
}
OPEN = [{"action": "allow", "port": port} for port in (18080, 18443)]


def guarded(*rules: dict[str, Any], **changes: Any) -> dict[str, Any]:
    """The local stack's tree with a policy that guards the host: these rules, and Caddy's ports."""
    return changed("portPolicy", GUARDED | {"rules": [*rules, *OPEN]} | changes)


def ssh(action: str, *sources: str, port: int | str = 21541, protocol: str = "tcp") -> dict[str, Any]:
    """A rule that speaks of SSH, or not."""
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
def test_where_ssh_is_is_known_from_the_docker_host(docker_host: str, named: int | None, port: int) -> None:
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
def test_a_published_port_is_one_that_the_policy_opens_to_some(
    rules: list[dict[str, Any]], says: str | None
) -> None:
    tree = guarded(ssh("limit"), *rules)
    tree["loki"]["instances"]["aws"]["published"] = True
    if says is None:
        assert parse(tree).loki.instances["aws"].published
        return
    with pytest.raises(SettingsError) as caught:
        parse(tree)
    [line] = caught.value.problems
    assert line.startswith("campus-monitor:loki.instances.aws.published: ")
    assert says in line


def test_caddys_ports_are_let_in() -> None:
    with pytest.raises(SettingsError, match=r"portPolicy\.rules: no rule lets Caddy's port 18080/tcp in"):
        parse(guarded(ssh("limit"), {"action": "deny", "port": 18080}))


def test_the_documents_example_is_taken_as_it_stands() -> None:
    text = (ROOT / "docs/port-policy.md").read_text().partition("```yaml\n")[2].partition("```")[0]
    tree = changed("edge", tree_of("local")["edge"] | {"httpPort": 80, "httpsPort": 443})
    # With `ssh://` it is the URL's.
    tree["portPolicy"] = yaml.safe_load(text)["campus-monitor:portPolicy"] | {"sshPort": 21541}
    assert parse(tree).port_policy.namespace == "host"


def test_http3_wants_its_udp_port_let_in() -> None:
    tree = tree_of("prod")
    tree["edge"]["http3"] = True
    with pytest.raises(SettingsError, match="no rule lets Caddy's port 443/udp in"):
        parse(tree)
    tree["portPolicy"]["rules"].append({"action": "allow", "port": 443, "protocol": "udp"})
    assert parse(tree).edge.http3


def test_two_mistakes_are_two_lines() -> None:
    tree = changed("edge.httpsPort", 0)
    tree["aws"]["region"] = "x"
    with pytest.raises(SettingsError) as caught:
        parse(tree)
    assert len(caught.value.problems) == 2


SHIPPER = {"dockerHost": "ssh://deploy@198.51.100.7", "loki": "test", "account": "admin"}


def shipping(shippers: dict[str, Any], **areas: dict[str, Any]) -> dict[str, Any]:
    """The local stack's tree, fit for shippers; with these areas' values."""
    tree = changed("images.alloy", "grafana/alloy:v1.18.1")
    tree["edge"] |= {"tls": "acme", "email": "operators@example.org"}
    for area, values in areas.items():
        tree[area] |= values
    return tree | {"shippers": shippers}


@pytest.mark.parametrize(
    ("tree", "says", "received"),
    [
        (shipping({"a": SHIPPER | {"loki": "stage"}}), "shippers.a.loki: one of aws, test", "'stage'"),
        (shipping({"a": SHIPPER | {"loki": "aws"}}), "shippers.a.loki: a route with accounts is", "'aws'"),
        (shipping({"a": SHIPPER | {"account": "x"}}), "shippers.a.account: one of the accounts of", "'x'"),
        (shipping({"a": SHIPPER, "b": SHIPPER}), "shippers.b.dockerHost: a ships its logs already", "198.51"),
        (shipping({"campus": SHIPPER}), "shippers.campus: the campus host's own name", ""),
        (shipping({"A": SHIPPER}), "shippers.A: a name is", ""),
        (
            shipping({"a": SHIPPER | {"dockerHost": "tcp://198.51.100.7:2376"}}),
            "shippers.a.dockerHost: an URL is needed",
            '"tcp://198.51.100.7:2376"',
        ),
        (shipping({"a": SHIPPER}, images={"alloy": None}), "images.alloy: required with shippers", "None"),
        (shipping({"a": SHIPPER}, edge={"tls": "internal"}), "edge.tls: no shipper trusts", "'internal'"),
        (shipping({"a": SHIPPER}, edge={"tls": "acme-staging"}), "edge.tls: no shipper", "'acme-staging'"),
        (
            shipping({"a": SHIPPER}, edge={"acme": ACME | {"root": ROOT_PEM}}),
            "edge.acme.root: no shipper trusts the certificates of an authority with a root of its own",
            "['a']",
        ),
        (shipping({}, campus={"logsTo": "stage"}), "campus.logsTo: names no Loki instance", "'stage'"),
        (
            shipping({}, campus={"logsTo": "aws"}, images={"alloy": None}),
            "images.alloy: required with shippers or campus.logsTo",
            "None",
        ),
        (
            shipping(
                {"a": SHIPPER | {"dockerHost": "unix:///x"}},
                campus={"dockerHost": "unix:///x", "logsTo": "aws"},
            ),
            "shippers.a.dockerHost: campus ships its logs already",
            "'unix:///x'",
        ),
    ],
    ids=lambda value: value[:40] if isinstance(value, str) else "",
)
def test_a_shipper_that_could_not_ship_is_refused(tree: dict[str, Any], says: str, received: str) -> None:
    with pytest.raises(SettingsError) as caught:
        parse(tree)
    [line] = caught.value.problems
    assert line.startswith(f"campus-monitor:{says}")
    assert received in line


def test_a_password_that_alloy_would_cut_is_refused_and_not_echoed() -> None:
    tree = shipping({"a": SHIPPER})
    tree["loki"]["instances"]["test"]["accounts"] = [{"user": "admin", "password": "s3cret-canary "}]
    with pytest.raises(SettingsError, match=r"shippers\.a\.account: Alloy would take away") as caught:
        parse(tree)
    assert "s3cret-canary" not in str(caught.value)


def test_shippers_that_can_ship_pass() -> None:
    settings = parse(shipping({"a": SHIPPER, "b": SHIPPER | {"dockerHost": "unix:///b"}}))
    assert set(settings.shippers) == {"a", "b"}
    assert parse(shipping({}, campus={"logsTo": "aws"})).campus.logs_to == "aws"


def test_alloys_image_wants_a_digest_as_the_others_do() -> None:
    tree = tree_of("prod")
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


def test_a_password_is_not_in_the_settings_repr() -> None:
    tree = changed("loki.instances.test.accounts", [{"user": "a", "password": "s3cret-canary"}])
    assert "s3cret-canary" not in repr(parse(tree))


@given(port=st.integers())
def test_only_real_ports_pass(port: int) -> None:
    tree = changed("loki.instances.aws.port", port)
    free = 1 < port < 65535 and port not in (3000, 3199, 9095, 12345)
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
    "password", ["", "s3cret-canary\n", " s3cret-canary", "s3cret\0-canary", {"s3cret-canary": 1}]
)
def test_a_mail_password_is_checked_and_not_echoed(password: Any) -> None:
    with pytest.raises(SettingsError, match=r"grafana\.smtp\.password") as caught:
        parse(changed("grafana.smtp", SMTP | {"user": "u", "password": password}))
    assert "canary" not in str(caught.value)


def test_contacts_that_can_be_told_pass() -> None:
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
