"""The fake aws plugin, call by call, with moto behind it."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest

from rig.emulator import REGION, Emulator
from rig.plugins.values import UNKNOWN, Secret
from tests.plugins.client import Plugin, Refused
from tests.plugins.conftest import aws_settings

Values = dict[str, Any]

VPC = "aws:ec2/vpc:Vpc"
SUBNET = "aws:ec2/subnet:Subnet"
GATEWAY = "aws:ec2/internetGateway:InternetGateway"
TABLE = "aws:ec2/routeTable:RouteTable"
ROUTE = "aws:ec2/route:Route"
ASSOCIATION = "aws:ec2/routeTableAssociation:RouteTableAssociation"
SECURITY_GROUP = "aws:ec2/securityGroup:SecurityGroup"
INGRESS = "aws:vpc/securityGroupIngressRule:SecurityGroupIngressRule"
EGRESS = "aws:vpc/securityGroupEgressRule:SecurityGroupEgressRule"
EIP = "aws:ec2/eip:Eip"
NAT = "aws:ec2/natGateway:NatGateway"
INTERFACE = "aws:ec2/networkInterface:NetworkInterface"
TEMPLATE = "aws:ec2/launchTemplate:LaunchTemplate"
SCALING_GROUP = "aws:autoscaling/group:Group"
PROFILE = "aws:iam/instanceProfile:InstanceProfile"
ROLE = "aws:iam/role:Role"
POLICY = "aws:iam/rolePolicy:RolePolicy"
USER = "aws:iam/user:User"
USER_POLICY = "aws:iam/userPolicy:UserPolicy"
ACCESS_KEY = "aws:iam/accessKey:AccessKey"
HEALTH_CHECK = "aws:route53/healthCheck:HealthCheck"
TOPIC = "aws:sns/topic:Topic"
SUBSCRIPTION = "aws:sns/topicSubscription:TopicSubscription"
GROUP = "aws:cloudwatch/logGroup:LogGroup"
FILTER = "aws:cloudwatch/logMetricFilter:LogMetricFilter"
ALARM = "aws:cloudwatch/metricAlarm:MetricAlarm"
PARAMETER = "aws:ssm/parameter:Parameter"
TASK = "aws:ecs/taskDefinition:TaskDefinition"


def policy(action: str = "logs:PutLogEvents") -> str:
    """A policy document."""
    body = {"Effect": "Allow", "Action": action, "Resource": "*"}
    return json.dumps({"Version": "2012-10-17", "Statement": [body]})


def containers(image: str = "app:1", **more: Any) -> str:
    """Container definitions."""
    return json.dumps([{"name": "app", "image": image, "memory": 128, **more}])


def trust(service: str = "ecs-tasks") -> str:
    """Who may take a role."""
    body = {"Effect": "Allow", "Action": "sts:AssumeRole", "Principal": {"Service": service}}
    return json.dumps({"Version": "2012-10-17", "Statement": [body]})


TRUST = {"assumeRolePolicy": trust()}


class World:
    """What the things under test hang on, made when first asked for."""

    def __init__(self, plugin: Plugin) -> None:
        self._plugin = plugin
        self._made: dict[str, str] = {}

    def __getitem__(self, name: str) -> str:
        if name not in self._made:
            self._made[name] = getattr(self, name)()
        return self._made[name]

    def vpc(self) -> str:
        return self._plugin.create(VPC, {"cidrBlock": "10.0.0.0/16"})[0]

    def other_vpc(self) -> str:
        return self._plugin.create(VPC, {"cidrBlock": "10.9.0.0/16"})[0]

    def subnet(self) -> str:
        return self._plugin.create(SUBNET, {"vpcId": self["vpc"], "cidrBlock": "10.0.1.0/24"})[0]

    def table(self) -> str:
        return self._plugin.create(TABLE, {"vpcId": self["vpc"]})[0]

    def other_table(self) -> str:
        return self._plugin.create(TABLE, {"vpcId": self["vpc"]})[0]

    def gateway(self) -> str:
        return self._plugin.create(GATEWAY, {"vpcId": self["vpc"]})[0]

    def security_group(self) -> str:
        return self._plugin.create(SECURITY_GROUP, {"name": "one", "vpcId": self["vpc"]})[0]

    def eip(self) -> str:
        return self._plugin.create(EIP, {"domain": "vpc"})[0]

    def nat(self) -> str:
        inputs = {"subnetId": self["subnet"], "allocationId": self["eip"]}
        return self._plugin.create(NAT, inputs)[0]

    def interface(self) -> str:
        return self._plugin.create(INTERFACE, {"subnetId": self["subnet"]})[0]

    def other_group(self) -> str:
        return self._plugin.create(SECURITY_GROUP, {"name": "two", "vpcId": self["vpc"]})[0]

    def template(self) -> str:
        return self._plugin.create(TEMPLATE, {"imageId": "ami-12345678", "instanceType": "t4g.nano"})[0]

    def other_role(self) -> str:
        return self._plugin.create(ROLE, {**TRUST, "name": "other"})[0]

    def role(self) -> str:
        return self._plugin.create(ROLE, {**TRUST, "name": "base"})[0]

    def user(self) -> str:
        return self._plugin.create(USER, {"name": "heart"})[0]

    def topic(self) -> str:
        return self._plugin.create(TOPIC, {"name": "team"})[0]

    def group(self) -> str:
        return self._plugin.create(GROUP, {"name": "one"})[0]

    def fill(self, values: Values) -> Values:
        """The values with every `<name>` replaced by the id of that thing."""
        return {key: self._filled(value) for key, value in values.items()}

    def _filled(self, value: Any) -> Any:
        if isinstance(value, dict):
            return self.fill(value)
        if isinstance(value, list):
            return [self._filled(one) for one in value]
        if isinstance(value, str) and value.startswith("<") and value.endswith(">"):
            return self[value[1:-1]]
        return value


@pytest.fixture
def world(aws: Plugin) -> World:
    return World(aws)


# Type, inputs, what changes in place, what is computed.
TYPES: list[tuple[str, Values, Values, tuple[str, ...]]] = [
    (
        VPC,
        {"cidrBlock": "10.5.0.0/16", "enableDnsHostnames": False, "tags": {"a": "1", "b": "2"}},
        {"enableDnsHostnames": True, "enableDnsSupport": False, "tags": {"a": "2", "c": "3"}},
        ("arn",),
    ),
    (
        SUBNET,
        {"vpcId": "<vpc>", "cidrBlock": "10.0.7.0/24", "availabilityZone": "ap-northeast-2a"},
        {"mapPublicIpOnLaunch": True, "tags": {"Name": "public"}},
        ("arn",),
    ),
    (
        GATEWAY,
        {"vpcId": "<vpc>"},
        {"vpcId": "<other_vpc>", "tags": {"Name": "way out"}},
        ("arn",),
    ),
    (
        TABLE,
        {"vpcId": "<vpc>", "tags": {"Name": "private"}},
        {"tags": {}},
        ("arn",),
    ),
    (
        ROUTE,
        {"routeTableId": "<table>", "destinationCidrBlock": "0.0.0.0/0", "gatewayId": "<gateway>"},
        {"gatewayId": None, "natGatewayId": "<nat>"},
        (),
    ),
    (
        ROUTE,
        {"routeTableId": "<table>", "destinationCidrBlock": "0.0.0.0/0", "natGatewayId": "<nat>"},
        {"natGatewayId": None, "networkInterfaceId": "<interface>"},
        (),
    ),
    (
        INTERFACE,
        {
            "subnetId": "<subnet>",
            "description": "one",
            "securityGroups": ["<security_group>"],
            "sourceDestCheck": False,
        },
        {"description": "two", "securityGroups": ["<other_group>"], "sourceDestCheck": True},
        ("arn",),
    ),
    (
        TEMPLATE,
        {
            "imageId": "ami-12345678",
            "instanceType": "t4g.nano",
            "userData": "IyEvYmluL3NoCg==",
            "creditSpecification": {"cpuCredits": "standard"},
            "iamInstanceProfile": {"arn": "arn:aws:iam::123456789012:instance-profile/nat"},
            "metadataOptions": {
                "httpEndpoint": "enabled",
                "httpTokens": "required",
                "httpPutResponseHopLimit": 1,
            },
            "networkInterfaces": [{"associatePublicIpAddress": "true", "deleteOnTermination": "true"}],
            "blockDeviceMappings": [
                {
                    "deviceName": "/dev/xvda",
                    "ebs": {"encrypted": "true", "volumeSize": 8, "volumeType": "gp3"},
                }
            ],
            "tagSpecifications": [{"resourceType": "instance", "tags": {"Name": "nat"}}],
        },
        # The emulator keeps a template's first tags.
        {"imageId": "ami-87654321", "instanceType": "t4g.micro"},
        ("arn", "latestVersion"),
    ),
    (
        SCALING_GROUP,
        {
            "name": "nat",
            "minSize": 1,
            "maxSize": 1,
            "desiredCapacity": 1,
            "vpcZoneIdentifiers": ["<subnet>"],
            "launchTemplate": {"id": "<template>", "version": "1"},
            "initialLifecycleHooks": [
                {
                    "name": "ready",
                    "lifecycleTransition": "autoscaling:EC2_INSTANCE_LAUNCHING",
                    "heartbeatTimeout": 600,
                    "defaultResult": "ABANDON",
                }
            ],
            "instanceRefresh": {"strategy": "Rolling", "preferences": {"minHealthyPercentage": 0}},
            "tags": [{"key": "a", "value": "1", "propagateAtLaunch": False}],
        },
        {"maxSize": 2, "waitForCapacityTimeout": "20m"},
        ("arn",),
    ),
    (
        PROFILE,
        {"name": "nat", "role": "<role>"},
        {"role": "<other_role>"},
        ("arn",),
    ),
    (
        ASSOCIATION,
        {"routeTableId": "<table>", "subnetId": "<subnet>"},
        {"routeTableId": "<other_table>"},
        (),
    ),
    (
        SECURITY_GROUP,
        {"vpcId": "<vpc>", "name": "tasks", "description": "Tasks of app"},
        {"tags": {"Name": "tasks"}},
        ("arn",),
    ),
    *(
        (
            token,
            {
                "securityGroupId": "<security_group>",
                "ipProtocol": "tcp",
                "fromPort": 443,
                "toPort": 443,
                "cidrIpv4": "10.0.0.0/16",
                "description": "one",
            },
            {
                "ipProtocol": "udp",
                "fromPort": 80,
                "toPort": 81,
                "cidrIpv4": "10.0.0.0/24",
                "description": "two",
            },
            ("arn",),
        )
        for token in (INGRESS, EGRESS)
    ),
    (
        EIP,
        {"domain": "vpc", "address": "203.0.113.7"},
        {"tags": {"Name": "nat"}},
        ("allocationId", "arn", "publicIp"),
    ),
    (
        NAT,
        {"subnetId": "<subnet>", "allocationId": "<eip>"},
        {"tags": {"Name": "nat"}},
        ("publicIp",),
    ),
    (
        ROLE,
        {**TRUST, "name": "execution", "description": "one"},
        {"assumeRolePolicy": trust("ec2"), "description": "two", "tags": {"a": "1"}},
        ("arn",),
    ),
    (
        POLICY,
        {"role": "<role>", "name": "write", "policy": policy()},
        {"policy": policy("logs:CreateLogStream")},
        (),
    ),
    (
        GROUP,
        {"name": "/ecs/app", "retentionInDays": 7},
        {"retentionInDays": 14, "tags": {"a": "1"}},
        ("arn",),
    ),
    (
        FILTER,
        {
            "name": "lost",
            "logGroupName": "<group>",
            "pattern": '?"final error" ?"dropped"',
            "metricTransformation": {"name": "lost", "namespace": "campus", "value": "1", "unit": "None"},
        },
        {
            "pattern": '"final error"',
            "metricTransformation": {"name": "gone", "namespace": "campus", "value": "2", "unit": "Count"},
        },
        (),
    ),
    (
        ALARM,
        {
            "name": "lost",
            "namespace": "campus",
            "metricName": "lost",
            "statistic": "Sum",
            "comparisonOperator": "GreaterThanThreshold",
            "threshold": 0,
            "period": 60,
            "evaluationPeriods": 1,
        },
        {
            "namespace": "other",
            "metricName": "gone",
            "statistic": "Maximum",
            "comparisonOperator": "GreaterThanOrEqualToThreshold",
            "threshold": 1,
            "period": 300,
            "evaluationPeriods": 2,
            "treatMissingData": "notBreaching",
            "alarmDescription": "lines are lost",
            "dimensions": {"TopicName": "team", "More": "b"},
            "alarmActions": ["arn:aws:sns:ap-northeast-2:123456789012:operators"],
            "okActions": ["arn:aws:sns:ap-northeast-2:123456789012:operators"],
            "tags": {"a": "1"},
        },
        ("arn",),
    ),
    (USER, {"name": "heart"}, {}, ("arn",)),
    (
        USER_POLICY,
        {"user": "<user>", "name": "publish", "policy": policy("sns:Publish")},
        {"policy": policy("sns:GetTopicAttributes")},
        (),
    ),
    (ACCESS_KEY, {"user": "<user>"}, {}, ("secret",)),
    (
        HEALTH_CHECK,
        {
            "type": "HTTPS",
            "fqdn": "campus.example.org",
            "port": 443,
            "resourcePath": "/api/health",
            "enableSni": True,
            "requestInterval": 30,
            "failureThreshold": 1,
        },
        {"fqdn": "other.example.org", "port": 8443, "resourcePath": "/", "failureThreshold": 3},
        (),
    ),
    (TOPIC, {"name": "team"}, {}, ("arn",)),
    (SUBSCRIPTION, {"topic": "<topic>", "protocol": "email", "endpoint": "a@example.org"}, {}, ()),
    (
        PARAMETER,
        {"name": "url", "type": "SecureString", "value": "https://a:b@example.org", "tags": {"a": "1"}},
        {"type": "String", "value": "other", "description": "where to", "tags": {"b": "2"}},
        ("arn", "version"),
    ),
    (
        TASK,
        {
            "family": "app",
            "containerDefinitions": containers(),
            "cpu": "512",
            "memory": "512",
            "networkMode": "bridge",
            "requiresCompatibilities": ["EC2"],
            "runtimePlatform": {"cpuArchitecture": "X86_64", "operatingSystemFamily": "LINUX"},
            "volumes": [{"name": "buffer", "hostPath": "/var/buffer"}],
        },
        {"tags": {"a": "1"}},
        ("arn", "revision"),
    ),
]
every_type = pytest.mark.parametrize(
    ("token", "inputs", "in_place", "computed"),
    TYPES,
    ids=[token.split(":")[-1] for token, *_ in TYPES],
)


def changed(inputs: Values, change: Values) -> Values:
    """The inputs with a change; None takes an input away."""
    return {key: value for key, value in {**inputs, **change}.items() if value is not None}


@every_type
def test_a_life(
    aws: Plugin,
    world: World,
    token: str,
    inputs: Values,
    in_place: Values,
    computed: tuple[str, ...],
) -> None:
    inputs, in_place = world.fill(inputs), world.fill(in_place)
    made, outputs = aws.create(token, inputs)
    assert made
    assert inputs.items() <= outputs.items()
    assert not [name for name in computed if not outputs.get(name)]
    assert aws.diff(token, outputs, inputs).paths == {}

    assert aws.read(token, made, outputs)[:2] == (made, outputs)

    if in_place:
        after = changed(inputs, in_place)
        assert aws.diff(token, outputs, after).replaces == ()
        assert {re.split(r"[.[]", path)[0] for path in aws.diff(token, outputs, after).paths} == set(in_place)
        outputs = aws.update(token, made, outputs, after)
        assert changed({}, in_place).items() <= outputs.items()
        assert aws.diff(token, outputs, after).paths == {}
        assert aws.read(token, made, outputs)[1] == outputs

    aws.delete(token, made, outputs)
    assert aws.read(token, made, outputs)[0] == ""
    aws.delete(token, made, outputs)


@every_type
def test_a_preview_knows_the_inputs_and_nothing_more(
    aws: Plugin,
    token: str,
    inputs: Values,
    in_place: Values,
    computed: tuple[str, ...],
) -> None:
    unknown = {key: UNKNOWN if str(value).startswith("<") else value for key, value in inputs.items()}
    made, outputs = aws.create(token, unknown, preview=True)
    assert made == ""
    assert unknown.items() <= outputs.items()
    assert all(outputs[name] is UNKNOWN for name in computed)


def test_inputs_that_nobody_knows_are_refused(aws: Plugin) -> None:
    assert list(aws.failures(GROUP, {"colour": "red"})) == ["colour"]


def test_secrets_stay_secret(aws: Plugin) -> None:
    definitions = Secret(containers(environment=[{"name": "PASSWORD", "value": "hunter2"}]))
    inputs = {"family": "app", "containerDefinitions": definitions, "tags": {"a": Secret("1")}}
    made, outputs = aws.create(TASK, inputs)
    assert isinstance(outputs["containerDefinitions"], Secret)
    assert isinstance(outputs["tags"], Secret)
    assert isinstance(outputs["tagsAll"], Secret), "it repeats a secret"
    assert outputs["family"] == "app"
    assert aws.diff(TASK, outputs, inputs).paths == {}

    _, read, seen = aws.read(TASK, made, outputs)
    assert isinstance(read["containerDefinitions"], Secret)
    assert isinstance(seen["containerDefinitions"], Secret)
    updated = aws.update(TASK, made, outputs, {**inputs, "tags": Secret({"a": "2"})})
    assert isinstance(updated["containerDefinitions"], Secret)
    assert updated["tagsAll"] == Secret({"a": "2"})


def test_drift_is_seen_and_undone(aws: Plugin, emulator: Emulator) -> None:
    inputs = {"name": "/ecs/app", "retentionInDays": 7}
    made, outputs = aws.create(GROUP, inputs)
    emulator.client("logs").put_retention_policy(logGroupName="/ecs/app", retentionInDays=30)
    _, drifted, seen = aws.read(GROUP, made, outputs)
    assert (drifted["retentionInDays"], seen["retentionInDays"]) == (30, 30)
    assert aws.diff(GROUP, drifted, inputs).paths == {"retentionInDays": "UPDATE"}
    assert aws.update(GROUP, made, drifted, inputs)["retentionInDays"] == 7


def test_a_new_group_lets_nothing_in_or_out(aws: Plugin, world: World, emulator: Emulator) -> None:
    made, _ = aws.create(SECURITY_GROUP, {"vpcId": world["vpc"]})
    rule = {"securityGroupId": made, "ipProtocol": "tcp", "fromPort": 80, "toPort": 80, "cidrIpv6": "::/0"}
    aws.create(INGRESS, rule)
    [seen] = emulator.client("ec2").describe_security_groups(GroupIds=[made])["SecurityGroups"]
    [permission] = seen["IpPermissions"]
    assert [one["CidrIpv6"] for one in permission["Ipv6Ranges"]] == ["::/0"]
    assert (permission["FromPort"], seen["IpPermissionsEgress"]) == (80, [])


def test_who_is_in_another_group_is_let_in(aws: Plugin, world: World, emulator: Emulator) -> None:
    rule = {"securityGroupId": world["security_group"], "ipProtocol": "udp", "fromPort": 53, "toPort": 53}
    made, outputs = aws.create(INGRESS, {**rule, "referencedSecurityGroupId": world["other_group"]})
    assert aws.read(INGRESS, made, outputs)[1] == outputs
    [seen] = emulator.client("ec2").describe_security_groups(GroupIds=[world["security_group"]])[
        "SecurityGroups"
    ]
    [permission] = seen["IpPermissions"]
    assert [one["GroupId"] for one in permission["UserIdGroupPairs"]] == [world["other_group"]]
    both = {**rule, "cidrIpv4": "10.0.0.0/8", "referencedSecurityGroupId": "sg-00000001"}
    assert "exactly one of" in str(aws.failures(INGRESS, both))


@pytest.mark.parametrize("token", [INGRESS, EGRESS])
def test_a_rule_for_every_protocol_stays_as_it_is(aws: Plugin, world: World, token: str) -> None:
    rule = {"securityGroupId": world["security_group"], "ipProtocol": "-1", "cidrIpv4": "10.0.0.0/16"}
    _, outputs = aws.create(token, rule)
    assert aws.diff(token, outputs, rule).paths == {}


def test_a_rule_of_another_address_family_is_another_rule(aws: Plugin, world: World) -> None:
    rule = {"securityGroupId": world["security_group"], "ipProtocol": "tcp", "fromPort": 80, "toPort": 80}
    _, outputs = aws.create(INGRESS, {**rule, "cidrIpv4": "10.0.0.0/8"})
    assert aws.diff(INGRESS, outputs, {**rule, "cidrIpv6": "::/0"}).replaces == ("cidrIpv4", "cidrIpv6")


def test_a_name_is_made_up_once(aws: Plugin) -> None:
    first = aws.check(GROUP, {})
    assert first["name"].startswith("thing-")
    assert len(first["name"]) == len("thing-") + 7
    assert aws.check(GROUP, {"retentionInDays": 1}, first)["name"] == first["name"]
    assert aws.check(GROUP, {"name": "given"}, first)["name"] == "given"


def test_a_new_revision_stands_beside_the_old_one(aws: Plugin) -> None:
    inputs = {"family": "app", "containerDefinitions": containers()}
    _, first = aws.create(TASK, inputs)
    diff = aws.diff(TASK, first, {**inputs, "containerDefinitions": containers("app:2")})
    assert (diff.replaces, diff.delete_first) == (("containerDefinitions",), False)
    _, second = aws.create(TASK, {**inputs, "containerDefinitions": containers("app:2")})
    assert (first["revision"], second["revision"]) == (1, 2)
    aws.delete(TASK, "app", first)
    assert aws.read(TASK, "app", second)[1]["revision"] == 2


def test_addresses_are_found_by_gateway_and_by_tag(aws: Plugin, world: World) -> None:
    tags = {"for": "tasks"}
    allocation, eip = aws.create(EIP, {"domain": "vpc", "address": "203.0.113.7", "tags": tags})
    aws.create(EIP, {"domain": "vpc"})
    inputs = {"subnetId": world["subnet"], "allocationId": allocation, "tags": tags}
    gateway, _ = aws.create(NAT, inputs)
    alive = [{"name": "state", "values": ["available"]}]
    listed = aws.invoke("aws:ec2/getNatGateways:getNatGateways", {"tags": tags, "filters": alive})
    assert listed["ids"] == [gateway]
    assert aws.invoke("aws:ec2/getNatGateways:getNatGateways", {"tags": {"for": "nobody"}})["ids"] == []
    found = aws.invoke("aws:ec2/getNatGateway:getNatGateway", {"id": gateway})
    assert (found["publicIp"], found["secondaryAllocationIds"]) == (eip["publicIp"], [])
    assert aws.invoke("aws:ec2/getEips:getEips", {"tags": tags})["publicIps"] == ["203.0.113.7"]
    assert aws.invoke("aws:ec2/getEips:getEips", {"tags": {"for": "nobody"}})["publicIps"] == []
    assert aws.invoke("aws:ec2/getElasticIp:getElasticIp", {"id": allocation})["publicIp"] == "203.0.113.7"


def test_the_newest_image_is_found(aws: Plugin, emulator: Emulator) -> None:
    ec2 = emulator.client("ec2")
    made = [ec2.register_image(Name=f"fck-nat-al2023-hvm-1.4.{one}-arm64-ebs")["ImageId"] for one in range(2)]
    asked = {
        "mostRecent": True,
        "owners": ["self"],
        "filters": [{"name": "name", "values": ["fck-nat-al2023-hvm-*"]}],
    }
    assert aws.invoke("aws:ec2/getAmi:getAmi", asked)["id"] in made
    with pytest.raises(Refused, match="0 images were found"):
        aws.invoke("aws:ec2/getAmi:getAmi", {**asked, "owners": ["568608671756"]})


def test_the_account_is_the_emulators(aws: Plugin) -> None:
    found = aws.invoke("aws:index/getCallerIdentity:getCallerIdentity", {})
    assert found["accountId"] == "123456789012"
    assert found["arn"].startswith("arn:aws:")


@pytest.mark.parametrize(
    ("token", "says"),
    [
        ("aws:ec2/getNatGateway:getNatGateway", "no matching EC2 NAT Gateway found"),
        ("aws:ec2/getElasticIp:getElasticIp", "no matching EC2 EIP found"),
        ("aws:ec2/getVpc:getVpc", "no function 'aws:ec2/getVpc:getVpc'"),
    ],
)
def test_what_a_function_does_not_find_is_an_error(aws: Plugin, token: str, says: str) -> None:
    with pytest.raises(Refused, match=says):
        aws.invoke(token, {"id": "nat-00000000000000000"})


@pytest.mark.parametrize(
    ("token", "inputs", "path"),
    [
        (ROUTE, {"routeTableId": "rtb-1", "destinationCidrBlock": "0.0.0.0/0"}, "gatewayId"),
        (
            ROUTE,
            {
                "routeTableId": "rtb-1",
                "destinationCidrBlock": "0.0.0.0/0",
                "gatewayId": "igw-1",
                "natGatewayId": UNKNOWN,
            },
            "gatewayId",
        ),
        (TABLE, {"vpcId": "vpc-1", "routes": []}, "routes"),
        (SECURITY_GROUP, {"egress": []}, "egress"),
        (INGRESS, {"securityGroupId": "sg-1", "ipProtocol": "tcp"}, "cidrIpv4"),
        (
            EGRESS,
            {"securityGroupId": "sg-1", "ipProtocol": "tcp", "cidrIpv4": "10.0.0.0/8", "cidrIpv6": "::/0"},
            "cidrIpv4",
        ),
        (ROLE, {"assumeRolePolicy": "{"}, "assumeRolePolicy"),
        (GROUP, {"retentionInDays": 8}, "retentionInDays"),
        (TASK, {"family": "a", "containerDefinitions": "{"}, "containerDefinitions"),
        (TASK, {"family": "a"}, "containerDefinitions"),
    ],
)
def test_wrong_inputs_are_named(aws: Plugin, token: str, inputs: Values, path: str) -> None:
    assert path in aws.failures(token, inputs)


@pytest.mark.parametrize(
    ("token", "inputs", "says"),
    [
        (PARAMETER, {"type": "Secret", "value": "a"}, "ParameterType: expected one of .*, got 'Secret'"),
        (
            TASK,
            {"family": "a", "containerDefinitions": containers(colour="red")},
            'Unknown parameter .*"colour"',
        ),
    ],
)
def test_what_aws_own_model_of_a_service_refuses_is_not_sent(
    aws: Plugin, token: str, inputs: Values, says: str
) -> None:
    with pytest.raises(Refused, match=says):
        aws.create(token, inputs)


def test_nothing_is_imported(aws: Plugin) -> None:
    with pytest.raises(Refused, match="doesn't import: aws:ec2/vpc:Vpc vpc-1"):
        aws.read(VPC, "vpc-1")


def test_a_service_error_is_one_line(aws: Plugin) -> None:
    with pytest.raises(Refused, match=r"InvalidVpcID\.NotFound") as error:
        aws.create(SUBNET, {"vpcId": "vpc-00000000", "cidrBlock": "10.0.1.0/24"})
    assert "\n" not in str(error.value)


def test_an_unknown_type_is_named(aws: Plugin) -> None:
    with pytest.raises(Refused, match="aws:s3/bucket:Bucket"):
        aws.check("aws:s3/bucket:Bucket", {})


@pytest.mark.parametrize(
    "url", ["https://ec2.ap-northeast-2.amazonaws.example", "http://10.0.0.1:5000", "", "x"]
)
def test_only_this_machine_is_spoken_to(aws_process: Plugin, url: str) -> None:
    settings = aws_settings(url)
    assert "this machine" in aws_process.check_config(settings)["endpoints"]
    with pytest.raises(Refused, match="this machine"):
        aws_process.configure(settings)


def test_without_endpoints_nothing_is_spoken_to(aws_process: Plugin) -> None:
    assert "never speaks to AWS" in aws_process.check_config({"region": REGION})["endpoints"]
    with pytest.raises(Refused, match="never speaks to AWS"):
        aws_process.configure({"region": REGION})


def test_a_service_without_an_endpoint_is_refused(aws_process: Plugin, emulator: Emulator) -> None:
    only_ec2 = f'[{{"ec2": "{emulator.url}"}}]'
    aws_process.configure({"region": REGION, "endpoints": only_ec2})
    with pytest.raises(Refused, match="no endpoint for logs"):
        aws_process.create(GROUP, {"name": "/x"})


@pytest.mark.parametrize("name", ["profile", "defaultTags", "token"])
def test_unsupported_settings_are_refused(aws_process: Plugin, emulator: Emulator, name: str) -> None:
    settings = {**aws_settings(emulator.url), name: "x"}
    assert list(aws_process.check_config(settings)) == [name]
