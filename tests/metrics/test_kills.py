"""Prometheus and Caddy ended under remote write: a Prometheus outside retries, and no sample is missing."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest
from docker.models.containers import Container

from components.prometheus.component import STOP_SECONDS
from rig.deployment import Deployment
from rig.figures import TARGETS, record
from rig.metrics import MESSAGE, MESSAGES, remote_writer, samples
from rig.probe import Client, Login
from rig.processes import wait_for
from tests.support.counts import count
from tests.support.numbered_page import NUMBERED, SERIES, NumberedPage, numbered_page

pytestmark = [pytest.mark.docker, pytest.mark.timeout(3600)]

# Each page is a target of its own, scraped each second.
PAGES = 10
# The agent waits five seconds at most before it retries (its documentation, max_backoff).
BACK_SECONDS = 120.0


@contextmanager
def pushing(deployment: Deployment, login: Login, folder: Path) -> Iterator[list[NumberedPage]]:
    """A Prometheus outside that reads numbered pages and pushes them, for the length of the block."""
    world = deployment.rig.network.world
    with ExitStack() as stack:
        pages = [stack.enter_context(numbered_page(world)) for _ in range(PAGES)]
        with remote_writer(deployment, folder, login, [page.target for page in pages]):
            yield pages


def series_of(page: NumberedPage, message: str) -> str:
    """The selector of a page's series that came by this message."""
    return f'{NUMBERED}{{instance="{page.target}", {MESSAGE}="{message}"}}'


def newest(grafana: Client, page: NumberedPage, message: str) -> int:
    """The highest number of a page that Prometheus has; 0 if it has none, or can't be asked."""
    try:
        found = samples(grafana, f"max({series_of(page, message)})")
    except (RuntimeError, OSError):
        return 0
    return int(found[0]["value"][1]) if found else 0  # type: ignore[index]


def wait_until_all_arrive(grafana: Client, pages: Sequence[NumberedPage], wanted: Sequence[int]) -> None:
    """Return when both messages have brought at least these numbers."""
    for page, number in zip(pages, wanted, strict=True):
        for message in MESSAGES:
            wait_for(
                f"number {number} of {page.target} has come by {message}",
                lambda page=page, number=number, message=message: newest(grafana, page, message) >= number,
                BACK_SECONDS,
            )


def missing(grafana: Client, pages: Sequence[NumberedPage], lasts: Sequence[int]) -> list[str]:
    """Each sample, up to the last numbers, that Prometheus doesn't have."""
    lost: list[str] = []
    for page, last in zip(pages, lasts, strict=True):
        for message in MESSAGES:
            found = samples(grafana, f"{series_of(page, message)}[3h]")
            assert len(found) == SERIES
            for series in found:
                numbers = {int(value) for _, value in series["values"]}  # type: ignore[union-attr]
                lost += [f"{series['metric']} {number}" for number in set(range(1, last + 1)) - numbers]
    return lost


def numbers_of(pages: Sequence[NumberedPage]) -> list[int]:
    """Each page's last number."""
    return [page.answered for page in pages]


def end(container: Container, *, by_force: bool) -> None:
    """Kill a program as a power failure does, or stop it as an update does; and start it again."""
    if by_force:
        container.kill("KILL")
    else:
        container.stop(timeout=STOP_SECONDS)
    container.start()


@pytest.mark.parametrize(
    ("program", "times"),
    [("prometheus", count(test=2, soak=50)), ("caddy", count(test=1, soak=20))],
)
def test_no_sample_is_missing_after_ends(
    deployment: Deployment, grafana: Client, login: Login, tmp_path: Path, program: str, times: int
) -> None:
    container = deployment.container(program)
    with pushing(deployment, login, tmp_path) as pages:
        wait_until_all_arrive(grafana, pages, [2] * PAGES)
        for number in range(times):
            # Killed first, so that few times cover both.
            end(container, by_force=number % 2 == 0)
            wait_until_all_arrive(grafana, pages, numbers_of(pages))
        lasts = numbers_of(pages)
        wait_until_all_arrive(grafana, pages, lasts)
        lost = missing(grafana, pages, lasts)
        # A page that the agent itself couldn't read in time was never pushed.
        for page in pages:
            assert not samples(grafana, f'min_over_time(up{{instance="{page.target}"}}[3h]) == 0')
    pushed = sum(lasts) * SERIES * len(MESSAGES)
    versus = f"{program} ended {times} times, half of them by kill -9; both versions of remote write"
    record(f"{program}_kill_samples_missing", len(lost), "", pushed, versus)
    assert TARGETS[f"{program}_kill_samples_missing"].met_by(len(lost)), lost[:20]
