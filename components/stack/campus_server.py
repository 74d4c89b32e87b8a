"""The campus server: one Docker host with Caddy, the Lokis, Grafana and the port policy."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import pulumi

from components.docker_hosts.containers import Host
from components.docker_hosts.docker_host import docker_host
from components.edge.accounts import hashes_of, passwords_of
from components.edge.caddyfile import guarded_route, site_url
from components.edge.component import AllowedAddress, AllowedAddressArgs, Edge, EdgeArgs
from components.edge.connection_limit import ConnectionLimit
from components.grafana.component import Grafana, GrafanaArgs
from components.grafana.provisioning import HostLogs, LokiSource
from components.live.confirmation import Confirmation
from components.live.container_facts import GRAFANA_PORT
from components.log_shipper.component import DockerShipper, DockerShipperArgs
from components.log_shipper.settings import ALLOY_PORT, CAMPUS_LABEL
from components.loki.component import Loki, LokiArgs
from components.loki.other_host import LokiHost, OtherHost, OtherHostArgs
from components.loki.placement import replicas_elsewhere
from components.loki.push_paths import PUSH_PATH, push_paths
from components.port_policy.component import GUARD, PortPolicy, PortPolicyArgs
from components.stack.settings import Settings


@dataclass(frozen=True, kw_only=True)
class CampusServerArgs:
    """What the campus server needs to know: the settings, as they were read."""

    settings: Settings


class CampusServer(pulumi.ComponentResource):
    """Everything on the campus server. Closed until an address is allowed."""

    grafana_url: pulumi.Output[str]
    """Where people find Grafana."""
    loki_push_urls: pulumi.Output[dict[str, str]]
    """Where shippers push to, per Loki instance."""
    passwords: dict[str, dict[str, pulumi.Output[str]]]
    """The password per user, per Loki instance with accounts (secret): each by itself, so that a new one
    changes nothing where another is used."""
    shipper_credentials: pulumi.Output[dict[str, dict[str, str]]]
    """All of them (secret)."""
    port_policy_rows: pulumi.Output[list[str]]
    """The port policy as `ufw status numbered` prints it."""
    edge: Edge
    """Caddy."""
    port_policy: PortPolicy
    """What may enter the host."""

    def __init__(self, name: str, args: CampusServerArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        settings = args.settings
        super().__init__("campus-monitor:campus:CampusServer", name, None, opts)
        self._name = name
        self._settings = settings
        self._placements = settings.placements
        self._host = Host.of(settings.campus)
        self._docker = docker_host(name, self._host, self)
        self.port_policy = self._port_policy()
        # Everything else on the host comes after its policy: a port is guarded before it is open, and rules
        # that shut us out are undone before a container is half made.
        guarded = pulumi.ResourceOptions(depends_on=[self.port_policy.live])
        self._guarded = pulumi.ResourceOptions.merge(self._docker.part, guarded)
        self._network_name = self._docker.private_network(
            settings.campus.network_cidr, after=[self.port_policy.live]
        )
        self._make_lokis()
        self.grafana = self._grafana() if settings.grafana.enabled else None
        accounts = {key: one.accounts for key, one in settings.loki.instances.items() if one.accounts}
        self.passwords = {key: passwords_of(f"{name}-{key}", users, self) for key, users in accounts.items()}
        caddy_image_id = self._docker.image_id("caddy", settings.images.caddy)
        self.edge = self._edge(caddy_image_id)
        if settings.campus.logs_to is not None and settings.images.alloy is not None:
            alloy_image_id = self._docker.image_id("alloy", settings.images.alloy)
            self._shipper(settings.campus.logs_to, alloy_image_id, caddy_image_id)
        self._set_outputs()

    def allow_address(self, name: str, ip: pulumi.Input[str]) -> AllowedAddress:
        """Let one more address push on the routes that allow `nat`.

        What needs the address to be allowed depends on the returned resource, never on the edge.
        """
        return AllowedAddress(
            name,
            AllowedAddressArgs(edge=self.edge, ip=ip),
            pulumi.ResourceOptions(parent=self),
        )

    def caddy_config_sha256(self, allowed_ips: pulumi.Input[Sequence[str]]) -> pulumi.Output[str]:
        """The hash of Caddy's configuration: its Caddyfile and the addresses let in beside it."""
        return pulumi.Output.all(self.edge.caddyfile_sha256, allowed_ips).apply(
            lambda known: hashlib.sha256("\n".join([known[0], *sorted(known[1])]).encode()).hexdigest()
        )

    def _set_outputs(self) -> None:
        instances = self._settings.loki.instances
        self.grafana_url = pulumi.Output.from_input(site_url(self._settings.edge))
        self.loki_push_urls = pulumi.Output.from_input(
            {key: f"{site_url(self._settings.edge)}{one.route}{PUSH_PATH}" for key, one in instances.items()}
        )
        self.shipper_credentials = pulumi.Output.secret(
            pulumi.Output.all(self.passwords).apply(lambda known: known[0])
        )
        self.port_policy_rows = self.port_policy.rows
        self.register_outputs(
            {
                "grafana_url": self.grafana_url,
                "loki_push_urls": self.loki_push_urls,
                "shipper_credentials": self.shipper_credentials,
                "port_policy_rows": self.port_policy_rows,
            }
        )

    def _port_policy(self) -> PortPolicy:
        settings = self._settings
        return PortPolicy(
            f"{self._name}-port-policy",
            PortPolicyArgs(
                host=self._host,
                image_id=self._docker.image_id("port-guard", settings.images.port_guard),
                namespace=settings.port_policy.namespace,
                rules=settings.rules_at(None),
                kept=settings.kept_at(None),
                limit=ConnectionLimit(
                    ports=(settings.edge.http_port, settings.edge.https_port),
                    per_source=settings.edge.connections_per_source,
                ),
                confirmation=Confirmation(
                    seconds=settings.port_policy.confirm_seconds,
                    target=settings.port_policy.confirm_target,
                    ssh_port=settings.ssh_port,
                ),
            ),
            self._docker.part,
        )

    def _other_host(self, key: str) -> OtherHost:
        settings = self._settings
        return OtherHost(
            f"{self._name}-host-{key}",
            OtherHostArgs(
                host=Host.of(settings.campus, settings.campus.other_hosts[key].docker_host),
                network_cidr=settings.campus.network_cidr,
                loki_image=settings.images.loki,
                port_guard_image=settings.images.port_guard,
                rules=settings.rules_at(key),
                kept=settings.kept_at(key),
                confirmation=Confirmation(
                    seconds=settings.port_policy.confirm_seconds,
                    ssh_port=settings.ssh_port_at(key),
                ),
            ),
            pulumi.ResourceOptions(parent=self),
        )

    def _make_lokis(self) -> None:
        settings = self._settings
        here = LokiHost(
            host=self._host,
            image_id=self._docker.image_id("loki", settings.images.loki),
            network_name=self._network_name,
        )
        others = {key: self._other_host(key).for_loki for key in settings.campus.other_hosts}
        for key, placement in self._placements.items():
            args = LokiArgs(
                placement=placement,
                hosts={None: here, **others},
                settings=settings.loki.instances[key],
                oldest_seconds=settings.oldest_seconds(key),
            )
            Loki(f"{self._name}-loki-{key}", args, self._guarded)

    def _grafana(self) -> Grafana:
        settings = self._settings
        sources = self._sources()
        return Grafana(
            f"{self._name}-grafana",
            GrafanaArgs(
                host=self._host,
                image_id=self._docker.image_id("grafana", settings.images.grafana),
                network_name=self._network_name,
                address=settings.campus.private_address(GRAFANA_PORT),
                root_url=site_url(settings.edge),
                sources=list(sources.values()),
                host_logs=self._host_logs(sources),
                hosts=replicas_elsewhere(self._placements.values()),
                settings=settings.grafana,
            ),
            self._guarded,
        )

    def _sources(self) -> dict[str, LokiSource]:
        settings = self._settings
        return {
            key: LokiSource(
                name=key,
                url=self._placements[key].url,
                retention=one.retention,
                retention_seconds=one.retention_seconds,
                # That a route lets AWS in doesn't say that anything there ships to it.
                expects_aws=one.allows_nat
                and any(service.loki == key for service in settings.services.values()),
            )
            for key, one in settings.loki.instances.items()
        }

    def _host_logs(self, sources: Mapping[str, LokiSource]) -> HostLogs | None:
        """What is known of this host's own logs, where they are shipped."""
        settings = self._settings
        if settings.campus.logs_to is None:
            return None
        return HostLogs(
            source=sources[settings.campus.logs_to],
            host=CAMPUS_LABEL,
            caddy=self._host.named("caddy"),
            guard=self._host.named(GUARD),
            routes=tuple(one.route for one in settings.loki.instances.values()),
        )

    def _shipper(
        self, loki: str, alloy_image_id: pulumi.Output[str], caddy_image_id: pulumi.Output[str]
    ) -> DockerShipper:
        """This host's own logs to one of its Lokis: from inside, past the gate."""
        return DockerShipper(
            f"{self._name}-log-shipper",
            DockerShipperArgs(
                host=self._host,
                label=CAMPUS_LABEL,
                alloy_image_id=alloy_image_id,
                caddy_image_id=caddy_image_id,
                network_name=self._network_name,
                address=self._settings.campus.private_address(ALLOY_PORT),
                hosts=replicas_elsewhere(self._placements.values()),
                push_url=self._placements[loki].url + PUSH_PATH,
            ),
            self._guarded,
        )

    def _edge(self, caddy_image_id: pulumi.Output[str]) -> Edge:
        settings = self._settings
        routes = [
            guarded_route(
                key, one, settings.edge, upstreams=self._placements[key].upstreams, paths=push_paths(one)
            )
            for key, one in settings.loki.instances.items()
        ]
        hosts = {
            replica.role: replica.campus_address
            for placement in self._placements.values()
            for replica in placement.replicas
        }
        if settings.grafana.enabled:
            hosts["grafana"] = settings.campus.private_address(GRAFANA_PORT)
        return Edge(
            f"{self._name}-edge",
            EdgeArgs(
                host=self._host,
                image_id=caddy_image_id,
                site=settings.edge,
                routes=routes,
                account_hashes={
                    key: hashes_of(f"{self._name}-{key}", one, self) for key, one in self.passwords.items()
                },
                grafana=f"grafana:{GRAFANA_PORT}" if settings.grafana.enabled else None,
                upstream_hosts=hosts,
            ),
            self._guarded,
        )
