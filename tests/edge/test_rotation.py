"""A password rotation: by a second account, and without a lost line."""

from __future__ import annotations

import http.client
import re
import secrets
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest

from rig.deployment import Deployment
from rig.live_caddy import printed
from rig.namespaces import NAT
from rig.probe import Client, Login, lines_in_loki
from rig.processes import wait_for
from rig.stack import Settings, merged

pytestmark = pytest.mark.docker

ROUTE = "/lokitest"
# Below Loki's limit of 5000 lines per answer, however long the updates take.
LINES_PER_SECOND = 10


class Shipper(threading.Thread):
    """Pushes numbered lines one by one, and drops refused ones, like Grafana's plugin."""

    def __init__(self, client: Client, job: str, login: Login) -> None:
        super().__init__()
        self.login = login
        self.pushed = 0
        self.dropped: list[int] = []
        self._client, self._job = client, job
        self._ended = threading.Event()

    def run(self) -> None:
        """Push until it is stopped."""
        while not self._ended.wait(1 / LINES_PER_SECOND):
            number = self.pushed
            while (status := self._push(number)) == 429 or status >= 500:
                time.sleep(0.1)
            if status != 204:
                self.dropped.append(number)
            self.pushed += 1

    def stop(self) -> None:
        """Return after the last line is pushed or dropped."""
        self._ended.set()
        self.join()

    def _push(self, number: int) -> int:
        try:
            return self._client.push(f"line {number}", ROUTE, {"job": self._job}, self.login).status
        except (OSError, http.client.HTTPException):
            return 503


def with_accounts(settings: Settings, *accounts: dict[str, str]) -> Settings:
    """The settings with these accounts on the guarded route."""
    return merged(settings, {"loki": {"instances": {"test": {"accounts": list(accounts)}}}})


def up(edge: Deployment, settings: Settings) -> dict[str, str]:
    """Deploy other settings; the passwords of the guarded route's users."""
    edge.stack.configure(settings)
    edge.stack.up()
    assert edge.stack.changes() == {}
    return edge.stack.outputs()["shipper_credentials"]["test"]


def hashes(edge: Deployment) -> dict[str, str]:
    """Each user's hash in Caddy."""
    caddyfile = printed(edge.caddy(), "cat /etc/caddy/live/Caddyfile")
    return dict(re.findall(r"^\s*(\S+) (\$2b\$14\$\S{53})$", caddyfile, re.MULTILINE))


@contextmanager
def watched_arguments(wanted: Sequence[str]) -> Iterator[set[str]]:
    """The command lines on this machine, including the rig's, that contain one of these words."""
    found: set[str] = set()
    ended = threading.Event()

    def watch() -> None:
        while not ended.wait(0.2):
            for path in Path("/proc").glob("[0-9]*/cmdline"):
                try:
                    line = path.read_bytes().decode(errors="replace")
                except OSError:
                    continue
                found.update(line for word in wanted if word in line)

    thread = threading.Thread(target=watch)
    thread.start()
    try:
        yield found
    finally:
        ended.set()
        thread.join()


def test_a_password_is_rotated_without_a_lost_line_and_shows_nowhere(edge: Deployment) -> None:
    first = {"user": "admin-1", "password": f"canary {secrets.token_hex(16)}"}
    # Without a password, so that the stack generates one.
    second = {"user": "admin-2"}
    job = f"rotation-{secrets.token_hex(4)}"
    secret = [first["password"]]
    try:
        with watched_arguments(secret) as arguments:
            passwords = up(edge, with_accounts(edge.settings, first))
            one = Login("admin-1", passwords["admin-1"])
            assert one.password == first["password"]
            shipper = Shipper(edge.client(NAT), job, one)
            shipper.start()
            try:
                alone = hashes(edge)
                passwords = up(edge, with_accounts(edge.settings, first, second))
                two = Login("admin-2", passwords["admin-2"])
                both = hashes(edge)
                # A hash stays with its password.
                assert (set(alone), set(both)) == ({"admin-1"}, {"admin-1", "admin-2"})
                assert both["admin-1"] == alone["admin-1"]
                assert [edge.push_status(NAT, "test", login) for login in (one, two)] == [204, 204]
                shown = shown_by_pulumi(edge, with_accounts(edge.settings, first, second))

                shipper.login = two
                switched = shipper.pushed
                wait_for("lines come with the new password", lambda: shipper.pushed > switched + 5, 60.0)
                up(edge, with_accounts(edge.settings, second))
                assert hashes(edge) == {"admin-2": both["admin-2"]}
                assert [edge.push_status(NAT, "test", login) for login in (one, two)] == [401, 204]
                passed = shipper.pushed
                wait_for("lines go on", lambda: shipper.pushed > passed + 5, 60.0)
            finally:
                shipper.stop()
        assert shipper.dropped == []
        wanted = {f"line {number}" for number in range(shipper.pushed)}
        campus, loki = edge.rig.network.campus, edge.loki("test")
        wait_for(
            "every line is in Loki",
            lambda: wanted == set(lines_in_loki(campus, loki, f'{{job="{job}"}}')),
            60.0,
        )
        assert arguments == set()
        log = edge.caddy().logs().decode(errors="replace")
        state = edge.stack.run("stack", "export")
        for word in (one.password, two.password, *both.values()):
            assert word not in log
            assert word not in shown
            assert word not in state
    finally:
        edge.stack.configure(edge.settings)
        edge.up()


def shown_by_pulumi(edge: Deployment, now: Settings) -> str:
    """Pulumi's most verbose output for a change of passwords, and for a refresh."""
    other = with_accounts(edge.settings, {"user": "admin-1", "password": "another"}, {"user": "admin-2"})
    edge.stack.configure(other)
    try:
        shown = edge.stack.run("preview", "--diff", "--show-sames", "--show-reads")
    finally:
        edge.stack.configure(now)
    assert "live:PasswordHash" in shown
    return shown + edge.stack.run("refresh", "--preview-only", "--diff")
