# pyright: strict
"""The settings of a service's metrics. Pure."""

from __future__ import annotations

from pydantic import Field

from components.values.area import Area
from components.values.texts import Image, UserName

# The program that the Docker hosts' metrics come from, too. No public source tells its digest.
COLLECTOR_IMAGE = "otel/opentelemetry-collector-contrib:0.165.1"


class ServiceMetrics(Area):
    """The sidecar that sends a task's metrics to Prometheus, and the application's own."""

    enabled: bool = False
    """An OpenTelemetry Collector is in the task. Before you remove this area, let the service run a revision
    without it: until then, former revisions find their secret and their log group."""
    account: UserName | None = None
    """The collector logs in with this account of `prometheus`; by default, with the first."""
    image: Image = COLLECTOR_IMAGE
    """The collector runs from this image; it is the contrib distribution."""
    samples_per_minute: int = Field(default=500, ge=0, le=100_000)
    """A task's containers send the collector at most this many samples of their own in a minute."""
