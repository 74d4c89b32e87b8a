"""The worst pushes of metrics that the gate lets through, too many series, and an honest sender meanwhile.

The real Caddy in front of the real Prometheus, both with the stack's configuration and Prometheus with its
memory limit.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from components.edge.caddyfile import GuardedRoute
from components.prometheus.memory_limit import stopped_at
from components.prometheus.push_paths import OTLP, REMOTE_WRITE, pushes
from components.prometheus.settings import PrometheusSettings
from rig.processes import wait_for
from tests.support.memory_limit import MemoryLimit, memory_limit
from tests.support.metric_pushes import MetricPush, bombs, otlp, remote_write
from tests.support.programs import program_of_image
from tests.support.running_caddy import LISTED, RunningCaddy, running_caddy
from tests.support.running_prometheus import RunningPrometheus, prometheus_settings, running_prometheus

pytestmark = pytest.mark.programs

SETTINGS = prometheus_settings()
# 256 KB in snappy are at most this, as a copy of 64 bytes takes 3; and OpenTelemetry's limit.
UNPACKED, PLAIN = 255_000 * 64 // 3, 64_000
BOMBS = bombs(UNPACKED, PLAIN)
AT_ONCE = 4
# The bombs in each run; the others take too long.
QUICK = ("labels", "a huge label", "points")
# Prometheus takes samples from ten minutes ahead (its storage/remote, maxAheadTime) to `maxAge` late.
WRONG_TIMES = {"eleven minutes ahead": 660, "a year ahead": 365 * 86400, "two days late": -2 * 86400}
LEAST, MORE = 2 << 30, 4 << 30
# With this the gate's limit is 105 MiB.
ALMOST_NOTHING = 600 << 20
# Pushes that stay in memory.
MANY: dict[str, Callable[[int], MetricPush]] = {
    "series": lambda number: remote_write({f"many_{number}_{each}": 1.0 for each in range(2500)}),
    "labels": lambda number: remote_write({f"many_{number}_": 1.0}, {"b": "c" * UNPACKED}),
}


@dataclass
class Site:
    """The gate, the Prometheus behind it with its settings, and its memory limit."""

    settings: PrometheusSettings
    caddy: RunningCaddy
    prometheus: RunningPrometheus
    memory: MemoryLimit

    def push(self, one: MetricPush) -> int:
        """The status of a push; 0 if it isn't answered."""
        try:
            return self.caddy.post(one.path, content=one.body, headers=dict(one.headers)).status_code
        except OSError:
            return 0


@pytest.fixture
def site(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Site]:
    """A gate and a Prometheus; a parameter is the memory from which the gate's limits follow."""
    counted = SETTINGS.model_copy(update={"memory_bytes": getattr(request, "param", LEAST)})
    settings = counted.model_copy(update={"memory_bytes": max(counted.memory_bytes, LEAST)})
    program = program_of_image("prometheus", "bin/prometheus", tmp_path)
    with (
        memory_limit("prometheus", settings.memory_bytes) as memory,
        running_prometheus(program, tmp_path, settings, memory) as prometheus,
    ):
        route = GuardedRoute(
            name="prometheus",
            prefix="/metrics",
            upstream=f"127.0.0.1:{prometheus.port}",
            pushes=pushes(counted),
            cidrs=(f"{LISTED}/32",),
        )
        with running_caddy(tmp_path, has_grafana=False, more=[route]) as caddy:
            yield Site(settings, caddy, prometheus, memory)


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=() if name in QUICK else pytest.mark.soak) for name in BOMBS]
)
def test_a_bomb_does_not_end_prometheus(site: Site, name: str) -> None:
    bomb = BOMBS[name]()
    limit = 256_000 if bomb.path.endswith(REMOTE_WRITE.path) else 64_000
    assert len(bomb.body) <= limit
    with ThreadPoolExecutor(AT_ONCE) as pool:
        found = list(pool.map(site.push, [bomb] * AT_ONCE))
    print(f"{name}: {found}, at most {site.memory.peak() >> 20} MiB")
    assert site.prometheus.is_running()
    wait_for("an honest push comes in", lambda: site.push(remote_write({"honest": 7})) == 204, 120.0)
    assert site.prometheus.value("honest") == 7


@pytest.mark.soak
@pytest.mark.parametrize("site", [LEAST, MORE], indirect=True)
def test_the_worst_pushes_end_no_prometheus_that_is_full_of_series(site: Site) -> None:
    number, limit = 0, stopped_at(site.settings.memory_bytes)
    while (heap := site.prometheus.next_collection_bytes()) < 0.95 * limit:
        assert site.push(MANY["series"](number)) == 204
        number += 1
    bomb = BOMBS["series"]()
    with ThreadPoolExecutor(AT_ONCE) as pool:
        found = list(pool.map(site.push, [bomb] * AT_ONCE * 2))
    print(f"{number * 2500} series, {heap >> 20} of {limit >> 20} MiB: {found}")
    print(f"at most {site.memory.peak() >> 20} MiB")
    assert site.prometheus.is_running()
    # One is let in, at least.
    assert 204 in found


def test_a_compressed_push_of_opentelemetrys_is_refused(site: Site) -> None:
    bomb = BOMBS["resources in gzip"]()
    assert site.push(bomb) == 415
    plain = replace(bomb, headers={"Content-Type": "application/x-protobuf"}, body=b"")
    assert site.push(plain) == 200
    assert plain.path.endswith(OTLP.path)


@pytest.mark.parametrize("site", [ALMOST_NOTHING], indirect=True)
@pytest.mark.parametrize("kind", MANY)
def test_too_much_in_memory_stops_pushes_and_nothing_else(site: Site, kind: str) -> None:
    assert site.push(remote_write({"first": 1})) == 204
    number = 0
    while (status := site.push(MANY[kind](number))) != 503:
        assert status == 204
        number += 1
    print(f"{kind}: {number} pushes, at most {site.memory.peak() >> 20} MiB")
    assert site.prometheus.value(f"count({{__name__=~'many_{number}_.*'}})") is None
    # Queries go on.
    assert site.prometheus.value("first") == 1
    assert site.prometheus.is_running()


@pytest.mark.parametrize("seconds", WRONG_TIMES.values(), ids=WRONG_TIMES)
def test_a_sample_of_a_wrong_time_is_refused_and_harms_no_other(site: Site, seconds: float) -> None:
    assert site.push(remote_write({"first": 1})) == 204
    at = time.time() + seconds
    assert site.push(remote_write({"wrong": 1}, at=at)) == 400
    assert site.push(otlp("wrong", 1, at)) == 400
    # If it were taken, one of the future would make all others too old.
    assert site.push(remote_write({"honest": 7})) == 204
    assert site.prometheus.value("honest") == 7
    assert site.prometheus.value(f"count_over_time(wrong[1h] @ {at})") is None
