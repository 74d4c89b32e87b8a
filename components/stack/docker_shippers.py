"""The log shippers on Docker hosts other than the campus server."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import pulumi

from components.docker_hosts.agent import AgentArgs
from components.docker_hosts.containers import Host
from components.docker_hosts.docker_host import docker_host
from components.log_shipper.component import DockerShipper
from components.stack.settings import Settings


@dataclass(frozen=True, kw_only=True)
class DockerShippersArgs:
    """The arguments of `DockerShippers`."""

    settings: Settings
    push_urls: pulumi.Input[Mapping[str, str]]
    # Per Loki instance and user; secret.
    passwords: Mapping[str, Mapping[str, pulumi.Input[str]]]


class DockerShippers(pulumi.ComponentResource):
    """A shipper on each of these Docker hosts, which pushes through the gate with a password.

    It depends on the edge: lines that the gate refuses are lost.
    """

    def __init__(
        self, name: str, args: DockerShippersArgs, opts: pulumi.ResourceOptions | None = None
    ) -> None:
        super().__init__("campus-monitor:campus:DockerShippers", name, None, opts)
        images = args.settings.images
        urls = pulumi.Output.from_input(args.push_urls)
        for key, shipper in args.settings.shippers.items():
            host = Host.of(args.settings.campus, shipper.docker_host)
            there = docker_host(f"{name}-{key}", host, self)
            DockerShipper(
                f"{name}-{key}",
                AgentArgs(
                    host=host,
                    label=key,
                    # The settings require an image with shippers.
                    image_id=there.image_id("alloy", str(images.alloy)),
                    caddy_image_id=there.image_id("caddy", images.caddy),
                    network_name=there.open_network(f"log-shipper-{key}"),
                    push_url=urls[shipper.loki],
                    user=shipper.account,
                    password=args.passwords[shipper.loki][shipper.account],
                ),
                there.part,
            )
        self.register_outputs({})
