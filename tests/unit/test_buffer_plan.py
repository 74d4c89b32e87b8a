"""Memory, disk and tries of a log router, from a stated log rate and outage."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from components.ecs.buffer_plan import buffer_plan, tried_seconds, tries_for
from components.ecs.log_router_settings import LogRate

TEN_MINUTES = LogRate(lines_per_second=20, bytes_per_line=512, outage_minutes=10)


def test_the_worked_example() -> None:
    plan = buffer_plan("grafana", TEN_MINUTES, 1, {})
    assert (plan.max_retries, plan.queue_mib, plan.memory_mib) == (43, 11, 68)
    # Flush 1 s and grace 5 s, BatchWait 1 s, two tries of 10 s, the first wait of up to 1 s.
    assert plan.stop_seconds == 28
    assert plan.driver_lines == 12_000


def test_the_worked_example_of_fluent_bits_own_output() -> None:
    plan = buffer_plan("fluent-bit", TEN_MINUTES, 1, {})
    assert (plan.max_retries, plan.queue_mib, plan.memory_mib) == (None, 0, 48)
    # The outage, a flush, the longest wait, and a connection and an answer at their slowest.
    assert plan.oldest_seconds == 600 + 1 + 2011 + 20


def waits(tries: int, first: float, longest: float) -> float:
    """When the last try begins, with the waits of dskit's backoff.NextDelay (see test_log_router)."""
    low, high, waited = first, min(2 * first, longest), 0.0
    for _ in range(tries - 1):
        waited += low if low >= high else random.uniform(low, high)
        if low < high < longest:
            low, high = min(2 * low, longest), min(2 * high, longest)
    return waited


@given(
    outage=st.integers(1, 86_400),
    first=st.floats(0.01, 20),
    longest=st.floats(5, 300),
)
def test_the_last_try_comes_after_the_outage_and_not_one_try_later(
    outage: int, first: float, longest: float
) -> None:
    tries = tries_for(outage, first, longest)
    assert tried_seconds(tries, first, longest) >= outage * (1 - 1e-9)
    assert tried_seconds(tries - 1, first, longest) < outage
    assert waits(tries, first, longest) >= outage * (1 - 1e-9)


def test_many_tries_are_calculated_quickly() -> None:
    assert tried_seconds(10**9, 0.5, 30) == pytest.approx(16e9, rel=1e-6)


@given(
    rate=st.floats(0.1, 10_000),
    size=st.integers(1, 4096),
    minutes=st.integers(1, 24 * 60),
)
def test_half_of_the_memory_holds_an_outage_in_the_agents_units(rate: float, size: int, minutes: int) -> None:
    stated = LogRate(lines_per_second=rate, bytes_per_line=size, outage_minutes=minutes)
    limit = buffer_plan("fluent-bit", stated, 1, {}).memory_mib // 2 * 1_000_000
    assert limit >= stated.held_bytes + 12_000_000


@given(
    rate=st.floats(0.1, 1000),
    size=st.integers(1, 4096),
    minutes=st.integers(1, 120),
    containers=st.integers(1, 9),
)
def test_a_larger_outage_never_gets_less_room(rate: float, size: int, minutes: int, containers: int) -> None:
    def plan(minutes: int, containers: int):
        stated = LogRate(lines_per_second=rate, bytes_per_line=size, outage_minutes=minutes)
        return [buffer_plan(output, stated, containers, {}) for output in ("grafana", "fluent-bit")]

    for less, more in zip(plan(minutes, containers), plan(minutes + 1, containers + 1), strict=True):
        assert less.memory_mib <= more.memory_mib
        assert less.queue_mib <= more.queue_mib
        assert less.driver_lines <= more.driver_lines
        assert (less.max_retries or 0) <= (more.max_retries or 0)


def test_options_by_hand_count() -> None:
    options = {"BatchSize": str(4 << 20), "Timeout": "20s", "MaxBackoff": "1m", "MaxRetries": "40"}
    plan = buffer_plan("grafana", TEN_MINUTES, 2, options)
    assert plan.max_retries == 40
    assert plan.stop_seconds == 48
    assert plan.oldest_seconds == 600 + 2 + 60 + 40
    # Two containers: 2 x 3 batches of 4 MiB, 2 x 2 segments of 500 x 960 bytes.
    assert plan.memory_mib == 64 + 24 + 2
