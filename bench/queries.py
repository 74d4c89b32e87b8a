"""The cost of a query through the reader, compared with Loki itself: a page, and the longest answer."""

from __future__ import annotations

import json
import statistics
import time
from dataclasses import replace
from urllib.parse import urlencode

from bench.verdict import verdict
from rig.deployment import Deployment, on_readers_network
from rig.inside import inside
from rig.namespaces import NAT, SERVER, Namespace
from rig.other_processes import Caller, other_processes
from rig.probe import PUSH_PATH
from rig.processes import wait_for
from rig.pusher import line_of, numbered_body

LINES = 5000
# Lines per answer: a screen, and Loki's limit (its max_entries_limit_per_query).
PAGE, ALL = 100, LINES
ROUNDS, QUERIES = 20, 50
ANSWER_SECONDS = 60.0


def report_queries(edge: Deployment) -> bool:
    """Measure, print and record; whether the target is met."""
    began = time.time_ns()
    stamped = [(began + at, line_of(at)) for at in range(LINES)]
    pushed = (
        Caller.of(edge, NAT)
        .client()
        .request(
            "POST",
            f"/lokiaws{PUSH_PATH}",
            numbered_body({"job": "asked"}, stamped),
            {"Content-Type": "application/json"},
        )
    )
    assert pushed.status == 204, pushed
    with inside(edge.container("grafana")) as grafana, other_processes(1) as processes:
        loki = edge.loki("aws")
        straight = Caller(edge.rig.network.campus, SERVER, loki, "loki", None)
        reader = by_the_reader(straight, grafana)
        wait_for("all lines are found", lambda: asked(reader, ALL, 1, began)[1] == ALL, ANSWER_SECONDS)
        ratios: dict[int, list[float]] = {PAGE: [], ALL: []}
        seconds: dict[tuple[int, str], list[float]] = {}
        # The first round is a warm-up.
        for number in range(ROUNDS + 1):
            for limit, found in ratios.items():
                queries = QUERIES if limit == PAGE else QUERIES // 10
                took = {
                    name: processes.submit(asked, caller, limit, queries, began).result()[0]
                    for name, caller in (("straight", straight), ("by the reader", reader))
                }
                if number > 0:
                    found.append(took["by the reader"] / took["straight"])
                    for name, one in took.items():
                        seconds.setdefault((limit, name), []).append(one)
    said = "; ".join(
        f"{limit} lines {name} {statistics.median(one) * 1e3:.1f} ms"
        for (limit, name), one in seconds.items()
    )
    print(f"  a query for {said}")
    met = [
        verdict(figure, round(statistics.median(ratios[limit]), 3), ROUNDS, f"straight to Loki; {said}")
        for figure, limit in (("reader_page_ratio", PAGE), ("reader_all_ratio", ALL))
    ]
    return all(met)


def by_the_reader(straight: Caller, grafana: Namespace) -> Caller:
    """The same backend's client in Grafana's place."""
    return replace(
        straight,
        namespace=grafana,
        source=on_readers_network("grafana"),
        server=(on_readers_network("reader"), straight.server[1]),
    )


def asked(caller: Caller, limit: int, queries: int, began_ns: int) -> tuple[float, int]:
    """The median seconds of queries over one connection, and the number of lines in the last answer."""
    wanted = {"query": '{job="asked"}', "start": began_ns, "end": began_ns + 10**9, "limit": limit}
    path = f"/loki/api/v1/query_range?{urlencode(wanted)}"
    seconds, body = [], b""
    with caller.client().connected() as connection:
        for _ in range(queries):
            began = time.monotonic()
            connection.request("GET", path)
            answer = connection.getresponse()
            body = answer.read()
            seconds.append(time.monotonic() - began)
            assert answer.status == 200, (answer.status, body[:200])
    streams = json.loads(body)["data"]["result"]
    return statistics.median(seconds), sum(len(stream["values"]) for stream in streams)
