"""Three replicas of one Loki on three Docker hosts: acknowledged lines outlive any one of them."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import closing

import pytest
from docker.errors import ContainerError

from rig.deployment import Deployment, deployed, settings_for
from rig.docker_engine import DockerEngine
from rig.emulator import Emulator
from rig.inside import inside
from rig.namespaces import CAMPUS_CLIENT, NAT, STRANGER, Namespace
from rig.object_store import PORT as STORE_PORT
from rig.object_store import ObjectStore
from rig.other_hosts import SERVER_ON_LAN, STRANGER_ON_LAN, OtherHost, running_other_hosts
from rig.probe import PUSH_PATH, Connection, can_connect
from rig.processes import wait_for
from rig.pusher import Pusher, answers_ready, found_in_loki, numbered_body
from rig.rig import Rig
from tests.loki.conftest import on_the_bucket

pytestmark = [pytest.mark.docker, pytest.mark.soak, pytest.mark.timeout(1800)]

NAMES = ["log2", "log3"]
LINES = 5000
SECONDS_PER_PART = 300.0
APART_SECONDS = 150.0
NO_CHANGE = "--expect-no-changes"


@pytest.fixture(scope="module")
def hosts(rig: Rig, emulator: Emulator) -> Iterator[dict[str, OtherHost]]:
    """The other hosts; at the end nothing of the stack is left there."""
    images = settings_for(rig, emulator)["images"]
    with running_other_hosts(rig, NAMES, [images["loki"], images["portGuard"]]) as made:
        yield made
        for host in made.values():
            assert containers_of(host.engine) == set()


@pytest.fixture(scope="module")
def spread(
    rig: Rig, emulator: Emulator, store: ObjectStore, hosts: dict[str, OtherHost]
) -> Iterator[Deployment]:
    """The stack with a replica on each host."""
    changes = {
        "campus": {
            "address": SERVER_ON_LAN,
            "otherHosts": {name: host.settings for name, host in hosts.items()},
        },
        "loki": {"instances": {"aws": on_the_bucket(store) | {"replicaHosts": NAMES}}},
    }
    with deployed(rig, emulator, changes) as made:
        yield made


def containers_of(engine: DockerEngine) -> set[str]:
    with closing(engine.client()) as client:
        return {str(one.name) for one in client.containers.list(all=True)}


def test_no_line_is_missing_when_a_host_is_gone(spread: Deployment, hosts: dict[str, OtherHost]) -> None:
    prefix = spread.settings["campus"]["namePrefix"]
    for name, host in hosts.items():
        assert containers_of(host.engine) == {f"{prefix}loki-aws-{name}", f"{prefix}port-guard"}
    assert_closed_to_neighbours(spread, hosts)
    assert spread.stack.changes() == {}
    wait_for_all(spread, hosts)
    began = time.time_ns()
    shippers = Pusher(spread.client(NAT), "/lokiaws", "hosts", lines_per_second=500.0, shippers=2)
    lost = hosts["log3"]

    def acknowledged(number: int) -> None:
        wait_for(
            f"{number} lines are acknowledged",
            lambda: len(shippers.tally.acknowledged) >= number,
            SECONDS_PER_PART,
        )

    def while_it_is_gone() -> None:
        acknowledged(2 * LINES)
        assert_none_missing(spread.rig.network.campus, spread, shippers, began)
        lost.plug()

    with shippers.running():
        acknowledged(LINES)
        # First silently: nothing closes its connections.
        lost.unplug()
        lost.engine.crash(while_it_is_gone)
        # Now the first replica: Caddy has only those on the other hosts.
        wait_for("the lost replica is back", lambda: is_ready(spread, lost.namespace), SECONDS_PER_PART)
        since = running_since(hosts)
        first = spread.container("loki-aws")
        first.kill("KILL")
        # More than before: the lost one was away for long.
        acknowledged(len(shippers.tally.acknowledged) + LINES)
        first.start()
    wait_for_all(spread, hosts)
    tally = shippers.tally
    print(tally)
    for namespace in everywhere(spread, hosts):
        found = found_in_loki(namespace, spread.loki("aws"), "hosts", began)
        assert found.missing(range(tally.lines)) == []
    assert not tally.drops
    # Docker would restart a replica that ended, and everything above would still pass.
    assert running_since(hosts) == since
    assert_closed_to_neighbours(spread, hosts)
    spread.stack.run("preview", "--refresh", NO_CHANGE)


def test_replicas_find_each_other_after_a_long_time_apart(
    spread: Deployment, hosts: dict[str, OtherHost]
) -> None:
    """Long enough that each forgets the others (memberlist: dead after 30 s, forgotten after 30 more)."""
    wait_for_all(spread, hosts)
    since = running_since(hosts)
    replicas = everywhere(spread, hosts)
    # Ready isn't enough: gRPC retries a connection to a replica that was away after a while.
    wait_for("each takes lines", lambda: takes_all(spread, replicas), SECONDS_PER_PART)
    for host in hosts.values():
        host.unplug()
    apart_until = time.monotonic() + APART_SECONDS
    # None has a majority: each refuses lines instead of losing them.
    wait_for("all refuse", lambda: all(pushed_to(spread, one) >= 500 for one in replicas), APART_SECONDS)
    wait_for("the time is over", lambda: time.monotonic() > apart_until, APART_SECONDS)
    for host in hosts.values():
        host.plug()
    wait_for("each takes lines again", lambda: takes_all(spread, replicas), SECONDS_PER_PART)
    assert running_since(hosts) == since


def takes_all(spread: Deployment, replicas: list[Namespace]) -> bool:
    """Whether each replica accepts a line."""
    return all(pushed_to(spread, one) == 204 for one in replicas)


def everywhere(spread: Deployment, hosts: dict[str, OtherHost]) -> list[Namespace]:
    """The hosts with a replica."""
    return [spread.rig.network.campus, *(host.namespace for host in hosts.values())]


def wait_for_all(spread: Deployment, hosts: dict[str, OtherHost]) -> None:
    """Return when every replica is ready, even those that were ready before."""
    for host in everywhere(spread, hosts):
        wait_for(
            f"the replica on {host.name} is ready",
            lambda host=host: is_ready(spread, host),
            SECONDS_PER_PART,
        )


def running_since(hosts: dict[str, OtherHost]) -> dict[str, str]:
    """Each container's start time on the other hosts, which shows whether it ended meanwhile."""
    since: dict[str, str] = {}
    for host in hosts.values():
        with closing(host.engine.client()) as client:
            for one in client.containers.list(all=True):
                since[f"{host.address} {one.name}"] = one.attrs["State"]["StartedAt"]
    return since


