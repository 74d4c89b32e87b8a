"""One Loki on campus, or several replicas of it: data, configuration and container of each."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import pulumi
import pulumi_docker as docker

from components.docker_hosts.containers import (
    BEHIND_THE_GATE_CPU_SHARES,
    MIB,
    config_label,
    container_options,
    data_volume,
    hardened,
    host_entries,
    mounted,
    volume,
)
from components.docker_hosts.settings import HostKey
from components.live.password_hash import PasswordHash
from components.live.volume_files import VolumeFile, VolumeFiles
from components.loki.config import (
    DATA,
    LOKI_UID,
    render_loki_config,
    render_s3_credentials,
    ring_member,
)
from components.loki.other_host import LokiHost
from components.loki.placement import Placement, Replica
from components.loki.settings import LokiSettings
from components.loki.storage_settings import S3

CONFIG_DIRECTORY = "/etc/loki-config"
CONFIG_FILE = "config.yaml"
S3_CREDENTIALS_FILE = "s3-credentials"
# Loki writes what it holds in memory to disk before it ends.
STOP_SECONDS = 60
# A replica that isn't ready by then ends the update: the others stay as they are.
READY_SECONDS = 300


@dataclass(frozen=True, kw_only=True)
class LokiArgs:
    """What a Loki needs to know."""

    placement: Placement
    # By the names that the placement has for them.
    hosts: Mapping[HostKey, LokiHost]
    settings: LokiSettings
    # How old the lines are that its services bring after an outage (`Settings.oldest_seconds`).
    oldest_seconds: int


class _Volumes(NamedTuple):
    """A replica's data, and its configuration with what is in it."""

    data: docker.Volume
    config: docker.Volume
    files: VolumeFiles
    config_text: str


