"""The real Caddy's log: little of each request, and a sample of strangers' requests."""

from __future__ import annotations

import base64
import json
import socket
import struct
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import h2.config
import h2.connection
import h2.events
import pytest

from components.edge.access_log import (
    LOGGED_BYTES,
    STRANGERS_LOGGED,
    TAKEN_LOGGED_ONE_IN,
    TAKEN_LOGGED_PER_SECOND,
)
from rig.processes import wait_for
from tests.support.running_caddy import (
    GUARDED_PUSH,
    LISTED,
    PUSH,
    SITE,
    STRANGER,
    RunningCaddy,
    logged,
    running_caddy,
)

pytestmark = pytest.mark.programs

# Docker's limit for a container's log (components/docker_hosts/containers.py).
DOCKER_KEEPS = 5 * 10 * 1000 * 1000
HOUR = 3600
LONG = "x" * 12_000
ODD = "\xff\"\\'\x80<&>" * 1000
KEY = "a-key-that-is-worth-a-password"


@pytest.fixture(scope="module")
def caddy(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningCaddy]:
    """The real Caddy, with a fake Grafana; no address is allowed yet."""
    with running_caddy(tmp_path_factory.mktemp("caddy"), has_grafana=True) as made:
        yield made


def as_docker_keeps(line: str) -> int:
    """The size of a line of Caddy's in Docker's file (its driver json-file)."""
    entry = {"log": f"{line}\n", "stream": "stdout", "time": "2026-11-29T23:59:59.123456789Z"}
    # Docker writes each of these as `\u00` and two digits (moby's jsonlogbytes.go).
    text = json.dumps(entry, separators=(",", ":"))
    return len(text) + 5 * sum(map(text.count, "<>&")) + 1


def exchange(caddy: RunningCaddy, sent: bytes) -> bytes:
    """The whole answer to these bytes over TLS."""
    with caddy.secured(["http/1.1"]) as connection:
        connection.sendall(sent)
        return b"".join(iter(lambda: connection.recv(65536), b""))


def h1(method: str = "GET", target: str = "/x", host: str = SITE.domain, **fields: str) -> bytes:
    """The bytes of an HTTP/1.1 request."""
    lines = [
        f"{method} {target} HTTP/1.1",
        f"Host: {host}",
        *(f"{key}: {one}" for key, one in fields.items()),
    ]
    return "\r\n".join([*lines, "Connection: close", "", ""]).encode("latin-1")


def basic(user: str, password: str = "") -> str:
    """The value of an Authorization field."""
    return f"Basic {base64.b64encode(f'{user}:{password}'.encode()).decode()}"


OVER_HTTP_1 = {
    "a long path": h1(target=f"/lokiaws/{LONG}"),
    "a long query": h1(target=f"/lokiaws/x?{LONG}"),
    "a long path of Grafana's": h1(target=f"/api/{LONG}"),
    "odd signs": h1(target=f"/lokiaws/{ODD}"),
    "odd signs to Grafana": h1(target=f"/{ODD}"),
    "a whole URL": h1(target=f"http://{SITE.domain}/{ODD}"),
    "signs that Docker escapes": h1(target=f"/lokiaws/{'<' * 9000}"),
    "signs that Docker escapes, to Grafana": h1(target=f"/api/{'&' * 9000}", host="&" * 200),
    "another host": h1(host=f"{LONG}.example"),
    "a long method": h1(method="M" * 12_000),
    "long headers": h1(target="/lokiaws/x", A=LONG, Referer="y", B="z" * 2000),
    "a long user": h1("POST", GUARDED_PUSH, Authorization=basic(LONG)),
}


STRANGERS_LOGGED_SECONDS = int(STRANGERS_LOGGED[0].removesuffix("s"))


def test_a_request_costs_at_most_a_kibibyte_of_log(caddy: RunningCaddy) -> None:
    for what, sent in OVER_HTTP_1.items():
        before = caddy.log_lines()
        assert exchange(caddy, sent).startswith(b"HTTP/1.1 "), what
        lines = caddy.new_log_lines(before)
        assert lines, what
        assert sum(map(as_docker_keeps, lines)) <= LOGGED_BYTES, what


