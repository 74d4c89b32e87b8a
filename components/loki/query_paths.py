# pyright: strict
"""A Loki's paths for queries of lines and their metadata. Pure."""

from __future__ import annotations

# The queries of Grafana's data source, Explore and `logcli` (Loki's documentation, "Loki HTTP API"; its
# source, 3.7.8, pkg/loki). Without rules, deletes, operators' paths (/config, /ready, /metrics, /flush,
# rings) and old paths (/api/prom).
_QUERIES = (
    "query",
    "query_range",
    "labels",
    "label/[A-Za-z0-9_]+/values",
    "series",
    "index/(stats|volume|volume_range)",
    "tail",
    "patterns",
    "detected_labels",
    "detected_fields",
    "detected_field/[A-Za-z0-9_-]+/values",
    "format_query",
)
QUERY_PATHS = f"^/loki/api/v1/({'|'.join(_QUERIES)})([?].*)?$"
