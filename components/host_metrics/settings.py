# pyright: strict
"""The settings of the Docker hosts' own metrics. Pure."""

from __future__ import annotations

from typing import Annotated

from components.values.area import Area
from components.values.texts import ShortName, UserName
from components.values.value_rule import ValueRule

# The name of its containers and volumes, with the host's label behind it.
ROLE = "host-metrics"
# Disks that are always measured, by their names: the one of the host's /etc, and that of Docker's volumes.
SYSTEM_DISK, DOCKER_DISK = "system", "docker"

HostFolder = Annotated[
    str,
    ValueRule(
        "an absolute path of [A-Za-z0-9._/-] is needed, without `..`", r"(/(?!\.\.?(/|$))[A-Za-z0-9._-]+)+"
    ),
]


class HostMetricsSettings(Area):
    """The metrics of every Docker host of the stack and of its containers."""

    enabled: bool = False
    """An OpenTelemetry Collector on the campus server, on `campus.otherHosts` and on the hosts of `shippers`
    sends metrics to Prometheus."""
    account: UserName | None = None
    """The other hosts' collectors log in with this account of `prometheus`; only they need one."""
    disks: dict[ShortName, dict[ShortName, HostFolder]] = {}
    """Further disks to measure, by host (`campus` is the server) and by name: any path on the disk, best an
    empty folder, since the collector sees what is in it ([more](metrics.md#the-hosts-own-metrics))."""
