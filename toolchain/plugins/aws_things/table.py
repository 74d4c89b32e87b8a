"""The resource types, one entry each: see `resource.Entry` for what an entry says.

A property's flags follow the real provider; `tests/plugins/aws_replacements.txt` has what that one plans.
"""

from __future__ import annotations

import zlib
from collections.abc import Mapping
from typing import Any

from toolchain.plugins.aws_things.documents import (
    definitions_failure,
    policy_failure,
    same_definitions,
    same_policy,
)
from toolchain.plugins.aws_things.resource import Call, Entry
from toolchain.plugins.provider import State
from toolchain.plugins.schema import Prop, boolean, integer, mapping, objects, one_of, string, strings

_NAME = string(computed=True, replace=True)
_TAGS = mapping()
_DAYS = (0, 1, 3, 5, 7, 14, 30, 60, 90, 120, 150, 180, 365, 400, 545, 731)
_YEARS = (1096, 1827, 2192, 2557, 2922, 3288, 3653)
_COMPARISONS = tuple(
    f"{sign}Threshold" for sign in ("GreaterThanOrEqualTo", "GreaterThan", "LessThan", "LessThanOrEqualTo")
)
_MISSING = ("breaching", "notBreaching", "ignore", "missing")


def _ec2(thing: str, **more: Any) -> Entry:
    """A thing of EC2 whose operations and members are named after it."""
    name = "".join(part.title() for part in thing.split("_"))
    usual: dict[str, Any] = {
        "token": f"aws:ec2/{name[0].lower()}{name[1:]}:{name}",
        "service": "ec2",
        "kind": thing.replace("_", "-"),
        "key": f"{name}Id",
        "create": Call(f"create_{thing}"),
        "made": f"{name}.{name}Id",
        "find": Call(f"describe_{thing}s"),
        "at": f"{name}s",
        "delete": (Call(f"delete_{thing}"),),
    }
    return Entry(**usual | more)


def _route_id(route: State) -> str:
    """The real plugin's id of a route; AWS has none."""
    return f"r-{route['routeTableId']}{zlib.crc32(route['destinationCidrBlock'].encode())}"


_ROUTE = {"RouteTableId": "routeTableId", "DestinationCidrBlock": "destinationCidrBlock"}
_TARGET = {"GatewayId": "gatewayId || `null`", "NatGatewayId": "natGatewayId || `null`"}


def _group_rule(direction: str) -> Entry:
    """What may reach a security group's members, or what they may reach."""
    name, egress = f"SecurityGroup{direction.title()}Rule", str(direction == "egress").lower()
    ports = "IpProtocol: ipProtocol, FromPort: fromPort, ToPort: toPort"
    v4 = "IpRanges: cidrIpv4 && [{CidrIp: cidrIpv4, Description: description}]"
    v6 = "Ipv6Ranges: cidrIpv6 && [{CidrIpv6: cidrIpv6, Description: description}]"
    sources = "CidrIpv4: cidrIpv4, CidrIpv6: cidrIpv6, Description: description"
    change = f"[{{SecurityGroupRuleId: id, SecurityGroupRule: {{{ports}, {sources}}}}}]"
    group = {"GroupId": "securityGroupId"}
    return Entry(
        token=f"aws:vpc/s{name[1:]}:{name}",
        service="ec2",
        kind="security-group-rule",
        key="SecurityGroupRuleId",
        inputs={
            "securityGroupId": string(required=True, replace=True),
            "ipProtocol": string(required=True),
            "fromPort": integer(),
            "toPort": integer(),
            "cidrIpv4": string(replace_if_it_comes_or_goes=True),
            "cidrIpv6": string(replace_if_it_comes_or_goes=True),
            "description": string(),
            "tags": _TAGS,
        },
        outputs=("arn", "securityGroupRuleId"),
        names={"securityGroupId": "GroupId"},
        exactly_one_of=("cidrIpv4", "cidrIpv6"),
        create=Call(
            f"authorize_security_group_{direction}", group | {"IpPermissions": f"[{{{ports}, {v4}, {v6}}}]"}
        ),
        made="SecurityGroupRules[0].SecurityGroupRuleId",
        update=(Call("modify_security_group_rules", group | {"SecurityGroupRules": change}),),
        find=Call("describe_security_group_rules"),
        at=f"SecurityGroupRules[?IsEgress == `{egress}`]",
        delete=(Call(f"revoke_security_group_{direction}", group | {"SecurityGroupRuleIds": "[id]"}),),
    )


