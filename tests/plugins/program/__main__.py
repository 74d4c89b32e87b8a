"""One resource of every type; with `changed`, most of them a little different."""

import json

import pulumi
import pulumi_aws as aws
import pulumi_docker as docker

config = pulumi.Config()
changed = config.get_bool("changed") or False
prefix = config.require("prefix")
password = config.require_secret("password")

host = pulumi.ResourceOptions(provider=docker.Provider("host", host=config.require("docker")))
image = docker.RemoteImage("image", name=config.require("image"), keep_locally=True, opts=host)
network = docker.Network(
    "network",
    name=f"{prefix}net",
    driver="bridge",
    options={"com.docker.network.bridge.name": "br-cmplug"},
    ipam_configs=[docker.NetworkIpamConfigArgs(subnet="172.30.77.0/24", gateway="172.30.77.1")],
    opts=host,
)
volume = docker.Volume("volume", opts=host)
container = docker.Container(
    "container",
    name=f"{prefix}sleeper",
    image=image.image_id,
    command=["sleep", "3600"],
    restart="always" if changed else "unless-stopped",
    read_only=True,
    envs=["A=1", "B=2"],
    labels=[docker.ContainerLabelArgs(label="x", value="2" if changed else "1")],
    capabilities=docker.ContainerCapabilitiesArgs(drops=["ALL"]),
    hosts=[docker.ContainerHostArgs(host="campus", ip="172.30.77.1")],
    networks_advanced=[
        docker.ContainerNetworksAdvancedArgs(
            name=network.name, ipv4_address="172.30.77.9", aliases=["sleeper"]
        )
    ],
    volumes=[docker.ContainerVolumeArgs(volume_name=volume.name, container_path="/data")],
    ports=[docker.ContainerPortArgs(internal=80, external=18977, ip="127.0.0.1")],
    log_driver="json-file",
    log_opts={"max-size": "1m"},
    memory=64,
    memory_swap=64,
    destroy_grace_seconds=1,
    opts=host,
)
helper = docker.Container(
    "helper", image=image.image_id, command=["true"], must_run=False, start=False, opts=host
)

url = config.require("aws")
account = aws.Provider(
    "account",
    region="ap-northeast-2",
    access_key="emulated",
    secret_key="emulated",
    endpoints=[
        aws.ProviderEndpointArgs(cloudwatch=url, ec2=url, ecs=url, iam=url, logs=url, ssm=url, sts=url)
    ],
    skip_credentials_validation=True,
    skip_requesting_account_id=True,
    skip_metadata_api_check=True,
    skip_region_validation=True,
)
there = pulumi.ResourceOptions(provider=account)
vpc = aws.ec2.Vpc("vpc", cidr_block="10.0.0.0/16", enable_dns_hostnames=changed, opts=there)
subnet = aws.ec2.Subnet(
    "subnet",
    vpc_id=vpc.id,
    cidr_block="10.0.90.0/24",
    availability_zone="ap-northeast-2a",
    map_public_ip_on_launch=changed,
    opts=there,
)
gateway = aws.ec2.InternetGateway("gateway", vpc_id=vpc.id, tags={"Name": "g"}, opts=there)
address = aws.ec2.Eip(
    "address", domain="vpc", address="203.0.113.8" if changed else "203.0.113.7", opts=there
)
nat = aws.ec2.NatGateway("nat", allocation_id=address.id, subnet_id=subnet.id, opts=there)
table = aws.ec2.RouteTable("table", vpc_id=vpc.id, opts=there)
route = aws.ec2.Route(
    "route",
    route_table_id=table.id,
    destination_cidr_block="0.0.0.0/0",
    gateway_id=None if changed else gateway.id,
    nat_gateway_id=nat.id if changed else None,
    opts=there,
)
association = aws.ec2.RouteTableAssociation(
    "association", subnet_id=subnet.id, route_table_id=table.id, opts=there
)
group = aws.ec2.SecurityGroup("tasks", vpc_id=vpc.id, opts=there)
aws.vpc.SecurityGroupIngressRule(
    "in",
    security_group_id=group.id,
    ip_protocol="tcp",
    from_port=80,
    to_port=80,
    cidr_ipv4="10.0.0.0/16",
    description="two" if changed else "one",
    opts=there,
)
aws.vpc.SecurityGroupEgressRule(
    "out",
    security_group_id=group.id,
    ip_protocol="tcp",
    from_port=443,
    to_port=443,
    cidr_ipv4="0.0.0.0/0",
    opts=there,
)


def statement(actions: list[str]) -> str:
    """A policy document."""
    body = {"Effect": "Allow", "Action": actions, "Resource": "*"}
    return json.dumps({"Version": "2012-10-17", "Statement": [body]})


trust = {
    "Effect": "Allow",
    "Principal": {"Service": "ecs-tasks.amazonaws.com"},
    "Action": "sts:AssumeRole",
}
role = aws.iam.Role(
    "role",
    assume_role_policy=json.dumps({"Version": "2012-10-17", "Statement": [trust]}),
    opts=there,
)
inline = aws.iam.RolePolicy(
    "inline",
    role=role.name,
    policy=statement(["logs:PutLogEvents", *(["logs:CreateLogStream"] if changed else [])]),
    opts=there,
)
log_group = aws.cloudwatch.LogGroup("group", retention_in_days=14 if changed else 7, opts=there)
aws.cloudwatch.LogMetricFilter(
    "filter",
    log_group_name=log_group.name,
    pattern='"lost"' if changed else '"gone"',
    metric_transformation=aws.cloudwatch.LogMetricFilterMetricTransformationArgs(
        name="lost", namespace="campus", value="1"
    ),
    opts=there,
)
aws.cloudwatch.MetricAlarm(
    "alarm",
    namespace="campus",
    metric_name="lost",
    statistic="Sum",
    comparison_operator="GreaterThanThreshold",
    threshold=1 if changed else 0,
    period=60,
    evaluation_periods=1,
    treat_missing_data="notBreaching",
    opts=there,
)
aws.ssm.Parameter(
    "parameter",
    type="SecureString",
    value=password.apply(lambda known: f"{known}-2" if changed else known),
    opts=there,
)
task = aws.ecs.TaskDefinition(
    "task",
    family=f"{prefix}task",
    cpu="512",
    memory="512",
    network_mode="bridge",
    requires_compatibilities=["EC2"],
    execution_role_arn=role.arn,
    container_definitions=pulumi.Output.json_dumps(
        [
            {
                "name": "app",
                "image": "app:2" if changed else "app:1",
                "essential": True,
                "memory": 128,
                "environment": [
                    {"name": "B", "value": "2"},
                    {"name": "A", "value": "1"},
                    {"name": "PASSWORD", "value": password},
                ],
                "logConfiguration": {
                    "logDriver": "awslogs",
                    "options": {"awslogs-group": log_group.name},
                },
            }
        ]
    ),
    opts=there,
)

pulumi.export("container", container.id)
pulumi.export("helper", helper.name)
pulumi.export("address", address.public_ip)
pulumi.export("revision", task.revision)
