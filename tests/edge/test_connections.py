"""One stranger's limit of open connections to the deployed Caddy."""

from __future__ import annotations

import socket
import time
from contextlib import ExitStack

import pytest

from components.edge.connection_limit import DEFAULT
from rig.deployment import HTTPS, Deployment
from rig.namespaces import NAT, SERVER, STRANGER
from rig.probe import is_connected
from rig.processes import wait_for

pytestmark = pytest.mark.docker

MORE = 100
# Connections that other tests may have left open.
OTHERS = 50
ALL_IN_SECONDS = 30.0
# By then, a refused client has tried twice more.
TWICE_MORE_SECONDS = 3.5


def test_a_stranger_has_so_many_connections_and_a_nat_gets_in_beside_them(edge: Deployment) -> None:
    with ExitStack() as kept:
        with edge.rig.network.world.entered():
            tries = [kept.enter_context(socket.socket()) for _ in range(DEFAULT + MORE)]
        for one in tries:
            one.setblocking(False)
            one.bind((STRANGER, 0))
            one.connect_ex((SERVER, HTTPS))
        wait_for("many are in", lambda: sum(map(is_connected, tries)) >= DEFAULT - OTHERS, ALL_IN_SECONDS)
        time.sleep(TWICE_MORE_SECONDS)
        assert sum(map(is_connected, tries)) <= DEFAULT
        assert edge.push_status(NAT, "aws") == 204
