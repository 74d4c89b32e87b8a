"""Printed lines and their tasks can be read from the real Loki, with either output.

Grafana's plugin is real. Fluent Bit's own output is imitated from its source (4.2.3,
plugins/out_loki/loki.c); the options are the stack's.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest

from components.ecs.container_definitions import PushTarget, log_configuration
from components.grafana.logql import readable
from rig.log_router import run_plugin
from rig.processes import wait_for
from tests.support.ecs_services import URL, service
from tests.support.loki import loki_instance
from tests.support.running_loki import RunningLoki, running_loki

pytestmark = pytest.mark.programs

ARN = "arn:aws:ecs:ap-northeast-2:123456789012:task/judge/0123"
ORIGIN = {
    "container_name": "/ecs-client-api-7-app-0123",
    "ecs_task_arn": ARN,
    "ecs_task_definition": "client-api:7",
}
PLAIN = [
    r"C:\new\temp\users",
    'x" ecs_task_definition="other:9',
    r"{ecs_task_arn=other} \n is no line's end",
    "Error: boom\n    at f (a.js:1)\n\tat g",
    "안녕 \u001b[31mred\u001b[0m \t tab  two spaces ",
    "[INFO] not JSON",
]
JSON = [
    r'{"level":"error","msg":"boom\\n at f","path":"C:\\new","at":"a\nb"}',
    '{"ecs_task_arn":"other","ecs_task_definition":"other:9","msg":"forged"}',
    '{"log":"inner","msg":"outer"}',
]
TEXTS = PLAIN + JSON
# Too large for a float's precision.
BIG = '{"id":12345678901234567890}'


@pytest.fixture(scope="module")
def running(loki: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningLoki]:
    """The real Loki as the stack configures it."""
    with running_loki(loki, tmp_path_factory.mktemp("loki"), loki_instance()) as made:
        yield made


def options_of(output: str, container: str) -> dict[str, str]:
    """The stack's options of this output for a container."""
    made = service(logRouter={"output": output})
    return log_configuration("client-api", container, made, PushTarget(url=URL), made.plan)["options"]


def found(loki: RunningLoki, query: str) -> list[tuple[dict[str, str], str]]:
    """The lines that a query finds, each with its labels."""
    asked = {"query": query, "start": time.time_ns() - 3600 * 10**9, "limit": 1000}
    status, text = loki.ask("GET", f"/loki/api/v1/query_range?{urlencode(asked)}")
    assert status == 200, text
    return [
        (stream["stream"], line)
        for stream in json.loads(text)["data"]["result"]
        for _, line in stream["values"]
    ]


def ship_by_the_plugin(loki: RunningLoki, folder: Path, container: str, texts: list[str]) -> str:
    """Ship these lines like a task; returns their stream."""
    own = {
        "Url": f"http://127.0.0.1:{loki.port}/loki/api/v1/push",
        "DqueDir": str(folder / "queue"),
        "BatchWait": "50ms",
    }
    given = ORIGIN | {"source": "stdout", "ecs_cluster": "judge", "container_id": "0123"}
    records: list[dict[str, Any]] = [given | {"log": text} for text in texts]
    ran = run_plugin(options_of("grafana", container) | own, records)
    assert (ran.status, "error" in ran.log) == (0, False), ran.log
    stream = f'{{container="{container}"}}'
    wait_for("all lines are there", lambda: len(found(loki, stream)) == len(texts), 30.0)
    return stream


def test_grafanas_plugin_keeps_printed_lines(running: RunningLoki, tmp_path: Path) -> None:
    stream = ship_by_the_plugin(running, tmp_path, "plugin", TEXTS)
    lines = found(running, f'{stream} | json | line_format "{{{{.log}}}}"')
    assert {line for _, line in lines} >= set(PLAIN)
    # JSON is an object below `log`: its fields are unchanged, and the origin is the record's own.
    assert found(running, f'{stream} | json | log_msg="boom\\\\n at f" | log_path="C:\\\\new"')
    assert found(running, f'{stream} | json | log_ecs_task_definition="other:9" | log_msg="forged"')
    for labels, _ in lines:
        assert "__error__" not in labels
        assert ORIGIN.items() <= labels.items()
    assert len(found(running, f'{stream} | json | ecs_task_arn="{ARN}"')) == len(TEXTS)


def test_grafanas_plugin_rounds_large_numbers(running: RunningLoki, tmp_path: Path) -> None:
    """A limit of the plugin (docs/shipping.md): it parses and rewrites JSON."""
    stream = ship_by_the_plugin(running, tmp_path, "rounded", [BIG])
    [(labels, _)] = found(running, f"{stream} | json")
    assert labels["log_id"] == "12345678901234567000"


def push_of_fluent_bit(texts: list[str], container: str) -> bytes:
    """The push that plugins/out_loki makes of these records, with the stack's options."""
    options = options_of("fluent-bit", container)
    assert (options["line_format"], options["drop_single_key"]) == ("json", "raw")
    beside = [one.partition("=")[0] for one in options["structured_metadata"].split(",")]
    record = ORIGIN | {"source": "stdout", "ecs_cluster": "judge", "container_id": "0123"}
    keys = [key.removeprefix("$") for key in options["label_keys"].split(",")]
    labels = dict(one.split("=", 1) for one in options["labels"].split(","))
    labels |= {key: record[key] for key in keys}
    # The only key left has the line itself as its value.
    assert set(record) == {
        *keys,
        *(set(beside) & set(record)),
        *(set(options["remove_keys"].split(",")) & set(record)),
    }
    metadata = {key: record[key] for key in beside if key in record}
    now = time.time_ns()
    values = [[str(now + number), text, metadata] for number, text in enumerate(texts)]
    return json.dumps({"streams": [{"stream": labels, "values": values}]}).encode()


def test_fluent_bits_own_output_keeps_printed_lines_exactly(running: RunningLoki) -> None:
    texts = [*TEXTS, BIG]
    body = push_of_fluent_bit(texts, "own")
    assert running.ask("POST", "/loki/api/v1/push", body, {"Content-Type": "application/json"})[0] == 204
    stream = '{container="own"}'
    assert sorted(line for _, line in found(running, stream)) == sorted(texts)
    # A line can't change its task.
    assert len(found(running, f'{stream} | ecs_task_arn="{ARN}"')) == len(texts)
    assert len(found(running, f'{stream} | json | ecs_task_arn="{ARN}"')) == len(texts)
    assert not found(running, f'{stream} | json | ecs_task_arn="other"')
    assert found(running, f'{stream} | json | msg="boom\\\\n at f"')
    assert found(running, f'{stream} | json | id="12345678901234567890"')
    # No stream per task: the task isn't a label.
    names = running.ask("GET", "/loki/api/v1/labels")[1]
    assert not {"ecs_task_arn", "container_name", "ecs_task_definition"} & set(json.loads(names)["data"])


def test_the_dashboard_shows_a_field_named_log_as_one_of_the_lines_own(running: RunningLoki) -> None:
    body = push_of_fluent_bit([JSON[2]], "shown")
    assert running.ask("POST", "/loki/api/v1/push", body, {"Content-Type": "application/json"})[0] == 204
    [(_, line)] = found(running, readable('{container="shown"}'))
    assert line == "client-api  outer log=inner"
