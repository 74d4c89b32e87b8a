"""The resource types, one entry each: see `resource.Entry`.

A property's flags follow the real provider, whose plans are in `tests/plugins/aws_replacements.txt`.
"""

from __future__ import annotations

import zlib
from collections.abc import Mapping
from typing import Any

from rig.plugins.aws_things.documents import json_failure, same_definitions, same_policy
from rig.plugins.aws_things.resource import Call, Entry
from rig.plugins.provider import State
from rig.plugins.schema import Prop, boolean, integer, mapping, objects, one_of, string, strings

_TEXT = string()
_MUST = string(required=True)
_ONCE = string(replace=True)
_OFF = boolean(default=False)
_COMPUTED_ONCE = string(computed=True, replace=True)
_POLICY = string(required=True, same=same_policy, check=json_failure)
_SOURCE = string(replace_if_it_comes_or_goes=True)
_DAYS = (0, 1, 3, 5, 7, 14, 30, 60, 90, 120, 150, 180, 365, 400, 545, 731)
_YEARS = (1096, 1827, 2192, 2557, 2922, 3288, 3653)


def _props(must_once: str = "", *, tags: Prop | bool = True, **more: Prop) -> dict[str, Prop]:
    """A type's inputs: texts that are required and replace it, others, and tags."""
    texts = dict.fromkeys(must_once.split(), string(required=True, replace=True))
    tagged = {"tags": mapping() if tags is True else tags} if tags else {}
    return texts | more | tagged


def _of(service_and_thing: str, *, verbs: str = "create describe", **more: Any) -> Entry:
    """A type whose operations and members are named after it, with the exceptions in `more`."""
    (service, thing), (make, look) = service_and_thing.split(), verbs.split()
    name = "".join(part.title() for part in thing.split("_"))
    usual: dict[str, Any] = {
        "token": f"aws:{service}/{name[0].lower()}{name[1:]}:{name}",
        "service": service,
        "create": Call(f"{make}_{thing}"),
        "update": (Call(f"{make}_{thing}"),) if make == "put" else (),
        "find": Call(f"{look}_{thing}" if look == "get" else f"{look}_{thing}s"),
        "at": f"[{name}]" if look == "get" else f"{name}s",
        "delete": (Call(f"delete_{thing}"),),
        "kind": thing.replace("_", "-") if service == "ec2" else "",
    }
    if "name" in more.get("names", {}):
        usual |= {"key": more["names"]["name"], "made": "name"}
    else:
        usual |= {"key": f"{name}Id", "made": f"{name}.{name}Id"}
    return Entry(**usual | more)


def _route_id(route: State) -> str:
    """The real plugin's id of a route; AWS has none."""
    return f"r-{route['routeTableId']}{zlib.crc32(route['destinationCidrBlock'].encode())}"


# EC2 returns -1 if a protocol has no ports; the real plugin keeps them unset.
_PORT = integer(same=lambda old, new: old == new or {old, new} == {0, -1})
_GROUP_ID = "referencedSecurityGroupId"
_PORTS = "IpProtocol: ipProtocol, FromPort: fromPort, ToPort: toPort"