_NETWORK = (
    _ec2(
        "vpc",
        inputs={
            "cidrBlock": string(required=True, replace=True),
            "enableDnsHostnames": boolean(computed=True),
            "enableDnsSupport": boolean(default=True),
            "instanceTenancy": string(default="default", replace=True),
            "tags": _TAGS,
        },
        outputs=("arn", "dhcpOptionsId", "ownerId"),
        reads={
            "enableDnsHostnames": "EnableDnsHostnames.Value",
            "enableDnsSupport": "EnableDnsSupport.Value",
        },
        settle=tuple(
            Call("modify_vpc_attribute", {f"E{name[1:]}": f"{{Value: {name}}}"})
            for name in ("enableDnsSupport", "enableDnsHostnames")
        ),
        asks=tuple(
            Call("describe_vpc_attribute", {"Attribute": f"'{name}'"})
            for name in ("enableDnsSupport", "enableDnsHostnames")
        ),
    ),
    _ec2(
        "subnet",
        inputs={
            "vpcId": string(required=True, replace=True),
            "cidrBlock": string(required=True, replace=True),
            "availabilityZone": string(computed=True, replace=True),
            "mapPublicIpOnLaunch": boolean(default=False),
            "tags": _TAGS,
        },
        outputs=("arn", "availabilityZoneId", "ownerId"),
        settle=(Call("modify_subnet_attribute", {"MapPublicIpOnLaunch": "{Value: mapPublicIpOnLaunch}"}),),
    ),
    _ec2(
        "internet_gateway",
        inputs={"vpcId": string(computed=True), "tags": _TAGS},
        outputs=("arn", "ownerId"),
        reads={"vpcId": "Attachments[0].VpcId"},
        settle=(
            Call("detach_internet_gateway", {"VpcId": "old.vpcId"}, when="old.vpcId && old.vpcId != vpcId"),
            Call("attach_internet_gateway", {"VpcId": "vpcId"}, when="vpcId && old.vpcId != vpcId"),
        ),
        delete=(
            Call("detach_internet_gateway", {"VpcId": "vpcId"}, when="vpcId"),
            Call("delete_internet_gateway"),
        ),
    ),
    _ec2(
        "route_table",
        inputs={"vpcId": string(required=True, replace=True), "tags": _TAGS},
        outputs=("arn", "ownerId"),
    ),
    _ec2(
        "route",
        inputs={
            "routeTableId": string(required=True, replace=True),
            "destinationCidrBlock": string(required=True, replace=True),
            "gatewayId": string(),
            "natGatewayId": string(),
        },
        outputs=("origin", "state"),
        exactly_one_of=("gatewayId", "natGatewayId"),
        imported_as=("routeTableId", "_", "destinationCidrBlock"),
        kind="",
        key="",
        made=_route_id,
        update=(Call("replace_route", _TARGET),),
        find=Call("describe_route_tables", {"RouteTableIds": "[routeTableId]"}),
        at="RouteTables[].Routes[]",
        match={"DestinationCidrBlock": "destinationCidrBlock"},
        # The table isn't told with its routes.
        local=("routeTableId",),
        delete=(Call("delete_route", _ROUTE),),
    ),
    # The id changes with the table, so it is found by its subnet.
    _ec2(
        "route_table_association",
        inputs={"routeTableId": string(required=True), "subnetId": string(required=True, replace=True)},
        imported_as=("subnetId", "/", "routeTableId"),
        kind="",
        key="RouteTableAssociationId",
        create=Call("associate_route_table"),
        made="AssociationId",
        update=(Call("replace_route_table_association", {"AssociationId": "id"}),),
        find=Call("describe_route_tables"),
        at="RouteTables[].Associations[]",
        match={"SubnetId": "subnetId"},
        delete=(Call("disassociate_route_table", {"AssociationId": "id"}),),
    ),
    _ec2(
        "security_group",
        inputs={
            "name": _NAME,
            "description": string(default="Managed by Pulumi", replace=True),
            "vpcId": string(computed=True, replace=True),
            "tags": _TAGS,
        },
        outputs=("arn", "ownerId"),
        names={"name": "GroupName"},
        key="GroupId",
        made="GroupId",
        # AWS lets a new group send anywhere; the real plugin takes that away at once.
        first=(
            Call(
                "revoke_security_group_egress",
                {"IpPermissions": "[{IpProtocol: '-1', IpRanges: [{CidrIp: '0.0.0.0/0'}]}]"},
            ),
        ),
    ),
    _group_rule("ingress"),
    _group_rule("egress"),
    _ec2(
        "eip",
        inputs={
            "domain": string(computed=True, replace=True, check=one_of(("vpc",))),
            "address": string(replace=True),
            "tags": _TAGS,
        },
        outputs=("allocationId", "arn", "publicIp"),
        local=("address",),
        kind="elastic-ip",
        key="AllocationId",
        create=Call("allocate_address", {"Domain": "'vpc'"}),
        made="AllocationId",
        find=Call("describe_addresses"),
        at="Addresses",
        delete=(Call("release_address"),),
    ),
    _ec2(
        "nat_gateway",
        inputs={
            "allocationId": string(replace=True),
            "subnetId": string(required=True, replace=True),
            "tags": _TAGS,
        },
        outputs=("privateIp", "publicIp"),
        reads={
            "allocationId": "NatGatewayAddresses[0].AllocationId",
            "privateIp": "NatGatewayAddresses[0].PrivateIp",
            "publicIp": "NatGatewayAddresses[0].PublicIp",
        },
        kind="natgateway",
        # AWS keeps a deleted gateway in its lists for an hour.
        at="NatGateways[?State != 'deleted']",
        waits=("nat_gateway_available", "nat_gateway_deleted"),
    ),
)

