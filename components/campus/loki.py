"""One Loki on campus, or several replicas of it: data, configuration and container of each."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import pulumi
import pulumi_docker as docker

from components.campus.containers import (
    BEHIND_THE_GATE_CPU_SHARES,
    MIB,
    Host,
    config_label,
    container_options,
    data_volume,
    hardened,
    host_entries,
    mounted,
    volume,
)
from components.campus.loki_config import (
    DATA,
    LOKI_UID,
    Replica,
    beside_each_other,
    on_hosts_of_their_own,
    render_loki_config,
    render_s3_credentials,
)
from components.campus.other_host import OtherHost
from components.live.password_hash import PasswordHash
from components.live.volume_files import VolumeFile, VolumeFiles
from components.settings import S3
from components.settings import LokiInstance as LokiSettings

CONFIG_DIRECTORY = "/etc/loki-config"
CONFIG_FILE = "config.yaml"
S3_CREDENTIALS_FILE = "s3-credentials"
# Loki writes what it holds in memory to disk before it ends.
STOP_SECONDS = 60
# A replica that isn't ready by then ends the update: the others stay as they are.
READY_SECONDS = 300
ANYWHERE = "0.0.0.0"


@dataclass(frozen=True, kw_only=True)
class Place:
    """Where one replica runs."""

    host: Host
    image_id: pulumi.Input[str]
    network_name: pulumi.Input[str]
    # Its fixed address on the private network.
    address: str
    # The host's own address, where replicas are on different ones; else None.
    reached_at: str | None = None
    # The other host that it is on, and whose policy guards it; None for the campus server.
    on: OtherHost | None = None


@dataclass(frozen=True, kw_only=True)
class LokiInstanceArgs:
    """What a Loki needs to know."""

    # The instance's name in the settings.
    instance: str
    # One per replica, the campus server's first.
    places: Sequence[Place]
    settings: LokiSettings


class LokiInstance(pulumi.ComponentResource):
    """One Loki, or its replicas. Only Caddy and Grafana reach it, unless the port policy names its port.

    Replicas are made and replaced one after the other, each when the one before is ready.
    """

    address: pulumi.Output[str]
    """host:port on the private network; of replicas, the first one's."""
    container_id: pulumi.Output[str]
    """The container's id; of replicas, the first one's."""

    def __init__(self, name: str, args: LokiInstanceArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("campus-monitor:campus:LokiInstance", name, None, opts)
        keys = self._keys(name, args.settings.s3)
        replicas = _replicas(args)
        containers: list[docker.Container] = []
        for number in range(args.settings.replicas):
            containers.append(self._replica(name, args, number, replicas[number], keys, containers[-1:]))
        self.address = pulumi.Output.from_input(f"{args.places[0].address}:{args.settings.port}")
        self.container_id = containers[0].id
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

    def _replica(
        self,
        name: str,
        args: LokiInstanceArgs,
        number: int,
        replica: Replica | None,
        keys: list[pulumi.Output[str]],
        after: Sequence[docker.Container],
    ) -> docker.Container:
        settings, place = args.settings, args.places[number]
        # What is on another host has that one's provider.
        parent = place.on or self
        guarded = [] if place.on is None else [place.on.policy.live]
        # The first keeps the names of an only one: a Loki that gets replicas keeps its data.
        name = name if number == 0 else f"{name}-{number + 1}"
        role = replica_role(args.instance, number)
        config = render_loki_config(settings, replica)
        # An update waits for the check of replicas.
        health = _health(settings.port)
        if replica is not None:
            health |= {"interval": "5s"}
        data = data_volume(f"{name}-data", place.host, f"{role}-data", parent)
        config_volume = volume(f"{name}-config", place.host, f"{role}-config", parent)
        files = VolumeFiles(
            f"{name}-config-files",
            docker_host=place.host.docker_host,
            volume_name=config_volume.name,
            image=place.image_id,
            files=_files(config, settings.s3),
            opts=pulumi.ResourceOptions(parent=parent),
        )
        return docker.Container(
            f"{name}-container",
            name=place.host.named(role),
            image=place.image_id,
            command=[f"-config.file={CONFIG_DIRECTORY}/{CONFIG_FILE}"],
            user=str(LOKI_UID),
            networks_advanced=[
                docker.ContainerNetworksAdvancedArgs(
                    name=place.network_name,
                    ipv4_address=place.address,
                    aliases=[replicas_alias(args.instance)] if replica is not None else None,
                )
            ],
            hosts=_hosts(args, number),
            ports=_ports(settings, place, number),
            volumes=[
                mounted(data, DATA),
                mounted(config_volume, CONFIG_DIRECTORY, read_only=True),
            ],
            tmpfs={"/tmp": "rw,noexec,nosuid,nodev,size=64m"},
            envs=_environment(settings),
            **hardened(settings.memory_bytes // MIB),
            cpu_shares=BEHIND_THE_GATE_CPU_SHARES,
            # Loki reads its configuration once.
            labels=[config_label(health, config, *keys)],
            healthcheck=docker.ContainerHealthcheckArgs(**health),
            wait=True if replica is not None else None,
            wait_timeout=READY_SECONDS if replica is not None else None,
            stop_timeout=STOP_SECONDS,
            destroy_grace_seconds=STOP_SECONDS,
            opts=container_options(parent, [files, *guarded, *after]),
        )


def _replicas(args: LokiInstanceArgs) -> Sequence[Replica | None]:
    """How each replica is configured; an only one isn't."""
    if args.settings.replicas == 1:
        return [None]
    reached = [place.reached_at for place in args.places if place.reached_at is not None]
    if not reached:
        return beside_each_other([place.address for place in args.places])
    names = [replica_role(args.instance, number) for number in range(len(reached))]
    addresses = [place.address for place in args.places]
    return on_hosts_of_their_own(args.settings, names, addresses, reached)


def replica_role(instance: str, number: int) -> str:
    """The role, and so the name, of an instance's replica; the first is numbered 0."""
    return f"loki-{instance}" if number == 0 else f"loki-{instance}-{number + 1}"


def replicas_alias(instance: str) -> str:
    """The name under which Docker's DNS has the addresses of all replicas that run."""
    return f"loki-{instance}-replicas"


def _files(config: str, s3: S3 | None) -> dict[str, VolumeFile]:
    texts: dict[str, pulumi.Input[str]] = {CONFIG_FILE: config}
    if s3 is not None:
        texts[S3_CREDENTIALS_FILE] = pulumi.Output.secret(render_s3_credentials(s3))
    return {name: VolumeFile(content=text, uid=LOKI_UID, mode=0o400) for name, text in texts.items()}


def _environment(settings: LokiSettings) -> list[str]:
    # Go's collector works harder before the kernel ends Loki.
    envs = [f"GOMEMLIMIT={settings.memory_bytes // MIB * 9 // 10}MiB"]
    if settings.s3 is not None:
        envs.append(f"AWS_SHARED_CREDENTIALS_FILE={CONFIG_DIRECTORY}/{S3_CREDENTIALS_FILE}")
    return envs


def _hosts(args: LokiInstanceArgs, number: int) -> list[docker.ContainerHostArgs] | None:
    """Where a replica finds itself, on the private network, and the others, on their hosts."""
    if args.places[number].reached_at is None:
        return None
    return host_entries(
        {
            replica_role(args.instance, one): [place.address if one == number else str(place.reached_at)]
            for one, place in enumerate(args.places)
        }
    )


def _ports(settings: LokiSettings, place: Place, number: int) -> list[docker.ContainerPortArgs]:
    """What Docker publishes: to whom the port policy names, and to the hosts of other replicas."""
    host = place.reached_at
    own: list[docker.ContainerPortArgs] = []
    if settings.published:
        own = [_port(settings.port, settings.ports[number] if host is None else settings.port, ANYWHERE)]
    elif host is not None and place.on is not None:
        # For Caddy and Grafana, which are beside the first one.
        own = [_port(settings.port, settings.port, host)]
    return own if host is None else [*own, *(_port(port, port, host) for port in settings.mesh_ports)]


def _port(internal: int, external: int, ip: str) -> docker.ContainerPortArgs:
    return docker.ContainerPortArgs(internal=internal, external=external, ip=ip, protocol="tcp")


def _health(port: int) -> dict[str, Any]:
    return {
        "tests": ["CMD", "/usr/bin/loki", "-health", f"-health.url=http://127.0.0.1:{port}/ready"],
        "interval": "30s",
        "timeout": "5s",
        "retries": 3,
        # Loki answers /ready after some 16 s.
        "start_period": "45s",
    }
