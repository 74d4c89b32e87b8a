# pyright: strict
"""A Loki's paths for queries of lines and their metadata. Pure."""

from __future__ import annotations

from components.edge.query_route import RefusedQuery

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

# A template that loops over a number runs until Loki is killed, and keeps the pushes of its stream waiting:
# the query holds the stream's lock, and no timeout ends a template (Loki 3.7.8, pkg/ingester/stream.go).
# `range` with two variables takes no number (Go's text/template); nested, it would be as good as endless. An
# escape could hide a range.
LOOPS = RefusedQuery(
    name="loops",
    pattern=(
        r"(?s)\{\{-?\s*(template|block|define)\b"
        r"|\{\{-?\s*range\s*([^$\s]|\$\w*\s*[^,\w\s])"
        r"|\{\{-?\s*range\b.*\{\{-?\s*range\b"
        r"|_format.*\\[xuU0-7]"
    ),
    answer="A template may have one range, with two variables, and no escape such as \\x7b.",
)
