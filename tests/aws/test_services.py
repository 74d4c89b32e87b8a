"""The services on the real engine: created, changed, drifted and fixed, and their calls to AWS."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import quote

import pytest

from rig.deployment import Deployment
from rig.emulator import Emulator
from rig.namespaces import NAT
from rig.stack import merged
from tests.aws.conftest import TOPIC, login_of, put_back
from tests.support.ecs_rules import problems

pytestmark = pytest.mark.docker

SERVICES = ["admin-api", "client-api", "iris"]
NO_CHANGE = "--expect-no-changes"
# Fields that DescribeTaskDefinition adds to the registered ones.
ANSWERED = {
    "taskDefinitionArn",
    "revision",
    "status",
    "registeredAt",
    "registeredBy",
    "compatibilities",
    "requiresAttributes",
    "placementConstraints",
}


def family_of(stack: Deployment, service: str) -> str:
    """The family of a service's task definition."""
    return f"{service}-{stack.stack.name}"


def latest(emulator: Emulator, family: str) -> dict[str, Any]:
    """The newest revision of a service's task definition, or the given one."""
    return emulator.client("ecs").describe_task_definition(taskDefinition=family)["taskDefinition"]


def registered(emulator: Emulator, family: str) -> dict[str, Any]:
    """The newest revision, as it was registered."""
    return {key: value for key, value in latest(emulator, family).items() if key not in ANSWERED}


@contextmanager
def registered_by_somebody_else(
    emulator: Emulator, family: str, definition: dict[str, Any]
) -> Iterator[None]:
    """Another revision during the block; at its end only the newest is left."""
    ecs = emulator.client("ecs")
    ecs.register_task_definition(**definition)
    try:
        yield
    finally:
        newest = latest(emulator, family)["taskDefinitionArn"]
        for arn in ecs.list_task_definitions(familyPrefix=family)["taskDefinitionArns"]:
            if arn != newest:
                ecs.deregister_task_definition(taskDefinition=arn)


def policies(emulator: Emulator) -> dict[str, list[dict[str, Any]]]:
    """The statements of every role of the stack."""
    iam = emulator.client("iam")
    found: dict[str, list[dict[str, Any]]] = {}
    for role in iam.list_roles()["Roles"]:
        name = role["RoleName"]
        inline = iam.list_role_policies(RoleName=name)["PolicyNames"]
        documents = [iam.get_role_policy(RoleName=name, PolicyName=one)["PolicyDocument"] for one in inline]
        found[name] = [statement for document in documents for statement in document["Statement"]]
    return found


def test_ecs_would_take_every_definition(stack: Deployment, emulator: Emulator) -> None:
    arns = stack.outputs["task_definition_arns"]
    assert sorted(arns) == SERVICES
    for service in SERVICES:
        assert latest(emulator, family_of(stack, service))["taskDefinitionArn"] == arns[service]
        assert problems(registered(emulator, family_of(stack, service))) == []


def test_the_outputs_name_what_runs(stack: Deployment, emulator: Emulator) -> None:
    images = stack.outputs["log_router_image"]
    for service in SERVICES:
        [router] = [
            one
            for one in latest(emulator, family_of(stack, service))["containerDefinitions"]
            if "firelensConfiguration" in one
        ]
        # ECS takes only a tag or a digest; the output has both.
        assert router["image"] == re.sub(r":[^:/@]+@", "@", images[service])
    groups = stack.outputs["task_security_group_ids"]
    assert list(groups) == ["admin-api"]
    [group] = emulator.client("ec2").describe_security_groups(GroupIds=list(groups.values()))[
        "SecurityGroups"
    ]
    [incoming], [outgoing] = group["IpPermissions"], group["IpPermissionsEgress"]
    assert (incoming["FromPort"], [one["CidrIp"] for one in incoming["IpRanges"]]) == (80, ["10.0.0.0/16"])
    assert (outgoing["FromPort"], outgoing["ToPort"]) == (443, 443)


def test_the_password_is_in_ssm_for_both_outputs_and_nowhere_in_plain(
    stack: Deployment, emulator: Emulator
) -> None:
    login, ssm = login_of(stack), emulator.client("ssm")
    names = [one["Name"] for one in ssm.describe_parameters()["Parameters"]]
    found = [ssm.get_parameter(Name=name, WithDecryption=True)["Parameter"] for name in names]
    url = stack.outputs["loki_push_urls"]["aws"]
    whole = url.replace("://", f"://{login.user}:{quote(login.password, safe='')}@")
    assert sorted(one["Value"] for one in found) == sorted([whole, login.password])
    assert {one["Type"] for one in found} == {"SecureString"}
    arns = {one["Value"]: one["ARN"] for one in found}
    for service, option, value in (
        ("client-api", "Url", whole),
        ("iris", "Url", whole),
        ("admin-api", "http_passwd", login.password),
    ):
        for one in registered(emulator, family_of(stack, service))["containerDefinitions"]:
            log = one["logConfiguration"]
            if log["logDriver"] == "awsfirelens":
                assert log["secretOptions"] == [{"name": option, "valueFrom": arns[value]}]
        assert login.password not in json.dumps(registered(emulator, family_of(stack, service)))
    assert login.password not in stack.stack.run("stack", "export")
    # And Caddy accepts it.
    assert stack.push_status(NAT, "aws", login) == 204
    assert stack.push_status(NAT, "aws") == 401