_ROLES = (
    Entry(
        token="aws:iam/role:Role",
        service="iam",
        inputs={
            "name": _NAME,
            "assumeRolePolicy": string(required=True, same=same_policy, check=policy_failure),
            "description": string(),
            "path": string(default="/", replace=True),
            "maxSessionDuration": integer(default=3600),
            "tags": _TAGS,
        },
        outputs=("arn", "uniqueId"),
        names={"name": "RoleName", "assumeRolePolicy": "AssumeRolePolicyDocument", "uniqueId": "RoleId"},
        key="RoleName",
        create=Call("create_role"),
        made="name",
        update=(
            Call("update_assume_role_policy", {"PolicyDocument": "assumeRolePolicy"}),
            Call("update_role"),
        ),
        find=Call("get_role"),
        at="[Role]",
        delete=(Call("delete_role"),),
    ),
    Entry(
        token="aws:iam/rolePolicy:RolePolicy",
        service="iam",
        inputs={
            "name": _NAME,
            "role": string(required=True, replace=True),
            "policy": string(required=True, same=same_policy, check=policy_failure),
        },
        names={"name": "PolicyName", "role": "RoleName", "policy": "PolicyDocument"},
        imported_as=("role", ":", "name"),
        create=Call("put_role_policy"),
        made="join(':', [role, name])",
        update=(Call("put_role_policy"),),
        find=Call("get_role_policy", {"RoleName": "role", "PolicyName": "name"}),
        at="[@]",
        delete=(Call("delete_role_policy", {"RoleName": "role", "PolicyName": "name"}),),
    ),
)

_TRANSFORMATION = ", ".join(
    f"{member}: metricTransformation.{name}"
    for member, name in (("metricName", "name"), ("metricNamespace", "namespace"), ("metricValue", "value"))
)
_PUT_FILTER = Call(
    "put_metric_filter",
    {"metricTransformations": f"[{{{_TRANSFORMATION}, unit: metricTransformation.unit || 'None'}}]"},
)
_FILTER_CHANGED = "old.pattern != pattern || old.metricTransformation != metricTransformation"

_LOGS = (
    Entry(
        token="aws:cloudwatch/logGroup:LogGroup",
        service="logs",
        inputs={
            "name": _NAME,
            "retentionInDays": integer(default=0, check=one_of((*_DAYS, *_YEARS))),
            "skipDestroy": boolean(default=False),
            "tags": _TAGS,
        },
        outputs=("arn",),
        names={"name": "logGroupName", "arn": "logGroupArn"},
        local=("skipDestroy",),
        key="logGroupName",
        create=Call("create_log_group"),
        made="name",
        settle=(
            Call(
                "put_retention_policy",
                {"retentionInDays": "retentionInDays"},
                when="retentionInDays > `0` && retentionInDays != old.retentionInDays",
            ),
            Call("delete_retention_policy", when="retentionInDays == `0` && old.retentionInDays > `0`"),
        ),
        find=Call("describe_log_groups", {"logGroupNamePrefix": "id"}),
        at="logGroups",
        match={"logGroupName": "id"},
        asks=(Call("list_tags_for_resource", {"resourceArn": "logGroupArn"}),),
        delete=(Call("delete_log_group", when="!skipDestroy"),),
    ),
    Entry(
        token="aws:cloudwatch/logMetricFilter:LogMetricFilter",
        service="logs",
        inputs={
            "name": _NAME,
            "logGroupName": string(required=True, replace=True),
            "pattern": string(required=True, same=lambda old, new: old.strip() == new.strip()),
            "metricTransformation": Prop(
                kind="object",
                required=True,
                fields={
                    "name": string(required=True),
                    "namespace": string(required=True),
                    "value": string(required=True),
                    "unit": string(default="None"),
                },
            ),
        },
        names={"name": "filterName", "pattern": "filterPattern"},
        reads={
            "metricTransformation": "metricTransformations[0]"
            ".{name: metricName, namespace: metricNamespace, value: metricValue, unit: unit}"
        },
        imported_as=("logGroupName", ":", "name"),
        key="filterName",
        create=_PUT_FILTER,
        made="name",
        # AWS replaces a filter of the same name; the emulator would keep both.
        update=(Call("delete_metric_filter", when=_FILTER_CHANGED), _PUT_FILTER),
        find=Call("describe_metric_filters", {"logGroupName": "logGroupName", "filterNamePrefix": "name"}),
        at="metricFilters",
        match={"filterName": "name"},
        delete=(Call("delete_metric_filter", {"logGroupName": "logGroupName"}),),
    ),
    Entry(
        token="aws:cloudwatch/metricAlarm:MetricAlarm",
        service="cloudwatch",
        inputs={
            "name": _NAME,
            "namespace": string(required=True),
            "metricName": string(required=True),
            "statistic": string(required=True),
            "comparisonOperator": string(required=True, check=one_of(_COMPARISONS)),
            "threshold": integer(required=True),
            "period": integer(required=True),
            "evaluationPeriods": integer(required=True),
            "treatMissingData": string(default="missing", check=one_of(_MISSING)),
            "alarmDescription": string(),
            "alarmActions": strings("set"),
            "okActions": strings("set"),
            "tags": _TAGS,
        },
        outputs=("arn",),
        names={"name": "AlarmName", "arn": "AlarmArn"},
        key="AlarmName",
        create=Call("put_metric_alarm"),
        made="name",
        update=(Call("put_metric_alarm"),),
        find=Call("describe_alarms"),
        at="MetricAlarms",
        asks=(Call("list_tags_for_resource", {"ResourceARN": "AlarmArn"}),),
        delete=(Call("delete_alarms"),),
    ),
)

