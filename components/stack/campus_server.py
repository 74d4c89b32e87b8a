"""The campus server: one Docker host with Caddy, the Lokis, Grafana and the port policy."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

import pulumi
import pulumi_docker as docker

from components.aws.watch import HeartbeatKey
from components.aws.watch_settings import WATCH_REGION
from components.certificate_probe.component import CertificateProbe, CertificateProbeArgs
from components.certificate_probe.config import ROLE as PROBE
from components.certificate_probe.config import probed
from components.docker_hosts.agent import AgentArgs
from components.docker_hosts.containers import Host, mounted
from components.docker_hosts.docker_host import docker_host
from components.docker_hosts.settings import READER_PLACE
from components.edge.accounts import hashes_of, passwords_of
from components.edge.caddyfile import site_url
from components.edge.component import AllowedAddress, AllowedAddressArgs, Edge, EdgeArgs
from components.edge.own_metrics import SOCKET_DIRECTORY
from components.edge.reader import Reader, ReaderArgs
from components.grafana.component import Grafana, GrafanaArgs, Heartbeats
from components.grafana.heartbeat import HeartbeatTopic
from components.host_metrics.component import HostMetrics, HostMetricsArgs
from components.live.container_facts import GRAFANA_PORT
from components.log_shipper.component import DockerShipper
from components.log_shipper.settings import CAMPUS_LABEL
from components.loki.component import Loki
from components.loki.other_host import LokiHost
from components.loki.push_paths import PUSH_PATH
from components.port_policy.component import PortPolicy, PortPolicyArgs
from components.prometheus.component import Prometheus, PrometheusArgs
from components.prometheus.push_paths import METRICS_PATHS, OTLP
from components.prometheus.settings import PrometheusSettings
from components.stack.backends import guarded_backends
from components.stack.campus_routes import (
    connection_limit,
    guarded_routes,
    measured_programs,
    published_routes,
    reader_caddyfile,
    reader_url,
    upstream_hosts,
)
from components.stack.grafana_sources import host_logs, loki_sources, metrics_source
from components.stack.lokis import make_lokis
from components.stack.settings import Settings


@dataclass(frozen=True, kw_only=True)
class CampusServerArgs:
    """What the campus server needs to know: the settings, as they were read, and Grafana's key for AWS."""

    settings: Settings
    heartbeat: HeartbeatKey | None = None


