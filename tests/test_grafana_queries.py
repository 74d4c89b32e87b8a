"""Every query of the dashboards and alert rules, run on the real Loki, with realistic lines.

FireLens' streams have the labels from the task definitions; Caddy's lines are from the real Caddy.
"""

from __future__ import annotations

import http.client
import json
import re
import secrets
import time
from collections.abc import Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

import pytest

from components.ecs.container_definitions import PushTarget, log_configuration
from components.ecs.settings import ServiceSettings
from components.edge import access_log
from components.edge.query_route import REPLICAS
from components.edge.syntax import block
from components.grafana.alert_rules import STRANGERS, render_alert_rules
from components.grafana.dashboards import render_dashboards
from components.grafana.provisioning import HostLogs, LokiSource
from rig.live_caddy import IMAGE as CADDY
from rig.live_caddy import printed
from rig.live_guard import live_guard
from rig.live_loki import rendered, running_loki
from rig.namespaces import Namespace
from rig.probe import PUSH_PATH
from rig.processes import wait_for
from rig.rig import Rig

pytestmark = pytest.mark.docker

CONTAINER = "t-caddy"
GUARD = "t-port-guard"
# An address where nothing listens.
AWAY = "127.0.0.1:9"

SOURCE = LokiSource(
    name="aws", url="http://unused", retention="7d", retention_seconds=7 * 86400, expects_aws=True
)
HOST_LOGS = HostLogs(
    source=SOURCE,
    host="campus",
    caddy=CONTAINER,
    guard=GUARD,
    routes=("/lokiaws", "/lokitest"),
    push_paths=("/loki/api/v1/push", "/otlp/v1/logs"),
)
# Grafana's values for its variables, with "All" chosen.
VARIABLES = {"$__auto": "10m", "$service": ".*", "$container": ".+", "$search": "", "$only": ".*"}

APP_LINES = ["GET / 200", 'level="Error" msg="it broke"', "terror is no error word", "GET /x 404"]
SHIPPED_LINES = ["a container's line", "another"]
# A service's own lines, which a log router wraps as `key_value` or JSON, and their form in the dashboard,
# with the level that gives their colour.
PINO = {
    "level": "error",
    "time": 1,
    "pid": 1,
    "hostname": "ip-10-0-2-17",
    "took": 426,
    "msg": "errored",
}
NESTED = {"level": 30, "msg": "request completed", "req": {"method": "GET", "url": "/api"}}
WRAPPED = (
    (json.dumps(PINO), "error", "client-api  errored took=426"),
    (json.dumps(NESTED), "info", "client-api  request completed req=map[method:GET url:/api]"),
    ('10.0.1.67 "GET / HTTP/1.1" 200', "unknown", 'client-api  10.0.1.67 "GET / HTTP/1.1" 200'),
    ('level=warn msg="a warning"', "warn", 'client-api  level=warn msg="a warning"'),
    ('{"level":"fatal", cut off', "fatal", 'client-api  {"level":"fatal", cut off'),
)
META = {"container_name": "/ecs-client-api-prod-41", "ecs_task_definition": "client-api-prod:41"}


def wrapped(line: str, form: str) -> str:
    """A line as a log router sends it, by its LineFormat (FireLens' metadata, then the line as `log`)."""
    fields = META | {"log": line}
    if form == "json":
        return json.dumps(fields)
    return " ".join(f"{key}={json.dumps(value)}" for key, value in fields.items())


WRAPPED_LINES = [wrapped(line, form) for line, _, _ in WRAPPED for form in ("key_value", "json")]
# The gate's answer by the request's path. One request is no push, and some paths are no routes.
ANSWERS = {
    f"/lokiaws{PUSH_PATH}": [204, 204, 204, 403, 429, 500, 400],
    f"/lokitest{PUSH_PATH}": [204, 401],
    "/lokiaws/config": [403],
    # A client that forges this in Caddy's log doesn't report a replica.
    "/health_checker.active": [403],
    f"/other{PUSH_PATH}": [403],
}


