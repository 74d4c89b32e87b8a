"""Mistakes in `shippers` and `campus.logsTo`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tests.support.mistakes.edge import ACME, ROOT_PEM
from tests.support.mistakes.mistake import Mistake
from tests.support.settings import SHIPPER, SHIPPING


def shipping(changes: Mapping[str, Any], says: str, *words: str) -> Mistake:
    """A mistake in settings that allow shippers."""
    return Mistake(changes, says, *words, base=SHIPPING)


MISTAKES = [
    shipping({"shippers.a": SHIPPER | {"loki": "stage"}}, "shippers.a.loki: one of aws, test", "'stage'"),
    shipping({"shippers.a": SHIPPER | {"loki": "aws"}}, "shippers.a.loki: a route with accounts is", "'aws'"),
    shipping({"shippers.a": SHIPPER | {"account": "x"}}, "shippers.a.account: one of the accounts of", "'x'"),
    shipping(
        {"shippers.a": SHIPPER, "shippers.b": SHIPPER},
        "shippers.b.dockerHost: a ships its logs already",
        "198.51",
    ),
    shipping({"shippers.campus": SHIPPER}, "shippers.campus: the campus server's own name"),
    shipping({"shippers.A": SHIPPER}, "shippers.A: a name is"),
    shipping(
        {"shippers.a": SHIPPER | {"dockerHost": "tcp://198.51.100.7:2376"}},
        "shippers.a.dockerHost: a URL is needed",
        '"tcp://198.51.100.7:2376"',
    ),
    shipping({"shippers.a": SHIPPER, "images.alloy": None}, "images.alloy: required with shippers", "None"),
    shipping({"shippers.a": SHIPPER, "edge.tls": "internal"}, "edge.tls: no shipper trusts", "'internal'"),
    shipping({"shippers.a": SHIPPER, "edge.tls": "acme-staging"}, "edge.tls: no shipper", "'acme-staging'"),
    shipping(
        {"shippers.a": SHIPPER, "edge.acme": ACME | {"root": ROOT_PEM}},
        "edge.acme.root: no shipper trusts the certificates of an authority with a root of its own",
        "['a']",
    ),
    shipping({"campus.logsTo": "stage"}, "campus.logsTo: names no Loki instance", "'stage'"),
    shipping(
        {"campus.logsTo": "aws", "images.alloy": None},
        "images.alloy: required with shippers or campus.logsTo",
        "None",
    ),
    shipping(
        {
            "shippers.a": SHIPPER | {"dockerHost": "unix:///x"},
            "campus.dockerHost": "unix:///x",
            "campus.logsTo": "aws",
        },
        "shippers.a.dockerHost: campus ships its logs already",
        "'unix:///x'",
    ),
]