def over_http_2(
    caddy: RunningCaddy, path: str, fields: Sequence[tuple[str, str]], number: int, method: str = "GET"
) -> list[int]:
    """The answers to a stranger's requests over one HTTP/2 connection, where a repeated field is a byte."""
    statuses: list[int] = []
    with caddy.secured(["h2"], STRANGER) as connection:
        speaking = h2.connection.H2Connection(h2.config.H2Configuration())
        speaking.initiate_connection()
        connection.sendall(speaking.data_to_send())
        head = [(":method", method), (":scheme", "https"), (":authority", SITE.domain), (":path", path)]
        asked = 0
        while len(statuses) < number:
            while asked < number and asked - len(statuses) < 50:
                speaking.send_headers(
                    speaking.get_next_available_stream_id(), [*head, *fields], end_stream=True
                )
                asked += 1
            connection.sendall(speaking.data_to_send())
            data = connection.recv(65536)
            if not data:
                break
            for event in speaking.receive_data(data):
                if isinstance(event, h2.events.ResponseReceived):
                    statuses.append(int(dict(event.headers)[b":status"]))
                elif isinstance(event, h2.events.ConnectionTerminated):
                    return statuses
            connection.sendall(speaking.data_to_send())
    return statuses


def test_headers_that_cost_their_sender_a_byte_cost_no_log(caddy: RunningCaddy) -> None:
    before = caddy.log_lines()
    statuses: list[int] = []
    # A connection is closed gracefully after some hundred requests, and a ten-second interval may end.
    while len(statuses) < 600:
        statuses += over_http_2(caddy, "/lokiaws/x", [("x-a", "v" * 4000)] * 3, 200)
    assert set(statuses) == {403}
    lines = caddy.new_log_lines(before)
    assert lines
    assert max(map(as_docker_keeps, lines)) <= LOGGED_BYTES
    assert sum(map(as_docker_keeps, lines)) < 50 * len(statuses)


# On a route everything but pushes, the push itself, and outside the routes.
FLOODS = (
    *(("GET", "/lokiaws/x"), ("GET", PUSH), ("POST", f"{PUSH}?")),
    *(("GET", "/lokitest/x"), ("POST", GUARDED_PUSH), ("GET", "/login"), ("GET", "/x")),
)


def test_a_strangers_flood_leaves_room_for_an_hour_and_hides_no_refused_push(caddy: RunningCaddy) -> None:
    """On all paths except the push's own route: each route's refused pushes have their own log."""
    before, begun = caddy.log_lines(), time.monotonic()
    asked = 0
    while time.monotonic() - begun < STRANGERS_LOGGED_SECONDS:
        for method, path in FLOODS:
            asked += len(over_http_2(caddy, path, [("x-a", "v" * 4000)], 50, method))
    windows = (time.monotonic() - begun) / STRANGERS_LOGGED_SECONDS + 1
    lines = caddy.new_log_lines(before)
    assert asked > 5 * len(lines)
    written = sum(map(as_docker_keeps, lines))
    assert written / windows * (HOUR / STRANGERS_LOGGED_SECONDS) < DOCKER_KEEPS
    assert_logged(caddy, STRANGER, "aws_refused")


def test_a_strangers_pushes_hide_no_refusal_of_a_listed_address(caddy: RunningCaddy) -> None:
    """Even the same push on the same route: addresses that another route allows are sampled separately."""
    before, asked = caddy.log_lines(), 0
    # A connection is closed gracefully after some hundred requests.
    while asked < 600:
        answers = over_http_2(caddy, PUSH, [], 100, "POST")
        assert set(answers) <= {403}
        asked += len(answers)
    # The flood is sampled, even if a ten-second interval ends in it.
    assert len(caddy.new_log_lines(before)) < asked / 10
    assert_logged(caddy, LISTED, "aws_failed")


def assert_logged(caddy: RunningCaddy, source: str, logger: str) -> None:
    """A refused push from there is logged by this logger, with the fields for the alert and dashboards."""
    before = caddy.log_lines()
    assert caddy.post(PUSH, source=source).status_code == 403
    [line] = caddy.new_log_lines(before)
    entry = json.loads(line)
    assert entry["logger"] == f"http.log.access.{logger}"
    # components/grafana/logql.py, `pushed`.
    assert (entry["status"], type(entry["duration"])) == (403, float)
    request = {"method": "POST", "uri": PUSH, "remote_ip": source}
    assert request.items() <= entry.items()