@dataclass
class Asked:
    """A Loki with the lines, and the time of the last push."""

    campus: Namespace
    where: tuple[str, int]
    stamp: float

    def get(self, path: str, **parameters: Any) -> Any:
        """Loki's answer to a GET; an AssertionError with its own words if it refuses."""
        connection = http.client.HTTPConnection(*self.where)
        connection.sock = self.campus.connect(self.where, timeout=60.0)
        try:
            connection.request("GET", f"{path}?{urlencode(parameters)}")
            answer = connection.getresponse()
            body = answer.read()
        finally:
            connection.close()
        assert answer.status == 200, (parameters, body)
        return json.loads(body)["data"]

    def values(self, logql: str, at: float | None = None) -> dict[tuple[str, ...], float]:
        """A metric query's values by their labels' values."""
        data = self.get("/loki/api/v1/query", query=logql, time=int((at or self.stamp + 5) * 1e9))
        assert data["resultType"] == "vector"
        return {
            tuple(value for _, value in sorted(one["metric"].items())): float(one["value"][1])
            for one in data["result"]
        }

    def lines(self, logql: str) -> list[str]:
        """A log query's lines."""
        return sorted(line for _, line in self.streams(logql))

    def streams(self, logql: str) -> list[tuple[str, str]]:
        """A log query's lines, each with the level that gives its colour in Grafana."""
        start = int((self.stamp - 600) * 1e9)
        data = self.get("/loki/api/v1/query_range", query=logql, start=start, limit=1000)
        assert data["resultType"] == "streams"
        return [
            (stream["stream"].get("detected_level", ""), line)
            for stream in data["result"]
            for _, line in stream["values"]
        ]


def firelens_labels() -> dict[str, str]:
    """The labels of a production stream, from the task definition."""
    app = {"image": "nginx:1.29.4", "memoryMib": 256}
    settings = {"loki": "aws", "cpuUnits": 512, "memoryMib": 512, "containers": {"app": app}}
    service = ServiceSettings.model_validate(settings)
    target = PushTarget(url="https://campus.localhost/lokiaws/loki/api/v1/push")
    options = log_configuration("client-api", "app", service, target, service.plan)["options"]
    fixed = dict(pair.split("=", 1) for pair in options["labels"].split(","))
    fields = (key.removeprefix("$") for key in options["label_keys"].split(","))
    return fixed | {field: f"a-{field}" for field in fields}


@pytest.fixture(scope="module")
def logged(rig: Rig) -> list[str]:
    """The real Caddy's log of such requests."""
    rig.engine.load(CADDY)
    rules = [
        f"@a{at} {{\n path {path}\n header X-Answer {status}\n }}\n respond @a{at} {status}"
        for at, (path, status) in enumerate(
            {(path, status) for path, statuses in ANSWERS.items() for status in statuses}
        )
    ]
    checks = "\n".join(REPLICAS)
    proxy = f"handle /replicas {{\n reverse_proxy 127.0.0.1:8080 {AWAY} {{\n {checks}\n }}\n }}"
    # One replica becomes ready only after a while, like Loki.
    ready = (
        "@ready {\n path /ready\n not file {\n root /tmp\n try_files /ready-now\n }\n }\nrespond @ready 503"
    )
    # The gate's own fields, of every request.
    access = block("log ", [f'import logged 1s 1000 1 "{access_log.ROUTES_URI}"'])
    snippet = "\n".join(block("(logged) ", access_log.logged_snippet()))
    site = "\n".join([*access, *access_log.fields(), *rules, ready, proxy])
    options = "{\n admin off\n auto_https off\n }"
    page = f"{snippet}\n{options}\nhttp://127.0.0.1:8080 {{\n {site}\n }}\n"
    with closing(rig.engine.client()) as client:
        script = 'printf %s "$1" >/tmp/Caddyfile && exec caddy run --config /tmp/Caddyfile'
        container = client.containers.run(
            CADDY, ["sh", "-c", script, "sh", page], detach=True, network_mode="none"
        )
        try:
            ask = "wget -qO- --post-data '' --header 'X-Answer: {}' http://127.0.0.1:8080{} 2>&1 || true"
            up = "wget -qO- http://127.0.0.1:8080/up >/dev/null 2>&1 && echo up || true"
            wait_for("Caddy answers", lambda: printed(container, up), 60.0)
            # A GET isn't a push.
            printed(container, ask.replace("--post-data ''", "").format(403, f"/lokiaws{PUSH_PATH}"))
            for path, statuses in ANSWERS.items():
                for status in statuses:
                    printed(container, ask.format(status, path))
            wanted = sum(map(len, ANSWERS.values()))
            printed(container, "touch /tmp/ready-now")

            def log() -> list[str]:
                text: bytes = container.logs(stdout=True, stderr=True)
                found = text.decode().splitlines()
                whole = "host is up" in text.decode()
                return found if whole and sum('"method":"POST"' in line for line in found) == wanted else []

            return wait_for("Caddy has logged all", log, 60.0)
        finally:
            container.remove(force=True)


