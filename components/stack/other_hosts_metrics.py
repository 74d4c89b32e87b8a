"""The other Docker hosts' own metrics."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import pulumi

from components.docker_hosts.containers import Host
from components.docker_hosts.docker_host import docker_host
from components.host_metrics.component import HostMetrics, HostMetricsArgs
from components.host_metrics.settings import ROLE
from components.stack.measured_hosts import other_docker_hosts
from components.stack.settings import Settings


@dataclass(frozen=True, kw_only=True)
class OtherHostsMetricsArgs:
    """The arguments of `OtherHostsMetrics`."""

    settings: Settings
    # Prometheus' push URL for OpenTelemetry.
    push_url: pulumi.Input[str]
    # Of Prometheus' accounts, by user; secret.
    passwords: Mapping[str, pulumi.Input[str]]


class OtherHostsMetrics(pulumi.ComponentResource):
    """A collector on each of these Docker hosts, which pushes through the gate with a password.

    It depends on the edge: metrics that the gate refuses are lost.
    """

    def __init__(
        self, name: str, args: OtherHostsMetricsArgs, opts: pulumi.ResourceOptions | None = None
    ) -> None:
        super().__init__("campus-monitor:campus:OtherHostsMetrics", name, None, opts)
        settings = args.settings
        own, images = settings.host_metrics, settings.images
        for key, url in other_docker_hosts(settings.campus, settings.shippers).items():
            host = Host.of(settings.campus, url)
            there = docker_host(f"{name}-{key}", host, self)
            HostMetrics(
                f"{name}-{key}",
                HostMetricsArgs(
                    host=host,
                    label=key,
                    # The settings require an image, and an account for these hosts.
                    image_id=there.image_id("otel-collector", str(images.otel_collector)),
                    caddy_image_id=there.image_id("caddy", images.caddy),
                    network_name=there.open_network(f"{ROLE}-{key}"),
                    push_url=args.push_url,
                    user=own.account,
                    password=args.passwords[str(own.account)],
                    disks=own.disks.get(key, {}),
                ),
                there.part,
            )
        self.register_outputs({})