def _group_rule(direction: str) -> Entry:
    """A rule for a security group's ingress or egress."""
    name, egress = f"SecurityGroup{direction.title()}Rule", str(direction == "egress").lower()
    v4 = "IpRanges: cidrIpv4 && [{CidrIp: cidrIpv4, Description: description}]"
    v6 = "Ipv6Ranges: cidrIpv6 && [{CidrIpv6: cidrIpv6, Description: description}]"
    group = f"UserIdGroupPairs: {_GROUP_ID} && [{{GroupId: {_GROUP_ID}, Description: description}}]"
    rule = (
        f"{{{_PORTS}, CidrIpv4: cidrIpv4, CidrIpv6: cidrIpv6, ReferencedGroupId: {_GROUP_ID},"
        " Description: description}"
    )
    changed = f"[{{SecurityGroupRuleId: id, SecurityGroupRule: {rule}}}]"
    return Entry(
        token=f"aws:vpc/s{name[1:]}:{name}",
        service="ec2",
        kind="security-group-rule",
        key="SecurityGroupRuleId",
        inputs=_props(
            "securityGroupId",
            ipProtocol=_MUST,
            fromPort=_PORT,
            toPort=_PORT,
            cidrIpv4=_SOURCE,
            cidrIpv6=_SOURCE,
            referencedSecurityGroupId=_SOURCE,
            description=_TEXT,
        ),
        names={"securityGroupId": "GroupId"},
        reads={_GROUP_ID: "ReferencedGroupInfo.GroupId"},
        exactly_one_of=("cidrIpv4", "cidrIpv6", _GROUP_ID),
        create=Call(
            f"authorize_security_group_{direction}", IpPermissions=f"[{{{_PORTS}, {v4}, {v6}, {group}}}]"
        ),
        made="SecurityGroupRules[0].SecurityGroupRuleId",
        update=(Call("modify_security_group_rules", SecurityGroupRules=changed),),
        find=Call("describe_security_group_rules"),
        at=f"SecurityGroupRules[?IsEgress == `{egress}`]",
        delete=(Call(f"revoke_security_group_{direction}", GroupId="securityGroupId"),),
    )


_TRANSFORMATION = (
    "[metricTransformation.{metricName: name, metricNamespace: namespace, metricValue: value,"
    " unit: unit || 'None'}]"
)
_PUT_FILTER = Call("put_metric_filter", metricTransformations=_TRANSFORMATION)

# A template's data in EC2's form. Pulumi's texts are true or false there.
_TEMPLATE = (
    "{ImageId: imageId, InstanceType: instanceType, UserData: userData,"
    " CreditSpecification: creditSpecification, IamInstanceProfile: iamInstanceProfile,"
    " MetadataOptions: metadataOptions, TagSpecifications: tagSpecifications,"
    " NetworkInterfaces: networkInterfaces[].{DeviceIndex: `0`, Groups: securityGroups,"
    " AssociatePublicIpAddress: associatePublicIpAddress == 'true',"
    " DeleteOnTermination: deleteOnTermination == 'true'},"
    " BlockDeviceMappings: blockDeviceMappings[].{DeviceName: deviceName,"
    " Ebs: {Encrypted: ebs.encrypted == 'true', VolumeSize: ebs.volumeSize, VolumeType: ebs.volumeType}}}"
)
_IN_TEMPLATE = "LaunchTemplateVersions[0].LaunchTemplateData"
_GROUP = {
    "VPCZoneIdentifier": "join(',', vpcZoneIdentifiers || `[]`)",
    "LaunchTemplate": "{LaunchTemplateId: launchTemplate.id, Version: launchTemplate.version}",
}
_GROUP_TAGS = (
    "tags[].{ResourceId: name, ResourceType: 'auto-scaling-group', Key: key, Value: value,"
    " PropagateAtLaunch: propagateAtLaunch}"
)
# Of the same names but two.
_HEALTH_CHECK = (
    "{Type: type, FullyQualifiedDomainName: fqdn, Port: port, ResourcePath: resourcePath,"
    " EnableSNI: enableSni, FailureThreshold: failureThreshold, RequestInterval: requestInterval}"
)


def _object(**fields: Prop) -> Prop:
    return Prop(kind="object", fields=fields)


