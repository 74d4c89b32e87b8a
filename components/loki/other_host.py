"""Another Docker host for replicas of Lokis: its network and its port policy."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import pulumi

from components.docker_hosts.containers import Host
from components.docker_hosts.docker_host import DockerHost, docker_provider
from components.live.confirmation import Confirmation
from components.port_policy.component import PortPolicy, PortPolicyArgs
from components.port_policy.rules import Kept, Rule


@dataclass(frozen=True, kw_only=True)
class OtherHostArgs:
    """The arguments of `OtherHost`."""

    host: Host
    network_cidr: str
    loki_image: str
    port_guard_image: str
    rules: Sequence[Rule]
    kept: Sequence[Kept]
    confirmation: Confirmation


@dataclass(frozen=True, kw_only=True)
class LokiHost:
    """A Docker host for the replicas on it."""

    host: Host
    image_id: pulumi.Input[str]
    network_name: pulumi.Input[str]
    # The replica's parent, whose policy guards it; None on the campus server.
    other: OtherHost | None = None


class OtherHost(pulumi.ComponentResource):
    """Another Docker host. Only what the rules allow enters it, as on the campus server."""

    for_loki: LokiHost
    """The host for its replicas."""
    policy: PortPolicy
    """Its port policy."""

    def __init__(self, name: str, args: OtherHostArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        provider = docker_provider(name, args.host, opts)
        super().__init__(
            "campus-monitor:campus:OtherHost",
            name,
            None,
            pulumi.ResourceOptions.merge(opts, pulumi.ResourceOptions(providers=[provider])),
        )
        here = DockerHost(name=name, host=args.host, provider=provider, parent=self)
        network_name = here.private_network("network", args.network_cidr)
        self.for_loki = LokiHost(
            host=args.host,
            image_id=here.image_id("loki", args.loki_image),
            network_name=network_name,
            other=self,
        )
        self.policy = PortPolicy(
            f"{name}-port-policy",
            PortPolicyArgs(
                host=args.host,
                image_id=here.image_id("port-guard", args.port_guard_image),
                namespace="host",
                rules=args.rules,
                kept=args.kept,
                confirmation=args.confirmation,
            ),
            pulumi.ResourceOptions(parent=self),
        )
        self.register_outputs({"network_name": network_name})
