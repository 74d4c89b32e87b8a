"""Mistakes in `hostMetrics`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tests.support.mistakes.edge import ACME, ROOT_PEM
from tests.support.mistakes.mistake import Mistake
from tests.support.settings import HOST_METRICS, SECOND, SHIPPER


def measured(changes: Mapping[str, Any], says: str, *words: str) -> Mistake:
    """A mistake in settings with metrics of several hosts."""
    return Mistake(changes, says, *words, base=HOST_METRICS)


MISTAKES = [
    measured({"prometheus": ...}, "hostMetrics.enabled: the area `prometheus` is needed", "true"),
    measured({"images.otelCollector": None}, "images.otelCollector: required with hostMetrics", "None"),
    measured({"hostMetrics.account": None}, "hostMetrics.account: one of the accounts of", "log2", "None"),
    measured({"hostMetrics.account": "x"}, "hostMetrics.account: one of the accounts of", "hosts", "'x'"),
    measured({"hostMetrics.account": "a b"}, "hostMetrics.account: a user name is", "a b"),
    measured(
        {"prometheus.accounts": [{"user": "hosts", "password": "ends-with-a-space "}]},
        "hostMetrics.account: the Collector would strip the white space",
    ),
    measured(
        {"hostMetrics.disks": {"x": {}}}, "hostMetrics.disks.x: one of campus, log2, log3, stage", "'x'"
    ),
    measured(
        {"hostMetrics.disks": {"campus": {"docker": "/srv"}}},
        "hostMetrics.disks.campus.docker: a disk of this name is measured anyway",
        "'/srv'",
    ),
    *(
        measured(
            {"hostMetrics.disks": {"campus": {"data": path}}},
            "hostMetrics.disks.campus.data: an absolute path",
            path,
        )
        for path in ("srv", "/srv/../etc", "/srv/$HOME", "/", "/srv/")
    ),
    measured(
        {"prometheus.allow": ["nat", "198.51.100.7"]},
        "prometheus.allow: campus.otherHosts.log2 pushes its metrics from",
        SECOND,
        "198.51.100.7",
    ),
    measured(
        {"shippers.log2": SHIPPER | {"account": "admin", "dockerHost": "ssh://another"}},
        "shippers.log2: campus.otherHosts has another host of this name",
        "'ssh://another'",
    ),
    measured(
        {"shippers": {}, "edge.tls": "internal"},
        "edge.tls: no collector on log2, log3 trusts a certificate other than acme's",
        "'internal'",
    ),
    measured(
        {"shippers": {}, "edge.acme": ACME | {"root": ROOT_PEM}},
        "edge.acme.root: no collector trusts the certificates of an authority with a root of its own",
        "log2",
    ),
    measured({"hostMetrics.interval": "10s"}, "hostMetrics.interval: unknown key"),
]
