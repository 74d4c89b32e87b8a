"""The port policy: the guard's container, and the rules in it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import pulumi
import pulumi_docker as docker

from components.docker_hosts.containers import (
    Host,
    config_label,
    container_options,
    hardened,
    mounted,
    volume,
)
from components.edge.connection_limit import ConnectionLimit
from components.live.confirmation import Confirmation
from components.live.container_facts import GUARD
from components.live.files import LiveFiles
from components.live.volume_files import VolumeFile, VolumeFiles
from components.port_policy.nftables import EMPTY_POLICY, policy_rows, render_policy
from components.port_policy.rules import Kept, Rule

LIVE_DIRECTORY = "/etc/port-guard/live"
POLICY_FILE = "policy.nft"
MEMORY_MIB = 64
# The host's network settings, one of which the guard keeps; see images/port-guard/port-guard.
HOST_SETTINGS = docker.ContainerVolumeArgs(host_path="/proc/sys/net/ipv4", container_path="/host/net/ipv4")
HEALTH_COMMAND = ["CMD", "/usr/local/bin/port-guard", "healthy"]

UNPROVED = (
    "campus-monitor:portPolicy.confirmTarget is not set, and a connection through campus.dockerHost's unix "
    "socket can't show that SSH is still reached from elsewhere: only the check of the rules against "
    "operatorCidrs keeps you from being locked out"
)


@dataclass(frozen=True, kw_only=True)
class PortPolicyArgs:
    """What the port policy needs to know."""

    host: Host
    image_id: pulumi.Input[str]
    namespace: Literal["host", "own"]
    rules: Sequence[Rule]
    # Ports elsewhere that its containers can't reach.
    kept: Sequence[Kept] = ()
    # How many connections each source may have to a program of the host.
    limit: ConnectionLimit | None = None
    # How new rules are confirmed; no effect with a namespace of the guard's own.
    confirmation: Confirmation


class PortPolicy(pulumi.ComponentResource):
    """What may enter the host. Everything else is dropped, even to ports that Docker publishes.

    The rules stay in the kernel when the guard stops or is destroyed: closed, never open.
    """

    rows: pulumi.Output[list[str]]
    """The rules as `ufw status numbered` prints them."""

    def __init__(self, name: str, args: PortPolicyArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("campus-monitor:campus:PortPolicy", name, None, opts)
        policy = render_policy(args.rules, args.kept, args.limit)
        is_host = args.namespace == "host"
        if is_host and args.host.docker_host.startswith("unix://") and args.confirmation.target is None:
            pulumi.log.warn(UNPROVED, resource=self)
        guard = self._guard(name, args)
        self.live = LiveFiles(
            f"{name}-policy",
            docker_host=args.host.docker_host,
            container_name=guard.name,
            container_id=guard.id,
            program="nft",
            directory=LIVE_DIRECTORY,
            files={POLICY_FILE: policy},
            # No rules would cut off the operators, and an empty table would open every port.
            closed_files={POLICY_FILE: policy},
            confirmation=args.confirmation if is_host else None,
            opts=pulumi.ResourceOptions(parent=self),
        )
        rows = policy_rows(args.rules)
        # The rows as applied, not as requested.
        self.rows = self.live.content_sha256.apply(lambda _: rows)
        # Nobody reads the id, but every state has it.
        self.register_outputs({"rows": self.rows, "container_id": guard.id})

    def _guard(self, name: str, args: PortPolicyArgs) -> docker.Container:
        live = volume(f"{name}-live", args.host, "port-guard-live", self)
        first = VolumeFiles(
            f"{name}-first-policy",
            docker_host=args.host.docker_host,
            volume_name=live.name,
            image=args.image_id,
            files={POLICY_FILE: VolumeFile(content=EMPTY_POLICY)},
            only_if_absent=True,
            opts=pulumi.ResourceOptions(parent=self),
        )
        health = _health()
        is_host = args.namespace == "host"
        return docker.Container(
            f"{name}-guard",
            name=args.host.named(GUARD),
            image=args.image_id,
            command=["/usr/local/bin/port-guard", "run"],
            network_mode="host" if is_host else "none",
            volumes=[mounted(live, LIVE_DIRECTORY), *([HOST_SETTINGS] if is_host else [])],
            tmpfs={"/run/port-guard": "rw,noexec,nosuid,nodev,size=1m,mode=0700"},
            **hardened(MEMORY_MIB, "CAP_NET_ADMIN"),
            healthcheck=docker.ContainerHealthcheckArgs(**health),
            labels=[config_label(health)],
            opts=container_options(self, [first]),
        )


def _health() -> dict[str, Any]:
    return {
        "tests": HEALTH_COMMAND,
        "interval": "10s",
        "timeout": "10s",
        "retries": 3,
        "start_period": "10s",
    }
