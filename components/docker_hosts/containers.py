"""Common options of all containers and volumes."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pulumi
import pulumi_docker as docker

from components.docker_hosts.settings import CampusSettings

LOG_DRIVER = "json-file"
# Docker's default is one file without a limit.
LOG_OPTS = {"max-size": "10m", "max-file": "5"}
SECURITY_OPTS = ["no-new-privileges:true"]
RESTART = "unless-stopped"

MIB = 1 << 20

# Half of Docker's default of 1024, which Caddy has: if both cores are busy, pushes come before queries.
BEHIND_THE_GATE_CPU_SHARES = 512


@dataclass(frozen=True, kw_only=True)
class Host:
    """A Docker host, its names' prefix, and whether its data is protected."""

    docker_host: str
    name_prefix: str
    protect_data: bool

    @classmethod
    def of(cls, campus: CampusSettings, docker_host: str | None = None) -> Host:
        """The campus server, or another host with the same prefix and protection."""
        return cls(
            docker_host=docker_host or campus.docker_host,
            name_prefix=campus.name_prefix,
            protect_data=campus.protect_data,
        )

    def named(self, role: str) -> str:
        """The physical name of the container, volume or network with this role."""
        return f"{self.name_prefix}{role}"


def host_entries(addresses: Mapping[str, Sequence[str]]) -> list[docker.ContainerHostArgs]:
    """Entries for a container's /etc/hosts, instead of DNS."""
    return [
        docker.ContainerHostArgs(host=name, ip=ip) for name, ips in sorted(addresses.items()) for ip in ips
    ]


def volume(name: str, host: Host, role: str, parent: pulumi.Resource) -> docker.Volume:
    """A volume whose content the stack can recreate."""
    return docker.Volume(name, name=host.named(role), opts=pulumi.ResourceOptions(parent=parent))


def data_volume(name: str, host: Host, role: str, parent: pulumi.Resource) -> docker.Volume:
    """A volume whose content is nowhere else: protected and retained if the settings say so."""
    opts = pulumi.ResourceOptions(
        parent=parent, protect=host.protect_data, retain_on_delete=host.protect_data
    )
    return docker.Volume(name, name=host.named(role), opts=opts)


def container_options(
    parent: pulumi.Resource, depends_on: list[pulumi.Resource] | None = None
) -> pulumi.ResourceOptions:
    """Options of every container: two can't have the same name at once.

    The next update replaces a container that couldn't start, or wasn't ready in time. Otherwise it would find
    nothing to change.
    """
    return pulumi.ResourceOptions(
        parent=parent,
        delete_before_replace=True,
        # Pulumi's name for such a failure (pulumi/pkg, resource/deploy/step_generator.go).
        replace_on_changes=["#initerror"],
        depends_on=depends_on or [],
    )


def mounted(source: docker.Volume, path: str, *, read_only: bool = False) -> docker.ContainerVolumeArgs:
    """The volume at this path."""
    return docker.ContainerVolumeArgs(volume_name=source.name, container_path=path, read_only=read_only)


def hardened(memory_mib: int, *capabilities: str) -> dict[str, Any]:
    """Options of every container: only these capabilities, limits for memory and logs, and restarts.

    Capabilities are spelled CAP_…, as Docker reads them back.
    """
    return {
        "restart": RESTART,
        "read_only": True,
        "capabilities": docker.ContainerCapabilitiesArgs(drops=["ALL"], adds=list(capabilities)),
        "security_opts": SECURITY_OPTS,
        "memory": memory_mib,
        # Docker's plugin changes both limits together, or neither.
        "memory_swap": memory_mib,
        "log_driver": LOG_DRIVER,
        "log_opts": LOG_OPTS,
    }


def config_label(health: Mapping[str, Any], *texts: pulumi.Input[str]) -> docker.ContainerLabelArgs:
    """A label that changes with whatever needs a new container: its health check, and these texts.

    A changed health check alone never reaches a running container.
    """

    def hashed(known: Sequence[str]) -> str:
        return hashlib.sha256("\n".join([json.dumps(health), *known]).encode()).hexdigest()

    # Plain if possible, so that a preview shows it.
    plain = [text for text in texts if isinstance(text, str)]
    digest = hashed(plain) if len(plain) == len(texts) else pulumi.Output.all(*texts).apply(hashed)
    return docker.ContainerLabelArgs(label="campus-monitor.config-sha256", value=digest)
