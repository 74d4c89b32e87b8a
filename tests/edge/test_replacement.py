"""A replaced Caddy container: it starts with its last good files, and gets its files again."""

from __future__ import annotations

import http.client
import socket
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager

import pytest
from pulumi import automation

from rig.deployment import GUARDED_PORT, Deployment
from rig.live_caddy import leftovers, printed
from rig.namespaces import CAMPUS_CLIENT, NAT, SERVER, STRANGER
from rig.probe import can_connect
from rig.stack import merged
from tests.support.counts import count

pytestmark = pytest.mark.docker

LIVE_FILES = "pulumi-python:dynamic/live:LiveFiles"
CONTAINER = "docker:index/container:Container"
OTHER_IMAGE = "caddy:2.11.7-alpine-replaced"


@pytest.fixture
def other_image(edge: Deployment) -> Iterator[str]:
    """The same Caddy in an image with a different id."""
    client = edge.rig.engine.client()
    try:
        made = client.containers.create(edge.settings["images"]["caddy"])
        repository, tag = OTHER_IMAGE.split(":")
        made.commit(repository, tag, changes="LABEL replaced=yes")
        made.remove()
        yield OTHER_IMAGE
        client.images.remove(OTHER_IMAGE)
    finally:
        client.close()


@contextmanager
def pushing(edge: Deployment, source: str) -> Iterator[set[int]]:
    """Push continuously from an address; the statuses, without unanswered pushes."""
    statuses: set[int] = set()
    ended = threading.Event()
    client = edge.client(source)

    def push() -> None:
        while not ended.is_set():
            try:
                statuses.add(client.push("a line", "/lokiaws").status)
            except (OSError, http.client.HTTPException):
                ended.wait(0.02)

    thread = threading.Thread(target=push)
    thread.start()
    try:
        yield statuses
    finally:
        ended.set()
        thread.join()


def up(edge: Deployment, refresh: bool = False) -> dict[str, set[str]]:
    """Run `pulumi up`; the operations by type of resource, from Pulumi's events."""
    done: dict[str, set[str]] = {}

    def note(event: automation.EngineEvent) -> None:
        if event.resource_pre_event is not None:
            step = event.resource_pre_event.metadata
            done.setdefault(step.type, set()).add(str(step.op.value))

    edge.stack.automation.up(color="never", on_event=note, refresh=refresh)
    return done


def test_a_replaced_container_never_opens_and_has_its_files_when_up_returns(
    edge: Deployment, other_image: str
) -> None:
    for image in (other_image, edge.settings["images"]["caddy"]):
        before = edge.caddy().id
        edge.stack.configure(merged(edge.settings, {"images": {"caddy": image}}))
        with pushing(edge, NAT) as from_nat, pushing(edge, STRANGER) as from_stranger:
            done = up(edge)
            assert edge.push_status(NAT, "aws") == 204
            assert edge.push_status(STRANGER, "aws") == 403
        assert edge.caddy().id != before
        assert {"delete-replaced", "create-replacement"} <= done[CONTAINER]
        # Never a `delete` or a `replace`, which would close the files.
        assert done[LIVE_FILES] <= {"update", "same"}
        assert "update" in done[LIVE_FILES]
        # With the last good files, pushes may fail to connect, and are repeated; a 403 would lose lines.
        assert from_nat <= {204}
        assert from_stranger <= {403}
        assert from_nat
        assert from_stranger
        assert leftovers(edge.caddy()) == []
    assert edge.stack.changes() == {}


def test_a_removed_container_comes_back_with_its_files(edge: Deployment) -> None:
    edge.caddy().remove(force=True)
    with pushing(edge, STRANGER) as from_stranger:
        done = up(edge, refresh=True)
        assert edge.push_status(NAT, "aws") == 204
    assert from_stranger <= {403}
    assert not any("delete" in step or "replace" in step for step in done[LIVE_FILES])
    assert edge.stack.changes() == {}


