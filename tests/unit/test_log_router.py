"""The stack's options for Grafana's plugin, read by the real plugin; and its log when lines are lost."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from components.ecs.buffer_plan import GRAFANA_DEFAULTS, buffer_plan
from components.ecs.firelens import GRAFANA_OPTIONS, OUTPUTS, seconds, url_with_credentials
from components.ecs.log_router_settings import LogRate
from components.ecs.loss_signs import SIGNS
from components.ecs.settings import ServiceSettings
from rig.log_router import last_try_seconds, run_plugin
from rig.programs import fluent_bit_plugin
from tests.support.alarms import counted
from tests.support.ecs_services import URL, options_of, service, services, some_services
from tests.support.http_server import serving

pytestmark = pytest.mark.programs

RECORD = {"log": "a line", "source": "stdout", "ecs_cluster": "judge", "container_id": "0123"}
GO_SECOND = 1_000_000_000


@some_services
@given(service=services.filter(lambda one: one.log_router.output == "grafana"))
def test_the_plugin_reads_every_option_as_intended(service: ServiceSettings) -> None:
    for name, options in list(options_of(service).items())[:2]:
        ran = run_plugin(options)
        assert ran.status == 0, ran.log
        labels = {"job": "firelens", "service": "client-api", "container": name, **service.labels}
        assert ran.parsed["labels"] == labels
        assert ran.parsed["labelKeys"] == ["source", "ecs_cluster"]
        assert ran.parsed["removeKeys"] == ["container_id", "partial_message"]
        assert ran.parsed["url"] == URL
        assert ran.parsed["maxRetries"] == service.plan.max_retries
        for key in ("BatchWait", "Timeout", "MinBackoff", "MaxBackoff"):
            assert ran.parsed[key[0].lower() + key[1:]] == seconds(options[key]) * GO_SECOND
        assert (ran.parsed["keyValue"], ran.parsed["buffer"]) == (False, True)
        assert (ran.parsed["queueDir"], ran.parsed["queueName"]) == ("/log-buffer", name)


@some_services
@given(password=st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=72))
def test_the_plugin_reads_the_exact_password_from_the_url(password: str) -> None:
    ran = run_plugin({"Url": url_with_credentials(URL, "shipper", password)})
    assert (ran.status, ran.parsed["user"], ran.parsed["password"]) == (0, "shipper", password)


@pytest.mark.parametrize(
    "options",
    [
        {"Timeout": "10"},
        {"MaxBackoff": "5"},
        {"BatchSize": "1MB"},
        {"MaxRetries": "ten"},
        {"Buffer": "True"},
        {"DropSingleKey": "on"},
        {"LineFormat": "kv"},
        {"LogLevel": "verbose"},
        {"Labels": "job=firelens"},
    ],
)
def test_the_plugin_does_not_start_with_options_that_the_lint_refuses(options: dict[str, str]) -> None:
    [(key, value)] = options.items()
    assert run_plugin(options).status == 1
    known = OUTPUTS["grafana"].option(key)
    assert known is not None
    assert known[1].decided_by or known[1].problem(value)


@pytest.mark.parametrize("key", ["Http_User", "Http_Passwd", "label_keys", "BatchWat"])
def test_the_plugin_silently_ignores_options_that_the_lint_calls_unknown(key: str) -> None:
    ran = run_plugin({key: "admin"})
    assert (ran.status, ran.log) == (0, "")
    assert ran.parsed == run_plugin({}).parsed
    assert OUTPUTS["grafana"].option(key) is None


@pytest.mark.parametrize("minutes", [1, 10, 60, 600, 1440])
@pytest.mark.parametrize(
    "waits",
    [
        {},
        {"MinBackoff": "100ms", "MaxBackoff": "5m"},
        {"MinBackoff": "1s", "MaxBackoff": "16s"},
        {"MinBackoff": "7s", "MaxBackoff": "20s"},
        {"MinBackoff": "10s", "MaxBackoff": "10s"},
        {"MinBackoff": "10s", "MaxBackoff": "5s"},
    ],
    ids=lambda waits: "-".join(waits.values()) or "default",
)
def test_the_stated_outage_is_covered_by_the_plugins_own_waits_for_every_seed(
    minutes: int, waits: dict[str, str]
) -> None:
    rate = LogRate(lines_per_second=20, bytes_per_line=512, outage_minutes=minutes)
    plan = buffer_plan("grafana", rate, 1, waits)
    options = GRAFANA_DEFAULTS | waits | {"MaxRetries": str(plan.max_retries)}
    earliest, latest = last_try_seconds(options, seeds=2000)
    assert earliest >= rate.outage_seconds
    # Without far too many tries: the waits are between half of the longest and all of it.
    assert latest <= 2.5 * rate.outage_seconds + 2 * seconds(options["MaxBackoff"]) + 20


def test_the_options_are_all_that_the_plugin_asks_for() -> None:
    asked = {name.lower() for name in run_plugin({}).parsed["asked"]}
    assert {"url", "batchwait", "dquesync", "insecure_skip_verify"} <= asked
    assert asked <= {name.lower() for name in GRAFANA_OPTIONS}


def test_the_signs_of_a_loss_are_the_plugins_own_words() -> None:
    program = fluent_bit_plugin.program().read_bytes()
    words = [one.words for one in SIGNS if one.program == "Grafana's plugin" and not one.is_expression]
    # This message is in the binding to C (out_grafana_loki.go), which the program lacks.
    missing = [one for one in words if one.encode() not in program]
    assert missing == ["error sending record to Loki"]


def test_a_space_in_a_list_of_keys_belongs_to_the_key() -> None:
    assert run_plugin({"LabelKeys": "source, ecs_cluster"}).parsed["labelKeys"] == ["source", " ecs_cluster"]


@contextmanager
def answering(status: int) -> Iterator[tuple[str, list[dict[str, str]]]]:
    """A server that answers every push with this status: its URL, and the received headers."""
    seen: list[dict[str, str]] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            seen.append(dict(self.headers))
            self.send_response(status)
            self.end_headers()

    with serving(Handler) as port:
        yield f"http://127.0.0.1:{port}/loki/api/v1/push", seen


def quick(url: str, folder: Path, **changes: str) -> dict[str, str]:
    """The stack's own options, with short waits, and a queue in a folder."""
    options = options_of(service(logRouter={"output": "grafana"}))["app"]
    waits = {"BatchWait": "50ms", "MinBackoff": "10ms", "MaxBackoff": "40ms", "MaxRetries": "4"}
    return options | waits | {"Url": url, "DqueDir": str(folder / "queue")} | changes


