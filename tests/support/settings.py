"""Settings to begin with: a small stack's, and the local stack's with a change."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any

from tests.rig.stack import Settings, local_settings

SECRET = "a secret that nobody may read"

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
    },
    "edge": {"domain": "campus.localhost", "tls": "internal"},
    "loki": {
        "instances": {
            "aws": {"port": 3100, "route": "/lokiaws", "allow": ["nat"], "published": True},
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

KEY = "a-key-that-nobody-may-read"
S3 = {
    "bucket": "codedang-loki",
    "region": "ap-northeast-2",
    "accessKeyId": "AKIAEXAMPLE",
    "secretAccessKey": KEY,
}
ON_S3 = {"storage": "s3", "s3": S3}
THREE = ON_S3 | {"replicas": 3}


def with_aws(**changes: Any) -> dict[str, Any]:
    """The settings with another `aws` instance."""
    tree = copy.deepcopy(TREE)
    tree["loki"]["instances"]["aws"] |= {"published": False} | changes
    return tree


def changed(path: str, value: Any) -> Settings:
    """The local stack's settings with one value put at a dotted path; `...` removes the key."""
    return put(local_settings(), {path: value})


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
