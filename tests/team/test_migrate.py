"""docs/migrate.md, rehearsed: from a set-up like the team's to the stack and back, under constant pushes."""

from __future__ import annotations

import hashlib
import http.client
import ssl
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

import pytest

from rig import figures
from rig.deployment import CAMPUS_CIDR, HTTPS, Deployment, configured
from rig.emulator import Emulator
from rig.namespaces import CAMPUS_CLIENT, NAT, SERVER
from rig.probe import PUSH_PATH, Client, wait_for_line
from rig.processes import wait_for
from rig.pusher import TIMEOUT_SECONDS, answers_ready, found_in_loki, is_retried, line_of, numbered_body
from rig.rig import Rig
from rig.stack import Settings, merged
from tests.team.old_setup import LOKIS, Guide, old_setup

pytestmark = [pytest.mark.docker, pytest.mark.soak]

# Caddy's ports while the old one runs.
TRIAL_HTTP, TRIAL_HTTPS = 18080, 18443
JOB = "without-a-pause"
PAUSE_SECONDS = 0.02


@dataclass
class Pushed:
    """The results of consecutive lines."""

    acknowledged: set[int] = field(default_factory=set[int], repr=False)
    refused: Counter[str] = field(default_factory=Counter[str])
    # The guide's step at the time, and the reason.
    retried: Counter[str] = field(default_factory=Counter[str])
    # Per step, the longest time between two accepted lines.
    longest_seconds: dict[str, float] = field(default_factory=dict[str, float])
    step: str = ""


@contextmanager
def pushing(client: Client, first: int) -> Iterator[Pushed]:
    """Push numbered lines one by one to /lokiaws, each until it is accepted or finally refused."""
    pushed = Pushed()
    ended = threading.Event()

    def push() -> None:
        number, taken = first, time.monotonic()
        while not ended.is_set():
            said = _push_until_answered(client, number, pushed, ended)
            if said == "204":
                pushed.acknowledged.add(number)
                now = time.monotonic()
                longest = max(pushed.longest_seconds.get(pushed.step, 0.0), now - taken)
                pushed.longest_seconds[pushed.step], taken = round(longest, 2), now
            elif not is_retried(said):
                pushed.refused[said] += 1
            number += 1
            ended.wait(PAUSE_SECONDS)

    thread = threading.Thread(target=push)
    thread.start()
    try:
        yield pushed
    finally:
        ended.set()
        thread.join()


def _push_until_answered(client: Client, number: int, pushed: Pushed, ended: threading.Event) -> str:
    """The final status of a push; a shipper repeats retryable ones."""
    body = numbered_body({"job": JOB}, [(time.time_ns(), line_of(number))])
    while is_retried(said := _status(client, body)):
        pushed.retried[f"{pushed.step}: {said}"] += 1
        if ended.wait(PAUSE_SECONDS):
            break
    return said


def _status(client: Client, body: bytes) -> str:
    headers = {"Content-Type": "application/json"}
    try:
        with client.connected() as connection:
            connection.timeout = TIMEOUT_SECONDS
            connection.request("POST", f"/lokiaws{PUSH_PATH}", body, headers)
            return str(connection.getresponse().status)
    except (OSError, http.client.HTTPException) as error:
        return type(error).__name__


def trial_settings(rig_settings: Settings) -> Settings:
    """The settings of the guide's first step: other ports, no published Loki, also the old schema."""
    day = (datetime.now(UTC) + timedelta(days=2)).date().isoformat()
    periods = [{"from": "2020-10-24", "store": "boltdb-shipper", "version": "v11"}, {"from": day}]
    trial = [
        {"action": "allow", "port": port, "from": [CAMPUS_CIDR], "comment": "migration"}
        for port in (TRIAL_HTTP, TRIAL_HTTPS)
    ]
    return merged(
        rig_settings,
        {
            "edge": {"httpPort": TRIAL_HTTP, "httpsPort": TRIAL_HTTPS},
            "loki": {
                "instances": {
                    "aws": {"published": False, "schemaPeriods": periods},
                    "test": {"schemaPeriods": periods},
                }
            },
            "portPolicy": {"rules": [*rig_settings["portPolicy"]["rules"], *trial]},
        },
    )


@pytest.fixture
def migrated(rig: Rig, emulator: Emulator) -> Iterator[Deployment]:
    """The stack in the rig, with the old set-up's names, before `pulumi up`."""
    with configured(rig, emulator, {"campus": {"namePrefix": ""}}) as made:
        yield made


