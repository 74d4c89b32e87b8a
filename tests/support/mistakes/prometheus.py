"""Mistakes in `prometheus`."""

from __future__ import annotations

from tests.support.mistakes.mistake import Mistake

MISTAKES = [
    Mistake({"prometheus.route": ...}, "prometheus.route: required key is missing"),
    Mistake({"images.prometheus": None}, "images.prometheus: required with prometheus", "None"),
    Mistake({"images.blackboxExporter": None}, "images.blackboxExporter: required with prometheus", "None"),
    Mistake({"prometheus.port": 9115}, "prometheus.port: 9115 is already used by the certificate's probe"),
    Mistake({"prometheus.port": 3100}, "prometheus.port: 3100 is already used by loki.instances.aws"),
    Mistake({"prometheus.port": 2}, "prometheus.port: the reader has that address (2)", "2"),
    Mistake({"prometheus.route": "/lokiaws"}, "prometheus.route: '/lokiaws' is already used by"),
    Mistake({"prometheus.accounts": []}, "prometheus.accounts: at least one is needed with `nat`", "[]"),
    Mistake({"prometheus.retention": "23h"}, "prometheus.retention: samples are kept for at least 1d", "23h"),
    Mistake({"prometheus.retention": "forever"}, "prometheus.retention: a duration is a whole", "forever"),
    Mistake({"prometheus.retentionGib": 0}, "prometheus.retentionGib: ", "greater than or equal to 1", "0"),
    Mistake({"prometheus.maxAge": "90d"}, "prometheus.maxAge: shorter than retention (90d)", "'90d'"),
    Mistake({"prometheus.maxAge": "3h"}, "prometheus.maxAge: after an outage senders bring samples", "3h"),
    Mistake({"prometheus.memoryBytes": 1 << 30}, "prometheus.memoryBytes: ", "1073741824"),
    Mistake({"prometheus.keep": 1}, "prometheus.keep: "),
    Mistake(
        {"loki.instances.prometheus": {"port": 3300, "route": "/x", "allow": ["198.51.100.7"]}},
        "loki.instances.prometheus: the backend of the area prometheus has that name",
    ),
    Mistake({"prometheus.published": True}, "prometheus.published: ", "own", "true"),
]
