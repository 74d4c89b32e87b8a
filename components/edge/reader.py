"""The reader: Caddy between Grafana's network and the Lokis'."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import pulumi
import pulumi_docker as docker

from components.docker_hosts.containers import BEHIND_THE_GATE_CPU_SHARES, Host, host_entries
from components.docker_hosts.static_caddy import StaticCaddyArgs, static_caddy
from components.edge.reader_caddyfile import READER

CONFIG_DIRECTORY = "/etc/reader"
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
    volumes: Sequence[docker.ContainerVolumeArgs] = ()


class Reader(pulumi.ComponentResource):
    """Lets Grafana query, and the campus server's own shippers push: exact paths, and nothing else."""

    def __init__(self, name: str, args: ReaderArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("campus-monitor:campus:Reader", name, None, opts)
        caddy = StaticCaddyArgs(
            container=f"{name}-container",
            host=args.host,
            role=READER,
            image_id=args.image_id,
            directory=CONFIG_DIRECTORY,
            caddyfile=args.caddyfile,
            volumes=args.volumes,
        )
        static_caddy(
            name,
            caddy,
            self,
            networks_advanced=[
                docker.ContainerNetworksAdvancedArgs(name=network, ipv4_address=address)
                for network, address in args.networks
            ],
            hosts=host_entries({host: [ip] for host, ip in args.upstream_hosts.items()}),
            cpu_shares=BEHIND_THE_GATE_CPU_SHARES,
            stop_timeout=STOP_SECONDS,
            destroy_grace_seconds=STOP_SECONDS,
        )
        self.register_outputs({})