@pytest.fixture(scope="module")
def guarded(rig: Rig) -> list[str]:
    """The real guard's log after its start."""
    with live_guard(rig) as guard:
        return wait_for("the guard has logged the disk", lambda: with_the_disk(guard.log()), 60.0)


def with_the_disk(log: str) -> list[str]:
    """The guard's lines, as soon as one of them is about the disk."""
    return log.splitlines() if "disk" in log else []


@pytest.fixture(scope="module")
def loki(rig: Rig, logged: list[str], guarded: list[str]) -> Iterator[Asked]:
    """The real Loki with the stack's own configuration and lines from all kinds of sources."""
    with running_loki(rig, f"queries-{secrets.token_hex(4)}", rendered({}, {})) as live:
        where, now = live.where, time.time()
        shipped = {"source": "docker", "host": "campus"}
        for labels, lines in (
            (firelens_labels(), APP_LINES),
            (firelens_labels() | {"container": "wrapped"}, WRAPPED_LINES),
            (shipped | {"container": CONTAINER}, logged),
            (shipped | {"container": GUARD}, guarded),
            (shipped | {"host": "stage", "container": "judge"}, SHIPPED_LINES),
        ):
            push(rig.network.campus, where, labels, lines, now)
        yield Asked(rig.network.campus, where, now)


def push(
    campus: Namespace, where: tuple[str, int], labels: Mapping[str, str], lines: list[str], now: float
) -> None:
    """Push lines, the last of them stamped with this moment."""
    values = [[str(int(now * 1e9) - at * 10**6), line] for at, line in enumerate(reversed(lines))][::-1]
    body = json.dumps({"streams": [{"stream": dict(labels), "values": values}]}).encode()
    connection = http.client.HTTPConnection(*where)
    connection.sock = campus.connect(where)
    connection.request("POST", PUSH_PATH, body, {"Content-Type": "application/json"})
    assert connection.getresponse().status == 204
    connection.close()


def pages() -> dict[str, list[dict[str, Any]]]:
    """The panels of each dashboard."""
    return {name: json.loads(text)["panels"] for name, text in render_dashboards([SOURCE], HOST_LOGS).items()}


def variables() -> list[dict[str, Any]]:
    """The variables of the dashboard with the lines."""
    return json.loads(render_dashboards([SOURCE], None)["logs.json"])["templating"]["list"]


def lines_panel() -> str:
    """The query of the panel with the lines, with the variables' names."""
    return next(one["targets"][0]["expr"] for one in pages()["logs.json"] if one["title"] == "Lines")


def panels() -> dict[str, str]:
    """The queries of all panels by title, with Grafana's values."""
    found: dict[str, str] = {}
    for page in pages().values():
        for panel in page:
            for target in panel.get("targets", []):
                assert panel["title"] not in found
                found[panel["title"]] = put_in(target["expr"])
    return found


def put_in(logql: str, **chosen: str) -> str:
    """A query with the variables' values in it."""
    for name, value in (VARIABLES | {f"${key}": value for key, value in chosen.items()}).items():
        logql = logql.replace(name, value)
    assert not re.search(r"\$(__|service|container|search|only|loki)", logql)
    return logql


def rules() -> dict[str, str]:
    """The queries of all alert rules by uid: each has one query to one Loki, the rest is arithmetic."""
    [group] = json.loads(render_alert_rules([SOURCE], HOST_LOGS))["groups"]
    return {rule["uid"]: rule["data"][0]["model"]["expr"] for rule in group["rules"]}


TEN_MINUTES = 600
APP, GATE, HOST, JUDGE = ("app", "client-api"), (CONTAINER,), (GUARD,), ("judge",)
WORKER = ("wrapped", "client-api")


def by_status(*wanted: int) -> dict[tuple[str, ...], float]:
    """The requests' rates per route and status."""
    return {
        (path.removesuffix(PUSH_PATH), str(status)): statuses.count(status) / TEN_MINUTES
        for path, statuses in ANSWERS.items()
        for status in statuses
        if path.endswith(PUSH_PATH) and not path.startswith("/other") and status in wanted
    }


ALL_STATUSES = (204, 400, 401, 403, 429, 500)
SIZES = {
    name: sum(map(len, lines))
    for name, lines in (("app", APP_LINES), ("judge", SHIPPED_LINES), ("wrapped", WRAPPED_LINES))
}


