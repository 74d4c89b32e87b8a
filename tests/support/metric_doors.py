"""What Prometheus has beside pushes and queries, and waits for samples."""

from __future__ import annotations

from rig.metrics import OTLP, REMOTE_WRITE, samples
from rig.probe import Client
from rig.processes import wait_for

QUERY = "/api/v1/query?query=up"
# Prometheus' documentation, "HTTP API" and "Management API": what isn't a query.
OTHERS = [
    *(
        ("POST", path)
        for path in ("/api/v1/admin/tsdb/delete_series", "/-/reload", "/-/quit", "/api/v1/read")
    ),
    *(("PUT", path) for path in ("/api/v1/admin/tsdb/snapshot", "/-/quit", QUERY)),
    *(("GET", path) for path in ("/", "/metrics", "/config", "/federate", "/debug/pprof/heap", "/-/ready")),
    *(("GET", path) for path in ("/api/v1/status/config", "/api/v1/status/tsdb", "/api/v1/targets")),
    *(("GET", path) for path in ("/api/v1/label/a/../../status/config/values", "/api/v1/query/../read")),
    *(("POST", path) for path in (QUERY, REMOTE_WRITE, OTLP)),
]


def wait_for_sample(grafana: Client, query: str) -> None:
    """Return when a query by the reader finds a sample. Prometheus' first scrape of itself takes 30 s."""
    wait_for(f"{query} finds a sample", lambda: samples(grafana, query), 90.0)
