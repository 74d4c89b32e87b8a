"""The stack, as a table of contents: settings, campus server, AWS network, services, outputs."""

import atexit
import gc

import pulumi
from pulumi import ResourceOptions

from components import settings as settings_module
from components.aws.egress import (
    EgressAddresses,
    EgressAddressesArgs,
    EgressNetwork,
    EgressNetworkArgs,
)
from components.aws.provider import aws_provider
from components.aws.push_access import PushAccess, PushAccessArgs, push_secret, push_secrets
from components.aws.shipped_service import ShippedService, ShippedServiceArgs
from components.aws.task_security_group import TaskSecurityGroup, TaskSecurityGroupArgs
from components.campus.preflight import check_docker_host
from components.campus.server import CampusServer, CampusServerArgs
from components.settings import SettingsError

# A run lives for seconds: looking for garbage among the SDKs' classes took a sixth of a preview.
gc.disable()
atexit.register(gc.freeze)

try:
    settings = settings_module.load()
    check_docker_host(settings)
except SettingsError as error:
    # Pulumi prints a RunError as it is, without a traceback.
    raise pulumi.RunError(str(error)) from None

# The order matters to a change of the NAT address: it is allowed at the edge before anything sends
# from it, and disallowed after nothing does. See components/aws/egress.py.
aws = ResourceOptions(providers=[aws_provider(settings.aws)])
campus = CampusServer("campus", CampusServerArgs(settings=settings))
addresses = EgressAddresses("egress", EgressAddressesArgs(create=settings.egress.create), opts=aws)
allowed = [campus.allow_address(f"nat-{slot}", ip) for slot, ip in enumerate(addresses.public_ips)]
network = EgressNetwork(
    "network",
    EgressNetworkArgs(create=settings.egress.create, allocation_ids=addresses.allocation_ids),
    opts=ResourceOptions.merge(aws, ResourceOptions(depends_on=allowed)),
)
# An account is at the edge before anyone can push with it.
access = PushAccess(
    "push",
    PushAccessArgs(
        secrets=push_secrets(settings),
        push_urls=campus.loki_push_urls,
        credentials=campus.shipper_credentials,
    ),
    opts=ResourceOptions.merge(aws, ResourceOptions(depends_on=[campus.edge.live])),
)
services = {
    name: ShippedService(
        name,
        ShippedServiceArgs(
            service=service,
            push_url=campus.loki_push_urls[service.loki],
            secret=push_secret(settings, service),
            access=access,
            region=settings.aws.region,
            alarm_topic_arn=settings.aws.alarm_topic_arn,
        ),
        opts=aws,
    )
    for name, service in settings.services.items()
}
groups = {
    name: TaskSecurityGroup(name, TaskSecurityGroupArgs(vpc_id=network.vpc_id, ingress=service.ingress), aws)
    for name, service in settings.services.items()
    if service.launch == "fargate"
}

nat_public_ips = pulumi.Output.all(*addresses.public_ips).apply(sorted)
pulumi.export("grafana_url", campus.grafana_url)
pulumi.export("loki_push_urls", campus.loki_push_urls)
pulumi.export("nat_public_ips", nat_public_ips)
pulumi.export("allowed_cidrs", nat_public_ips.apply(settings.allowed_cidrs))
pulumi.export("caddy_config_sha256", campus.caddy_config_sha256(nat_public_ips))
pulumi.export("port_policy", campus.port_policy_rows)
pulumi.export("task_definition_arns", {name: s.task_definition_arn for name, s in services.items()})
pulumi.export("task_security_group_ids", {name: group.group_id for name, group in groups.items()})
pulumi.export("log_router_image", {name: s.log_router.image_name for name, s in settings.services.items()})
pulumi.export("shipper_credentials", campus.shipper_credentials)
