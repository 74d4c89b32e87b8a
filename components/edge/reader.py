"""The reader: Caddy between Grafana's network and the Lokis'."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import pulumi
import pulumi_docker as docker

from components.docker_hosts.containers import (
    BEHIND_THE_GATE_CPU_SHARES,
    Host,
    config_label,
    container_options,
    hardened,
    host_entries,
    mounted,
    volume,
)
from components.live.volume_files import VolumeFile, VolumeFiles

READER = "reader"
CONFIG_DIRECTORY = "/etc/reader"
CADDYFILE = "Caddyfile"
MEMORY_MIB = 128
STOP_SECONDS = 10


@dataclass(frozen=True, kw_only=True)
class ReaderArgs:
    """The arguments of `Reader`."""

    host: Host
    image_id: pulumi.Input[str]
    caddyfile: str
    # The names of its networks, with its fixed address in each.
    networks: Sequence[tuple[pulumi.Input[str], str]]
    # The upstreams' names and their fixed addresses, instead of DNS.
    upstream_hosts: Mapping[str, str]


class Reader(pulumi.ComponentResource):
    """Lets Grafana query every Loki, and the log shipper push to its own: exact paths, and nothing else."""

    def __init__(self, name: str, args: ReaderArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("campus-monitor:campus:Reader", name, None, opts)
        config = volume(f"{name}-config", args.host, "reader-config", self)
        files = VolumeFiles(
            f"{name}-files",
            docker_host=args.host.docker_host,
            volume_name=config.name,
            image=args.image_id,
            files={CADDYFILE: VolumeFile(content=args.caddyfile)},
            opts=pulumi.ResourceOptions(parent=self),
        )
        docker.Container(
            f"{name}-container",
            name=args.host.named(READER),
            image=args.image_id,
            command=["caddy", "run", "--config", f"{CONFIG_DIRECTORY}/{CADDYFILE}", "--adapter", "caddyfile"],
            networks_advanced=[
                docker.ContainerNetworksAdvancedArgs(name=network, ipv4_address=address)
                for network, address in args.networks
            ],
            hosts=host_entries({host: [ip] for host, ip in args.upstream_hosts.items()}),
            volumes=[mounted(config, CONFIG_DIRECTORY, read_only=True)],
            # Caddy cleans up certificates here, even if it has none.
            tmpfs={"/data": "rw,noexec,nosuid,nodev,size=1m"},
            # For Lokis with ports below 1024; also, the image's Caddy binary doesn't start without it.
            **hardened(MEMORY_MIB, "CAP_NET_BIND_SERVICE"),
            cpu_shares=BEHIND_THE_GATE_CPU_SHARES,
            # Caddy reads its configuration only once.
            labels=[config_label({}, args.caddyfile)],
            stop_timeout=STOP_SECONDS,
            destroy_grace_seconds=STOP_SECONDS,
            opts=container_options(self, [files]),
        )
        self.register_outputs({})