def pushed_to(spread: Deployment, namespace: Namespace) -> int:
    """The status of a push, without the gate, to the replica on the host with this namespace."""
    address, port = spread.loki("aws")
    values = [(time.time_ns(), "a line")]
    with closing(Connection(namespace, (address, port), address)) as connection:
        connection.timeout = SECONDS_PER_PART
        headers = {"Content-Type": "application/json"}
        connection.request("POST", PUSH_PATH, numbered_body({"job": "apart"}, values), headers)
        return connection.getresponse().status


def assert_none_missing(campus: Namespace, spread: Deployment, shippers: Pusher, began: int) -> None:
    """The first replica gets every acknowledged line from the two that are left."""
    known = set(shippers.tally.acknowledged)
    assert found_in_loki(campus, spread.loki("aws"), "hosts", began).missing(known) == []


def is_ready(spread: Deployment, namespace: Namespace) -> bool:
    """Whether the replica on the host with this namespace is ready; each has the same private address."""
    return answers_ready(namespace, spread.loki("aws"))


def assert_closed_to_neighbours(spread: Deployment, hosts: dict[str, OtherHost]) -> None:
    """Lokis have no users: only replicas and the campus server reach their ports."""
    world, port = spread.rig.network.world, spread.settings["loki"]["instances"]["aws"]["port"]
    mesh = (port + 10_000, port + 20_000)
    everybody = {SERVER_ON_LAN: spread.rig.network.campus} | {
        host.address: host.namespace for host in hosts.values()
    }
    for address in everybody:
        for one in (port, *mesh):
            assert not can_connect(world, STRANGER_ON_LAN, (address, one)), (address, one)
        for other, namespace in everybody.items():
            if other != address:
                assert all(can_connect(namespace, other, (address, one)) for one in mesh), (other, address)
    for host in hosts.values():
        assert can_connect(spread.rig.network.campus, SERVER_ON_LAN, (host.address, port))
    assert spread.push_status(STRANGER, "aws") == 403
    [log2, log3] = hosts.values()
    for one in mesh:
        assert not container_connects(spread, log2.engine, log3.address, one)
    # It reaches an open port, so it reaches anything at all.
    assert container_connects(spread, log2.engine, CAMPUS_CLIENT, STORE_PORT)
    # A container on Grafana's network reaches none; the reader reaches each.
    network = f"{spread.settings['campus']['namePrefix']}readers-network"
    for host in hosts.values():
        assert not container_connects(spread, spread.rig.engine, host.address, port, network)
    with inside(spread.container("reader")) as reader:
        for address in (spread.loki("aws")[0], *(host.address for host in hosts.values())):
            assert can_connect(reader, None, (address, port)), address


def container_connects(
    spread: Deployment, engine: DockerEngine, address: str, port: int, network: str = "bridge"
) -> bool:
    """Whether another container on a host connects, with the host's own address."""
    command = ["timeout", "3", "bash", "-c", f": </dev/tcp/{address}/{port}"]
    image = spread.settings["images"]["portGuard"]
    with closing(engine.client()) as client:
        try:
            client.containers.run(image, entrypoint=command, network=network, remove=True)
        except ContainerError:
            return False
    return True
