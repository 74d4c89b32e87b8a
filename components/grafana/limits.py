# pyright: strict
"""What is notable, and what is too much: the colours of panels, and the limits of alerts. Pure."""

from __future__ import annotations

from collections.abc import Mapping

from components.grafana.panels import BAD, DOUBTFUL, GOOD

# Shares of 1, as in the queries.
CPU_BUSY, CPU_NOTABLE = 0.9, 0.8
MEMORY_LEFT, MEMORY_NOTABLE = 0.05, 0.1
DISK_USED, DISK_NOTABLE = 0.85, 0.75
TASK_MEMORY, TASK_MEMORY_NOTABLE = 0.95, 0.85
# Of Prometheus' memory for series.
FILLED, FILLED_NOTABLE = 0.9, 0.7
# Caddy renews a certificate a third of its life before its end: 30 days, of Let's Encrypt's.
CERTIFICATE_DAYS, CERTIFICATE_NOTABLE_DAYS = 3, 14
# Hosts send every 30 seconds.
UNHEARD_NOTABLE_SECONDS, UNHEARD_SECONDS = 90, 180

CPU_STEPS = {0.0: GOOD, CPU_NOTABLE: DOUBTFUL, CPU_BUSY: BAD}
# The less, the worse.
MEMORY_STEPS = {0.0: BAD, MEMORY_LEFT: DOUBTFUL, MEMORY_NOTABLE: GOOD}
DISK_STEPS = {0.0: GOOD, DISK_NOTABLE: DOUBTFUL, DISK_USED: BAD}
TASK_MEMORY_STEPS = {0.0: GOOD, TASK_MEMORY_NOTABLE: DOUBTFUL, TASK_MEMORY: BAD}
FILLED_STEPS = {0.0: GOOD, FILLED_NOTABLE: DOUBTFUL, FILLED: BAD}
CERTIFICATE_STEPS = {float(CERTIFICATE_DAYS): DOUBTFUL, float(CERTIFICATE_NOTABLE_DAYS): GOOD}
UNHEARD_STEPS = {0.0: GOOD, float(UNHEARD_NOTABLE_SECONDS): DOUBTFUL, float(UNHEARD_SECONDS): BAD}


def none_is_good(colour: str) -> Mapping[float, str]:
    """The colours of a count that should be zero."""
    return {0.0: GOOD, 1.0: colour}


def lines_of(steps: Mapping[float, str]) -> dict[float, str]:
    """The limits to draw in a graph."""
    return {value: colour for value, colour in steps.items() if colour != GOOD and value > 0}
