# pyright: strict
"""The paths by which a Loki is asked for lines, and for what it knows of them. Pure."""

from __future__ import annotations

# What Grafana's data source, Explore and `logcli` ask (Loki's documentation, "Loki HTTP API"; its source,
# 3.7.8, pkg/loki). Not among them: rules, deletes, what an operator sets or looks up (/config, /ready,
# /metrics, /flush, rings), and the paths of before (/api/prom).
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