def test_no_role_has_a_wildcard_resource(stack: Deployment, emulator: Emulator) -> None:
    found = policies(emulator)
    assert len(found) == len(SERVICES) + 1
    for role, statements in found.items():
        for statement in statements:
            for resource in statement["Resource"]:
                stream = resource.endswith(":log-stream:log-router/*")
                assert "*" not in resource or (stream and resource.count("*") == 1), role


def test_a_loss_rings_an_alarm(stack: Deployment, emulator: Emulator) -> None:
    alarms = emulator.client("cloudwatch").describe_alarms()["MetricAlarms"]
    filters = emulator.client("logs").describe_metric_filters()["metricFilters"]
    counted = {
        (one["metricTransformations"][0]["metricNamespace"], one["metricTransformations"][0]["metricName"])
        for one in filters
    }
    assert {(one["Namespace"], one["MetricName"]) for one in alarms} == counted
    assert len(alarms) == 2 * len(SERVICES)
    assert {tuple(one["AlarmActions"]) for one in alarms} == {(TOPIC,)}
    groups = {
        one["logGroupName"]: one["retentionInDays"]
        for one in emulator.client("logs").describe_log_groups()["logGroups"]
    }
    assert groups == {f"/ecs/{family_of(stack, service)}/log-router": 14 for service in SERVICES}
    assert {one["logGroupName"] for one in filters} == set(groups)


def test_nothing_changed_is_no_change(stack: Deployment) -> None:
    # Neither in AWS, nor, with the same state, in the program.
    stack.stack.run("preview", "--refresh", NO_CHANGE)


def test_a_foreign_revision_is_found_and_fixed(stack: Deployment, emulator: Emulator) -> None:
    family = family_of(stack, "client-api")
    ours = registered(emulator, family)
    theirs = json.loads(json.dumps(ours))
    theirs["containerDefinitions"][1]["image"] = "somebody/elses:1"
    with registered_by_somebody_else(emulator, family, theirs), put_back(stack):
        seen = stack.stack.run("preview", "--refresh", "--diff")
        assert "somebody/elses:1" in seen
    assert registered(emulator, family) == ours
    stack.stack.run("preview", "--refresh", NO_CHANGE)


def test_the_apis_own_order_is_no_change(stack: Deployment, emulator: Emulator) -> None:
    family = family_of(stack, "admin-api")
    ours = registered(emulator, family)
    theirs = json.loads(json.dumps(ours))
    for one in theirs["containerDefinitions"]:
        one["environment"] = list(reversed(one.get("environment", [])))
        one |= {"cpu": 0, "volumesFrom": [], "systemControls": []}
    assert theirs != ours
    with registered_by_somebody_else(emulator, family, theirs):
        planned = json.loads(stack.stack.run("preview", "--refresh", "--json"))["steps"]
        definitions = [one for one in planned if one["urn"].endswith("TaskDefinition::admin-api")]
        assert {one["op"] for one in definitions} <= {"same", "refresh"}


def test_an_address_released_by_hand_comes_back(stack: Deployment, emulator: Emulator) -> None:
    ec2 = emulator.client("ec2")
    [seen] = ec2.describe_addresses(PublicIps=[NAT])["Addresses"]
    ec2.release_address(AllocationId=seen["AllocationId"])
    with put_back(stack):
        pass  # an update with a refresh is enough
    [made] = ec2.describe_addresses(PublicIps=[NAT])["Addresses"]
    assert made["AllocationId"] != seen["AllocationId"]
    gateways = ec2.describe_nat_gateways(Filters=[{"Name": "state", "Values": ["available"]}])
    used = [one["NatGatewayAddresses"][0]["AllocationId"] for one in gateways["NatGateways"]]
    assert made["AllocationId"] in used
    assert stack.push_status(NAT, "aws", login_of(stack)) == 204
    stack.stack.run("preview", "--refresh", NO_CHANGE)


def test_a_changed_label_is_a_new_revision_and_a_new_topic_is_not(
    stack: Deployment, emulator: Emulator
) -> None:
    before = {service: latest(emulator, family_of(stack, service))["revision"] for service in SERVICES}
    changes = {
        "services": {"iris": {"labels": {"team": "other"}}},
        "aws": {"alarmTopicArn": TOPIC + "-2"},
    }
    with put_back(stack):
        stack.stack.configure(merged(stack.settings, changes))
        stack.stack.up()
        after = {service: latest(emulator, family_of(stack, service))["revision"] for service in SERVICES}
        assert after == before | {"iris": before["iris"] + 1}
        # Its service runs the former revision until it gets the new one, and can go back.
        former = f"{family_of(stack, 'iris')}:{before['iris']}"
        assert latest(emulator, former)["status"] == "ACTIVE"
        alarms = emulator.client("cloudwatch").describe_alarms()["MetricAlarms"]
        assert {tuple(one["AlarmActions"]) for one in alarms} == {(TOPIC + "-2",)}
