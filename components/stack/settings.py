# pyright: strict
"""All settings of one environment, parsed once, and the values that follow from several of them. Pure.

Every mistake in the configuration becomes one line that names the key's path, the rule and the value
received (never a secret's value), before any resource is registered.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Self, TypeVar
from urllib.parse import urlsplit

from pydantic import field_validator, model_validator

from components.aws.egress_settings import EgressSettings
from components.aws.settings import AwsSettings
from components.aws.watch_settings import WatchSettings
from components.certificate_probe.config import probe_rules, probed
from components.docker_hosts.settings import CampusSettings, HostKey, ImagesSettings
from components.ecs.settings import ServiceSettings
from components.edge.guarded_settings import GuardedSettings, allowlist
from components.edge.settings import EdgeSettings
from components.grafana.settings import GrafanaSettings
from components.host_metrics.settings import HostMetricsSettings
from components.live.confirmation import Confirmation
from components.log_shipper.settings import ShipperSettings
from components.loki.placement import Placement, place
from components.loki.replica_rules import kept_from_containers, replica_rules
from components.loki.settings import LokisSettings
from components.port_policy.rules import Kept, Rule
from components.port_policy.settings import PortPolicySettings
from components.prometheus.settings import PrometheusSettings
from components.stack import cross_checks
from components.stack.measured_hosts import check_host_metrics
from components.stack.rule_checks import check_alert_rules
from components.stack.watched_site import check_watch
from components.values.area import Area
from components.values.errors import validated
from components.values.texts import ShortName

# sshd's default port (sshd_config(5), Port).
SSH_PORT = 22


class Settings(Area):
    """All settings of one environment."""

    campus: CampusSettings
    """The campus server runs the stack's containers."""
    images: ImagesSettings
    """The campus server's containers run from these images."""
    edge: EdgeSettings
    """Caddy is the only way in: it serves the push routes and Grafana."""
    loki: LokisSettings
    """Loki stores the log lines."""
    prometheus: PrometheusSettings | None = None
    """Prometheus stores metrics, if this area is there."""
    host_metrics: HostMetricsSettings = HostMetricsSettings()
    """Every Docker host of the stack sends its own metrics to Prometheus, if this is on."""
    grafana: GrafanaSettings = GrafanaSettings()
    """Grafana shows the log lines."""
    port_policy: PortPolicySettings = PortPolicySettings()
    """The port policy decides what may enter the host."""
    egress: EgressSettings
    """The tasks' traffic leaves AWS from the public addresses that this area defines."""
    services: dict[ShortName, ServiceSettings] = {}
    """The stack creates task definitions for these ECS services, by name."""
    shippers: dict[ShortName, ShipperSettings] = {}
    """Alloy ships the container logs of these Docker hosts; their lines have the name as label `host`."""
    aws: AwsSettings
    """The stack creates its AWS resources here."""
    watch: WatchSettings = WatchSettings()
    """AWS checks the campus server's site from outside, and mails the team when it is down."""

    @field_validator("prometheus", mode="before")
    @classmethod
    def _left_out(cls, value: object) -> object:
        # Pulumi gives an area that isn't in the file as an empty one (Pulumi.yaml).
        return value or None

    @model_validator(mode="after")
    def _check_across(self) -> Self:
        lokis = self.loki.instances
        cross_checks.check_ports(self.backends)
        cross_checks.check_backends(self.backends, self.images)
        check_host_metrics(
            self.host_metrics, self.prometheus, self.images, self.campus, self.shippers, self.edge
        )
        own = self.grafana.alert_rules or {}
        check_alert_rules(own, lokis, has_prometheus=self.prometheus is not None)
        cross_checks.check_services(self.services, lokis, self.egress)
        cross_checks.check_services_metrics(self.services, self.prometheus, self.edge, self.egress)
        cross_checks.check_digests(self.services, self.images)
        cross_checks.check_zones(self.egress, self.aws)
        cross_checks.check_private_network(self.campus, self.port_policy, self.edge, self.backends)
        cross_checks.check_accounts_of_nat(self.backends, self.edge, self.egress)
        cross_checks.check_late_lines(self.services, lokis)
        cross_checks.check_logs_of_hosts(self.shippers, self.campus, self.images, lokis)
        cross_checks.check_shippers_certificate(self.shippers, self.edge)
        cross_checks.check_shippers(self.shippers, self.campus, lokis)
        # First, since other checks need the rules for each replica's host.
        cross_checks.check_replica_hosts(lokis, self.campus, self.port_policy)
        cross_checks.check_published(self.backends, self.edge, self.port_policy, self.ssh_port)
        if self.port_policy.namespace == "host":
            self._check_guarded_hosts()
        if self.watch.is_on:
            check_watch(self.edge, self.grafana, self.aws, self.port_policy)
        return self

    def _check_guarded_hosts(self) -> None:
        """Refuse rules that close a port that must stay open on a guarded host."""
        cross_checks.check_operators_are_named(self.port_policy, self.ssh_port)
        for host in (None, *self.campus.other_hosts):
            before = self._rules_before(host)
            cross_checks.check_operators(self.port_policy, host, self.ssh_port_at(host), before)
        cross_checks.check_caddy(self.edge, self.rules_at(None))

    def oldest_seconds(self, loki: str) -> int:
        """The age of the oldest line that a service sends to this Loki after its stated outage."""
        found = (one.plan.oldest_seconds for one in self.services.values() if one.loki == loki)
        return max(found, default=0)

    @property
    def ssh_port(self) -> int:
        """The port of SSH on the campus server."""
        return self.port_policy.ssh_port or _port_of(self.campus.docker_host) or SSH_PORT

    def ssh_port_at(self, host: HostKey) -> int:
        """The port of SSH on another host, or (None) on the campus server."""
        if host is None:
            return self.ssh_port
        return _port_of(self.campus.other_hosts[host].docker_host) or self.port_policy.ssh_port or SSH_PORT

    def confirmation_at(self, host: HostKey) -> Confirmation:
        """How new rules are confirmed on another host, or (None) on the campus server."""
        policy = self.port_policy
        return Confirmation(
            seconds=policy.confirm_seconds,
            target=policy.confirm_target if host is None else None,
            ssh_port=self.ssh_port_at(host),
        )

    def rules_at(self, host: HostKey) -> list[Rule]:
        """All rules of another host, or (None) of the campus server."""
        return [*self._rules_before(host), *self.port_policy.plain_rules]

    def _rules_before(self, host: HostKey) -> list[Rule]:
        """The stack's own rules, which come before the settings'."""
        of_replicas = replica_rules(list(self.placements.values()), host)
        if host is not None or self.prometheus is None:
            return of_replicas
        to = probed(self.campus, self.edge)
        return [*of_replicas, *probe_rules(to, self.port_policy.plain_rules)]

    def kept_at(self, host: HostKey) -> list[Kept]:
        """The destinations on other hosts that a host's containers can't reach."""
        return kept_from_containers(list(self.placements.values()), host, self.campus.network_cidr)

    @property
    def backends(self) -> Mapping[str, GuardedSettings]:
        """All backends behind the gate, by the settings' own keys."""
        metrics = {} if self.prometheus is None else {"prometheus": self.prometheus}
        return {f"loki.instances.{name}": one for name, one in self.loki.instances.items()} | metrics

    @property
    def placements(self) -> dict[str, Placement]:
        """The placement of each Loki's replicas."""
        return {name: place(name, one, self.campus) for name, one in self.loki.instances.items()}

    def allowed_cidrs(self, nat_public_ips: list[str]) -> list[str]:
        """Every address or CIDR that may push to any guarded route, sorted."""
        lists = [allowlist(one, self.edge, nat_public_ips) for one in self.backends.values()]
        return sorted({cidr for cidrs in lists for cidr in cidrs})

    def allowed_cidrs_by_loki(self, nat_public_ips: list[str]) -> dict[str, list[str]]:
        """Who may push to each Loki's route, sorted."""
        return {
            name: sorted(set(allowlist(one, self.edge, nat_public_ips)))
            for name, one in self.loki.instances.items()
        }

    def metrics_allowed_cidrs(self, nat_public_ips: list[str]) -> list[str] | None:
        """Who may push metrics, sorted; None without Prometheus."""
        metrics = self.prometheus
        return None if metrics is None else sorted(set(allowlist(metrics, self.edge, nat_public_ips)))


def _port_of(docker_host: str) -> int | None:
    """The port in an ssh:// URL."""
    url = urlsplit(docker_host)
    return url.port if url.scheme == "ssh" else None


def parse(tree: dict[str, Any]) -> Settings:
    """Settings from a plain tree of configuration values, keyed as in `Pulumi.<stack>.yaml`.

    Raises SettingsError with one line per mistake.
    """
    return validated(Settings, tree)


Part = TypeVar("Part", bound=Area)


class AwsHalf(Area):
    """The areas for AWS; the others, with their secrets, aren't read."""

    egress: EgressSettings
    services: dict[ShortName, ServiceSettings] = {}
    aws: AwsSettings
    watch: WatchSettings = WatchSettings()


def parse_part(part: type[Part], tree: dict[str, Any]) -> Part:
    """Parse only the areas in a model, from a stack's file. Raises SettingsError."""
    return validated(part, {key: tree[key] for key in part.model_fields if key in tree})