_TYPES = (
    _of(
        "ec2 vpc",
        inputs=_props(
            "cidrBlock",
            enableDnsHostnames=boolean(computed=True),
            enableDnsSupport=boolean(default=True),
            instanceTenancy=string(default="default", replace=True),
        ),
        reads={f"enableDns{what}": f"EnableDns{what}.Value" for what in ("Hostnames", "Support")},
        settle=tuple(
            Call("modify_vpc_attribute", **{f"EnableDns{what}": f"{{Value: enableDns{what}}}"})
            for what in ("Support", "Hostnames")
        ),
        asks=tuple(
            Call("describe_vpc_attribute", Attribute=f"'enableDns{what}'")
            for what in ("Support", "Hostnames")
        ),
    ),
    _of(
        "ec2 subnet",
        inputs=_props("vpcId cidrBlock", availabilityZone=_COMPUTED_ONCE, mapPublicIpOnLaunch=_OFF),
        settle=(Call("modify_subnet_attribute", MapPublicIpOnLaunch="{Value: mapPublicIpOnLaunch}"),),
    ),
    _of(
        "ec2 internet_gateway",
        inputs=_props(vpcId=string(computed=True)),
        reads={"vpcId": "Attachments[0].VpcId"},
        settle=(
            Call("detach_internet_gateway", VpcId="old.vpcId", when="old.vpcId && old.vpcId != vpcId"),
            Call("attach_internet_gateway", VpcId="vpcId", when="vpcId && old.vpcId != vpcId"),
        ),
        delete=(
            Call("detach_internet_gateway", VpcId="vpcId", when="vpcId"),
            Call("delete_internet_gateway"),
        ),
    ),
    _of("ec2 route_table", inputs=_props("vpcId")),
    _of(
        "ec2 route",
        inputs=_props(
            "routeTableId destinationCidrBlock",
            gatewayId=_TEXT,
            natGatewayId=_TEXT,
            networkInterfaceId=string(computed=True),
            tags=False,
        ),
        # Not in the route itself.
        local=("routeTableId",),
        exactly_one_of=("gatewayId", "natGatewayId", "networkInterfaceId"),
        key="",
        made=_route_id,
        update=(
            Call(
                "replace_route",
                GatewayId="gatewayId || `null`",
                NatGatewayId="natGatewayId || `null`",
                # AWS' value stays in the state when another target replaces it.
                NetworkInterfaceId="!(gatewayId || natGatewayId) && networkInterfaceId || `null`",
            ),
        ),
        find=Call("describe_route_tables", RouteTableIds="[routeTableId]"),
        at="RouteTables[].Routes[]",
        match={"DestinationCidrBlock": "destinationCidrBlock"},
        delete=(
            Call("delete_route", RouteTableId="routeTableId", DestinationCidrBlock="destinationCidrBlock"),
        ),
    ),
    # The id changes with the table, so it is found by its subnet.
    _of(
        "ec2 route_table_association",
        inputs=_props("subnetId", routeTableId=_MUST, tags=False),
        create=Call("associate_route_table"),
        made="AssociationId",
        update=(Call("replace_route_table_association", AssociationId="id"),),
        find=Call("describe_route_tables"),
        at="RouteTables[].Associations[]",
        match={"SubnetId": "subnetId"},
        delete=(Call("disassociate_route_table", AssociationId="id"),),
    ),
    _of(
        "ec2 security_group",
        inputs=_props(
            name=_COMPUTED_ONCE,
            description=string(default="Managed by Pulumi", replace=True),
            vpcId=_COMPUTED_ONCE,
        ),
        names={"name": "GroupName"},
        key="GroupId",
        made="GroupId",
        # AWS lets a new group send anywhere; the real plugin removes that at once.
        first=(
            Call(
                "revoke_security_group_egress",
                IpPermissions="[{IpProtocol: '-1', IpRanges: [{CidrIp: '0.0.0.0/0'}]}]",
            ),
        ),
    ),
    _group_rule("ingress"),
    _group_rule("egress"),
    _of(
        "ec2 eip",
        inputs=_props(domain=string(computed=True, replace=True, check=one_of(("vpc",))), address=_ONCE),
        outputs=("allocationId", "publicIp"),
        local=("address",),
        kind="elastic-ip",
        key="AllocationId",
        create=Call("allocate_address", Domain="'vpc'"),
        made="AllocationId",
        find=Call("describe_addresses"),
        at="Addresses",
        delete=(Call("release_address"),),
    ),
    _of(
        "ec2 nat_gateway",
        inputs=_props("subnetId", allocationId=_ONCE),
        outputs=("publicIp",),
        reads={
            "allocationId": "NatGatewayAddresses[0].AllocationId",
            "publicIp": "NatGatewayAddresses[0].PublicIp",
        },
        kind="natgateway",
        # AWS keeps a deleted gateway in its lists for an hour.
        at="NatGateways[?State != 'deleted']",
    ),
    _of(
        "ec2 network_interface",
        inputs=_props(
            "subnetId",
            description=_TEXT,
            securityGroups=strings("set", computed=True),
            sourceDestCheck=boolean(default=True),
        ),
        names={"securityGroups": "Groups"},
        reads={"securityGroups": "Groups[].GroupId", "tags": "TagSet"},
        # One attribute per call.
        settle=(
            Call("modify_network_interface_attribute", SourceDestCheck="{Value: sourceDestCheck}"),
            Call("modify_network_interface_attribute", Description="{Value: description || ''}"),
            Call("modify_network_interface_attribute", Groups="securityGroups"),
        ),
    ),
    _of(
        "ec2 launch_template",
        inputs=_props(
            name=_COMPUTED_ONCE,
            imageId=_TEXT,
            instanceType=_TEXT,
            userData=_TEXT,
            creditSpecification=_object(cpuCredits=_TEXT),
            iamInstanceProfile=_object(arn=_TEXT),
            metadataOptions=_object(
                httpEndpoint=string(computed=True),
                httpTokens=string(computed=True),
                httpPutResponseHopLimit=integer(computed=True),
            ),
            networkInterfaces=objects(
                "list",
                {
                    "associatePublicIpAddress": _TEXT,
                    "deleteOnTermination": _TEXT,
                    "securityGroups": strings("set"),
                },
            ),
            blockDeviceMappings=objects(
                "list",
                {
                    "deviceName": _TEXT,
                    "ebs": _object(
                        encrypted=_TEXT, volumeSize=integer(computed=True), volumeType=string(computed=True)
                    ),
                },
            ),
            tagSpecifications=objects("list", {"resourceType": _TEXT, "tags": mapping()}),
        ),
        outputs=("latestVersion",),
        names={
            "name": "LaunchTemplateName",
            "latestVersion": "LatestVersionNumber",
        },
        reads={name: f"{_IN_TEMPLATE}.{name[0].upper()}{name[1:]}" for name in ("imageId", "instanceType")},
        # EC2 returns all of them, with other names.
        local=(
            "userData",
            "creditSpecification",
            "iamInstanceProfile",
            "metadataOptions",
            "networkInterfaces",
            "blockDeviceMappings",
            "tagSpecifications",
        ),
        key="LaunchTemplateId",
        made="LaunchTemplate.LaunchTemplateId",
        create=Call("create_launch_template", LaunchTemplateData=_TEMPLATE),
        # By its id alone: EC2 takes either.
        update=(
            Call("create_launch_template_version", LaunchTemplateData=_TEMPLATE, LaunchTemplateName="`null`"),
        ),
        asks=(Call("describe_launch_template_versions", LaunchTemplateId="id", Versions="['$Latest']"),),
    ),
    Entry(
        token="aws:autoscaling/group:Group",
        service="autoscaling",
        inputs=_props(
            name=_COMPUTED_ONCE,
            minSize=integer(required=True),
            maxSize=integer(required=True),
            desiredCapacity=integer(computed=True),
            vpcZoneIdentifiers=strings("set", computed=True),
            launchTemplate=_object(id=string(computed=True), version=string(computed=True)),
            initialLifecycleHooks=objects(
                "set",
                {
                    "name": _MUST,
                    "lifecycleTransition": _MUST,
                    "heartbeatTimeout": integer(),
                    "defaultResult": string(computed=True),
                },
                replace=True,
            ),
            instanceRefresh=_object(
                strategy=_MUST, preferences=_object(minHealthyPercentage=integer(default=90))
            ),
            waitForCapacityTimeout=string(default="10m"),
            tags=objects("set", {"key": _MUST, "value": _MUST, "propagateAtLaunch": boolean(required=True)}),
        ),
        outputs=("arn",),
        names={"name": "AutoScalingGroupName", "arn": "AutoScalingGroupARN"},
        reads={
            "vpcZoneIdentifiers": "VPCZoneIdentifier && [VPCZoneIdentifier]",
            "launchTemplate": "LaunchTemplate.{id: LaunchTemplateId, version: Version}",
        },
        # The emulator knows no refresh of instances, and waits for nothing.
        local=("initialLifecycleHooks", "instanceRefresh", "waitForCapacityTimeout"),
        key="AutoScalingGroupName",
        create=Call("create_auto_scaling_group", Tags=_GROUP_TAGS, **_GROUP),
        made="name",
        first=(
            Call(
                "put_lifecycle_hook",
                LifecycleHookName="initialLifecycleHooks[0].name",
                LifecycleTransition="initialLifecycleHooks[0].lifecycleTransition",
                HeartbeatTimeout="initialLifecycleHooks[0].heartbeatTimeout",
                DefaultResult="initialLifecycleHooks[0].defaultResult",
                when="initialLifecycleHooks",
            ),
        ),
        update=(
            Call("update_auto_scaling_group", **_GROUP),
            Call("create_or_update_tags", Tags=_GROUP_TAGS),
        ),
        find=Call("describe_auto_scaling_groups"),
        at="AutoScalingGroups",
        delete=(Call("delete_auto_scaling_group", ForceDelete="`true`"),),
    ),
    _of(
        "iam instance_profile",
        verbs="create get",
        inputs=_props(name=_COMPUTED_ONCE, role=_TEXT, path=string(default="/", replace=True)),
        names={"name": "InstanceProfileName"},
        reads={"role": "Roles[0].RoleName"},
        tagging=(Call("tag_instance_profile"), Call("untag_instance_profile")),
        settle=(
            Call(
                "remove_role_from_instance_profile",
                RoleName="old.role",
                when="old.role && old.role != role",
            ),
            Call("add_role_to_instance_profile", RoleName="role", when="role && old.role != role"),
        ),
        delete=(
            Call("remove_role_from_instance_profile", RoleName="role", when="role"),
            Call("delete_instance_profile"),
        ),
    ),
    _of(
        "iam role",
        verbs="create get",
        inputs=_props(
            name=_COMPUTED_ONCE,
            assumeRolePolicy=_POLICY,
            description=_TEXT,
            path=string(default="/", replace=True),
            maxSessionDuration=integer(default=3600),
        ),
        names={"name": "RoleName", "assumeRolePolicy": "AssumeRolePolicyDocument"},
        update=(Call("update_assume_role_policy", PolicyDocument="assumeRolePolicy"), Call("update_role")),
    ),
    _of(
        "iam role_policy",
        verbs="put get",
        inputs=_props("role", name=_COMPUTED_ONCE, policy=_POLICY, tags=False),
        names={"name": "PolicyName", "role": "RoleName", "policy": "PolicyDocument"},
        key="",
        made="join(':', [role, name])",
        find=Call("get_role_policy", RoleName="role", PolicyName="name"),
        at="[@]",
        delete=(Call("delete_role_policy", RoleName="role", PolicyName="name"),),
    ),
    _of(
        "iam user",
        verbs="create get",
        inputs=_props(name=string(computed=True), tags=False),
        outputs=("arn",),
        names={"name": "UserName"},
        update=(Call("update_user", UserName="id", NewUserName="name"),),
    ),
    _of(
        "iam user_policy",
        verbs="put get",
        inputs=_props("user", name=_COMPUTED_ONCE, policy=_POLICY, tags=False),
        names={"name": "PolicyName", "user": "UserName", "policy": "PolicyDocument"},
        key="",
        made="join(':', [user, name])",
        find=Call("get_user_policy", UserName="user", PolicyName="name"),
        at="[@]",
        delete=(Call("delete_user_policy", UserName="user", PolicyName="name"),),
    ),
    _of(
        "iam access_key",
        inputs=_props("user", tags=False),
        once={"secret": "AccessKey.SecretAccessKey"},
        names={"user": "UserName"},
        find=Call("list_access_keys", UserName="user"),
        at="AccessKeyMetadata",
        match={"AccessKeyId": "id"},
        delete=(Call("delete_access_key", UserName="user"),),
    ),
    _of(
        "route53 health_check",
        inputs=_props(
            "type",
            fqdn=_TEXT,
            port=integer(),
            resourcePath=_TEXT,
            enableSni=boolean(computed=True),
            failureThreshold=integer(computed=True),
            requestInterval=integer(replace=True),
            tags=False,
        ),
        names={"fqdn": "FullyQualifiedDomainName"},
        # A reference that is used again would be an error at AWS; the emulator takes it.
        create=Call("create_health_check", CallerReference="fqdn", HealthCheckConfig=_HEALTH_CHECK),
        update=(Call("update_health_check"),),
        find=Call("get_health_check"),
        at="[HealthCheck.HealthCheckConfig]",
        made="HealthCheck.Id",
    ),
    _of(
        "sns topic",
        inputs=_props(name=_COMPUTED_ONCE, tags=False),
        outputs=("arn",),
        names={"name": "Name", "arn": "TopicArn"},
        # Only a part of the ARN.
        local=("name",),
        key="TopicArn",
        made="TopicArn",
        find=Call("get_topic_attributes"),
        at="[Attributes]",
    ),
    _of(
        "sns topic_subscription",
        inputs=_props("topic protocol endpoint", tags=False),
        names={"topic": "TopicArn"},
        key="SubscriptionArn",
        create=Call("subscribe", ReturnSubscriptionArn="`true`"),
        made="SubscriptionArn",
        find=Call("get_subscription_attributes"),
        at="[Attributes]",
        delete=(Call("unsubscribe"),),
    ),
    _of(
        "logs log_group",
        token="aws:cloudwatch/logGroup:LogGroup",
        inputs=_props(
            name=_COMPUTED_ONCE,
            retentionInDays=integer(default=0, check=one_of((*_DAYS, *_YEARS))),
            skipDestroy=_OFF,
        ),
        names={"name": "logGroupName", "arn": "logGroupArn"},
        local=("skipDestroy",),
        settle=(
            Call(
                "put_retention_policy",
                retentionInDays="retentionInDays",
                when="retentionInDays > `0` && retentionInDays != old.retentionInDays",
            ),
            Call("delete_retention_policy", when="retentionInDays == `0` && old.retentionInDays > `0`"),
        ),
        find=Call("describe_log_groups", logGroupNamePrefix="id"),
        at="logGroups",
        match={"logGroupName": "id"},
        asks=(Call("list_tags_for_resource", resourceArn="logGroupArn"),),
        delete=(Call("delete_log_group", when="!skipDestroy"),),
    ),
    _of(
        "logs metric_filter",
        token="aws:cloudwatch/logMetricFilter:LogMetricFilter",
        inputs=_props(
            "logGroupName",
            name=_COMPUTED_ONCE,
            pattern=string(required=True, same=lambda old, new: old.strip() == new.strip()),
            metricTransformation=Prop(
                kind="object",
                required=True,
                fields=_props(
                    name=_MUST, namespace=_MUST, value=_MUST, unit=string(default="None"), tags=False
                ),
            ),
            tags=False,
        ),
        names={"name": "filterName", "pattern": "filterPattern"},
        reads={
            "metricTransformation": "metricTransformations[0]"
            ".{name: metricName, namespace: metricNamespace, value: metricValue, unit: unit}"
        },
        create=_PUT_FILTER,
        # AWS replaces a filter of the same name; the emulator would keep both.
        update=(
            Call(
                "delete_metric_filter",
                when="old.pattern != pattern || old.metricTransformation != metricTransformation",
            ),
            _PUT_FILTER,
        ),
        find=Call("describe_metric_filters", logGroupName="logGroupName", filterNamePrefix="name"),
        at="metricFilters",
        match={"filterName": "name"},
        delete=(Call("delete_metric_filter", logGroupName="logGroupName"),),
    ),
    _of(
        "cloudwatch metric_alarm",
        verbs="put describe",
        inputs=_props(
            name=_COMPUTED_ONCE,
            treatMissingData=string(default="missing"),
            alarmDescription=_TEXT,
            dimensions=mapping(),
            alarmActions=strings("set"),
            okActions=strings("set"),
            **dict.fromkeys(("namespace", "metricName", "statistic", "comparisonOperator"), _MUST),
            **dict.fromkeys(("threshold", "period", "evaluationPeriods"), integer(required=True)),
        ),
        names={"name": "AlarmName", "arn": "AlarmArn"},
        find=Call("describe_alarms"),
        asks=(Call("list_tags_for_resource", ResourceARN="AlarmArn"),),
        delete=(Call("delete_alarms"),),
    ),
    _of(
        "ssm parameter",
        verbs="put get",
        inputs=_props(
            name=_COMPUTED_ONCE, type=_MUST, value=_MUST, description=_TEXT, keyId=string(computed=True)
        ),
        outputs=("version",),
        names={"name": "Name"},
        reads={
            "description": "Parameters[0].Description",
            "keyId": "Parameters[0].KeyId",
            "tags": "TagList",
        },
        update=(Call("put_parameter", Overwrite="`true`"),),
        find=Call("get_parameter", WithDecryption="`true`"),
        asks=(
            Call("describe_parameters", ParameterFilters="[{Key: 'Name', Option: 'Equals', Values: [id]}]"),
            Call("list_tags_for_resource", ResourceType="'Parameter'", ResourceId="id"),
        ),
    ),
    Entry(
        token="aws:ecs/taskDefinition:TaskDefinition",
        service="ecs",
        inputs=_props(
            "family",
            containerDefinitions=string(
                required=True, replace=True, same=same_definitions, check=json_failure
            ),
            networkMode=_COMPUTED_ONCE,
            requiresCompatibilities=strings("set", replace=True),
            runtimePlatform=Prop(
                kind="object", fields={"cpuArchitecture": _TEXT, "operatingSystemFamily": _TEXT}, replace=True
            ),
            volumes=objects("set", {"name": _MUST, "hostPath": _TEXT}, replace=True),
            skipDestroy=_OFF,
            trackLatest=_OFF,
            **dict.fromkeys(("cpu", "memory", "executionRoleArn", "taskRoleArn"), _ONCE),
        ),
        outputs=("revision",),
        names={"arn": "taskDefinitionArn"},
        reads={"volumes": "volumes[].{name: name, hostPath: host.sourcePath}"},
        local=("skipDestroy", "trackLatest"),
        key="family",
        create=Call(
            "register_task_definition",
            volumes="volumes[].{name: name, host: {sourcePath: hostPath || `null`}}",
        ),
        made="family",
        find=Call(
            "describe_task_definition", taskDefinition="trackLatest && id || arn || id", include="['TAGS']"
        ),
        # The newest revision, or its own: `arn` decides.
        at="[merge(taskDefinition, {tags: tags})][?status != 'INACTIVE']",
        delete=(Call("deregister_task_definition", taskDefinition="arn", when="!skipDestroy"),),
    ),
)

ENTRIES: Mapping[str, Entry] = {entry.token: entry for entry in _TYPES}