def size(lines: list[str]) -> int:
    """Their bytes."""
    return sum(len(line.encode()) for line in lines)


def test_every_panel_has_its_expectation_here() -> None:
    """A panel without an expectation would pass with any query."""
    assert set(panels()) == {
        *("Lines found per second", "Volume found", "Error rate", "Lines"),
        *("Loki aws: lines in 5m", "Loki aws: from AWS in 10m", "Refused pushes in 5m", "Disk"),
        *(
            "Pushes per second",
            "Refused pushes",
            "Who was refused",
            "Dropped pushes",
            "Pushes that come again",
        ),
        *("How long a push takes", "How full the disk is"),
        *("Lines per second by source", "Last line by source", "Kept in 7d at this rate"),
    }
    assert {uid for uid in rules() if not re.search(r"-[2-8]$", uid)} == {
        *("campus-loki-away", "campus-aws-silent", "campus-logins-refused", "campus-pushes-refused"),
        *("campus-pushes-not-taken", "campus-disk-full", "campus-disk-unknown", "campus-replica-away"),
    }


def close(found: Mapping[tuple[str, ...], float], wanted: Mapping[tuple[str, ...], float]) -> None:
    assert found == pytest.approx(dict(wanted))


def test_lines_per_second_are_counted_by_container(
    loki: Asked, logged: list[str], guarded: list[str]
) -> None:
    counts = {APP: len(APP_LINES), GATE: len(logged), HOST: len(guarded), JUDGE: len(SHIPPED_LINES)}
    counts |= {WORKER: len(WRAPPED_LINES)}
    found = loki.values(panels()["Lines found per second"])
    close(found, {key: one / TEN_MINUTES for key, one in counts.items()})


def test_the_volume_is_counted_by_container(loki: Asked, logged: list[str], guarded: list[str]) -> None:
    sizes = {APP: SIZES["app"], GATE: size(logged), HOST: size(guarded), JUDGE: SIZES["judge"]}
    sizes |= {WORKER: SIZES["wrapped"]}
    close(loki.values(panels()["Volume found"]), {key: one / TEN_MINUTES for key, one in sizes.items()})


def test_errors_differ_from_other_lines_and_no_error_is_a_zero(loki: Asked) -> None:
    # Of four lines one has `Error`, and one has `error` and `terror`. Of five wrapped ones, one has `error`
    # and one `fatal`.
    found = loki.values(panels()["Error rate"])
    assert found[APP] == pytest.approx(0.5)
    assert found[WORKER] == pytest.approx(0.4)
    assert found[JUDGE] == 0
    # Independent of the search.
    text = next(one["targets"][0]["expr"] for one in pages()["logs.json"] if one["title"] == "Error rate")
    assert loki.values(put_in(text, search="it broke", only="Errors")) == pytest.approx(found)


def test_lines_are_readable_and_have_their_level_in_either_format(loki: Asked) -> None:
    """Old lines, stored as `key_value`, and new lines in JSON look alike."""
    found = loki.streams(put_in(lines_panel(), container="wrapped"))
    assert sorted(found) == sorted((level, text) for _, level, text in WRAPPED for _ in range(2))
    assert {text for _, text in loki.streams(put_in(lines_panel(), container="judge"))} == {
        f"stage judge  {line}" for line in SHIPPED_LINES
    }


def test_the_switch_leaves_errors_only(loki: Asked) -> None:
    [switch] = [one for one in variables() if one["name"] == "only"]
    options = {one["text"]: one["value"] for one in switch["options"]}
    assert list(options) == ["All", "Errors"]
    assert switch["query"] == ", ".join(f"{text} : {value}" for text, value in options.items())
    everything = loki.lines(put_in(lines_panel(), service="client-api"))
    assert len(everything) == len(APP_LINES) + len(WRAPPED_LINES)
    errors = loki.lines(put_in(lines_panel(), service="client-api", only=options["Errors"]))
    assert len(errors) == 2 + 4
    assert loki.lines(put_in(lines_panel(), service="client-api", only=options["All"])) == everything


def test_the_search_finds_in_any_case_and_the_variables_narrow(loki: Asked) -> None:
    def app(*lines: str) -> list[str]:
        return sorted(f"client-api  {line}" for line in lines)

    assert loki.lines(put_in(lines_panel(), search="IT BR.KE")) == app(APP_LINES[1])
    assert loki.lines(put_in(lines_panel(), service="client-api|other", container="app")) == app(*APP_LINES)
    judge = [f"stage judge  {line}" for line in SHIPPED_LINES]
    assert loki.lines(put_in(lines_panel(), container="judge")) == sorted(judge)
    assert set(loki.lines(put_in(lines_panel()))) > {*app(*APP_LINES), *judge}


