"""Three replicas of one Loki on a bucket: acknowledged lines are complete without any one of them."""

from __future__ import annotations

import json
import time
from contextlib import closing
from ipaddress import IPv4Address

import pytest
from docker.errors import NotFound
from docker.models.containers import Container

from components.loki.component import (
    CONFIG_DIRECTORY,
    S3_CREDENTIALS_FILE,
    STOP_SECONDS,
)
from components.loki.config import CHUNKS
from components.loki.settings import REPLICA_STEP
from rig.deployment import LOKI, Deployment
from rig.figures import TARGETS, record
from rig.namespaces import CAMPUS_CLIENT, NAT, SERVER
from rig.object_store import SECRET_ACCESS_KEY, ObjectStore
from rig.probe import Client, Connection
from rig.processes import wait_for
from rig.pusher import Pusher, answers_ready, found_in_loki
from rig.stack import merged
from tests.support.counts import count

pytestmark = [pytest.mark.docker, pytest.mark.timeout(1800)]

ROLES = ["loki-aws", "loki-aws-2", "loki-aws-3"]
REPLICAS = len(ROLES)
KILLS = count(test=1, soak=20)
LINES = count(test=10_000, soak=200_000)
LINES_PER_SECOND = 2000.0
SHIPPERS = 4
SECONDS_PER_PART = 300.0


def replica(deployment: Deployment, number: int) -> Container:
    """The container of a replica."""
    return deployment.container(ROLES[number])


def where(deployment: Deployment, number: int) -> tuple[str, int]:
    """A replica's address on the private network."""
    address, port = deployment.loki("aws")
    return str(IPv4Address(address) + REPLICA_STEP * number), port


def is_ready(deployment: Deployment, number: int) -> bool:
    return answers_ready(deployment.rig.network.campus, where(deployment, number))


