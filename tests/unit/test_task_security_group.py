"""The security group of a service's tasks allows only what the rules allow."""

from __future__ import annotations

import ipaddress
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from components.ecs.group_rules import GroupRule, group_rules
from components.ecs.settings import GroupIngress
from components.stack.settings import parse
from rig.stack import settings_of
from tests.support.ecs_services import VPC, ingress_rule
from tests.support.settings import changed


def with_ingress(*rules: dict[str, Any]) -> dict[str, Any]:
    """The local stack's tree with its service on Fargate, and these rules for it."""
    tree = changed("services.client-api.ingress", list(rules))
    tree["services"]["client-api"] |= {"launch": "fargate", "memoryMib": 1024}
    return tree


def rules_for(*rules: dict[str, Any]) -> list[GroupRule]:
    """The group's rules for the service of those settings."""
    return group_rules(parse(with_ingress(*rules)).services["client-api"].ingress)


def test_egress_is_https_only() -> None:
    [out] = rules_for()
    assert (out.direction, out.first_port, out.last_port, out.other) == ("out", 443, 443, "0.0.0.0/0")


def test_each_named_source_has_an_ingress_rule() -> None:
    _, *ingress = rules_for(ingress_rule(**{"from": [VPC, "2001:db8::/32"]}, comment="load balancer"))
    assert [(one.direction, one.first_port, one.last_port, one.other) for one in ingress] == [
        ("in", 80, 80, VPC),
        ("in", 80, 80, "2001:db8::/32"),
    ]
    assert {one.description for one in ingress} == {"load balancer"}
    assert [one.kind for one in ingress] == ["cidr_ipv4", "cidr_ipv6"]


def test_members_of_a_security_group_may_enter() -> None:
    _, one = rules_for(ingress_rule(**{"from": ["sg-0123456789abcdef0"]}))
    assert (one.kind, one.other) == ("group", "sg-0123456789abcdef0")
    assert one.key == "in-80-sg-0123456789abcdef0"


def test_a_port_is_let_in_by_its_own_protocol() -> None:
    tree = with_ingress(ingress_rule(port=53), ingress_rule(port=53, protocol="udp"), ingress_rule(port=9090))
    app = tree["services"]["client-api"]["containers"]["app"]
    del app["port"]
    app["ports"] = [53, {"port": 53, "protocol": "udp"}, 9090]
    _, *ingress = group_rules(parse(tree).services["client-api"].ingress)
    assert [(one.first_port, one.protocol) for one in ingress] == [(53, "tcp"), (53, "udp"), (9090, "tcp")]
    assert [one.key for one in ingress] == [f"in-53-{VPC}", f"in-53-udp-{VPC}", f"in-9090-{VPC}"]


networks = st.one_of(
    st.ip_addresses(network=VPC).map(lambda one: f"{one}/32"),
    st.sampled_from([VPC, "10.0.0.0/8", "2001:db8::/32", "2001:db8::1/128", "::/0", "0.0.0.0/0"]),
)


@given(sources=st.lists(networks, min_size=1, max_size=8, unique=True))
def test_a_connection_is_let_in_exactly_where_a_rule_names_its_source(sources: list[str]) -> None:
    found = rules_for(ingress_rule(**{"from": sources}))
    let_in = {ipaddress.ip_network(one.other) for one in found if one.direction == "in"}
    assert let_in == {ipaddress.ip_network(source) for source in sources}
    assert {(one.first_port, one.last_port) for one in found if one.direction == "in"} == {(80, 80)}
    keys = [one.key for one in found]
    assert len(set(keys)) == len(keys)
    # Pulumi splits a URN at two colons.
    assert not [key for key in keys if ":" in key]


def test_the_shipped_stacks_open_nothing() -> None:
    for stack in ("local", "stage", "prod"):
        for service in parse(settings_of(stack)).services.values():
            assert [one.direction for one in group_rules(service.ingress)] == ["out"]


def test_a_key_names_ports_and_source() -> None:
    [parsed] = (GroupIngress.model_validate(ingress_rule(**{"from": ["::/0"]})),)
    assert [one.key for one in group_rules([parsed])] == ["out-443-0.0.0.0/0", "in-80-../0"]
