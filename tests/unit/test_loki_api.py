"""The real Loki's API with the stack's configuration, for any client."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from urllib.parse import urlencode

import pytest

from tests.support.loki import loki_instance
from tests.support.running_loki import RunningLoki, running_loki

pytestmark = pytest.mark.programs


@pytest.fixture(scope="module")
def running(loki: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningLoki]:
    """The real Loki with the stack's configuration."""
    with running_loki(loki, tmp_path_factory.mktemp("loki"), loki_instance()) as made:
        yield made


def lines(loki: RunningLoki, stream: str = '{job="kept"}') -> list[str]:
    """All lines that it finds of a stream."""
    asked = {"query": stream, "start": time.time_ns() - 3600 * 10**9}
    status, text = loki.ask("GET", f"/loki/api/v1/query_range?{urlencode(asked)}")
    assert status == 200, text
    return [line for stream in json.loads(text)["data"]["result"] for _, line in stream["values"]]


@pytest.mark.parametrize("method", ["POST", "PUT"])
def test_its_api_deletes_no_lines(running: RunningLoki, method: str) -> None:
    """Otherwise a client that reaches Loki could delete all lines, including its own traces."""
    stream = {"stream": {"job": "kept"}, "values": [[str(time.time_ns()), "a line"]]}
    pushed = json.dumps({"streams": [stream]}).encode()
    asked = ("POST", "/loki/api/v1/push", pushed, {"Content-Type": "application/json"})
    assert running.ask(*asked)[0] == 204
    before = lines(running)
    assert before
    wanted = {"query": '{job=~".+"}', "start": int(time.time()) - 3600, "end": int(time.time())}
    status, said = running.ask(method, f"/loki/api/v1/delete?{urlencode(wanted)}")
    assert (status, "not available" in said) == (403, True), said
    assert lines(running) == before


def test_opentelemetrys_labels_and_a_lines_own_attributes_are_kept(running: RunningLoki) -> None:
    """Its other attributes are dropped: Loki would copy them into each line, and run out of memory."""

    def attributes(**named: str) -> list[dict[str, object]]:
        return [{"key": key.replace("_", "."), "value": {"stringValue": text}} for key, text in named.items()]

    record = {
        "timeUnixNano": str(time.time_ns()),
        "body": {"stringValue": "a line"},
        "attributes": attributes(request_id="7"),
    }
    resource = {"attributes": attributes(service_name="otlp", host_arch="amd64")}
    scopes = [{"scope": {"name": "x", "attributes": attributes(scope_kind="y")}, "logRecords": [record]}]
    pushed = json.dumps({"resourceLogs": [{"resource": resource, "scopeLogs": scopes}]}).encode()
    asked = ("POST", "/otlp/v1/logs", pushed, {"Content-Type": "application/json"})
    assert running.ask(*asked)[0] == 204
    assert lines(running, '{service_name="otlp"} | request_id="7"') == ["a line"]
    assert lines(running, '{service_name="otlp"} | host_arch="amd64" or scope_kind="y"') == []


def test_retention_still_works(running: RunningLoki) -> None:
    _, config = running.ask("GET", "/config")
    assert "retention_enabled: true" in config
    assert "delete_request_store: filesystem" in config
