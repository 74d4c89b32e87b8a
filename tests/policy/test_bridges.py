"""Which bridges count as containers': none with a stranger's link, whatever its name."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from rig.live_guard import LiveGuard
from rig.namespaces import STRANGER, Namespace, ip
from rig.probe import can_connect
from rig.processes import wait_for
from tests.policy.policies import rendered
from tests.policy.site import IMAGE, OFFICE_BRIDGE, WORLD_PORT, Site, attach

pytestmark = pytest.mark.docker

# Only for a dead guard: a working guard reacts at once.
SECONDS = 60.0
# In the form of Docker's names.
LIKE_DOCKERS = "br-0123456789ab"


def trusted(guard: LiveGuard) -> set[str]:
    """The bridges that the rules treat as containers'."""
    listed = guard.sh("nft list set inet campus_policy container_bridges")
    _, _, elements = listed.partition("elements = {")
    return {one.strip(' "}\n\t') for one in elements.partition("}")[0].split(",")} - {""}


@contextmanager
def bridge(site: Site, name: str) -> Iterator[None]:
    """The host's own bridge."""
    site.campus.run("ip", "link", "add", name, "type", "bridge")
    try:
        yield
    finally:
        site.campus.run("ip", "link", "del", name)


@contextmanager
def strangers_link(site: Site, bridge: str, name: str) -> Iterator[None]:
    """A link to a stranger, on a bridge."""
    site.campus.run("ip", "link", "add", name, "type", "veth", "peer", "name", "stranger0")
    try:
        site.campus.run("ip", "link", "set", name, "master", bridge)
        yield
    finally:
        site.campus.run("ip", "link", "del", name)


def test_the_hosts_own_bridge_is_never_trusted(site: Site, guard: LiveGuard) -> None:
    guard.write(rendered([]))
    dockers = {"docker0", *site.bridges()}
    assert trusted(guard) == dockers
    assert OFFICE_BRIDGE not in dockers


def test_a_container_bridge_that_a_stranger_joins_is_not_trusted_any_more(
    site: Site, guard: LiveGuard
) -> None:
    guard.write(rendered([]))
    apps, others = site.bridges()
    with strangers_link(site, apps, "eth7"):
        wait_for("the guard has seen it", lambda: trusted(guard) == {"docker0", others}, SECONDS)
    wait_for("the guard has seen it go", lambda: trusted(guard) == {"docker0", apps, others}, SECONDS)


def test_a_bridge_with_a_name_like_dockers_is_not_trusted_for_its_name(site: Site, guard: LiveGuard) -> None:
    with bridge(site, LIKE_DOCKERS), strangers_link(site, LIKE_DOCKERS, "eth7"):
        guard.write(rendered([]))
        assert trusted(guard) == {"docker0", *site.bridges()}


def test_a_network_that_is_made_while_the_guard_is_away_reaches_out_when_it_is_back(
    site: Site, guard: LiveGuard
) -> None:
    guard.write(rendered([]))
    old, world = site.container("neighbour"), (STRANGER, WORLD_PORT)
    guard.container.stop()
    with network_with_container(site) as new:
        assert can_connect(old, None, world)
        assert not can_connect(new, None, world)
        guard.container.start()
        wait_for("the container reaches out", lambda: can_connect(new, None, world), SECONDS)


@contextmanager
def network_with_container(site: Site) -> Iterator[Namespace]:
    """A Docker network with one container; yields the container's network namespace."""
    network = site.engine.networks.create("late", driver="bridge")
    container = site.engine.containers.run(
        IMAGE, ["sleep", "infinity"], name="late", network="late", init=True, detach=True
    )
    try:
        wait_for("the container runs", lambda: attach(site, "late"), SECONDS)
        yield site.container("late")
    finally:
        container.remove(force=True)
        network.remove()
        ip("netns", "del", site.container("late").name)
