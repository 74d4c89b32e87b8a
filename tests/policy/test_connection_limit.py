"""The limit of a source's open connections to Caddy's ports: real connections, compared with an oracle.

Two network namespaces and the policy are enough, without Docker.
"""

from __future__ import annotations

import errno
import socket
import struct
import subprocess
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from ipaddress import ip_address, ip_network

import pytest

from components.edge.connection_limit import ConnectionLimit
from components.live.container_facts import POLICY_TABLE
from components.port_policy.nftables import render_policy
from components.port_policy.rules import Rule
from rig.namespaces import LINK, NAT, NAT_6, SERVER, SERVER_6, STRANGER, STRANGER_6, Network, ip, make_network
from rig.probe import is_connected
from rig.processes import wait_for
from rig.run import opened_run
from tests.policy.prober import family_of

pytestmark = pytest.mark.docker

HTTP, HTTPS, OTHER = 80, 443, 8443
MOST = 50
RULES = [Rule(action="allow", protocol="tcp", first_port=1, last_port=65535)]
POLICY = render_policy(RULES, limit=ConnectionLimit(ports=(HTTP, HTTPS), per_source=MOST))
# Of STRANGER_6's /48, and of another one.
SITE = [f"2001:db8:0:{number}::8" for number in range(1, 6)]
OTHER_SITE = "2001:db8:1::8"
# The parallel tries of each source, so that those of the /48 together exceed its own limit.
TRIES = 80
ALL_IN_SECONDS = 30.0
# Until a refused client has retried twice (Linux retries after one second, and after three).
TWICE_MORE_SECONDS = 3.5


class Oracle:
    """The connections that have to be open in the end, by docs/port-policy.md."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._open: Counter[str] = Counter()

    def lets_in(self, address: str) -> bool:
        """Whether another connection from this address is let in; then it is open."""
        limits = {address: self._most}
        if ip_address(address).version == 6:
            lengths = {64: self._most, 48: 4 * self._most}
            limits = {
                str(ip_network(f"{address}/{bits}", strict=False)): most for bits, most in lengths.items()
            }
        if any(self._open[source] >= most for source, most in limits.items()):
            return False
        self._open.update(limits.keys())
        return True


@pytest.fixture
def network() -> Iterator[Network]:
    """The campus server and the world, with servers on its ports and the policy in force."""
    with opened_run() as run, ExitStack() as servers:
        made = make_network(run)
        for address in (*SITE, OTHER_SITE):
            ip("-n", made.world.name, "addr", "add", f"{address}/128", "dev", LINK, "nodad")
        ip("-n", made.campus.name, "route", "add", "2001:db8::/32", "dev", LINK)
        with made.campus.entered():
            for port in (HTTP, HTTPS, OTHER):
                # Nobody accepts the connections: they are open anyway.
                servers.enter_context(
                    socket.create_server(
                        ("::", port), family=socket.AF_INET6, backlog=4096, dualstack_ipv6=True
                    )
                )
        load(made, POLICY)
        yield made


def load(network: Network, policy: str) -> None:
    command = ["nsenter", f"--net={network.campus.path}", "nft", "-f", "-"]
    subprocess.run(command, input=policy, text=True, check=True)


def begin(network: Network, kept: ExitStack, address: str, port: int) -> socket.socket:
    """A connection that is being opened."""
    with network.world.entered():
        made = kept.enter_context(socket.socket(family_of(address)))
    made.setblocking(False)
    # It ends with a reset, so that nothing waits for the server's end.
    made.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    made.bind((address, 0))
    server = SERVER_6 if ":" in address else SERVER
    assert made.connect_ex((server, port)) == errno.EINPROGRESS
    return made


def counted(network: Network) -> list[str]:
    """The sets that still have an entry: an entry disappears with its last connection."""
    names = ("open_ip", "open_ip6", "open_site")
    listed = {
        name: network.campus.run("nft", "list", "set", *POLICY_TABLE.split(), name).stdout for name in names
    }
    return [name for name, text in listed.items() if "elements" in text]


def opened(tries: Mapping[str, Sequence[socket.socket]]) -> dict[str, int]:
    return {source: sum(map(is_connected, made)) for source, made in tries.items()}


def test_each_source_has_so_many_and_no_more(network: Network) -> None:
    with ExitStack() as kept:
        single = [STRANGER, NAT, OTHER_SITE]
        # Two addresses of one /64, and one of each other /64 of the same /48.
        shared = [STRANGER_6, NAT_6, *SITE]
        tries = {
            address: [begin(network, kept, address, HTTPS if at % 2 else HTTP) for at in range(TRIES)]
            for address in (*single, *shared)
        }
        free = [begin(network, kept, STRANGER, OTHER) for _ in range(TRIES)]
        oracle = Oracle(MOST)
        wanted = {address: sum(oracle.lets_in(address) for _ in made) for address, made in tries.items()}

        def as_wanted() -> bool:
            now = opened(tries)
            return all(now[one] == wanted[one] for one in single) and sum(now.values()) == sum(
                wanted.values()
            )

        wait_for("all that may are in", as_wanted, ALL_IN_SECONDS)
        time.sleep(TWICE_MORE_SECONDS)
        assert as_wanted(), (opened(tries), wanted)
        assert sum(wanted[one] for one in shared) == 4 * MOST
        now = opened(tries)
        assert now[STRANGER_6] + now[NAT_6] <= MOST
        assert all(now[one] <= MOST for one in SITE)
        assert all(map(is_connected, free))
        # Connections over the limit get in when others of that source have ended.
        for one in [one for one in tries[STRANGER] if is_connected(one)][:20]:
            one.close()
        wait_for("as many come in", lambda: opened(tries)[STRANGER] == MOST, ALL_IN_SECONDS)
    wait_for("nobody is counted any more", lambda: not counted(network), ALL_IN_SECONDS)


def test_a_source_begins_so_many_a_second(network: Network) -> None:
    """The kernel removes ended connections, but not as fast as a flood would fill its list."""
    begun = time.monotonic()
    with ExitStack() as kept:
        gone_in = 0
        for _ in range(20 * MOST):
            one = begin(network, kept, STRANGER, HTTPS)
            gone_in += is_connected(one)
            one.close()
    at_most = MOST * (1 + time.monotonic() - begun)
    assert MOST // 2 <= gone_in <= at_most + 1 < 20 * MOST
