"""One Loki on campus: its data, its configuration and its container."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pulumi
import pulumi_docker as docker

from components.campus.containers import (
    LOG_DRIVER,
    LOG_OPTS,
    MIB,
    RESTART,
    SECURITY_OPTS,
    Host,
    capabilities,
    config_label,
    container_options,
    data_volume,
    mounted,
    volume,
)
from components.campus.loki_config import DATA, LOKI_UID, render_loki_config
from components.live.volume_files import VolumeFile, VolumeFiles
from components.settings import LokiInstance as LokiSettings

CONFIG_DIRECTORY = "/etc/loki-config"
CONFIG_FILE = "config.yaml"
# Loki writes what it holds in memory to disk before it ends.
STOP_SECONDS = 60


@dataclass(frozen=True, kw_only=True)
class LokiInstanceArgs:
    """What a Loki needs to know."""

    host: Host
    # The instance's name in the settings.
    instance: str
    image_id: pulumi.Input[str]
    network_name: pulumi.Input[str]
    # Its fixed address on the private network.
    address: str
    settings: LokiSettings


class LokiInstance(pulumi.ComponentResource):
    """One Loki. Only Caddy and Grafana reach it, unless the port policy names its port."""

    address: pulumi.Output[str]
    """host:port on the private network."""
    container_id: pulumi.Output[str]
    """The container's id."""

    def __init__(self, name: str, args: LokiInstanceArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("campus-monitor:campus:LokiInstance", name, None, opts)
        role = f"loki-{args.instance}"
        settings = args.settings
        config = render_loki_config(settings)
        health = _health(settings.port)
        data = data_volume(f"{name}-data", args.host, f"{role}-data", self)
        config_volume = volume(f"{name}-config", args.host, f"{role}-config", self)
        files = VolumeFiles(
            f"{name}-config-files",
            docker_host=args.host.docker_host,
            volume_name=config_volume.name,
            image=args.image_id,
            files={CONFIG_FILE: VolumeFile(content=config, uid=LOKI_UID, mode=0o400)},
            opts=pulumi.ResourceOptions(parent=self),
        )
        container = docker.Container(
            f"{name}-container",
            name=args.host.named(role),
            image=args.image_id,
            command=[f"-config.file={CONFIG_DIRECTORY}/{CONFIG_FILE}"],
            user=str(LOKI_UID),
            restart=RESTART,
            networks_advanced=[
                docker.ContainerNetworksAdvancedArgs(name=args.network_name, ipv4_address=args.address)
            ],
            ports=_ports(args),
            volumes=[
                mounted(data, DATA),
                mounted(config_volume, CONFIG_DIRECTORY, read_only=True),
            ],
            read_only=True,
            tmpfs={"/tmp": "rw,noexec,nosuid,nodev,size=64m"},
            capabilities=capabilities(),
            security_opts=SECURITY_OPTS,
            # Go's collector works harder before the kernel ends Loki.
            envs=[f"GOMEMLIMIT={settings.memory_bytes // MIB * 9 // 10}MiB"],
            memory=settings.memory_bytes // MIB,
            memory_swap=settings.memory_bytes // MIB,
            log_driver=LOG_DRIVER,
            log_opts=LOG_OPTS,
            # Loki reads its configuration once.
            labels=[config_label(health, config)],
            healthcheck=docker.ContainerHealthcheckArgs(**health),
            stop_timeout=STOP_SECONDS,
            destroy_grace_seconds=STOP_SECONDS,
            opts=container_options(self, [files]),
        )
        self.address = pulumi.Output.from_input(f"{args.address}:{settings.port}")
        self.container_id = container.id
        self.register_outputs({"address": self.address, "container_id": self.container_id})


def _ports(args: LokiInstanceArgs) -> list[docker.ContainerPortArgs]:
    if not args.settings.published:
        return []
    port = args.settings.port
    return [docker.ContainerPortArgs(internal=port, external=port, ip="0.0.0.0", protocol="tcp")]


def _health(port: int) -> dict[str, Any]:
    return {
        "tests": ["CMD", "/usr/bin/loki", "-health", f"-health.url=http://127.0.0.1:{port}/ready"],
        "interval": "30s",
        "timeout": "5s",
        "retries": 3,
        # Loki answers /ready after some 16 s.
        "start_period": "45s",
    }