class Loki(pulumi.ComponentResource):
    """One Loki, or its replicas. Only Caddy reaches it: the edge, and the reader.

    Replicas are made and replaced one after the other, the first one last, each when the one before is ready.
    """

    address: pulumi.Output[str]
    """host:port on the private network; of replicas, the first one's."""
    container_id: pulumi.Output[str]
    """The container's id; of replicas, the first one's."""

    def __init__(self, name: str, args: LokiArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("campus-monitor:campus:LokiInstance", name, None, opts)
        keys = self._keys(name, args.settings.s3)
        replicas = args.placement.replicas
        volumes = {replica: self._volumes(name, args, replica) for replica in replicas}
        others = [args.hosts[replica.host].other for replica in replicas]
        # Nothing that runs is touched before all that can fail on another host is there.
        first: list[pulumi.Resource] = [one.files for one in volumes.values()]
        first += [other.policy.live for other in others if other is not None]
        containers: list[docker.Container] = []
        # From the last to the first: the others take lines when a Loki that gets replicas is replaced.
        for replica in reversed(replicas):
            after: list[pulumi.Resource] = [*first, *containers[-1:]]
            containers.append(self._container(name, args, replica, volumes[replica], keys, after))
        self.address = pulumi.Output.from_input(f"{replicas[0].address}:{args.settings.port}")
        self.container_id = containers[-1].id
        self.register_outputs({"address": self.address, "container_id": self.container_id})

    def _keys(self, name: str, s3: S3 | None) -> list[pulumi.Output[str]]:
        """What changes with the bucket's keys, and tells nothing of them; none without a bucket."""
        if s3 is None:
            return []
        secret = pulumi.Output.secret(s3.secret_access_key.get_secret_value())
        hashed = PasswordHash(
            f"{name}-s3-key-hash", password=secret, opts=pulumi.ResourceOptions(parent=self)
        )
        return [pulumi.Output.concat(s3.access_key_id, " ", hashed.bcrypt_hash)]

    def _volumes(self, name: str, args: LokiArgs, replica: Replica) -> _Volumes:
        here, role = args.hosts[replica.host], replica.role
        name = _name(name, args, replica)
        # What is on another host has that one's provider.
        parent = here.other or self
        member = ring_member(args.placement, replica)
        config = render_loki_config(args.settings, member, oldest_seconds=args.oldest_seconds)
        data = data_volume(f"{name}-data", here.host, f"{role}-data", parent)
        config_volume = volume(f"{name}-config", here.host, f"{role}-config", parent)
        files = VolumeFiles(
            f"{name}-config-files",
            docker_host=here.host.docker_host,
            volume_name=config_volume.name,
            image=here.image_id,
            files=_files(config, args.settings.s3),
            opts=pulumi.ResourceOptions(parent=parent),
        )
        return _Volumes(data, config_volume, files, config)

    def _container(
        self,
        name: str,
        args: LokiArgs,
        replica: Replica,
        volumes: _Volumes,
        keys: list[pulumi.Output[str]],
        after: list[pulumi.Resource],
    ) -> docker.Container:
        settings, placement, here = args.settings, args.placement, args.hosts[replica.host]
        is_one_of_several = len(placement.replicas) > 1
        name, role = _name(name, args, replica), replica.role
        # An update waits for the check of replicas.
        health = _health(settings.port)
        if is_one_of_several:
            health |= {"interval": "5s"}
        return docker.Container(
            f"{name}-container",
            name=here.host.named(role),
            image=here.image_id,
            command=[f"-config.file={CONFIG_DIRECTORY}/{CONFIG_FILE}"],
            user=str(LOKI_UID),
            networks_advanced=[
                docker.ContainerNetworksAdvancedArgs(
                    name=here.network_name,
                    ipv4_address=replica.address,
                )
            ],
            hosts=_hosts(placement, replica),
            ports=_ports(placement, replica),
            volumes=[
                mounted(volumes.data, DATA),
                mounted(volumes.config, CONFIG_DIRECTORY, read_only=True),
            ],
            tmpfs={"/tmp": "rw,noexec,nosuid,nodev,size=64m"},
            envs=loki_environment(settings),
            **hardened(settings.memory_bytes // MIB),
            cpu_shares=BEHIND_THE_GATE_CPU_SHARES,
            # Loki reads its configuration once.
            labels=[config_label(health, volumes.config_text, *keys)],
            healthcheck=docker.ContainerHealthcheckArgs(**health),
            wait=True if is_one_of_several else None,
            wait_timeout=READY_SECONDS if is_one_of_several else None,
            stop_timeout=STOP_SECONDS,
            destroy_grace_seconds=STOP_SECONDS,
            opts=container_options(here.other or self, after),
        )


def _name(name: str, args: LokiArgs, replica: Replica) -> str:
    """What Pulumi calls what belongs to a replica, after the component's name."""
    return name + replica.name.removeprefix(args.placement.name)


def _files(config: str, s3: S3 | None) -> dict[str, VolumeFile]:
    texts: dict[str, pulumi.Input[str]] = {CONFIG_FILE: config}
    if s3 is not None:
        texts[S3_CREDENTIALS_FILE] = pulumi.Output.secret(render_s3_credentials(s3))
    return {name: VolumeFile(content=text, uid=LOKI_UID, mode=0o400) for name, text in texts.items()}


def loki_environment(settings: LokiSettings) -> list[str]:
    """The variables of a Loki's container."""
    # Go's collector works harder before the kernel ends Loki.
    envs = [f"GOMEMLIMIT={settings.memory_bytes // MIB * 9 // 10}MiB"]
    if settings.s3 is not None:
        envs.append(f"AWS_SHARED_CREDENTIALS_FILE={CONFIG_DIRECTORY}/{S3_CREDENTIALS_FILE}")
    return envs


def _hosts(placement: Placement, replica: Replica) -> list[docker.ContainerHostArgs] | None:
    """Where a replica finds itself, on the private network, and the others, on their hosts."""
    if not placement.is_spread:
        return None
    return host_entries(
        {one.role: [one.address if one == replica else one.advertised] for one in placement.replicas}
    )


def _ports(placement: Placement, replica: Replica) -> list[docker.ContainerPortArgs]:
    """What Docker publishes: to the hosts of other replicas alone.

    On any address: a container whose one address comes up after Docker isn't started again (moby/moby#39559).
    """
    # Caddy is beside the first replica.
    own = [] if replica.host is None else [placement.port]
    return [
        docker.ContainerPortArgs(internal=port, external=port, ip="0.0.0.0", protocol="tcp")
        for port in (*own, *placement.mesh_ports)
    ]


def _health(port: int) -> dict[str, Any]:
    return {
        "tests": ["CMD", "/usr/bin/loki", "-health", f"-health.url=http://127.0.0.1:{port}/ready"],
        "interval": "30s",
        "timeout": "5s",
        "retries": 3,
        # Loki answers /ready after some 16 s.
        "start_period": "45s",
    }
