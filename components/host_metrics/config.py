# pyright: strict
"""The OpenTelemetry Collector's configuration: a Docker host and its containers. Pure: values in, text out.

JSON is YAML, and needs none of YAML's quoting rules. A dollar sign may begin a variable, so each is doubled.
Tried with the Collector 0.165:

- `/proc` of any container has the whole host's CPU, memory, load, disk operations and paging: nothing of the
  host is needed for them. Network counters are the container's own there, so one file of the host is mounted.
- a disk's size and use are asked of any path on it, so the collector needs no mount of the host's root.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

from components.docker_hosts.docker_reader import SOCKET
from components.docker_hosts.push_destination import PASSWORD_FILE, Destination
from components.prometheus.otlp_exporter import otlp_exporter

# The user in the Collector's image.
COLLECTOR_UID = 10001
DIRECTORY = "/etc/host-metrics"
CONFIG_FILE = "config.yaml"
# Where disks are mounted, and what their paths begin with in metrics.
DISKS = "/disks"
# What the network's counters are read below, as if it were the host's root.
HOST_ROOT = "/host"

INTERVAL_SECONDS = 30
# Docker takes up to two seconds for a container's statistics, and answers for some at once.
DOCKER_SECONDS = 20
# Two hours of a host with 20 containers, in memory.
QUEUE_BYTES = 20_000_000

# Networks of containers, which count the same packets again.
_NOT_THE_HOSTS = r"^(lo|veth.*|br-.*|docker\d+)$"
# Beyond the Collector's defaults.
_MORE_OF_CONTAINERS = (
    "container.cpu.throttling_data.throttled_time",
    "container.restarts",
    "container.uptime",
)


def render_collector_config(host: str, disks: Iterable[str], destination: Destination) -> str:
    """The configuration file; `host` is the label of all its metrics, and `disks` are the disks' names."""
    receivers = {
        "host_metrics": _host(disks),
        "host_metrics/network": _network(),
        "docker_stats": _containers(),
    }
    config = {
        "receivers": receivers,
        "processors": {"resource": {"attributes": [{"key": "host.name", "value": host, "action": "upsert"}]}},
        "exporters": {"otlp_http": _exporter(destination)},
        **_login(destination),
        "service": {
            # Its own page for metrics would be open to its network.
            "telemetry": {"metrics": {"level": "none"}, "logs": {"level": "warn", "encoding": "json"}},
            **({"extensions": ["basicauth"]} if destination.user is not None else {}),
            "pipelines": {
                "metrics": {
                    "receivers": list(receivers),
                    "processors": ["resource"],
                    "exporters": ["otlp_http"],
                }
            },
        },
    }
    return json.dumps(config, indent=2).replace("$", "$$") + "\n"


def _host(disks: Iterable[str]) -> dict[str, Any]:
    mounts = [f"{DISKS}/{name}" for name in disks]
    return {
        "collection_interval": f"{INTERVAL_SECONDS}s",
        "scrapers": {
            "cpu": {"metrics": _on("system.cpu.logical.count")},
            "disk": {"exclude": {"match_type": "regexp", "devices": [r"^(loop|ram|sr)\d+$"]}},
            "filesystem": {
                # By name, so the kind doesn't matter.
                "include_virtual_filesystems": True,
                "include_mount_points": {"match_type": "strict", "mount_points": mounts},
            },
            "load": {},
            "memory": {"metrics": _on("system.memory.limit", "system.linux.memory.available")},
            "paging": {},
            "system": {},
        },
    }


def _network() -> dict[str, Any]:
    return {
        "collection_interval": f"{INTERVAL_SECONDS}s",
        "root_path": HOST_ROOT,
        "scrapers": {
            "network": {
                "exclude": {"match_type": "regexp", "interfaces": [_NOT_THE_HOSTS]},
                # It would count the collector's own.
                "metrics": {"system.network.connections": {"enabled": False}},
            }
        },
    }


def _containers() -> dict[str, Any]:
    return {
        "endpoint": f"unix://{SOCKET}",
        "collection_interval": f"{INTERVAL_SECONDS}s",
        "timeout": f"{DOCKER_SECONDS}s",
        # Whatever the engine has: no version suits all.
        "api_version": "",
        "metrics": _on(*_MORE_OF_CONTAINERS),
    }


def _on(*names: str) -> dict[str, dict[str, bool]]:
    return {name: {"enabled": True} for name in names}


def _exporter(destination: Destination) -> dict[str, Any]:
    login = {"auth": {"authenticator": "basicauth"}} if destination.user is not None else {}
    return otlp_exporter(destination.url, QUEUE_BYTES, login)


def _login(destination: Destination) -> dict[str, Any]:
    if destination.user is None:
        return {}
    client = {"username": destination.user, "password_file": f"{DIRECTORY}/{PASSWORD_FILE}"}
    return {"extensions": {"basicauth": {"client_auth": client}}}
