# pyright: strict
"""The Docker hosts whose own metrics Prometheus gets, and the checks of them. Pure.

Each check raises a ValueError whose text begins with the wrong key, below `campus-monitor:`.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping

from components.docker_hosts.settings import CampusSettings, ImagesSettings
from components.edge.guarded_settings import allowlist
from components.edge.settings import EdgeSettings
from components.host_metrics.settings import DOCKER_DISK, SYSTEM_DISK, HostMetricsSettings
from components.log_shipper.settings import CAMPUS_LABEL, ShipperSettings
from components.prometheus.settings import PrometheusSettings
from components.values.networks import contains

# The URLs of Docker hosts beside the campus server, by name.
DockerHosts = Mapping[str, str]
ShippersByName = Mapping[str, ShipperSettings]


def other_docker_hosts(campus: CampusSettings, shippers: ShippersByName) -> DockerHosts:
    """Replicas' hosts and shippers' hosts; one with two names has the first."""
    named = {name: one.docker_host for name, one in campus.other_hosts.items()}
    found: dict[str, str] = {}
    for name, url in (*named.items(), *((name, one.docker_host) for name, one in shippers.items())):
        if url not in (campus.docker_host, *found.values()):
            found.setdefault(name, url)
    return found


def check_host_metrics(
    own: HostMetricsSettings,
    prometheus: PrometheusSettings | None,
    images: ImagesSettings,
    campus: CampusSettings,
    shippers: ShippersByName,
    edge: EdgeSettings,
) -> None:
    """There is a Prometheus that gets them, an image, and a name of its own for each host."""
    if not own.enabled:
        return
    if prometheus is None:
        raise ValueError("hostMetrics.enabled: the area `prometheus` is needed, received true")
    if images.otel_collector is None:
        raise ValueError("images.otelCollector: required with hostMetrics.enabled, received None")
    _check_names(campus, shippers)
    others = other_docker_hosts(campus, shippers)
    _check_disks(own, (CAMPUS_LABEL, *others))
    _check_account(own, prometheus, others)
    if others:
        _check_certificate(edge, others)
        _check_addresses(prometheus, edge, campus)


def _check_names(campus: CampusSettings, shippers: ShippersByName) -> None:
    if CAMPUS_LABEL in campus.other_hosts:
        raise ValueError(
            f"campus.otherHosts.{CAMPUS_LABEL}: the campus server's own name in metrics: choose another"
        )
    for name, shipper in shippers.items():
        other = campus.other_hosts.get(name)
        if other is not None and other.docker_host != shipper.docker_host:
            raise ValueError(
                f"shippers.{name}: campus.otherHosts has another host of this name, which is a label of "
                f"metrics: choose another, received dockerHost {shipper.docker_host!r}"
            )


def _check_disks(own: HostMetricsSettings, hosts: tuple[str, ...]) -> None:
    for host, disks in own.disks.items():
        if host not in hosts:
            raise ValueError(f"hostMetrics.disks.{host}: one of {', '.join(hosts)}, received {host!r}")
        for name in (SYSTEM_DISK, DOCKER_DISK):
            if name in disks:
                raise ValueError(
                    f"hostMetrics.disks.{host}.{name}: a disk of this name is measured anyway: choose "
                    f"another, received {disks[name]!r}"
                )


def _check_account(own: HostMetricsSettings, prometheus: PrometheusSettings, others: DockerHosts) -> None:
    known = {one.user: one for one in prometheus.accounts}
    if own.account is None:
        if others:
            raise ValueError(
                f"hostMetrics.account: one of the accounts of prometheus {list(known)} is needed for "
                f"{', '.join(others)}, received None"
            )
        return
    if own.account not in known:
        raise ValueError(
            f"hostMetrics.account: one of the accounts of prometheus {list(known)}, received {own.account!r}"
        )
    password = known[own.account].password
    text = "" if password is None else password.get_secret_value()
    if text != text.strip():
        # The Collector's credentialsfile.
        raise ValueError(
            "hostMetrics.account: the Collector would strip the white space around this account's password"
        )


def _check_certificate(edge: EdgeSettings, others: DockerHosts) -> None:
    """Collectors trust only their image's authorities."""
    if edge.tls != "acme":
        raise ValueError(
            f"edge.tls: no collector on {', '.join(others)} trusts a certificate other than acme's, "
            f"received {edge.tls!r}"
        )
    if edge.acme is not None and edge.acme.root is not None:
        raise ValueError(
            "edge.acme.root: no collector trusts the certificates of an authority with a root of its own, "
            f"received hostMetrics on {sorted(others)}"
        )


def _check_addresses(prometheus: PrometheusSettings, edge: EdgeSettings, campus: CampusSettings) -> None:
    allowed = [ipaddress.ip_network(cidr) for cidr in allowlist(prometheus, edge)]
    for name, host in campus.other_hosts.items():
        address = ipaddress.ip_network(host.address)
        if not any(contains(network, address) for network in allowed):
            raise ValueError(
                f"prometheus.allow: campus.otherHosts.{name} pushes its metrics from {host.address}: add it, "
                f"received {list(prometheus.allow)}"
            )
