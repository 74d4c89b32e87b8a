"""The edge: Caddy on the host's network, its configuration, and the allowed addresses."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import pulumi
import pulumi_docker as docker

from components.docker_hosts.containers import (
    Host,
    container_options,
    data_volume,
    hardened,
    host_entries,
    mounted,
    volume,
)
from components.edge.caddyfile import (
    CONFIG_DIRECTORY,
    FRAGMENTS,
    GRACE_PERIOD_SECONDS,
    GuardedRoute,
    render_allowed_address,
    render_caddyfile,
    render_closed,
)
from components.edge.connection_limit import CADDY_MEMORY_MIB
from components.edge.own_metrics import SOCKET_DIRECTORY
from components.edge.query_route import QueryRoute
from components.edge.settings import EdgeSettings
from components.live.container_facts import CADDY
from components.live.files import LiveFiles
from components.live.volume_files import VolumeFile, VolumeFiles

LIVE_DIRECTORY = "/etc/caddy/live"
CADDYFILE = "Caddyfile"
# Longer than Caddy's grace period for requests.
STOP_SECONDS = GRACE_PERIOD_SECONDS + 10


@dataclass(frozen=True, kw_only=True)
class EdgeArgs:
    """The arguments of `Edge`."""

    host: Host
    image_id: pulumi.Input[str]
    site: EdgeSettings
    # Without accounts, whose hashes come separately.
    routes: Sequence[GuardedRoute]
    # The bcrypt hash by route and user.
    account_hashes: Mapping[str, Mapping[str, pulumi.Input[str]]]
    # Grafana's host:port; None without Grafana.
    grafana: str | None
    # The ports for queries from outside, which the port policy opens.
    published: Sequence[QueryRoute]
    # The upstreams' names and their fixed addresses, instead of DNS.
    upstream_hosts: Mapping[str, str]
    # The volume with the socket of its own metrics; None if nobody reads them.
    metrics_volume: docker.Volume | None
    # Resources that may have used the published ports before.
    ports_freed_by: Sequence[pulumi.Resource]


class Edge(pulumi.ComponentResource):
    """Caddy, the only way in. A change of its configuration never replaces its container."""

    container_id: pulumi.Output[str]
    """The container's id."""
    caddyfile_sha256: pulumi.Output[str]
    """The hash of the applied Caddyfile."""
    live: LiveFiles
    """The Caddyfile in the running container."""

    def __init__(self, name: str, args: EdgeArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("campus-monitor:campus:Edge", name, None, opts)
        self.host = args.host
        closed = render_closed(args.site)
        config = volume(f"{name}-config", args.host, "caddy-config", self)
        roots = self._acme_root(name, args, config)
        container = self._container(name, args, closed, config, roots)
        self.container_name = container.name
        self.container_id = container.id
        self.live = LiveFiles(
            f"{name}-caddyfile",
            docker_host=args.host.docker_host,
            container_name=container.name,
            container_id=container.id,
            program="caddy",
            directory=LIVE_DIRECTORY,
            files=_caddyfile(args).apply(lambda text: {CADDYFILE: text}),
            closed_files={CADDYFILE: closed},
            opts=pulumi.ResourceOptions(parent=self, depends_on=[*roots, *args.ports_freed_by]),
        )
        self.caddyfile_sha256 = self.live.content_sha256
        self.register_outputs({"container_id": self.container_id, "caddyfile_sha256": self.caddyfile_sha256})

    def _acme_root(self, name: str, args: EdgeArgs, config: docker.Volume) -> list[pulumi.Resource]:
        """The root of the ACME authority, if one is set, at the path in the Caddyfile.

        Files of former roots stay: the running configuration, or one restored after a failure, may need them.
        """
        authority = args.site.acme
        if authority is None or authority.root is None:
            return []
        return [
            VolumeFiles(
                f"{name}-acme-root",
                docker_host=args.host.docker_host,
                volume_name=config.name,
                image=args.image_id,
                files={authority.root_file: VolumeFile(content=authority.root)},
                opts=pulumi.ResourceOptions(parent=self),
            )
        ]

    def _container(
        self, name: str, args: EdgeArgs, closed: str, config: docker.Volume, roots: list[pulumi.Resource]
    ) -> docker.Container:
        # ACME authorities limit certificates per week, so /data outlives every container.
        data = data_volume(f"{name}-data", args.host, "caddy-data", self)
        live = volume(f"{name}-live", args.host, "caddy-live", self)
        first = VolumeFiles(
            f"{name}-first-caddyfile",
            docker_host=args.host.docker_host,
            volume_name=live.name,
            image=args.image_id,
            files={CADDYFILE: VolumeFile(content=closed)},
            # A new container starts with the last good file.
            only_if_absent=True,
            opts=pulumi.ResourceOptions(parent=self),
        )
        return docker.Container(
            f"{name}-container",
            name=args.host.named(CADDY),
            image=args.image_id,
            command=[
                "caddy",
                "run",
                "--config",
                f"{LIVE_DIRECTORY}/{CADDYFILE}",
                "--adapter",
                "caddyfile",
            ],
            # Here Caddy sees clients' addresses, IPv6 too; behind a published port it doesn't.
            network_mode="host",
            hosts=host_entries({host: [ip] for host, ip in args.upstream_hosts.items()}),
            volumes=[
                mounted(data, "/data"),
                mounted(config, CONFIG_DIRECTORY),
                mounted(live, LIVE_DIRECTORY),
                *([] if args.metrics_volume is None else [mounted(args.metrics_volume, SOCKET_DIRECTORY)]),
            ],
            tmpfs={"/run/caddy": "rw,noexec,nosuid,nodev,size=1m,mode=0700"},
            **hardened(CADDY_MEMORY_MIB, "CAP_NET_BIND_SERVICE"),
            stop_timeout=STOP_SECONDS,
            destroy_grace_seconds=STOP_SECONDS,
            opts=container_options(self, [first, *roots]),
        )


def _caddyfile(args: EdgeArgs) -> pulumi.Output[str]:
    """The Caddyfile with the accounts' hashes."""

    def render(hashes: Mapping[str, Mapping[str, str]]) -> str:
        routes = [replace(route, accounts=tuple(hashes.get(route.name, {}).items())) for route in args.routes]
        measured = args.metrics_volume is not None
        return render_caddyfile(args.site, routes, args.grafana, args.published, is_measured=measured)

    hashes: pulumi.Output[Mapping[str, Mapping[str, str]]] = pulumi.Output.all(args.account_hashes).apply(
        lambda known: known[0]
    )
    return hashes.apply(render)


@dataclass(frozen=True, kw_only=True)
class AllowedAddressArgs:
    """The arguments of `AllowedAddress`."""

    edge: Edge
    ip: pulumi.Input[str]


class AllowedAddress(pulumi.ComponentResource):
    """One address that may push on every route with `nat`.

    If it changes, the new address is allowed before the old one is removed.
    """

    ip: pulumi.Output[str]
    """The address."""

    def __init__(
        self, name: str, args: AllowedAddressArgs, opts: pulumi.ResourceOptions | None = None
    ) -> None:
        super().__init__("campus-monitor:campus:AllowedAddress", name, None, opts)
        self.ip = pulumi.Output.from_input(args.ip)
        LiveFiles(
            f"{name}-fragment",
            docker_host=args.edge.host.docker_host,
            container_name=args.edge.container_name,
            container_id=args.edge.container_id,
            program="caddy",
            directory=LIVE_DIRECTORY,
            files=self.ip.apply(lambda ip: {f"{FRAGMENTS}/{ip}.caddy": render_allowed_address(ip)}),
            closed_files={},
            # It depends on the Caddyfile and not on the edge, which never waits for an address.
            opts=pulumi.ResourceOptions(parent=self, depends_on=[args.edge.live]),
        )
        self.register_outputs({"ip": self.ip})
