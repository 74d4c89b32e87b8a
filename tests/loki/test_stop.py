"""A Loki stopped under pushes: an unanswered push doesn't delay its end, or other pushes."""

from __future__ import annotations

import socket
import threading
import time
from contextlib import closing, suppress

import pytest

from components.loki.component import STOP_SECONDS
from rig.live_loki import AT_ONCE, LiveLoki, rendered, running_loki
from rig.probe import PUSH_PATH
from rig.pusher import Found, line_of, numbered_body
from rig.rig import Rig
from tests.support.counts import count

pytestmark = pytest.mark.docker

STOPS = count(test=2, soak=20)
JOB = "stop"
# A stopping Loki never answers a push that arrives after its distributor ended and before its ring knows:
# some milliseconds. So many pushes arrive one by one, and most stops leave some unanswered.
PUSHES, APART_SECONDS = 500, 0.0002
# A server's answer when it begins to read an announced body (RFC 9110, section 10.1.1).
READING = b"HTTP/1.1 100 Continue\r\n\r\n"
# Generous: without such a push a stop takes under a second, and Loki's default wait is 30 s.
ENDED_SECONDS = 5.0


def held(loki: LiveLoki, number: int) -> socket.socket:
    """A push that Loki has read except its last byte."""
    body = numbered_body({"job": JOB}, [(time.time_ns(), line_of(number))])
    head = f"POST {PUSH_PATH} HTTP/1.1\r\nHost: loki\r\nContent-Type: application/json\r\n"
    head += f"Expect: 100-continue\r\nContent-Length: {len(body)}\r\n\r\n"
    connection = loki.rig.network.campus.connect(loki.where, timeout=STOP_SECONDS)
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    connection.sendall(head.encode() + body[:-1])
    assert connection.recv(len(READING), socket.MSG_WAITALL) == READING
    return connection


def answered(connection: socket.socket) -> str:
    """The status of the answer; empty if the connection ends without one."""
    with closing(connection):
        try:
            return connection.recv(4096)[9:12].decode()
        except ConnectionError:
            return ""


def stop(loki: LiveLoki, first: int) -> tuple[float, dict[int, str]]:
    """Stop it while pushes end; the seconds, and the status of each."""
    pushes = {number: held(loki, number) for number in range(first, first + PUSHES)}
    began = time.monotonic()
    stopping = threading.Thread(target=loki.container.stop, kwargs={"timeout": STOP_SECONDS})
    stopping.start()
    for connection in pushes.values():
        with suppress(ConnectionError):  # on a slow machine Loki has ended by now
            connection.sendall(b"}")
        time.sleep(APART_SECONDS)
    said = {number: answered(connection) for number, connection in pushes.items()}
    stopping.join()
    return time.monotonic() - began, said


def test_an_unanswered_push_does_not_delay_the_stop(rig: Rig) -> None:
    began, took, said = time.time_ns(), list[float](), dict[int, str]()
    with running_loki(rig, "stop", rendered({}, AT_ONCE)) as loki:
        for number in range(STOPS):
            seconds, answers = stop(loki, number * PUSHES)
            assert loki.container.attrs["State"]["ExitCode"] == 0
            took.append(round(seconds, 2))
            said |= answers
            loki.container.start()
            loki.wait_until_ready()
        found: Found = loki.found(JOB, began)
    unanswered = sum(not answer for answer in said.values())
    print(f"{STOPS} stops took {took} s; {unanswered} of {len(said)} pushes were never answered")
    assert max(took) < ENDED_SECONDS
    # Shippers retry all others, and those without an answer.
    assert set(said.values()) <= {"204", "500", ""}
    assert not found.missing([number for number, answer in said.items() if answer == "204"])
    assert not found.duplicates
