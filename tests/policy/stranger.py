"""A stranger that probes without pause, and a witness that counts its packets."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from rig.namespaces import SERVER, SERVER_6, STRANGER, STRANGER_6
from tests.policy.knocker import Knocker
from tests.policy.site import Site
from tests.policy.witness import Witness

# A port of a host's process, and a published port.
FORBIDDEN = (6003, 7002)


@contextmanager
def knocked_at(site: Site) -> Iterator[Witness]:
    """A stranger that probes during the block, and the witness that counts its packets."""
    doors = [(server, port) for server in (SERVER, SERVER_6) for port in FORBIDDEN]
    # The port before Docker's DNAT.
    port = f"meta l4proto {{ tcp, udp }} ct original proto-dst {{ {', '.join(map(str, FORBIDDEN))} }}"
    witness = Witness(site.campus, [f"ip saddr {STRANGER} {port}", f"ip6 saddr {STRANGER_6} {port}"])
    with witness.watching(), Knocker(site.rig.network.world, (STRANGER, STRANGER_6), doors).knocking():
        yield witness
