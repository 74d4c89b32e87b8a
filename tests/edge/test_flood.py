"""Strangers' password guesses don't slow Grafana's route: none from outside the gate is hashed."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator

import pytest

from rig.deployment import Deployment
from rig.edge_files import EdgeFiles, edge_files
from rig.figures import record
from rig.flood import (
    GUESSERS,
    GUESSES_PER_SECOND,
    VISITS_PER_SECOND,
    caddy_cpu_seconds,
    page_behind_caddy,
    slowdown,
)
from rig.namespaces import STRANGER
from rig.probe import PUSH_PATH, Login
from tests.support.counts import count

pytestmark = pytest.mark.docker

# Turns without and with guesses. The figure has enough that noise evens out; in `make test` they only show
# that nothing is far off.
TURNS = count(test=3, soak=120)
TURN_SECONDS = 2.0
ENOUGH_TURNS = 100
# The seeded fault is far above this (hundreds), and noise far below.
FAULT_RATIO = 20
# The CPU time of one refused guess: a refusal takes some 0.3 ms, a hash with cost 14 takes 1 s.
REFUSAL_SECONDS = 0.02
HASH_SECONDS = 0.1
GUESSES = 200


@pytest.fixture(scope="module")
def live(edge: Deployment) -> Iterator[EdgeFiles]:
    """The edge with a page instead of Grafana."""
    with page_behind_caddy(edge) as page, edge_files(edge) as live:
        live.apply(live.rendered(grafana=page))
        yield live


@pytest.fixture
def password_before_the_address(live: EdgeFiles) -> Iterator[None]:
    """The seeded fault: the password is checked before the address."""
    good = live.on_disk()
    login = re.search(r"basic_auth bcrypt (\{.*?\})", good, re.DOTALL)
    assert login is not None
    asked_first = f"\troute {{\n\t\tbasic_auth /lokitest/* bcrypt {login[1]}\n"
    live.apply(good.replace("\troute {\n", asked_first, 1))
    yield
    live.apply(good)


def cpu_seconds_per_guess(edge: Deployment, guesses: int, status: int) -> float:
    """Caddy's CPU time per guess of a stranger, each with this status."""
    before = caddy_cpu_seconds(edge)
    with edge.client(STRANGER).connected() as connection:
        for _ in range(guesses):
            headers = {"Authorization": Login("admin", f"wrong {time.time_ns()}").header()}
            connection.request("POST", "/lokitest" + PUSH_PATH, body=b"{}", headers=headers)
            answer = connection.getresponse()
            answer.read()
            assert answer.status == status
    return (caddy_cpu_seconds(edge) - before) / guesses


@pytest.mark.usefixtures("live")
def test_no_guess_from_outside_the_gate_is_hashed(edge: Deployment) -> None:
    spent = cpu_seconds_per_guess(edge, GUESSES, 403)
    print(f"a refused guess takes {spent * 1e3:.2f} ms of the processor")
    assert spent < REFUSAL_SECONDS


@pytest.mark.usefixtures("live")
def test_guesses_from_outside_the_gate_do_not_slow_grafana(edge: Deployment) -> None:
    measured = slowdown(edge, TURNS, TURN_SECONDS)
    print(measured)
    assert set(measured.guesses) == {403}
    assert measured.guesses[403] >= TURNS * TURN_SECONDS * GUESSES_PER_SECOND / 2
    if TURNS >= ENOUGH_TURNS:  # `make figures` compares it with its target
        versus = (
            f"no guesses; {GUESSERS} clients, {GUESSES_PER_SECOND:g} guesses/s, "
            f"{VISITS_PER_SECOND:g} visits/s"
        )
        record("flood_slowdown", round(measured.ratio, 3), "x", measured.visits, versus)
    assert measured.ratio < FAULT_RATIO


@pytest.mark.usefixtures("password_before_the_address")
def test_a_password_check_before_the_address_is_caught(edge: Deployment) -> None:
    assert cpu_seconds_per_guess(edge, 2, 401) > HASH_SECONDS
    measured = slowdown(edge, 1, 0.5)
    print(measured)
    assert set(measured.guesses) == {401}
    assert measured.ratio > FAULT_RATIO