@pytest.mark.parametrize("status", [400, 401, 403, 302, 413])
def test_a_refused_batch_is_dropped_at_once_and_the_filters_count_it(status: int, tmp_path: Path) -> None:
    with answering(status) as (url, seen):
        ran = run_plugin(quick(url, tmp_path), [RECORD])
    assert len(seen) == 1
    assert len(counted("lines-lost", ran.log)) == 1
    # 400 is Loki's refusal of a line.
    assert len(counted("pushes-refused", ran.log)) == (0 if status == 400 else 1)


@pytest.mark.parametrize("status", [429, 500, 502, 503])
def test_other_answers_are_retried_as_often_as_planned(status: int, tmp_path: Path) -> None:
    with answering(status) as (url, seen):
        ran = run_plugin(quick(url, tmp_path), [RECORD])
    # MaxRetries counts all tries, the first included.
    assert len(seen) == 4
    assert len(counted("lines-lost", ran.log)) == 1
    assert not counted("pushes-refused", ran.log)


def test_a_delivered_batch_is_counted_by_no_filter(tmp_path: Path) -> None:
    with answering(204) as (url, seen):
        ran = run_plugin(quick(url_with_credentials(url, "shipper", "p@ß w"), tmp_path), [RECORD])
    assert len(seen) == 1
    assert seen[0]["Authorization"] == "Basic c2hpcHBlcjpwQMOfIHc="
    assert "X-Scope-OrgID" not in seen[0]
    assert not counted("lines-lost", ran.log)
    assert "p@" not in ran.log
    assert "p%40" not in ran.log
