"""Metrics: pushes through the gate and straight to Prometheus, its memory for series, and a day's query.

`python -m bench.metrics` deploys the stack with Prometheus into the test rig, and measures all in turns, so
that a busy machine slows all alike.
"""

from __future__ import annotations

import json
import re
import statistics
import sys
import time
from functools import cache
from urllib.parse import urlencode

from bench.pushes import Kind, Way, push_by_turns
from bench.queries import by_the_reader
from bench.verdict import verdict
from components.docker_hosts.settings import CampusSettings
from components.prometheus.settings import PORT
from rig.deployment import Deployment, deployed
from rig.emulator import running_emulator
from rig.inside import inside
from rig.live_grafana import PLAYED, make_played_image
from rig.metrics import REMOTE_WRITE
from rig.namespaces import NAT, SERVER
from rig.other_processes import Caller
from rig.probe import Client, Login
from rig.remote_write import HEADERS, labels_of, sample, write_request
from rig.rig import end_in_order_on_signals, running_rig
from rig.stack import local_settings

# Prometheus' default for remote write (its documentation, "Remote Write tuning", max_samples_per_send).
SAMPLES = 2000
# A sender that waits for each answer, and as many as keep both cores busy: throughput is measured with these.
ONE, MORE = 1, 4
SERIES = 100_000
# The gate stops pushes when series take a tenth of it.
MEMORY_BYTES = 3 << 30
SAMPLES_OF_A_SERIES = 20
STEP_SECONDS = 30
# A day of a small host's containers. Prometheus takes no samples older than a day.
CONTAINERS, CPUS, DAY_SECONDS = 20, 5, 23 * 3600
DAY_QUERY = "sum by (name) (rate(bench_day_total[5m]))"
ROUNDS = 20
MIB = 1 << 20


def main() -> int:
    """Measure and record everything; 1 if a figure misses its target."""
    end_in_order_on_signals()
    with running_rig() as rig, running_emulator() as emulator:
        make_played_image(rig)
        changes = {
            "prometheus": local_settings()["prometheus"] | {"allow": ["nat"], "memoryBytes": MEMORY_BYTES},
            "images": {"grafana": PLAYED},
            "grafana": {"enabled": True},
        }
        with deployed(rig, emulator, changes) as edge:
            straight = straight_to_prometheus(edge)
            met = [report_memory(straight), report_day(edge, straight), report_pushes(edge, straight)]
    return 0 if all(met) else 1


def straight_to_prometheus(edge: Deployment) -> Caller:
    """A client on the campus server itself."""
    campus = CampusSettings.model_validate(edge.settings["campus"])
    return Caller(edge.rig.network.campus, SERVER, (campus.private_address(PORT), PORT), "prometheus", None)


def labels_like_cadvisors(number: int) -> dict[str, str]:
    """Six labels of some 225 bytes."""
    return {
        "id": f"/system.slice/docker-{number:064x}.scope",
        "image": f"registry.example.edu/judge/worker-{number % 50}:2026.11.29",
        "name": f"judge-worker-{number}",
        "instance": "10.0.12.34:8080",
        "job": "cadvisor",
        "cpu": f"cpu{number % 8:02}",
    }


def report_memory(straight: Caller) -> bool:
    """Prometheus' memory for series that each had some samples, as its container's limit counts it."""
    client = straight.client()

    def resident() -> float:
        page = client.request("GET", "/metrics").body.decode()
        [found] = re.findall(r"^process_resident_memory_bytes (\S+)$", page, re.MULTILINE)
        return float(found) / MIB

    before, now_ms = resident(), int(time.time() * 1000)
    first_ms = now_ms - SAMPLES_OF_A_SERIES * STEP_SECONDS * 1000
    for start in range(0, SERIES, SAMPLES):
        pushed = b"".join(
            sample(number, first_ms + number * STEP_SECONDS * 1000) for number in range(SAMPLES_OF_A_SERIES)
        )
        series = (
            labels_of("bench_memory_total", labels_like_cadvisors(number)) + pushed
            for number in range(start, start + SAMPLES)
        )
        push(client, write_request(series))
    grown = resident() - before
    versus = (
        f"{before:.0f} MiB before; six labels of 225 bytes and {SAMPLES_OF_A_SERIES} samples each; resident"
    )
    return verdict("prometheus_mib_per_100k_series", round(grown * 100_000 / SERIES), SERIES, versus)


def push(client: Client, body: bytes) -> None:
    """Push; RuntimeError if it is refused."""
    answer = client.request("POST", REMOTE_WRITE, body, HEADERS)
    if answer.status != 204:
        raise RuntimeError(f"a push was answered {answer.status}: {answer.body[:200]!r}")