class CampusServer(pulumi.ComponentResource):
    """Everything on the campus server. Closed until an address is allowed."""

    grafana_url: pulumi.Output[str]
    """Where people find Grafana."""
    loki_push_urls: pulumi.Output[dict[str, str]]
    """Where shippers push to, per Loki instance."""
    metrics_push_urls: pulumi.Output[dict[str, str] | None]
    """Where metrics are pushed to, per protocol; None without Prometheus."""
    passwords: dict[str, dict[str, pulumi.Output[str]]]
    """The password per user, per backend with accounts (secret): each by itself, so that a new one
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
        self._heartbeat = args.heartbeat
        self._host = Host.of(settings.campus)
        self._docker = docker_host(name, self._host, self)
        self.port_policy = self._port_policy()
        # Everything else on the host comes after its policy: a port is guarded before it is open, and rules
        # that shut us out are undone before a container is half made.
        guarded = pulumi.ResourceOptions(depends_on=[self.port_policy.live])
        self._guarded = pulumi.ResourceOptions.merge(self._docker.part, guarded)
        campus, after = settings.campus, [self.port_policy.live]
        self._network_name = self._docker.private_network("network", campus.network_cidr, after)
        self._readers_network_name = self._docker.private_network(
            "readers-network", campus.readers_network_cidr, after
        )
        lokis = make_lokis(name, settings, self._loki_host(), self, self._guarded)
        caddy_image_id = self._docker.image_id("caddy", settings.images.caddy)
        self._metrics_volume = None if settings.prometheus is None else self._edges_metrics()
        reader = self._reader(caddy_image_id)
        self._asking = pulumi.ResourceOptions.merge(
            self._guarded, pulumi.ResourceOptions(depends_on=[reader])
        )
        prometheus = (
            self._prometheus(settings.prometheus, settings.images.prometheus)
            if settings.prometheus is not None and settings.images.prometheus is not None
            else None
        )
        asked = [*lokis, *([] if prometheus is None else [prometheus])]
        self.grafana = self._grafana(asked) if settings.grafana.enabled else None
        self.passwords = {
            one.name: passwords_of(f"{name}-{one.name}", one.settings.accounts, self)
            for one in guarded_backends(settings)
            if one.settings.accounts
        }
        self.edge = self._edge(caddy_image_id, lokis)
        if settings.campus.logs_to is not None and settings.images.alloy is not None:
            alloy_image_id = self._docker.image_id("alloy", settings.images.alloy)
            self._shipper(settings.campus.logs_to, alloy_image_id, caddy_image_id)
        if settings.host_metrics.enabled and settings.prometheus is not None:
            self._host_metrics(settings.prometheus.port, caddy_image_id)
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
        metrics = self._settings.prometheus
        self.metrics_push_urls = pulumi.Output.from_input(
            None
            if metrics is None
            else {
                key: f"{site_url(self._settings.edge)}{metrics.route}{path.path}"
                for key, path in METRICS_PATHS.items()
            }
        )
        self.shipper_credentials = pulumi.Output.secret(
            pulumi.Output.all(self.passwords).apply(lambda known: known[0])
        )
        self.port_policy_rows = self.port_policy.rows
        self.register_outputs(
            {
                "grafana_url": self.grafana_url,
                "loki_push_urls": self.loki_push_urls,
                "metrics_push_urls": self.metrics_push_urls,
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
                limit=connection_limit(settings),
                confirmation=settings.confirmation_at(None),
            ),
            self._docker.part,
        )

    def _loki_host(self) -> LokiHost:
        return LokiHost(
            host=self._host,
            image_id=self._docker.image_id("loki", self._settings.images.loki),
            network_name=self._network_name,
        )

    def _prometheus(self, settings: PrometheusSettings, image: str) -> Prometheus:
        """Prometheus, and the certificate's probe, which it asks."""
        to = probed(self._settings.campus, self._settings.edge)
        # The settings require one.
        probes_image = str(self._settings.images.blackbox_exporter)
        CertificateProbe(
            f"{self._name}-{PROBE}",
            CertificateProbeArgs(
                host=self._host,
                image_id=self._docker.image_id("blackbox-exporter", probes_image),
                network_name=self._network_name,
                probed=to,
            ),
            self._guarded,
        )
        return Prometheus(
            f"{self._name}-prometheus",
            PrometheusArgs(
                host=self._host,
                image_id=self._docker.image_id("prometheus", image),
                network_name=self._network_name,
                address=self._settings.campus.private_address(settings.port),
                settings=settings,
                reader=f"{self._settings.campus.private_address(READER_PLACE)}:{settings.port}",
                programs=measured_programs(self._settings),
                probed=to,
            ),
            self._guarded,
        )

    def _edges_metrics(self) -> docker.Volume:
        """The volume with the socket of Caddy's own metrics, for Caddy and for the reader."""
        role = "caddy-metrics"
        return docker.Volume(f"{self._name}-{role}", name=self._host.named(role), opts=self._docker.own)

    def _reader(self, caddy_image_id: pulumi.Output[str]) -> Reader:
        campus = self._settings.campus
        return Reader(
            f"{self._name}-reader",
            ReaderArgs(
                host=self._host,
                image_id=caddy_image_id,
                caddyfile=reader_caddyfile(self._settings),
                networks=[
                    (self._network_name, campus.private_address(READER_PLACE)),
                    (self._readers_network_name, campus.readers_address("reader")),
                ],
                upstream_hosts=upstream_hosts(self._settings),
                volumes=[]
                if self._metrics_volume is None
                else [mounted(self._metrics_volume, SOCKET_DIRECTORY, read_only=True)],
            ),
            self._guarded,
        )

    def _grafana(self, sources: Sequence[pulumi.Resource]) -> Grafana:
        settings = self._settings
        # The sources are asked about these rules' queries.
        after = sources if settings.grafana.alert_rules else []
        return Grafana(
            f"{self._name}-grafana",
            GrafanaArgs(
                host=self._host,
                image_id=self._docker.image_id("grafana", settings.images.grafana),
                network_name=self._readers_network_name,
                address=settings.campus.readers_address("grafana"),
                root_url=site_url(settings.edge),
                sources=list(loki_sources(settings).values()),
                metrics=metrics_source(settings),
                host_logs=host_logs(settings),
                settings=settings.grafana,
                heartbeat=_heartbeats(self._heartbeat) if settings.watch.is_on else None,
            ),
            pulumi.ResourceOptions.merge(self._asking, pulumi.ResourceOptions(depends_on=after)),
        )

    def _shipper(
        self, loki: str, alloy_image_id: pulumi.Output[str], caddy_image_id: pulumi.Output[str]
    ) -> DockerShipper:
        """This host's own logs to one of its Lokis, by the reader."""
        return DockerShipper(
            f"{self._name}-log-shipper",
            AgentArgs(
                host=self._host,
                label=CAMPUS_LABEL,
                image_id=alloy_image_id,
                caddy_image_id=caddy_image_id,
                network_name=self._readers_network_name,
                address=self._settings.campus.readers_address("log-shipper"),
                push_url=reader_url(self._settings, self._settings.loki.instances[loki].port) + PUSH_PATH,
            ),
            self._asking,
        )

    def _host_metrics(self, port: int, caddy_image_id: pulumi.Output[str]) -> HostMetrics:
        """This host's own metrics to Prometheus, which has this port, by the reader."""
        settings = self._settings
        # The settings require one.
        image = str(settings.images.otel_collector)
        return HostMetrics(
            f"{self._name}-host-metrics",
            HostMetricsArgs(
                host=self._host,
                label=CAMPUS_LABEL,
                image_id=self._docker.image_id("otel-collector", image),
                caddy_image_id=caddy_image_id,
                network_name=self._readers_network_name,
                address=settings.campus.readers_address("host-metrics"),
                push_url=reader_url(settings, port) + OTLP.path,
                disks=settings.host_metrics.disks.get(CAMPUS_LABEL, {}),
            ),
            self._asking,
        )

    def _edge(self, caddy_image_id: pulumi.Output[str], lokis: Sequence[Loki]) -> Edge:
        settings = self._settings
        hosts = upstream_hosts(settings)
        if settings.grafana.enabled:
            hosts["grafana"] = settings.campus.readers_address("grafana")
        return Edge(
            f"{self._name}-edge",
            EdgeArgs(
                host=self._host,
                image_id=caddy_image_id,
                site=settings.edge,
                routes=guarded_routes(settings),
                account_hashes={
                    key: hashes_of(f"{self._name}-{key}", one, self) for key, one in self.passwords.items()
                },
                grafana=f"grafana:{GRAFANA_PORT}" if settings.grafana.enabled else None,
                published=published_routes(settings),
                upstream_hosts=hosts,
                metrics_volume=self._metrics_volume,
                # Before there was a reader, Docker published these ports for the Lokis.
                ports_freed_by=lokis,
            ),
            self._guarded,
        )


def _heartbeats(key: HeartbeatKey | None) -> Heartbeats:
    if key is None:
        return Heartbeats(topic=None)
    known = pulumi.Output.all(arn=key.topic_arn, region=WATCH_REGION, key_id=key.key_id, key=key.key)
    return Heartbeats(topic=known.apply(lambda found: HeartbeatTopic(**found)))
