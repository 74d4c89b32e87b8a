"""Mistakes in `prometheus`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tests.support.mistakes.mistake import Mistake
from tests.support.settings import METRICS


def metrics(changes: Mapping[str, Any], says: str, *words: str) -> Mistake:
    """A mistake in settings with Prometheus."""
    return Mistake(changes, says, *words, base=METRICS)


MISTAKES = [
    metrics({"prometheus.route": ...}, "prometheus.route: required key is missing"),
    metrics({"images.prometheus": None}, "images.prometheus: required with prometheus", "None"),
    metrics({"prometheus.port": 3100}, "prometheus.port: 3100 is already used by loki.instances.aws"),
    metrics({"prometheus.port": 2}, "prometheus.port: the reader has that address (2)", "2"),
    metrics({"prometheus.route": "/lokiaws"}, "prometheus.route: '/lokiaws' is already used by"),
    metrics({"prometheus.accounts": []}, "prometheus.accounts: at least one is needed with `nat`", "[]"),
    metrics({"prometheus.retention": "23h"}, "prometheus.retention: samples are kept for at least 1d", "23h"),
    metrics({"prometheus.retention": "forever"}, "prometheus.retention: a duration is a whole", "forever"),
    metrics({"prometheus.retentionGib": 0}, "prometheus.retentionGib: ", "greater than or equal to 1", "0"),
    metrics({"prometheus.maxAge": "90d"}, "prometheus.maxAge: shorter than retention (90d)", "'90d'"),
    metrics({"prometheus.memoryBytes": 1 << 30}, "prometheus.memoryBytes: ", "1073741824"),
    metrics({"prometheus.keep": 1}, "prometheus.keep: "),
    metrics(
        {"loki.instances.prometheus": {"port": 3300, "route": "/x", "allow": ["198.51.100.7"]}},
        "loki.instances.prometheus: the backend of the area prometheus has that name",
    ),
    metrics({"prometheus.published": True}, "prometheus.published: ", "own", "true"),
]