def test_the_access_log_has_all_refusals_and_some_of_many_pushes(tmp_path: Path) -> None:
    """Accepted pushes would crowd out refusals, as Docker limits the log."""
    pushes = 500
    headers = {"Host": SITE.domain, "Authorization": basic("admin", "right")}
    with running_caddy(tmp_path, has_grafana=True) as caddy, caddy.connected() as connection:
        begun = time.monotonic()
        for _ in range(pushes):
            connection.request("POST", GUARDED_PUSH, b"{}", headers)
            answer = connection.getresponse()
            answer.read()
            assert answer.status == 204
        seconds = time.monotonic() - begun
        refusals = [
            (GUARDED_PUSH, ("admin", "wrong"), 401),
            (PUSH, None, 403),
            ("/lokitest/config", None, 403),
            # Refused by Loki itself.
            (GUARDED_PUSH, ("admin", "right"), 429),
            (GUARDED_PUSH, ("admin", "right"), 500),
        ]
        for path, auth, status in refusals:
            answer = caddy.post(path, auth=auth, headers={"X-Answer-With": str(status)})
            assert answer.status_code == status
        # On another route no push was accepted until now.
        caddy.allow("127.0.0.1")
        assert caddy.post(PUSH).status_code == 204
    entries = [entry for entry in logged(tmp_path) if entry["method"] == "POST"]
    taken = [entry for entry in entries if entry["status"] == 204]
    by_route = {path: sum(1 for entry in taken if entry["uri"] == path) for path in (GUARDED_PUSH, PUSH)}
    # Whole seconds, and partial ones at both ends.
    at_most = (int(seconds) + 2) * TAKEN_LOGGED_PER_SECOND + pushes // TAKEN_LOGGED_ONE_IN
    assert TAKEN_LOGGED_PER_SECOND <= by_route[GUARDED_PUSH] <= at_most < pushes
    assert by_route[PUSH] == 1
    assert {entry["user_id"] for entry in taken if entry["uri"] == GUARDED_PUSH} == {"admin"}
    refused = [entry["status"] for entry in entries if entry["status"] >= 400]
    assert sorted(refused) == sorted(status for _, _, status in refusals)


# Caddy's messages for these contain the client's port or bytes, so each text is different.
BROKEN_OFF = {
    "reset": h1("POST", "/login", **{"Content-Length": "1000"}),
    "ended by nonsense": h1("POST", "/login", **{"Transfer-Encoding": "chunked"})
    + f"0\r\nX-Api-Key {KEY}{LONG[:3000]}\r\n\r\n".encode(),
}


@pytest.mark.parametrize("how", BROKEN_OFF)
def test_a_broken_request_is_logged_like_any_other(tmp_path: Path, how: str) -> None:
    # Its own Caddy: former tests may have used up this interval's lines.
    with running_caddy(tmp_path, has_grafana=True) as caddy:
        before = caddy.log_lines()
        for _ in range(5):
            with caddy.secured(["http/1.1"]) as connection:
                connection.sendall(BROKEN_OFF[how])
                if how != "reset":
                    connection.recv(65536)
                at_once = struct.pack("ii", 1, 0)
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, at_once)
        wait_for("Caddy has noticed", lambda: caddy.log_lines() > before, 20.0)
        lines = caddy.new_log_lines(before)
    assert {json.loads(line)["logger"] for line in lines} == {"http.log.access.site"}
    assert KEY not in "".join(lines)
    assert max(map(as_docker_keeps, lines)) <= LOGGED_BYTES


# These URLs need no password (Grafana's documentation and its API reference).
CAPABILITIES = {
    f"/user/password/reset?code={KEY}": "/user",
    f"/invite/{KEY}?a=b": "/invite",
    f"/api/user/invite/{KEY}": "/api/user",
    f"/dashboard/snapshot/{KEY}": "/dashboard/snapshot",
    f"/api/snapshots/{KEY}": "/api/snapshots",
    f"/api/snapshots-delete/{KEY}": "/api/snapshots-delete",
    f"/public-dashboards/{KEY}": "/public-dashboards",
    f"/api/public/dashboards/{KEY}/panels/1/query": "/api/public",
    f"/login?auth_token={KEY}": "/login",
    f"//invite/{KEY}": "/",
    f"/%69nvite/{KEY}": "/%69nvite",
    f"http://{SITE.domain}/invite/{KEY}": "",
    f"/lokiaws/loki/api/v1/push?token={KEY}": "/lokiaws/loki/api/v1/push?",
}


def test_the_access_log_has_nothing_to_log_in_with(tmp_path: Path) -> None:
    headers = {
        "Cookie": f"grafana_session={KEY}",
        "Authorization": f"Bearer {KEY}",
        "Referer": f"https://{SITE.domain}/user/password/reset?code={KEY}",
        "X-Api-Key": KEY,
        "X-Nobody-Knows-It": KEY,
        # Failures are sampled separately, so all of them are logged.
        "X-Answer-With": "500",
    }
    with running_caddy(tmp_path, has_grafana=True) as caddy:
        for number, path in enumerate(CAPABILITIES):
            caddy.post(path, method=("GET", "POST")[number % 2], headers=headers)
        # Over plain HTTP, with our name and another, and in the log of failures.
        for host in (SITE.domain, "other.example"):
            caddy.plainly(f"/invite/{KEY}?code={KEY}", {"Host": host, "X-Api-Key": KEY})
        caddy.post("/x", headers={"Host": KEY} | headers)
    assert KEY[:-1] not in (tmp_path / "log").read_text().replace(f'"host":"{KEY}"', "")
    uris = [entry.get("uri") for entry in logged(tmp_path)]
    assert set(CAPABILITIES.values()) <= set(uris)