def test_the_variables_offer_what_is_there(loki: Asked) -> None:
    queries = {one["name"]: one["query"] for one in variables() if one["type"] == "query"}
    found = {
        name: loki.get(
            f"/loki/api/v1/label/{query['label']}/values",
            query=put_in(query["stream"]),
            start=int((loki.stamp - 600) * 1e9),
        )
        for name, query in queries.items()
    }
    assert found == {
        "service": ["client-api"],
        "container": sorted(["app", CONTAINER, GUARD, "judge", "wrapped"]),
    }
    some = loki.get(
        "/loki/api/v1/label/container/values",
        query=put_in(queries["container"]["stream"], service="client-api"),
        start=int((loki.stamp - 600) * 1e9),
    )
    assert some == ["app", "wrapped"]


@pytest.mark.parametrize(
    ("title", "statuses", "seconds"),
    [
        ("Pushes per second", ALL_STATUSES, TEN_MINUTES),
        # Events are counted: one of them is a whole bar.
        ("Dropped pushes", (400, 401, 403), 1),
        ("Pushes that come again", (429, 500), 1),
    ],
)
def test_pushes_are_separated_by_their_answer(
    loki: Asked, title: str, statuses: tuple[int, ...], seconds: int
) -> None:
    counts = {key: rate * TEN_MINUTES / seconds for key, rate in by_status(*statuses).items()}
    close(loki.values(panels()[title]), counts)


def test_refused_pushes_show_who_was_refused(loki: Asked) -> None:
    wanted = {("127.", *key): rate * TEN_MINUTES for key, rate in by_status(401, 403).items()}
    close(loki.values(panels()["Refused pushes"]), wanted)
    assert loki.lines(panels()["Who was refused"]) == [
        f"127.0.0.1 401 /lokitest{PUSH_PATH}",
        f"127.0.0.1 403 /lokiaws{PUSH_PATH}",
    ]
    assert loki.values(panels()["Refused pushes in 5m"]) == {(): 2}
    # A zero without a count would be wrong: without the guard's lines there is no value.
    assert loki.values(panels()["Refused pushes in 5m"], loki.stamp + 301) == {}


def test_the_time_of_a_push_is_read_from_caddys_log(loki: Asked) -> None:
    found = loki.values(panels()["How long a push takes"])
    assert set(found) == {("/lokiaws",), ("/lokitest",)}
    assert all(0 < one < 60 for one in found.values())


def test_the_disk_is_as_full_as_the_guard_says(loki: Asked, guarded: list[str]) -> None:
    [percent] = {float(line.partition("disk_used_percent=")[2]) for line in guarded if "disk" in line}
    assert 0 < percent <= 100
    for query in (panels()["How full the disk is"], panels()["Disk"], rules()["campus-disk-full"]):
        assert loki.values(query) == {(): percent}
    # Silence is no value here, and a zero for the rule that reports it.
    assert loki.values(rules()["campus-disk-full"], loki.stamp + 301) == {}
    assert loki.values(rules()["campus-disk-unknown"]) == {(): len(guarded)}
    assert loki.values(rules()["campus-disk-unknown"], loki.stamp + 301) == {(): 0}


def labels_of(stream: Mapping[str, str]) -> tuple[str, ...]:
    kept = ("job", "source", "host", "service", "container")
    return tuple(value for key, value in sorted(stream.items()) if key in kept)


def test_the_pipeline_counts_by_source(loki: Asked, logged: list[str], guarded: list[str]) -> None:
    shipped = {"source": "docker", "host": "campus"}
    streams = [
        (firelens_labels(), len(APP_LINES)),
        (firelens_labels() | {"container": "wrapped"}, len(WRAPPED_LINES)),
        (shipped | {"container": CONTAINER}, len(logged)),
        (shipped | {"container": GUARD}, len(guarded)),
        (shipped | {"host": "stage", "container": "judge"}, len(SHIPPED_LINES)),
    ]
    rates = {labels_of(labels): lines / TEN_MINUTES for labels, lines in streams}
    close(loki.values(panels()["Lines per second by source"]), rates)
    last = loki.values(panels()["Last line by source"])
    assert set(last) == set(rates)
    assert all(one == int(loki.stamp) * 1000 for one in last.values())


