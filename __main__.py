"""The stack, as a table of contents: settings, campus server, AWS network, services, outputs."""

import atexit
import gc
import os

import pulumi
from pulumi import ResourceOptions

from components.aws.egress import EgressAddresses, EgressAddressesArgs, EgressNetwork, EgressNetworkArgs
from components.aws.provider import aws_provider, watch_provider
from components.aws.watch import Heartbeat, Watch, WatchArgs
from components.prometheus.settings import ROLE as PROMETHEUS
from components.stack.campus_server import CampusServer, CampusServerArgs
from components.stack.docker_shippers import DockerShippers, DockerShippersArgs
from components.stack.load import load
from components.stack.local_state import check_state
from components.stack.other_hosts_metrics import OtherHostsMetrics, OtherHostsMetricsArgs
from components.stack.preflight import check_docker_host, check_placeholders
from components.stack.services import Services, ServicesArgs
from components.values.errors import SettingsError

# A run lives for seconds: looking for garbage among the SDKs' classes took a sixth of a preview.
gc.disable()
atexit.register(gc.freeze)

try:
    settings = load()
    check_state(settings, os.environ)
    check_docker_host(settings)
    unready = check_placeholders(settings, is_preview=pulumi.runtime.is_dry_run())
except SettingsError as error:
    # Pulumi prints a RunError as it is, without a traceback.
    raise pulumi.RunError(str(error)) from None
for problem in unready:
    pulumi.log.warn(problem)

# The order matters to a change of the NAT address: it is allowed at the edge before anything sends
# from it, and disallowed after nothing does. See components/aws/egress.py.
aws = ResourceOptions(providers=[aws_provider(settings.aws)])
addresses = EgressAddresses("egress", EgressAddressesArgs(egress=settings.egress), opts=aws)
# The watch is in a region of its own. Grafana's heartbeat needs a key before Grafana; AWS waits for it, and
# checks the site, when Grafana is there.
watching = ResourceOptions(providers=[watch_provider(settings.aws)] if settings.watch.is_on else None)
heartbeat = Heartbeat("heartbeat", opts=watching) if settings.watch.hears_grafana else None
campus = CampusServer(
    "campus", CampusServerArgs(settings=settings, heartbeat=heartbeat.key if heartbeat else None)
)
allowed = [campus.allow_address(f"nat-{key}", ip) for key, ip in addresses.by_key.items()]
vpc_id, private_subnet_ids = settings.egress.vpc_id, []
if settings.egress.create is not None:
    network = EgressNetwork(
        "network",
        EgressNetworkArgs(
            create=settings.egress.create,
            region=settings.aws.region,
            allocation_ids=addresses.allocation_ids,
            public_ips=addresses.by_zone,
        ),
        opts=ResourceOptions.merge(aws, ResourceOptions(depends_on=allowed)),
    )
    vpc_id, private_subnet_ids = network.vpc_id, network.private_subnet_ids
services = Services(
    "services",
    ServicesArgs(
        settings=settings,
        push_urls=campus.loki_push_urls,
        metrics_url=campus.metrics_push_urls["otlp"] if settings.prometheus else None,
        passwords=campus.passwords,
        vpc_id=vpc_id,
    ),
    opts=ResourceOptions.merge(aws, ResourceOptions(depends_on=[campus.edge.live])),
)
DockerShippers(
    "shippers",
    DockerShippersArgs(settings=settings, push_urls=campus.loki_push_urls, passwords=campus.passwords),
    opts=ResourceOptions(depends_on=[campus.edge.live]),
)
if settings.host_metrics.enabled:
    OtherHostsMetrics(
        "host-metrics",
        OtherHostsMetricsArgs(
            settings=settings,
            push_url=campus.metrics_push_urls["otlp"],
            passwords=campus.passwords.get(PROMETHEUS, {}),
        ),
        opts=ResourceOptions(depends_on=[campus.edge.live]),
    )
# The settings require Grafana.
if settings.watch.is_on and campus.grafana is not None:
    Watch(
        "watch",
        WatchArgs(
            domain=settings.edge.domain,
            https_port=settings.edge.https_port,
            mails=settings.watch.mails,
            heartbeat=heartbeat.topic_name if heartbeat else None,
        ),
        opts=ResourceOptions.merge(watching, ResourceOptions(depends_on=[campus.edge.live, campus.grafana])),
    )

pulumi.export("grafana_url", campus.grafana_url)
pulumi.export("grafana_admin_password", campus.grafana and campus.grafana.admin_password)
pulumi.export("loki_push_urls", campus.loki_push_urls)
pulumi.export("metrics_push_urls", campus.metrics_push_urls)
pulumi.export("nat_public_ips", addresses.public_ips)
pulumi.export("retained_elastic_ips", addresses.retained)
pulumi.export("vpc_id", vpc_id)
pulumi.export("private_subnet_ids", private_subnet_ids)
pulumi.export("allowed_cidrs", addresses.public_ips.apply(settings.allowed_cidrs))
pulumi.export("loki_allowed_cidrs", addresses.public_ips.apply(settings.allowed_cidrs_by_loki))
pulumi.export("metrics_allowed_cidrs", addresses.public_ips.apply(settings.metrics_allowed_cidrs))
pulumi.export("caddy_config_sha256", campus.caddy_config_sha256(addresses.public_ips))
pulumi.export("port_policy", campus.port_policy_rows)
pulumi.export("task_definition_arns", services.task_definition_arns)
pulumi.export("task_security_group_ids", services.task_security_group_ids)
pulumi.export("log_router_image", {name: s.log_router.image_name for name, s in settings.services.items()})
pulumi.export("shipper_credentials", campus.shipper_credentials)
