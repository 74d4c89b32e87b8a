"""A Docker host's own metrics: an OpenTelemetry Collector, and a proxy that lets it only read statistics."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import pulumi
import pulumi_docker as docker

from components.docker_hosts.containers import (
    MIB,
    Host,
    config_label,
    container_options,
    hardened,
    mounted,
    volume,
)
from components.docker_hosts.docker_reader import SOCKET_DIRECTORY
from components.docker_hosts.engine_reader import engine_reader
from components.host_metrics.config import (
    COLLECTOR_UID,
    CONFIG_FILE,
    DIRECTORY,
    DISKS,
    HOST_ROOT,
    PASSWORD_FILE,
    Destination,
    render_collector_config,
)
from components.host_metrics.settings import DOCKER_DISK, ROLE, SYSTEM_DISK
from components.live.volume_files import VolumeFile, VolumeFiles

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
class HostMetricsArgs:
    """The arguments of `HostMetrics`."""

    host: Host
    # The label `host_name` of its metrics.
    label: str
    collector_image_id: pulumi.Input[str]
    caddy_image_id: pulumi.Input[str]
    network_name: pulumi.Input[str]
    # Its fixed address on that network, if it has one.
    address: str | None = None
    push_url: pulumi.Input[str]
    user: str | None = None
    password: pulumi.Input[str] | None = None
    # Further disks: a path on each, by name.
    disks: Mapping[str, str]


class HostMetrics(pulumi.ComponentResource):
    """Measures one Docker host and its containers."""

    def __init__(self, name: str, args: HostMetricsArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("campus-monitor:campus:HostMetrics", name, None, opts)
        role = f"{ROLE}-{args.label}"
        socket = volume(f"{name}-socket", args.host, f"{role}-socket", self)
        reader = engine_reader(
            f"{name}-reader", args.host, f"{role}-reader", READING, args.caddy_image_id, socket, self
        )
        disks = [SYSTEM_DISK, DOCKER_DISK, *sorted(args.disks)]
        config = pulumi.Output.from_input(args.push_url).apply(
            lambda url: render_collector_config(args.label, disks, Destination(url=url, user=args.user))
        )
        files: dict[str, VolumeFile] = {CONFIG_FILE: _own(config)}
        if args.password is not None:
            # The collector watches it, so a new password needs no new container.
            files[PASSWORD_FILE] = _own(args.password)
        config_volume = volume(f"{name}-config", args.host, f"{role}-config", self)
        delivered = VolumeFiles(
            f"{name}-files",
            docker_host=args.host.docker_host,
            volume_name=config_volume.name,
            image=args.collector_image_id,
            files=files,
            opts=pulumi.ResourceOptions(parent=self),
        )
        docker.Container(
            f"{name}-container",
            name=args.host.named(role),
            image=args.collector_image_id,
            command=[f"--config={DIRECTORY}/{CONFIG_FILE}"],
            user=str(COLLECTOR_UID),
            envs=[f"GOMEMLIMIT={_GO_MEMORY_MIB * MIB}"],
            networks_advanced=[
                docker.ContainerNetworksAdvancedArgs(name=args.network_name, ipv4_address=args.address)
            ],
            volumes=[
                mounted(config_volume, DIRECTORY, read_only=True),
                mounted(socket, SOCKET_DIRECTORY, read_only=True),
                # Any volume is on Docker's disk.
                mounted(socket, f"{DISKS}/{DOCKER_DISK}", read_only=True),
            ],
            mounts=_from_host(args.disks),
            **hardened(MEMORY_MIB),
            # The collector reads its configuration only once.
            labels=[config_label({}, config)],
            stop_timeout=STOP_SECONDS,
            destroy_grace_seconds=STOP_SECONDS,
            opts=container_options(self, [delivered, reader]),
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


def _own(content: pulumi.Input[str]) -> VolumeFile:
    return VolumeFile(content=content, uid=COLLECTOR_UID, mode=0o400)
