"""A Docker host's own metrics: an OpenTelemetry Collector, and a proxy that lets it only read statistics."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import pulumi
import pulumi_docker as docker

from components.docker_hosts.agent import AgentArgs, AgentProgram, agent_parts
from components.docker_hosts.containers import MIB, mounted
from components.host_metrics.config import (
    COLLECTOR_UID,
    CONFIG_FILE,
    DIRECTORY,
    DISKS,
    HOST_ROOT,
    render_collector_config,
)
from components.host_metrics.settings import DOCKER_DISK, ROLE, SYSTEM_DISK

# Docker's API reference: SystemPing, ContainerList, ContainerInspect, ContainerStats, SystemEvents.
READING = "_ping|events|containers/json|containers/[0-9a-f]+/(json|stats)"
# The rig's Collector, which has few components, took 157 MiB with its queue full.
MEMORY_MIB = 384
# Go collects garbage more often from here on.
_GO_MEMORY_MIB = 300
STOP_SECONDS = 20
# A file that every host has, on the disk of /etc, and with nothing in it that others may not read.
_ON_SYSTEM_DISK = "/etc/hostname"
# The first process' network is the host's. /proc/net/dev would be that of whoever opens it.
_HOSTS_NETWORK = "/proc/1/net/dev"


@dataclass(frozen=True, kw_only=True)
class HostMetricsArgs(AgentArgs):
    """The arguments of `HostMetrics`; its label is `host_name`."""

    # Further disks: a path on each, by name.
    disks: Mapping[str, str]


class HostMetrics(pulumi.ComponentResource):
    """Measures one Docker host and its containers."""

    def __init__(self, name: str, args: HostMetricsArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("campus-monitor:campus:HostMetrics", name, None, opts)
        disks = [SYSTEM_DISK, DOCKER_DISK, *sorted(args.disks)]
        program = AgentProgram(
            role=ROLE,
            reading=READING,
            uid=COLLECTOR_UID,
            directory=DIRECTORY,
            config_file=CONFIG_FILE,
            render=lambda destination: render_collector_config(args.label, disks, destination),
            memory_mib=MEMORY_MIB,
            stop_seconds=STOP_SECONDS,
        )
        parts = agent_parts(name, args, program, self)
        docker.Container(
            f"{name}-container",
            command=[f"--config={DIRECTORY}/{CONFIG_FILE}"],
            envs=[f"GOMEMLIMIT={_GO_MEMORY_MIB * MIB}"],
            # Any volume is on Docker's disk.
            volumes=[*parts.volumes, mounted(parts.socket, f"{DISKS}/{DOCKER_DISK}", read_only=True)],
            mounts=_from_host(args.disks),
            **parts.options,
        )
        self.register_outputs({})


def _from_host(disks: Mapping[str, str]) -> list[docker.ContainerMountArgs]:
    """What it sees of the host. Unlike a volume's path, Docker doesn't make one that isn't there."""
    sources = {
        f"{HOST_ROOT}/proc/net/dev": _HOSTS_NETWORK,
        f"{DISKS}/{SYSTEM_DISK}": _ON_SYSTEM_DISK,
        **{f"{DISKS}/{name}": path for name, path in sorted(disks.items())},
    }
    return [
        docker.ContainerMountArgs(type="bind", source=source, target=target, read_only=True)
        for target, source in sources.items()
    ]
