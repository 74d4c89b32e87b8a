"""Prometheus on campus, with its data, configuration and container."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import pulumi
import pulumi_docker as docker

from components.certificate_probe.config import Probed
from components.docker_hosts.containers import (
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
from components.edge.own_metrics import MeasuredProgram
from components.live.volume_files import VolumeFile, VolumeFiles
from components.prometheus.config import DATA, PROMETHEUS_UID, prometheus_command, render_prometheus_config
from components.prometheus.settings import ROLE, PrometheusSettings

CONFIG_DIRECTORY = "/etc/prometheus-config"
CONFIG_FILE = "prometheus.yml"
# Prometheus ends its compaction, and closes its write-ahead log.
STOP_SECONDS = 60


@dataclass(frozen=True, kw_only=True)
class PrometheusArgs:
    """The arguments of `Prometheus`."""

    host: Host
    image_id: pulumi.Input[str]
    network_name: pulumi.Input[str]
    address: str
    settings: PrometheusSettings
    # The reader's host:port, where the programs' own metrics are.
    reader: str
    programs: Sequence[MeasuredProgram]
    probed: Probed


class Prometheus(pulumi.ComponentResource):
    """Stores samples. Only Caddy reaches it: the edge, and the reader."""

    def __init__(self, name: str, args: PrometheusArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("campus-monitor:campus:Prometheus", name, None, opts)
        text = render_prometheus_config(args.settings, args.reader, args.programs, args.probed)
        config = volume(f"{name}-config", args.host, f"{ROLE}-config", self)
        files = VolumeFiles(
            f"{name}-config-files",
            docker_host=args.host.docker_host,
            volume_name=config.name,
            image=args.image_id,
            files={CONFIG_FILE: VolumeFile(content=text, uid=PROMETHEUS_UID, mode=0o400)},
            opts=pulumi.ResourceOptions(parent=self),
        )
        health = _health(args.settings.port)
        docker.Container(
            f"{name}-container",
            name=args.host.named(ROLE),
            image=args.image_id,
            command=prometheus_command(args.settings, f"{CONFIG_DIRECTORY}/{CONFIG_FILE}"),
            user=str(PROMETHEUS_UID),
            networks_advanced=[
                docker.ContainerNetworksAdvancedArgs(name=args.network_name, ipv4_address=args.address)
            ],
            volumes=[
                mounted(data_volume(f"{name}-data", args.host, f"{ROLE}-data", self), DATA),
                mounted(config, CONFIG_DIRECTORY, read_only=True),
            ],
            **hardened(args.settings.memory_bytes // MIB),
            cpu_shares=BEHIND_THE_GATE_CPU_SHARES,
            # Prometheus reads its configuration only once.
            labels=[config_label(health, text)],
            healthcheck=docker.ContainerHealthcheckArgs(**health),
            stop_timeout=STOP_SECONDS,
            destroy_grace_seconds=STOP_SECONDS,
            opts=container_options(self, [files]),
        )
        self.register_outputs({})


def _health(port: int) -> dict[str, Any]:
    return {
        "tests": ["CMD", "/bin/promtool", "check", "healthy", f"--url=http://127.0.0.1:{port}"],
        "interval": "30s",
        "timeout": "5s",
        "retries": 3,
        # It reads its write-ahead log first. As Docker reads it back, so that a refresh finds no change.
        "start_period": "5m0s",
    }
