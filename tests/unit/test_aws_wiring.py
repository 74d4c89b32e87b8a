"""The AWS half's wiring, with a stand-in for the engine: what is asked of AWS."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pulumi
import pytest

from components.aws.task_security_group import TaskSecurityGroup, TaskSecurityGroupArgs
from components.settings import PortRule
from tests.unit.test_campus_server import Engine, running_engine

INGRESS = PortRule.model_validate({"action": "allow", "port": 80, "from": ["10.0.0.0/16", "2001:db8::/32"]})


@pytest.fixture
def engine() -> Iterator[Engine]:
    """Pulumi's runtime on the stand-in engine."""
    with running_engine() as made:
        yield made


def known(make: Callable[[], pulumi.Output[Any]]) -> Any:
    """What an output of some resources is once they are made."""
    found: list[Any] = []

    @pulumi.runtime.test
    def program() -> pulumi.Output[Any]:
        return make().apply(found.append)

    program()
    return found[0]


def test_a_security_group_has_its_rules_beside_it_and_none_inside(engine: Engine) -> None:
    group_id = known(
        lambda: TaskSecurityGroup("app", TaskSecurityGroupArgs(vpc_id="vpc-1", ingress=[INGRESS])).group_id
    )
    assert group_id == "app-tasks-id"
    group = engine.made["app-tasks"].inputs
    assert group["vpcId"] == "vpc-1"
    assert not {"ingress", "egress"} & set(group)
    rules = {
        name: one for name, one in engine.made.items() if "securityGroup" in one.typ and "Rule" in one.typ
    }
    assert {
        name: (one.typ.rsplit(":", 1)[1], one.inputs.get("cidrIpv4"), one.inputs.get("cidrIpv6"))
        for name, one in rules.items()
    } == {
        "app-out-443-0.0.0.0/0": ("SecurityGroupEgressRule", "0.0.0.0/0", None),
        "app-in-80-10.0.0.0/16": ("SecurityGroupIngressRule", "10.0.0.0/16", None),
        "app-in-80-2001.db8../32": ("SecurityGroupIngressRule", None, "2001:db8::/32"),
    }
    for name, one in rules.items():
        port = 443 if "-out-" in name else 80
        wanted = {"securityGroupId": group_id, "ipProtocol": "tcp", "fromPort": port, "toPort": port}
        assert wanted.items() <= one.inputs.items()
