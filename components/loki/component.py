"""One Loki on campus, or its replicas, each with its data, configuration and container."""

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
# Loki flushes its memory to disk before it ends.
STOP_SECONDS = 60
# If a replica isn't ready by then, the update fails before it touches the others.
READY_SECONDS = 300


@dataclass(frozen=True, kw_only=True)
class LokiArgs:
    """The arguments of `Loki`."""

    placement: Placement
    # By the placement's keys.
    hosts: Mapping[HostKey, LokiHost]
    settings: LokiSettings
    # The age of its services' oldest lines after an outage (`Settings.oldest_seconds`).
    oldest_seconds: int


class _Volumes(NamedTuple):
    """A replica's volumes, and its configuration."""

    data: docker.Volume
    config: docker.Volume
    files: VolumeFiles
    config_text: str


class Loki(pulumi.ComponentResource):
    """One Loki, or its replicas. Only Caddy reaches it: the edge, and the reader.

    Replicas are created and replaced one by one, the first one last, each after the one before is ready.
    """

    address: pulumi.Output[str]
    """The (first) replica's host:port on the private network."""
    container_id: pulumi.Output[str]
    """The (first) replica's container id."""

    def __init__(self, name: str, args: LokiArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("campus-monitor:campus:LokiInstance", name, None, opts)
        keys = self._keys(name, args.settings.s3)
        replicas = args.placement.replicas
        volumes = {replica: self._volumes(name, args, replica) for replica in replicas}
        others = [args.hosts[replica.host].other for replica in replicas]
        # Running containers change only after everything that can fail on another host.
        first: list[pulumi.Resource] = [one.files for one in volumes.values()]
        first += [other.policy.live for other in others if other is not None]
        containers: list[docker.Container] = []
        # The first one last: when a single Loki gets replicas, they accept lines while it is replaced.
        for replica in reversed(replicas):
            after: list[pulumi.Resource] = [*first, *containers[-1:]]
            containers.append(self._container(name, args, replica, volumes[replica], keys, after))
        self.address = pulumi.Output.from_input(f"{replicas[0].address}:{args.settings.port}")
        self.container_id = containers[-1].id
        self.register_outputs({"address": self.address, "container_id": self.container_id})

    def _keys(self, name: str, s3: S3 | None) -> list[pulumi.Output[str]]:
        """A hash that changes with the bucket's keys; none without a bucket."""
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
        # Resources on another host need its provider.
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
        # An update waits for a replica's health check.
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
            # Loki reads its configuration only once.
            labels=[config_label(health, volumes.config_text, *keys)],
            healthcheck=docker.ContainerHealthcheckArgs(**health),
            wait=True if is_one_of_several else None,
            wait_timeout=READY_SECONDS if is_one_of_several else None,
            stop_timeout=STOP_SECONDS,
            destroy_grace_seconds=STOP_SECONDS,
            opts=container_options(here.other or self, after),
        )


def _name(name: str, args: LokiArgs, replica: Replica) -> str:
    """The prefix of a replica's Pulumi names."""
    return name + replica.name.removeprefix(args.placement.name)


def _files(config: str, s3: S3 | None) -> dict[str, VolumeFile]:
    texts: dict[str, pulumi.Input[str]] = {CONFIG_FILE: config}
    if s3 is not None:
        texts[S3_CREDENTIALS_FILE] = pulumi.Output.secret(render_s3_credentials(s3))
    return {name: VolumeFile(content=text, uid=LOKI_UID, mode=0o400) for name, text in texts.items()}


def loki_environment(settings: LokiSettings) -> list[str]:
    """The variables of a Loki's container."""
    envs = [f"GOMEMLIMIT={settings.go_memory_bytes // MIB}MiB"]
    if settings.s3 is not None:
        envs.append(f"AWS_SHARED_CREDENTIALS_FILE={CONFIG_DIRECTORY}/{S3_CREDENTIALS_FILE}")
    return envs


def _hosts(placement: Placement, replica: Replica) -> list[docker.ContainerHostArgs] | None:
    """Entries for a replica itself, on the private network, and for the others, on their hosts."""
    if not placement.is_spread:
        return None
    return host_entries(
        {one.role: [one.address if one == replica else one.advertised] for one in placement.replicas}
    )


def _ports(placement: Placement, replica: Replica) -> list[docker.ContainerPortArgs]:
    """The ports that Docker publishes, only for the hosts of other replicas.

    On any address: a container bound to one that comes up after Docker isn't restarted (moby/moby#39559).
    """
    # Caddy is on the first replica's host.
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