@pytest.mark.soak
def test_a_container_that_could_not_start_is_replaced_by_the_next_update(edge: Deployment) -> None:
    """Its address is taken, and later free: then the next update must start it."""
    other = {"port": GUARDED_PORT, "route": "/lokiother", "allow": ["nat"], "natWithoutPassword": True}
    edge.stack.configure(merged(edge.settings, {"loki": {"instances": {"other": other}}}))
    try:
        with (
            somebody_at(edge, "172.29.12.128"),
            pytest.raises(automation.CommandError, match="already in use"),
        ):
            up(edge)
        assert edge.container("loki-other").status == "created"
        done = up(edge)
        assert {"delete-replaced", "create-replacement"} <= done[CONTAINER]
        assert edge.container("loki-other").status == "running"
        assert edge.stack.changes() == {}
        assert edge.push_status(NAT, "aws") == 204
    finally:
        edge.stack.configure(edge.settings)
        up(edge)
    assert edge.stack.changes() == {}


@contextmanager
def somebody_at(edge: Deployment, address: str) -> Iterator[None]:
    """Another container, at an address of the Lokis' network."""
    prefix, image = edge.settings["campus"]["namePrefix"], edge.settings["images"]["caddy"]
    with closing(edge.rig.engine.client()) as engine:
        made = engine.containers.create(image, ["sleep", "infinity"])
        engine.networks.get(f"{prefix}network").connect(made, ipv4_address=address)
        try:
            made.start()
            yield
        finally:
            made.remove(force=True)


@pytest.mark.soak
def test_a_published_port_in_use_stops_the_update_and_the_gate_goes_on(edge: Deployment) -> None:
    instances = {"test": {"port": GUARDED_PORT, "published": True, "publishedWide": True}}
    since = edge.caddy_since()
    edge.stack.configure(merged(edge.settings, {"loki": {"instances": instances}}))
    try:
        with edge.rig.network.campus.entered():
            somebody = socket.create_server(("0.0.0.0", GUARDED_PORT))
        with somebody, pytest.raises(automation.CommandError, match="address already in use"):
            up(edge)
        assert edge.push_status(NAT, "aws") == 204
        up(edge)
        assert can_connect(edge.rig.network.world, CAMPUS_CLIENT, (SERVER, GUARDED_PORT))
        assert edge.stack.changes() == {}
    finally:
        edge.stack.configure(edge.settings)
        up(edge)
    assert edge.caddy_since() != since  # another Loki's address is in its /etc/hosts
    assert edge.stack.changes() == {}


# Manual edits in the live directory of Caddy's container.
BY_HAND = (
    "echo 'remote_ip 0.0.0.0/0' >>allowed/nat/203.0.113.7.caddy",
    # Another configuration, through the admin socket: the files stay unchanged.
    "mkdir /run/caddy/other && cp -rL . /run/caddy/other && cd /run/caddy/other"
    " && sed -i 's#/loki/api/v1/push?#/elsewhere?#' Caddyfile"
    " && caddy reload --config Caddyfile --adapter caddyfile --address unix//run/caddy/admin.sock",
    "rm allowed/nat/203.0.113.7.caddy",
    'sed -i \'s/respond "Forbidden" 403/respond "hello"/\' Caddyfile',
)


def test_a_refresh_shows_a_hand_edit_and_the_next_update_fixes_it(edge: Deployment) -> None:
    caddy = edge.caddy()
    good = printed(caddy, "sha256sum /config/caddy/autosave.json")
    for edit in BY_HAND[: count(test=1, soak=len(BY_HAND))]:
        printed(caddy, f"set -e; cd /etc/caddy/live; {edit}; rm -rf /run/caddy/other")
        assert "live:LiveFiles" in edge.stack.run("refresh", "--preview-only", "--diff"), edit
        done = up(edge, refresh=True)
        assert done[LIVE_FILES] <= {"refresh", "update", "same"}, edit
        assert "update" in done[LIVE_FILES], edit
        assert printed(caddy, "sha256sum /config/caddy/autosave.json") == good, edit
        assert edge.push_status(NAT, "aws") == 204, edit
        assert edge.push_status(STRANGER, "aws") == 403, edit
    assert "live:LiveFiles" not in edge.stack.run("refresh", "--preview-only", "--diff")
