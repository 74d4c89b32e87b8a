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
    mounted,
    volume,
)
from components.campus.loki_config import DATA, LOKI_UID, render_loki_config, render_s3_credentials
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


@dataclass(frozen=True, kw_only=True)
class LokiInstanceArgs:
    """What a Loki needs to know."""

    host: Host
    # The instance's name in the settings.
    instance: str
    image_id: pulumi.Input[str]
    network_name: pulumi.Input[str]
    # The fixed address of each replica on the private network.
    addresses: Sequence[str]
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
        containers: list[docker.Container] = []
        for number in range(args.settings.replicas):
            containers.append(self._replica(name, args, number, keys, containers[-1:]))
        self.address = pulumi.Output.from_input(f"{args.addresses[0]}:{args.settings.port}")
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
        keys: list[pulumi.Output[str]],
        after: Sequence[docker.Container],
    ) -> docker.Container:
        settings, address = args.settings, args.addresses[number]
        # The first keeps the names of an only one: a Loki that gets replicas keeps its data.
        name = name if number == 0 else f"{name}-{number + 1}"
        role = replica_role(args.instance, number)
        several = settings.replicas > 1
        config = render_loki_config(settings, address, args.addresses if several else ())
        # An update waits for the check of replicas.
        health = _health(settings.port)
        if several:
            health |= {"interval": "5s"}
        data = data_volume(f"{name}-data", args.host, f"{role}-data", self)
        config_volume = volume(f"{name}-config", args.host, f"{role}-config", self)
        files = VolumeFiles(
            f"{name}-config-files",
            docker_host=args.host.docker_host,
            volume_name=config_volume.name,
            image=args.image_id,
            files=_files(config, settings.s3),
            opts=pulumi.ResourceOptions(parent=self),
        )
        return docker.Container(
            f"{name}-container",
            name=args.host.named(role),
            image=args.image_id,
            command=[f"-config.file={CONFIG_DIRECTORY}/{CONFIG_FILE}"],
            user=str(LOKI_UID),
            networks_advanced=[
                docker.ContainerNetworksAdvancedArgs(
                    name=args.network_name,
                    ipv4_address=address,
                    aliases=[replicas_alias(args.instance)] if several else None,
                )
            ],
            ports=_ports(settings, number),
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
            wait=True if several else None,
            wait_timeout=READY_SECONDS if several else None,
            stop_timeout=STOP_SECONDS,
            destroy_grace_seconds=STOP_SECONDS,
            opts=container_options(self, [files, *after]),
        )


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


def _ports(settings: LokiSettings, number: int) -> list[docker.ContainerPortArgs]:
    if not settings.published:
        return []
    return [
        docker.ContainerPortArgs(
            internal=settings.port, external=settings.ports[number], ip="0.0.0.0", protocol="tcp"
        )
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
