"""Example settings: a small stack's, and the local stack's with changes."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any

from rig.stack import Settings, local_settings

SECRET = "a secret that nobody may read"

# Without its host's metrics, which each further Docker host would have to send, too.
LOCAL = {key: area for key, area in local_settings().items() if key != "hostMetrics"}
# For a route without accounts, and a port open to documentation addresses, which count as public.
DOMAIN = "campus.example.org"
OPEN = {"natWithoutPassword": True, "publishedWide": True}
# A small stack, with every area that a campus server needs.
TREE: dict[str, Any] = {
    "campus": {"dockerHost": "unix:///nowhere.sock", "namePrefix": "t-", "protectData": False},
    "images": {
        "requireDigest": False,
        "caddy": "caddy:2.11.7-alpine",
        "loki": "grafana/loki:3.7.8",
        "grafana": "grafana/grafana:13.0.1",
        "portGuard": "campus-monitor/port-guard:dev",
        "alloy": "grafana/alloy:v1.18.1",
        "blackboxExporter": "prom/blackbox-exporter:v0.28.0",
    },
    "edge": {"domain": "campus.localhost", "tls": "internal"},
    "loki": {
        "instances": {
            "aws": {"port": 3100, "route": "/lokiaws", "allow": ["nat"], "published": True, **OPEN},
            "test": {
                "port": 3199,
                "route": "/lokitest",
                "allow": ["nat"],
                "accounts": [{"user": "admin", "password": SECRET}, {"user": "other"}],
            },
        }
    },
    "portPolicy": {
        "operatorCidrs": ["198.51.100.0/24"],
        "rules": [
            {"action": "limit", "port": 22},
            {"action": "allow", "port": 80},
            {"action": "allow", "port": 443},
            {"action": "allow", "port": 3100, "from": ["198.51.100.0/24"]},
        ],
    },
    "egress": {"create": {"zones": ["ap-northeast-2a", "ap-northeast-2b"]}},
    "aws": {"region": "ap-northeast-2"},
}

# Tested secrets contain this, and no message may show it.
CANARY = "s3cret-canary"
KEY = f"{CANARY}-of-a-bucket"
S3 = {
    "bucket": "codedang-loki",
    "region": "ap-northeast-2",
    "accessKeyId": "AKIAEXAMPLE",
    "secretAccessKey": KEY,
}
ON_S3 = {"storage": "s3", "s3": S3}
DISK_THEN_S3 = [{"from": "2024-01-01", "storage": "filesystem"}, {"from": "2026-12-01"}]
THREE = ON_S3 | {"replicas": 3}

# The addresses of three replicas' hosts, the campus server first.
HERE, SECOND, THIRD = "10.40.0.1", "10.40.0.2", "10.40.0.7"
HOSTS = {
    "log2": {"dockerHost": "ssh://deploy@log2.example.org:21541", "address": SECOND},
    "log3": {"dockerHost": "ssh://deploy@log3.example.org:21541", "address": THIRD},
}

SMTP = {"host": "smtp.example.org", "fromAddress": "grafana@example.org"}
SHIPPER = {"dockerHost": "ssh://deploy@198.51.100.7", "loki": "test", "account": "admin"}


def with_aws(**changes: Any) -> dict[str, Any]:
    """The settings with another `aws` instance."""
    tree = copy.deepcopy(TREE)
    tree["loki"]["instances"]["aws"] |= {"published": False} | changes
    return tree


def on_three_hosts(**changes: Any) -> dict[str, Any]:
    """The small stack with three replicas of `aws` on three hosts; `changes` are the instance's."""
    made = with_aws(**THREE, replicaHosts=["log2", "log3"], **changes)
    made["campus"] |= {"address": HERE, "otherHosts": copy.deepcopy(HOSTS)}
    made["portPolicy"]["rules"] += [
        {"action": "limit", "port": 21541},
        # Much too wide, but it mustn't open any of the Lokis' ports.
        {"action": "allow", "port": "3000-30000"},
    ]
    return made


def changed(path: str, value: Any) -> Settings:
    """The local stack's settings with a value at a dotted path; `...` removes the key."""
    return put(LOCAL, {path: value})


def put(settings: Settings, changes: Mapping[str, Any]) -> Settings:
    """A copy of the settings with each value at its dotted path; `...` removes the key."""
    result = copy.deepcopy(settings)
    for path, value in changes.items():
        *parents, last = path.split(".")
        node = result
        for part in parents:
            node = node.setdefault(part, {})
        if value is ...:
            del node[last]
        else:
            node[last] = value
    return result


# The local stack's settings, changed to allow shippers.
SHIPPING = put(
    LOCAL,
    {"images.alloy": "grafana/alloy:v1.18.1", "edge.domain": DOMAIN}
    | {"edge.tls": "acme", "edge.email": "operators@example.org"},
)

# With three replicas' hosts and a shipper's, every one with metrics of its own.
MEASURED_HOSTS = {
    **{name: str(one["dockerHost"]) for name, one in HOSTS.items()},
    "stage": SHIPPER["dockerHost"],
}
HOST_METRICS = put(
    SHIPPING,
    {
        "campus.address": HERE,
        "campus.otherHosts": HOSTS,
        "loki.instances.aws": SHIPPING["loki"]["instances"]["aws"] | THREE | {"replicaHosts": [*HOSTS]},
        "portPolicy": {
            "operatorCidrs": ["198.51.100.0/24"],
            "rules": [{"action": "allow", "port": port} for port in (22, 21541, 18080, 18443)],
        },
        "prometheus": {
            "route": "/metrics",
            "allow": ["nat", SECOND, THIRD, "198.51.100.7"],
            "allowWide": True,
            "accounts": [{"user": "hosts"}],
        },
        "shippers": {"stage": SHIPPER | {"account": "admin"}},
        "hostMetrics": {"enabled": True, "account": "hosts", "disks": {"log2": {"data": "/srv/data"}}},
    },
)

# With a policy for the host, and watched from AWS.
WATCHED = put(
    SHIPPING,
    {
        "watch": {"mails": ["team@example.org", "operators@example.org"]},
        "portPolicy": {
            "operatorCidrs": ["198.51.100.0/24"],
            "rules": [{"action": "allow", "port": port} for port in (22, 18080, 18443)],
        },
    },
)
