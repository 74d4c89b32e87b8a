# pyright: strict
"""What `verify` pushes: a line to a Loki, a sample to Prometheus; and how it is found again. Pure."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

# The label of the pushed lines, and the name of the pushed samples.
JOB, METRIC = "verify", "campus_verify"


@dataclass(frozen=True)
class Signal:
    """A kind of push; each contains one word, which is found again."""

    # The rows of the table.
    found: str
    # The status of an accepted push.
    taken: int
    # The push, stamped with the time now.
    body: Callable[[str], str]
    # The path and query that find the word in the last hour.
    query: Callable[[str], str]
    # The words in the answer to a query. Raises ValueError, KeyError or TypeError for any other answer.
    words: Callable[[Any], list[str]]

    def words_of(self, body: bytes | str) -> list[str] | None:
        """The words in the answer to a query; None if it isn't the backend's answer."""
        try:
            return self.words(json.loads(body)["data"]["result"])
        except (ValueError, KeyError, TypeError):
            return None


def _line(word: str) -> str:
    stream = {"stream": {"job": JOB}, "values": [[str(time.time_ns()), word]]}
    return json.dumps({"streams": [stream]})


def _line_query(word: str) -> str:
    asked = {"query": f'{{job="{JOB}"}} |= "{word}"', "since": "1h"}
    return f"/loki/api/v1/query_range?{urlencode(asked)}"


def _lines(result: Any) -> list[str]:
    return [line for stream in result for _, line in stream["values"]]


def _sample(word: str) -> str:
    """OpenTelemetry's request, as JSON (its OTLP specification)."""
    attributes = [{"key": "word", "value": {"stringValue": word}}]
    point = {"timeUnixNano": str(time.time_ns()), "asInt": "1", "attributes": attributes}
    metrics = [{"name": METRIC, "gauge": {"dataPoints": [point]}}]
    return json.dumps({"resourceMetrics": [{"scopeMetrics": [{"metrics": metrics}]}]})


def _sample_query(word: str) -> str:
    asked = {"query": f'last_over_time({METRIC}{{word="{word}"}}[1h])'}
    return f"/api/v1/query?{urlencode(asked)}"


def _samples(result: Any) -> list[str]:
    return [series["metric"]["word"] for series in result]


LINE = Signal("line in Loki", 204, _line, _line_query, _lines)
SAMPLE = Signal("sample found", 200, _sample, _sample_query, _samples)