def report_day(edge: Deployment, straight: Caller) -> bool:
    """A graph of a day's rates, by the reader as Grafana asks and straight to Prometheus."""
    end_s = int(time.time())
    push_day(straight.client(), end_s)
    asked = {"query": DAY_QUERY, "start": end_s - DAY_SECONDS, "end": end_s, "step": 60}
    path = f"/api/v1/query_range?{urlencode(asked)}"
    with inside(edge.container("grafana")) as grafana:
        ways = {"by the reader": by_the_reader(straight, grafana), "straight": straight}
        took: dict[str, list[float]] = {name: [] for name in ways}
        # The first round is a warm-up.
        for number in range(ROUNDS + 1):
            for name, caller in ways.items():
                seconds = ask(caller.client(), path)
                if number > 0:
                    took[name].append(seconds)
    ratios = [ours / bare for ours, bare in zip(took["by the reader"], took["straight"], strict=True)]
    said = ", ".join(f"{name} {statistics.median(each) * 1e3:.0f} ms" for name, each in took.items())
    versus = f"{said}; {CONTAINERS * CPUS} series of {DAY_SECONDS // STEP_SECONDS:,} samples, pushed late"
    print(f"  a graph of a day: {versus}")
    seconds = round(statistics.median(took["by the reader"]), 3)
    return verdict("metrics_day_query_seconds", seconds, ROUNDS, versus) & verdict(
        "metrics_day_query_ratio", round(statistics.median(ratios), 3), ROUNDS, versus
    )


def push_day(client: Client, end_s: int) -> None:
    """Push a day's samples of some containers, the oldest first."""
    labels = [
        labels_of("bench_day_total", {"name": f"container-{number}", "cpu": str(cpu)})
        for number in range(CONTAINERS)
        for cpu in range(CPUS)
    ]
    at_once = SAMPLES // len(labels) * STEP_SECONDS
    for begin_s in range(end_s - DAY_SECONDS, end_s, at_once):
        stamps = range(begin_s, min(begin_s + at_once, end_s), STEP_SECONDS)
        pushed = b"".join(sample(stamp, stamp * 1000) for stamp in stamps)
        push(client, write_request(one + pushed for one in labels))


def ask(client: Client, path: str) -> float:
    """The seconds of a query; RuntimeError if its answer isn't a day of all containers."""
    began = time.monotonic()
    answer = client.request("GET", path)
    seconds = time.monotonic() - began
    found = json.loads(answer.body)["data"]["result"] if answer.status == 200 else []
    if len(found) != CONTAINERS or any(len(one["values"]) < DAY_SECONDS // 60 - 10 for one in found):
        raise RuntimeError(f"a query was answered {answer.status}: {answer.body[:200]!r}")
    return seconds


def report_pushes(edge: Deployment, straight: Caller) -> bool:
    """Samples through the gate, compared with Prometheus itself."""
    gate = Caller.of(edge, NAT)
    [(user, password)] = edge.outputs["shipper_credentials"]["prometheus"].items()
    kind = Kind("samples", SAMPLES, HEADERS, samples_body)
    ways = [
        way
        for connections in (ONE, MORE)
        for way in (
            Way(f"straight, {connections} at once", straight, REMOTE_WRITE, None, kind, connections),
            Way(
                f"gate and password, {connections} at once",
                gate,
                f"{edge.settings['prometheus']['route']}{REMOTE_WRITE}",
                Login(user, password),
                kind,
                connections,
            ),
        )
    ]
    bare, ours, bare_more, ours_more = push_by_turns(tuple(ways))
    ratios = [one / other for one, other in zip(ours_more.rates, bare_more.rates, strict=True)]
    versus = f"{MORE} at once, straight: {bare_more}; the gate: {ours_more}; one, {bare}; {ours}"
    return verdict("metrics_gate_ratio", round(statistics.median(ratios), 3), len(ratios), versus)


@cache
def series_of_a_host(place: int) -> tuple[bytes, ...]:
    """The labels of a connection's series."""
    return tuple(
        labels_of("bench_pushed_total", labels_like_cadvisors(number) | {"instance": f"host-{place}"})
        for number in range(SAMPLES)
    )


def samples_body(place: int) -> bytes:
    """A push of a sample now of each of a host's series."""
    stamped = sample(1.0, time.time_ns() // 10**6)
    return write_request(one + stamped for one in series_of_a_host(place))


if __name__ == "__main__":
    sys.exit(main())