def test_no_line_is_missing_after_a_replica_is_killed(replicated: Deployment) -> None:
    began, campus = time.time_ns(), replicated.rig.network.campus
    shippers = shippers_of(replicated, "replicas")
    tally, killed = shippers.tally, 0
    with shippers.running():
        for kill in range(KILLS + 1):
            wait_for_acknowledged(shippers, LINES * (kill + 1) // (KILLS + 1))
            if kill == KILLS:
                break
            if kill:
                bring_back(replicated, killed)
            killed = (killed + 1) % REPLICAS
            replica(replicated, killed).kill("KILL")
    assert replica(replicated, killed).status == "exited"
    survivors = set(range(REPLICAS)) - {killed}
    assert {asked_at_the_published_port(replicated) for _ in range(4 * REPLICAS)} == {200}
    missing: set[int] = set()
    for number in survivors:
        found = found_in_loki(campus, where(replicated, number), "replicas", began)
        missing.update(found.missing(range(tally.lines)))
        print(f"replica {number}: {tally}, {found.duplicates} lines twice")
    bring_back(replicated, killed)
    retried = ", ".join(f"{times} times {said}" for said, times in sorted(tally.retried.items()))
    versus = f"{KILLS} kills; {tally.pushes} pushes, of them retried: {retried or 'none'}"
    record("replica_kill_lines_missing", len(missing), "", tally.lines, versus)
    assert TARGETS["replica_kill_lines_missing"].met_by(len(missing)), sorted(missing)[:20]
    assert tally.lines >= LINES
    assert not tally.drops


@pytest.mark.soak
def test_a_restarted_replica_gets_ready_while_another_is_down(replicated: Deployment) -> None:
    replica(replicated, 2).kill("KILL")
    replica(replicated, 0).restart()
    wait_for("the first is ready without the third", lambda: is_ready(replicated, 0), 120.0)
    bring_back(replicated, 2)


def test_the_replicas_write_their_lines_to_the_bucket(replicated: Deployment, store: ObjectStore) -> None:
    before = chunks_in(store)
    assert replicated.push_status(NAT, "aws") == 204
    for number in range(REPLICAS):
        flush(replicated, number)
    wait_for("more chunks are in the bucket", lambda: chunks_in(store) > before, SECONDS_PER_PART)
    for number in range(REPLICAS):
        with pytest.raises(NotFound):
            replica(replicated, number).get_archive(CHUNKS)


def chunks_in(store: ObjectStore) -> set[str]:
    """The chunks in the bucket, of Loki's only tenant, `fake`."""
    return {name for name in store.objects() if name.startswith("fake/")}


@pytest.mark.soak
def test_a_replica_whose_disk_is_lost_comes_back_and_takes_its_share(replicated: Deployment) -> None:
    began, shippers = time.time_ns(), shippers_of(replicated, "one disk")
    with shippers.running():
        # Some lines are on two replicas only, and then on one.
        replica(replicated, 2).pause()
        wait_for_acknowledged(shippers, LINES // 4)
        replica(replicated, 2).unpause()
        wait_for_acknowledged(shippers, LINES // 2)
        lose(replicated, 1)
        wait_for_acknowledged(shippers, LINES)
        replicated.stack.up("--refresh")
        wait_for("it is ready", lambda: is_ready(replicated, 1), 120.0)
        wait_for_acknowledged(shippers, len(shippers.tally.acknowledged) + LINES)
    # An answer may lack the lines of a single replica until they are in the bucket (docs/loki.md).
    for number in (0, 2):
        replica(replicated, number).restart(timeout=STOP_SECONDS)
        wait_for("it is ready", lambda number=number: is_ready(replicated, number), 120.0)
    for number in range(REPLICAS):
        assert_whole(replicated, number, shippers, "one disk", began)
    assert replicated.stack.changes() == {}


@pytest.mark.soak
def test_lines_in_the_bucket_outlive_every_disk(replicated: Deployment) -> None:
    began, shippers = time.time_ns(), shippers_of(replicated, "all disks")
    with shippers.running():
        wait_for_acknowledged(shippers, LINES)
    for number in range(REPLICAS):
        # Gracefully: it flushes its lines and its index to the bucket.
        replica(replicated, number).stop(timeout=STOP_SECONDS)
        lose(replicated, number)
    replicated.stack.up("--refresh")
    for number in range(REPLICAS):
        wait_for("it is ready", lambda number=number: is_ready(replicated, number), 120.0)
        assert_whole(replicated, number, shippers, "all disks", began)


@pytest.mark.soak
def test_a_change_replaces_one_replica_after_the_other_and_loses_no_line(replicated: Deployment) -> None:
    began, shippers = time.time_ns(), shippers_of(replicated, "one by one")
    changed = merged(replicated.settings, {"loki": {"instances": {"aws": {"retention": "9d"}}}})
    before = [replicated.running_since(role) for role in ROLES]
    try:
        with shippers.running():
            wait_for_acknowledged(shippers, LINES)
            replicated.stack.configure(changed)
            replicated.stack.up()
            wait_for_acknowledged(shippers, len(shippers.tally.acknowledged) + LINES)
        after = [replicated.running_since(role) for role in ROLES]
        assert not set(after) & set(before)
        # The last one first: each starts when the one before is ready.
        started = [since for _, since in after]
        assert started == sorted(started, reverse=True)
        for number in range(REPLICAS):
            assert_whole(replicated, number, shippers, "one by one", began)
        print(shippers.tally)
        assert replicated.stack.changes() == {}
    finally:
        replicated.stack.configure(replicated.settings)
        replicated.stack.up()


def shippers_of(deployment: Deployment, job: str) -> Pusher:
    return Pusher(
        deployment.client(NAT), "/lokiaws", job, lines_per_second=LINES_PER_SECOND, shippers=SHIPPERS
    )


def wait_for_acknowledged(shippers: Pusher, lines: int) -> None:
    wait_for(
        f"{lines} lines are acknowledged",
        lambda: len(shippers.tally.acknowledged) >= lines,
        SECONDS_PER_PART,
    )


def assert_whole(deployment: Deployment, number: int, shippers: Pusher, job: str, began: int) -> None:
    """This replica has every pushed line, and none was given up."""
    found = found_in_loki(deployment.rig.network.campus, where(deployment, number), job, began)
    assert found.missing(range(shippers.tally.lines)) == []
    assert not shippers.tally.drops


def lose(deployment: Deployment, number: int) -> None:
    """Remove a replica with its volume, like a lost disk."""
    container = replica(deployment, number)
    container.remove(force=True)
    with closing(deployment.rig.engine.client()) as client:
        client.volumes.get(f"{container.name}-data").remove()


def flush(deployment: Deployment, number: int) -> None:
    """Make a replica flush its lines."""
    address = where(deployment, number)
    with closing(Connection(deployment.rig.network.campus, address, address[0])) as connection:
        connection.request("POST", "/flush")
        assert connection.getresponse().status == 204


def test_the_buckets_key_is_in_one_file_only(replicated: Deployment) -> None:
    for number in range(REPLICAS):
        container = replica(replicated, number)
        assert SECRET_ACCESS_KEY not in json.dumps(container.attrs)
        assert SECRET_ACCESS_KEY not in container.logs().decode()
        _, found = container.get_archive(f"{CONFIG_DIRECTORY}/{S3_CREDENTIALS_FILE}")
        assert found is not None
        assert found["mode"] & 0o777 == 0o400
    state = json.loads(replicated.stack.run("stack", "export"))
    # A provider's inputs contain the stack's settings, here in plain text.
    made = [one for one in state["deployment"]["resources"] if "pulumi:providers:" not in one["type"]]
    assert len(made) > 50
    assert SECRET_ACCESS_KEY not in json.dumps(made)


def bring_back(deployment: Deployment, number: int) -> None:
    """Start a stopped or killed replica, and wait until it is ready."""
    replica(deployment, number).start()
    wait_for("the replica is back", lambda: is_ready(deployment, number), 120.0)


def asked_at_the_published_port(deployment: Deployment) -> int:
    """The answer to a query from campus, like the reader's to Grafana."""
    client = Client(deployment.rig.network.world, CAMPUS_CLIENT, (SERVER, LOKI), SERVER, None)
    return client.request("GET", "/loki/api/v1/query_range?query=%7Bjob%3D%22replicas%22%7D").status
