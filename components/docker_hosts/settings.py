# pyright: strict
"""The settings of the Docker hosts and of the images that run on them. Pure."""

from __future__ import annotations

import ipaddress
import re
from typing import Annotated, Literal, Self

from pydantic import ValidationInfo, field_validator, model_validator

from components.values.area import Area
from components.values.networks import Cidr, HostAddress, is_private
from components.values.texts import DockerHost, Image, ShortName
from components.values.value_rule import ValueRule

# A host's name in `otherHosts`; None is the campus server.
HostKey = str | None

# Docker's gateway, which is the host, and the reader have these addresses in both networks.
GATEWAY_PLACE, READER_PLACE = 1, 2
# The containers on the readers' network, and the address of each.
Reader = Literal["reader", "grafana", "log-shipper", "host-metrics"]
_READERS_PLACES: dict[Reader, int] = {
    "reader": READER_PLACE,
    "grafana": 3,
    "log-shipper": 4,
    "host-metrics": 5,
}


def _private_network(size: int) -> ValueRule:
    return ValueRule(f"a private IPv4 network of size /{size} is needed")


class OtherHostSettings(Area):
    """Another Docker host on campus, for replicas of Lokis: `replicaHosts` names it."""

    docker_host: DockerHost
    """Pulumi reaches the host's Docker Engine at this URL."""
    address: HostAddress
    """The campus server and the other hosts reach the host at this address, which is also its packets'
    source."""


class CampusSettings(Area):
    """The Docker host on campus and what is common to its containers."""

    docker_host: DockerHost
    """Pulumi reaches the campus server's Docker Engine at this URL."""
    name_prefix: Annotated[
        str, ValueRule("[a-z0-9_.-] and a dash at the end, or nothing", r"([a-z0-9][a-z0-9_.-]*-)?")
    ] = ""
    """Every container, volume and network name begins with this prefix; a dedicated host needs none."""
    # A container's address in it is the network address plus the port it serves: fixed, and readable in both
    # directions.
    network_cidr: Annotated[Cidr, _private_network(16)] = "172.29.0.0/16"
    """The Lokis are on this private network, each at its own address."""
    readers_network_cidr: Annotated[Cidr, _private_network(24)] = "172.30.0.0/24"
    """Grafana and what ships the campus server's own logs and metrics are on this private network, and reach
    Lokis and Prometheus only through the reader."""
    protect_data: bool = True
    """Volumes with data survive `pulumi destroy`, and no change can delete them."""
    logs_to: ShortName | None = None
    """The logs of the campus server's own containers go to this Loki instance; by default, nowhere."""
    other_hosts: dict[ShortName, OtherHostSettings] = {}
    """The stack runs Loki replicas on these further Docker hosts, by name ([how](loki.md))."""
    address: HostAddress | None = None
    """The other Docker hosts reach the campus server at this address."""

    @model_validator(mode="after")
    def _check(self) -> Self:
        _check_network("networkCidr", self.network_cidr, 16, " (an address is chosen per port)")
        _check_network("readersNetworkCidr", self.readers_network_cidr, 24)
        networks = ipaddress.ip_network(self.network_cidr), ipaddress.ip_network(self.readers_network_cidr)
        if networks[0].overlaps(networks[1]):
            raise ValueError(
                f"readersNetworkCidr: the Lokis have these addresses (networkCidr {networks[0]}): choose "
                f"another network, received {self.readers_network_cidr!r}"
            )
        self._check_other_hosts()
        return self

    def private_address(self, port: int) -> str:
        """The fixed address, on the Lokis' network, of the Loki that serves this port."""
        return str(ipaddress.ip_network(self.network_cidr).network_address + port)

    def readers_address(self, reader: Reader) -> str:
        """The fixed address of a container on the readers' network."""
        network = ipaddress.ip_network(self.readers_network_cidr)
        return str(network.network_address + _READERS_PLACES[reader])

    @property
    def networks(self) -> dict[str, str]:
        """The CIDRs of the containers' networks by the settings' own keys."""
        return {"networkCidr": self.network_cidr, "readersNetworkCidr": self.readers_network_cidr}

    def host_address(self, host: HostKey) -> str:
        """The address at which the other hosts reach this one; other hosts exist only if it is set."""
        return str(self.address) if host is None else self.other_hosts[host].address

    def _check_other_hosts(self) -> None:
        if self.other_hosts and self.address is None:
            raise ValueError("address: needed, since the other hosts reach this one there, received None")
        taken = {self.docker_host: "campus", self.address: "campus"}
        for name, host in self.other_hosts.items():
            for field, value in (("dockerHost", host.docker_host), ("address", host.address)):
                if value in taken:
                    raise ValueError(
                        f"otherHosts.{name}.{field}: {taken[value]} has it already, received {value!r}"
                    )
                taken[value] = f"otherHosts.{name}"
        for key, address in self._addresses():
            for setting, cidr in self.networks.items():
                if ipaddress.ip_address(address) in ipaddress.ip_network(cidr):
                    raise ValueError(
                        f"{key}: an address of the containers' own network ({setting} {cidr}) "
                        f"is reached from nowhere else, received {address!r}"
                    )

    def _addresses(self) -> list[tuple[str, str]]:
        own = [] if self.address is None else [("address", self.address)]
        return [
            *own,
            *((f"otherHosts.{name}.address", one.address) for name, one in self.other_hosts.items()),
        ]


def _check_network(key: str, cidr: str, size: int, why: str = "") -> None:
    network = ipaddress.ip_network(cidr)
    address = network.network_address
    usable = is_private(address) and not address.is_loopback and not address.is_link_local
    if network.version != 4 or network.prefixlen != size or not usable:
        raise ValueError(f"{key}: {_private_network(size).words}{why}, received {cidr!r}")


DIGEST_RULE = "tag and digest are required here (name:tag@sha256:…, see images.requireDigest)"


def has_digest(image: str) -> bool:
    return "@sha256:" in image


class ImagesSettings(Area):
    """The images that the campus server runs, each with its tag."""

    require_digest: bool = True
    """Every image must have a digest, in `services` too."""
    caddy: Image
    """Caddy runs from this image."""
    loki: Image
    """Every Loki instance runs from this image."""
    grafana: Image
    """Grafana runs from this image."""
    port_guard: Image
    """The port policy's guard runs from this image."""
    alloy: Image | None = None
    """Alloy runs from this image; only `shippers` and `campus.logsTo` need it."""
    prometheus: Image | None = None
    """Prometheus runs from this image; only `prometheus` needs it."""
    blackbox_exporter: Image | None = None
    """The probe of the site's certificate runs from this image; only `prometheus` needs it."""
    otel_collector: Image | None = None
    """The OpenTelemetry Collector (contrib) runs from this image; only `hostMetrics` needs it."""

    @field_validator(
        *("caddy", "loki", "grafana", "port_guard", "alloy"),
        *("prometheus", "blackbox_exporter", "otel_collector"),
    )
    @classmethod
    def _check_digest(cls, value: str | None, info: ValidationInfo) -> str | None:
        if info.data.get("require_digest") and value is not None and not has_digest(value):
            raise ValueError(DIGEST_RULE)
        return value

    @field_validator("grafana")
    @classmethod
    def _check_grafana(cls, value: str) -> str:
        # Since 13.2 Loki's data source is a plugin that only the full image has (grafana#129092).
        words = re.split(r"[^a-z]", value.partition("@")[0].lower())
        if "slim" in words:
            raise ValueError("a -slim image has no data source for Loki: use the full image")
        if "distroless" in words:
            raise ValueError("a -distroless image has no shell to reload Grafana's files: use the full image")
        return value
