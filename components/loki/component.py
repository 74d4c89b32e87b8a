"""One Loki on campus, or several replicas of it: data, configuration and container of each."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import pulumi
import pulumi_docker as docker

from components.docker_hosts.containers import (
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
from components.live.password_hash import PasswordHash
from components.live.volume_files import VolumeFile, VolumeFiles
from components.loki.config import (
    DATA,
    LOKI_UID,
    Replica,
    beside_each_other,
    on_hosts_of_their_own,
    render_loki_config,
    render_s3_credentials,
)
from components.loki.other_host import OtherHost
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
class Place:
    """Where one replica runs, and what it is called (`replica_names`)."""

    name: str
    host: Host
    image_id: pulumi.Input[str]
    network_name: pulumi.Input[str]
    # Its fixed address on the private network.
    address: str
    # The host's own address, where replicas are on different ones; else None.
    reached_at: str | None = None
    # The other host that it is on, and whose policy guards it; None for the campus server.
    on: OtherHost | None = None

    @property
    def role(self) -> str:
        """The role, and so the name, of the container."""
        return replica_role(self.name)


@dataclass(frozen=True, kw_only=True)
class LokiArgs:
    """What a Loki needs to know."""

    # The instance's name in the settings.
    instance: str
    # One per replica, the campus server's first.
    places: Sequence[Place]
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
    """One Loki, or its replicas. Only Caddy and Grafana reach it, unless the port policy names its port.

    Replicas are made and replaced one after the other, the first one last, each when the one before is ready.
    """

    address: pulumi.Output[str]
    """host:port on the private network; of replicas, the first one's."""
    container_id: pulumi.Output[str]
    """The container's id; of replicas, the first one's."""

    def __init__(self, name: str, args: LokiArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("campus-monitor:campus:LokiInstance", name, None, opts)
        keys = self._keys(name, args.settings.s3)
        replicas = _replicas(args)
        volumes = [self._volumes(name, args, number, replica) for number, replica in enumerate(replicas)]
        # Nothing that runs is touched before all that can fail on another host is there.
        first: list[pulumi.Resource] = [one.files for one in volumes]
        first += [place.on.policy.live for place in args.places if place.on is not None]
        containers: list[docker.Container] = []
        # From the last to the first: the others take lines when a Loki that gets replicas is replaced.
        for number in reversed(range(len(replicas))):
            made = self._container(
                name, args, number, replicas[number], volumes[number], keys, [*first, *containers[:1]]
            )
            containers.insert(0, made)
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

    def _volumes(self, name: str, args: LokiArgs, number: int, replica: Replica | None) -> _Volumes:
        place = args.places[number]
        name, role = _name(name, args.instance, place), place.role
        # What is on another host has that one's provider.
        parent = place.on or self
        config = render_loki_config(args.settings, replica, oldest_seconds=args.oldest_seconds)
        data = data_volume(f"{name}-data", place.host, f"{role}-data", parent)
        config_volume = volume(f"{name}-config", place.host, f"{role}-config", parent)
        files = VolumeFiles(
            f"{name}-config-files",
            docker_host=place.host.docker_host,
            volume_name=config_volume.name,
            image=place.image_id,
            files=_files(config, args.settings.s3),
            opts=pulumi.ResourceOptions(parent=parent),
        )
        return _Volumes(data, config_volume, files, config)

    def _container(
        self,
        name: str,
        args: LokiArgs,
        number: int,
        replica: Replica | None,
        volumes: _Volumes,
        keys: list[pulumi.Output[str]],
        after: list[pulumi.Resource],
    ) -> docker.Container:
        settings, place = args.settings, args.places[number]
        name, role = _name(name, args.instance, place), place.role
        # An update waits for the check of replicas.
        health = _health(settings.port)
        if replica is not None:
            health |= {"interval": "5s"}
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
            wait=True if replica is not None else None,
            wait_timeout=READY_SECONDS if replica is not None else None,
            stop_timeout=STOP_SECONDS,
            destroy_grace_seconds=STOP_SECONDS,
            opts=container_options(place.on or self, after),
        )


def _replicas(args: LokiArgs) -> Sequence[Replica | None]:
    """How each replica is configured; an only one isn't."""
    if args.settings.replicas == 1:
        return [None]
    reached = [place.reached_at for place in args.places if place.reached_at is not None]
    if not reached:
        return beside_each_other([place.address for place in args.places])
    names = [place.role for place in args.places]
    addresses = [place.address for place in args.places]
    return on_hosts_of_their_own(args.settings, names, addresses, reached)


def _name(name: str, instance: str, place: Place) -> str:
    """What Pulumi calls what belongs to a replica, after the component's name."""
    return name + place.name.removeprefix(instance)


def replica_role(name: str) -> str:
    """The role of a replica's container, by the replica's name."""
    return f"loki-{name}"


def replicas_alias(instance: str) -> str:
    """The name under which Docker's DNS has the addresses of all replicas that run."""
    return f"loki-{instance}-replicas"


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


def _hosts(args: LokiArgs, number: int) -> list[docker.ContainerHostArgs] | None:
    """Where a replica finds itself, on the private network, and the others, on their hosts."""
    if args.places[number].reached_at is None:
        return None
    return host_entries(
        {
            place.role: [place.address if one == number else str(place.reached_at)]
            for one, place in enumerate(args.places)
        }
    )


def _ports(settings: LokiSettings, place: Place, number: int) -> list[docker.ContainerPortArgs]:
    """What Docker publishes: to whom the port policy names, and to the hosts of other replicas.

    On any address: a container whose one address comes up after Docker isn't started again (moby/moby#39559).
    """
    if place.reached_at is None:
        return [_port(settings.port, settings.ports[number])] if settings.published else []
    # Caddy and Grafana are beside the first one.
    own = (settings.port,) if settings.published or place.on is not None else ()
    return [_port(port, port) for port in (*own, *settings.mesh_ports)]


def _port(internal: int, external: int) -> docker.ContainerPortArgs:
    return docker.ContainerPortArgs(internal=internal, external=external, ip="0.0.0.0", protocol="tcp")


def _health(port: int) -> dict[str, Any]:
    return {
        "tests": ["CMD", "/usr/bin/loki", "-health", f"-health.url=http://127.0.0.1:{port}/ready"],
        "interval": "30s",
        "timeout": "5s",
        "retries": 3,
        # Loki answers /ready after some 16 s.
        "start_period": "45s",
    }
