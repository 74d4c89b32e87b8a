# pyright: strict
"""The limit of Prometheus' memory for what it was sent. Pure.

Prometheus limits neither series nor labels of a push, so Caddy asks for its memory and stops pushes.
"""

from __future__ import annotations

from components.edge.guarded_backend import PushesWhile

# What is alive may take a tenth: with 700 MiB of 3 GiB, the worst pushes ended it (config.py). Queries take
# an eighth.
_SERIES_SHARE, QUERIES_SHARE = 10, 8

# Go collects garbage when the heap is this much larger than what was alive after the last collection:
# Prometheus' own GOGC (config.DefaultGoGCPercentage).
_NEXT_COLLECTION = 1.75


def pushes_within(memory_bytes: int) -> PushesWhile:
    """Let pushes in while what is alive after a collection leaves room for one more push, and for queries.

    Others get 503 and come again: remote write and OpenTelemetry both retry it. Series without new samples
    leave the memory after two to three hours (Prometheus' documentation, "Storage").
    """
    return PushesWhile(
        uri="/api/v1/status/self_metrics?metric_name_pattern=go_memstats_next_gc_bytes",
        # protojson puts a space there, or none.
        body=rf'"value": ?({number_below(stopped_at(memory_bytes))})\}}',
    )


def stopped_at(memory_bytes: int) -> int:
    """The heap, before a collection, at which pushes are stopped."""
    return int(memory_bytes / _SERIES_SHARE * _NEXT_COLLECTION)


def number_below(limit: int) -> str:
    """A regular expression of the whole numbers below a limit of at least 1, without leading zeros."""
    digits = str(limit)
    found = [f"[0-9]{{1,{len(digits) - 1}}}"] if len(digits) > 1 else []
    for place, digit in enumerate(digits):
        first = 1 if place == 0 and len(digits) > 1 else 0
        if int(digit) > first:
            rest = len(digits) - place - 1
            found.append(f"{digits[:place]}[{first}-{int(digit) - 1}][0-9]{{{rest}}}")
    return "|".join(found)