def served(deployment: Deployment, port: int) -> str:
    """The fingerprint of a server port's certificate."""
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    with deployment.rig.network.world.connect((SERVER, port), CAMPUS_CLIENT) as plain:
        domain = deployment.settings["edge"]["domain"]
        with context.wrap_socket(plain, server_hostname=domain) as connection:
            certificate = connection.getpeercert(binary_form=True)
    assert certificate
    return hashlib.sha256(certificate).hexdigest()


def made_at(deployment: Deployment, volume: str) -> str:
    """A volume's creation time."""
    client = deployment.rig.engine.client()
    try:
        return str(client.volumes.get(volume).attrs["CreatedAt"])
    finally:
        client.close()


def hand_over(deployment: Deployment, guide: Guide, final: Settings, pushed: Pushed) -> None:
    """The guide's steps 2 to 5; every HTTPS port has the same certificate."""
    certificate = served(deployment, HTTPS)
    pushed.step = "2"
    guide.follow("2. Beside the old one")
    volume = made_at(deployment, "caddy-data")
    deployment.stack.up()
    assert served(deployment, TRIAL_HTTPS) == served(deployment, HTTPS) == certificate
    pushed.step = "3"
    deployment.stack.configure(merged(final, {"loki": {"instances": {"aws": {"published": False}}}}))
    deployment.stack.up()
    guide.follow("3. The hand-over")
    assert served(deployment, HTTPS) == certificate
    assert made_at(deployment, "caddy-data") == volume
    pushed.step = "4"
    guide.follow("4. The old lines")
    pushed.step = "5"
    deployment.stack.configure(final)
    deployment.stack.up()
    for key in ("aws", "test"):
        wait_ready(deployment, deployment.loki(key))


def wait_ready(deployment: Deployment, loki: tuple[str, int]) -> None:
    campus = deployment.rig.network.campus
    wait_for(f"Loki at {loki} is ready", lambda: answers_ready(campus, loki), 120.0)


def test_everything_is_kept_and_there_is_a_way_back(migrated: Deployment) -> None:
    campus = migrated.rig.network.campus
    guide = Guide(migrated)
    began = time.time_ns()
    trial = trial_settings(migrated.settings)
    migrated.stack.configure(trial)
    final = merged(trial, {"edge": migrated.settings["edge"], "portPolicy": migrated.settings["portPolicy"]})
    final["loki"]["instances"]["aws"]["published"] = True
    with old_setup(migrated):
        # Trusts only the old Caddy's authority, before and after.
        client = migrated.client(NAT)
        for name in LOKIS:
            assert client.push(f"an old line of {name}", f"/{name.replace('-', '')}").status == 204
        with pushing(client, 0) as pushed:
            hand_over(migrated, guide, final, pushed)
        assert pushed.refused == {}
        # A stopping Loki closes its connections instead of leaving pushes unanswered.
        assert not [why for why in pushed.retried if why.endswith("TimeoutError")]
        for name in LOKIS:
            wait_for_line(campus, migrated.loki(name.removeprefix("loki-")), f"an old line of {name}")
        found = found_in_loki(campus, migrated.loki("aws"), JOB, began)
        assert found.missing(pushed.acknowledged) == []
        assert migrated.stack.changes() == {}
        longest = max(pushed.longest_seconds.values())
        figures.record(
            "migration_interruption_seconds",
            longest,
            "s",
            len(pushed.acknowledged),
            f"the longest wait of a push, per step {pushed.longest_seconds}; retried: {dict(pushed.retried)}",
        )

        with pushing(client, max(pushed.acknowledged) + 1) as back:
            unpublished = {"loki": {"instances": {"aws": {"published": False}}}}
            migrated.stack.configure(merged(final, unpublished))
            migrated.stack.up()
            guide.follow("The way back")
        assert back.refused == {}
        wait_ready(migrated, ("127.0.0.1", LOKIS["loki-aws"]))
        line = f"back again {time.time_ns()}"
        assert client.push(line, "/lokiaws").status == 204
        wait_for_line(campus, ("127.0.0.1", LOKIS["loki-aws"]), line)
        old_line = "an old line of loki-aws"
        wait_for_line(campus, ("127.0.0.1", LOKIS["loki-aws"]), old_line)
    assert guide.headings == ["2. Beside the old one", "3. The hand-over", "4. The old lines", "The way back"]