_PARAMETER = Entry(
    token="aws:ssm/parameter:Parameter",
    service="ssm",
    inputs={
        "name": _NAME,
        "type": string(required=True, check=one_of(("String", "StringList", "SecureString"))),
        "value": string(required=True),
        "description": string(),
        "tags": _TAGS,
    },
    outputs=("arn", "dataType", "version"),
    reads={"description": "Parameters[0].Description", "tags": "TagList"},
    key="Name",
    create=Call("put_parameter"),
    made="name",
    update=(Call("put_parameter", {"Overwrite": "`true`"}),),
    find=Call("get_parameter", {"WithDecryption": "`true`"}),
    at="[Parameter]",
    asks=(
        Call("describe_parameters", {"ParameterFilters": "[{Key: 'Name', Option: 'Equals', Values: [id]}]"}),
        Call("list_tags_for_resource", {"ResourceType": "'Parameter'", "ResourceId": "id"}),
    ),
    delete=(Call("delete_parameter"),),
)

_TASK_DEFINITION = Entry(
    token="aws:ecs/taskDefinition:TaskDefinition",
    service="ecs",
    inputs={
        "family": string(required=True, replace=True),
        "containerDefinitions": string(
            required=True, replace=True, same=same_definitions, check=definitions_failure
        ),
        "cpu": string(replace=True),
        "memory": string(replace=True),
        "networkMode": string(computed=True, replace=True),
        "requiresCompatibilities": strings("set", replace=True),
        "executionRoleArn": string(replace=True),
        "taskRoleArn": string(replace=True),
        "runtimePlatform": Prop(
            kind="object",
            fields={"cpuArchitecture": string(), "operatingSystemFamily": string()},
            replace=True,
        ),
        "volumes": objects("set", {"name": string(required=True), "hostPath": string()}, replace=True),
        "skipDestroy": boolean(default=False),
        "trackLatest": boolean(default=False),
        "tags": _TAGS,
    },
    outputs=("arn", "revision"),
    names={"arn": "taskDefinitionArn"},
    reads={"volumes": "volumes[].{name: name, hostPath: host.sourcePath}"},
    local=("skipDestroy", "trackLatest"),
    key="family",
    create=Call(
        "register_task_definition",
        {"volumes": "volumes[].{name: name, host: {sourcePath: hostPath || `null`}}"},
    ),
    made="family",
    find=Call(
        "describe_task_definition",
        {"taskDefinition": "trackLatest && id || arn || id", "include": "['TAGS']"},
    ),
    # The newest one, or its own revision: which of them is `arn` decides.
    at="[merge(taskDefinition, {tags: tags})][?status != 'INACTIVE']",
    delete=(Call("deregister_task_definition", {"taskDefinition": "arn"}, when="!skipDestroy"),),
)

ENTRIES: Mapping[str, Entry] = {
    entry.token: entry for entry in (*_NETWORK, *_ROLES, *_LOGS, _PARAMETER, _TASK_DEFINITION)
}
