"""What all containers and volumes of the campus server have in common."""

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
# Docker's own default keeps one file without a limit.
LOG_OPTS = {"max-size": "10m", "max-file": "5"}
SECURITY_OPTS = ["no-new-privileges:true"]
RESTART = "unless-stopped"

MIB = 1 << 20

# Against Docker's default of 1024, which Caddy has: where both cores are busy, a query comes after pushes.
BEHIND_THE_GATE_CPU_SHARES = 512


@dataclass(frozen=True, kw_only=True)
class Host:
    """The Docker host, and how things are named and kept there."""

    docker_host: str
    name_prefix: str
    protect_data: bool

    @classmethod
    def of(cls, campus: CampusSettings, docker_host: str | None = None) -> Host:
        """The campus server, or another host, where things are named and kept as there."""
        return cls(
            docker_host=docker_host or campus.docker_host,
            name_prefix=campus.name_prefix,
            protect_data=campus.protect_data,
        )

    def named(self, role: str) -> str:
        """The physical name of the container, volume or network with this role."""
        return f"{self.name_prefix}{role}"


def host_entries(addresses: Mapping[str, Sequence[str]]) -> list[docker.ContainerHostArgs]:
    """Names that a container looks up in its /etc/hosts, with their addresses: no DNS is asked."""
    return [
        docker.ContainerHostArgs(host=name, ip=ip) for name, ips in sorted(addresses.items()) for ip in ips
    ]


def volume(name: str, host: Host, role: str, parent: pulumi.Resource) -> docker.Volume:
    """A volume whose content the stack can make again."""
    return docker.Volume(name, name=host.named(role), opts=pulumi.ResourceOptions(parent=parent))


def data_volume(name: str, host: Host, role: str, parent: pulumi.Resource) -> docker.Volume:
    """A volume whose content is nowhere else: kept and protected where the settings say so."""
    opts = pulumi.ResourceOptions(
        parent=parent, protect=host.protect_data, retain_on_delete=host.protect_data
    )
    return docker.Volume(name, name=host.named(role), opts=opts)


def container_options(
    parent: pulumi.Resource, depends_on: list[pulumi.Resource] | None = None
) -> pulumi.ResourceOptions:
    """Options of every named container: a second one of its name can't be beside it.

    One that couldn't start, or wasn't ready in time, is made anew by the next update. Otherwise that finds
    nothing to change and takes it for done.
    """
    return pulumi.ResourceOptions(
        parent=parent,
        delete_before_replace=True,
        # The engine's name for such a failure (pulumi/pkg, resource/deploy/step_generator.go).
        replace_on_changes=["#initerror"],
        depends_on=depends_on or [],
    )


def mounted(source: docker.Volume, path: str, *, read_only: bool = False) -> docker.ContainerVolumeArgs:
    """The volume at this path."""
    return docker.ContainerVolumeArgs(volume_name=source.name, container_path=path, read_only=read_only)


def hardened(memory_mib: int, *capabilities: str) -> dict[str, Any]:
    """What every container is made with: no right but these, no more memory, logs that end, and a restart.

    Each capability is spelled CAP_…, as Docker reads it back.
    """
    return {
        "restart": RESTART,
        "read_only": True,
        "capabilities": docker.ContainerCapabilitiesArgs(drops=["ALL"], adds=list(capabilities)),
        "security_opts": SECURITY_OPTS,
        "memory": memory_mib,
        # Docker's plugin changes it together with the memory, or not at all.
        "memory_swap": memory_mib,
        "log_driver": LOG_DRIVER,
        "log_opts": LOG_OPTS,
    }


def config_label(health: Mapping[str, Any], *texts: pulumi.Input[str]) -> docker.ContainerLabelArgs:
    """A label that changes with what only a new container would see: its health check, and these texts.

    A changed health check alone never reaches a running container.
    """

    def hashed(known: Sequence[str]) -> str:
        return hashlib.sha256("\n".join([json.dumps(health), *known]).encode()).hexdigest()

    # Plain where it can be: a preview shows what is known.
    plain = [text for text in texts if isinstance(text, str)]
    digest = hashed(plain) if len(plain) == len(texts) else pulumi.Output.all(*texts).apply(hashed)
    return docker.ContainerLabelArgs(label="campus-monitor.config-sha256", value=digest)
