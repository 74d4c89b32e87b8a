# pyright: strict
"""Prometheus' settings: what it keeps, for how long, and how much. Pure."""

from __future__ import annotations

from typing import Annotated, Self

from pydantic import AfterValidator, Field, model_validator

from components.edge.guarded_settings import RESERVED_PORTS, GuardedSettings, refuse_reserved
from components.values.durations import DAY_SECONDS, YEAR_SECONDS, Duration, seconds_of, within
from components.values.networks import Port
from components.values.value_rule import ValueRule

# The name of its route, its container and its accounts.
ROLE = "prometheus"

# Its default in Prometheus' documentation.
PORT = 9090

# Blocks of two hours are joined to longer ones, of a tenth of the retention.
_KEPT = ValueRule("samples are kept for at least 1d and at most 100y")
Retention = Annotated[Duration, AfterValidator(within(DAY_SECONDS, 100 * YEAR_SECONDS, _KEPT)), _KEPT]

# A Prometheus in agent mode keeps four hours of an outage to send (storage.agent.retention.max-time); with a
# database it keeps two to three, and the hosts' collectors two.
_OUTAGE_SECONDS = 4 * 3600
_LATE = ValueRule("after an outage senders bring samples that are up to 4h old: at least that")
MaxAge = Annotated[Duration, AfterValidator(within(_OUTAGE_SECONDS, 100 * YEAR_SECONDS, _LATE)), _LATE]


class PrometheusSettings(GuardedSettings):
    """Prometheus and its guarded route."""

    port: Port = PORT
    """It listens on this port of the private network."""
    retention: Retention = "90d"
    """Prometheus deletes samples that are older than this."""
    retention_gib: int = Field(default=10, ge=1)
    """Prometheus deletes the oldest samples when they fill this many GiB of the disk."""
    memory_bytes: int = Field(default=2 << 30, ge=2 << 30)
    """Docker kills Prometheus above this many bytes of memory; pushes get 503 before."""
    max_age: MaxAge = "1d"
    """Prometheus accepts samples that are older than its newest by at most this, as after an outage."""

    @model_validator(mode="after")
    def _check_prometheus(self) -> Self:
        refuse_reserved(self.port, RESERVED_PORTS, self.port)
        if seconds_of(self.max_age) >= seconds_of(self.retention):
            raise ValueError(f"maxAge: shorter than retention ({self.retention}), received {self.max_age!r}")
        return self
