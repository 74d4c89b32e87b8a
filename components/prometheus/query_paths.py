# pyright: strict
"""Prometheus' paths for queries of samples and their metadata. Pure."""

from __future__ import annotations

# The queries of Grafana's data source, Explore and `promtool query` (Prometheus' documentation, "HTTP API"),
# without operators' paths (/config, /status/flags, /targets, /metrics, /debug, /-/...), remote read,
# federation, and everything that changes something (/admin/tsdb, /-/reload, /-/quit).
_QUERIES = (
    "query",
    "query_range",
    "query_exemplars",
    "labels",
    "label/[A-Za-z0-9_]+/values",
    "series",
    "metadata",
    "format_query",
    "rules",
    "status/buildinfo",
)
QUERY_PATHS = f"^/api/v1/({'|'.join(_QUERIES)})([?].*)?$"
