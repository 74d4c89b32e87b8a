"""Mistakes in the settings, and their messages, by area: a new one is a row in its area's table."""

from __future__ import annotations

from tests.support.mistakes import (
    campus,
    edge,
    egress,
    grafana,
    host_metrics,
    loki,
    port_policy,
    prometheus,
    replicas,
    services,
    shippers,
    watch,
)
from tests.support.mistakes.mistake import Mistake

AREAS = (
    campus,
    edge,
    egress,
    grafana,
    host_metrics,
    loki,
    port_policy,
    prometheus,
    replicas,
    services,
    shippers,
    watch,
)
MISTAKES: list[Mistake] = [mistake for area in AREAS for mistake in area.MISTAKES]


def named(name: str) -> Mistake:
    """The mistake with this name: the beginning of its message, and the words."""
    [found] = [one for one in MISTAKES if str(one) == name]
    return found