def test_what_is_kept_is_the_volume_of_the_retention(
    loki: Asked, logged: list[str], guarded: list[str]
) -> None:
    volume = sum(SIZES.values()) + size(logged) + size(guarded)
    close(loki.values(panels()["Kept in 7d at this rate"]), {(): volume / TEN_MINUTES * 7 * 86400})


def test_silence_of_aws_is_a_zero_and_no_gap(loki: Asked) -> None:
    for query in (rules()["campus-aws-silent"], panels()["Loki aws: from AWS in 10m"]):
        assert loki.values(query) == {(): len(APP_LINES) + len(WRAPPED_LINES)}
        # Ten minutes later, and before the first line: a rule can only compare existing values.
        assert loki.values(query, loki.stamp + 601) == {(): 0}
        assert loki.values(query, loki.stamp - 3600) == {(): 0}


def test_a_loki_that_answers_has_a_number_whatever_it_holds(
    loki: Asked, logged: list[str], guarded: list[str]
) -> None:
    lines = len(APP_LINES) + len(WRAPPED_LINES) + len(SHIPPED_LINES) + len(logged) + len(guarded)
    for query in (rules()["campus-loki-away"], panels()["Loki aws: lines in 5m"]):
        assert loki.values(query) == {(): lines}
        assert loki.values(query, loki.stamp + 601) == {(): 0}
    # The placeholder of an unused rule has no query.
    assert loki.values(rules()["campus-loki-away-2"]) == {(): 0}


def test_the_alerts_of_the_gate_count_what_they_say(loki: Asked) -> None:
    found = {
        uid: rules()[f"campus-{uid}"] for uid in ("logins-refused", "pushes-refused", "pushes-not-taken")
    }
    assert loki.values(found["logins-refused"]) == {("127.0.0.1", "/lokitest"): 1}
    assert loki.values(found["pushes-refused"]) == {("127.0.0.", "/lokiaws"): 1}
    assert loki.values(found["pushes-not-taken"]) == {
        ("/lokiaws", str(status)): 1 for status in (400, 429, 500)
    }
    for query in found.values():
        assert loki.values(query, loki.stamp + 301) == {}


def test_many_strangers_do_not_hide_a_refused_nat(loki: Asked, logged: list[str]) -> None:
    """Many networks, one of them with many addresses, two neighbours, and a NAT that is still refused."""
    marks = ('"status":403', '"method":"POST"', f'"uri":"/lokiaws{PUSH_PATH}"')
    entry = next(line for line in logged if all(mark in line for mark in marks))
    strangers = [f"198.{at // 250}.{at % 250}.9" for at in range(600)]
    strangers += ["203.0.112.8", "203.1.113.9"] * 2
    strangers += ["198.51.100.7"] * 30
    strangers += [f"2001:db8::{at:x}" for at in range(600)]
    then = loki.stamp - 1200
    for stamp, addresses in ((then - 1, strangers), (then, ["203.0.113.7"] * 3)):
        lines = [entry.replace('"remote_ip":"127.0.0.1"', f'"remote_ip":"{one}"') for one in addresses]
        labels = {"source": "docker", "host": "campus", "container": CONTAINER}
        push(loki.campus, loki.where, labels, lines, stamp)
    found = loki.values(rules()["campus-pushes-refused"], then + 5)
    assert len(found) == STRANGERS
    wanted = {"203.0.113.": 3, "203.0.112.": 2, "203.1.113.": 2, "198.51.100.": 30, "2001:db8:": 600}
    assert {(network, "/lokiaws"): count for network, count in wanted.items()}.items() <= found.items()
    assert loki.values(panels()["Refused pushes"], then + 5)["203.", "/lokiaws", "403"] == 7
    assert loki.values(rules()["campus-logins-refused"], then + 5) == {}


def test_a_replica_that_is_not_ready_is_named_by_its_address(loki: Asked, logged: list[str]) -> None:
    query = rules()["campus-replica-away"]
    failed = {
        json.loads(line)["host"]
        for line in logged
        if '.health_checker.active"' in line and "host is up" not in line
    }
    assert failed == {AWAY, "127.0.0.1:8080"}
    found = loki.values(query)
    assert set(found) == {(AWAY,), ("127.0.0.1:8080",)}
    assert found[AWAY,] == sum(f'"host":"{AWAY}"' in line for line in logged)
    assert loki.values(query, loki.stamp + 61) == {}
