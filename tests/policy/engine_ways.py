"""What each Docker Engine itself opens and closes in this suite's networks, compared with observations."""

from __future__ import annotations

from dataclasses import dataclass

from rig.engines import chosen
from tests.policy.oracle import Way
from tests.policy.site import Probe


@dataclass(frozen=True)
class Ways:
    """An engine's own behaviour, without our policy."""

    # The closed ways, in `way_of`'s words; all others are open.
    closed: frozenset[str]
    # The ways in from outside, in `way_in`'s words, when ufw denies everything.
    past_ufw: frozenset[str]
    # A word in Docker's own rules.
    mark: str


def way_of(probe: Probe) -> str:
    """A way with its source."""
    return f"{probe.source.name} to {way_in(probe)}, {probe.protocol}"


def way_in(probe: Probe) -> str:
    """A way with its address family."""
    return f"{probe.way.value}, IPv{6 if ':' in probe.address else 4}"


def is_closed_anyway(probe: Probe) -> bool:
    """Whether the kernel, or this run's Docker, drops it without any policy."""
    return way_of(probe) in of_this_run().closed


def of_this_run() -> Ways:
    """The ways of this run's engine."""
    return _WAYS[chosen().name]


def _both(way: str) -> set[str]:
    return {f"{way}, tcp", f"{way}, udp"}


def _dockers(*families: int) -> frozenset[str]:
    ways = (Way.PUBLISHED, Way.LOOPBACK, Way.DIRECT)
    return frozenset(f"{way.value}, IPv{family}" for way in ways for family in families)


# The kernel drops packets to ::1 from a link. With br_netfilter, Docker's DNAT sees them first and redirects
# them: a datagram then arrives, but its sender doesn't accept the answer.
_LOOPBACK_6 = f"{Way.LOOPBACK.value}, IPv6"
_NO_LOOPBACK_6 = _both(f"mate to {_LOOPBACK_6}") | _both(f"office to {_LOOPBACK_6}")
_FEW_LOOPBACK_6 = _NO_LOOPBACK_6 - {f"office to {_LOOPBACK_6}, udp"}
# Between its networks Docker let nothing pass before 29, and before 28 it had no rules for IPv6.
_OTHER_4, _OTHER_6 = (_both(f"other to {Way.DIRECT.value}, IPv{family}") for family in (4, 6))

_WAYS = {
    "20.10": Ways(frozenset(_NO_LOOPBACK_6 | _OTHER_4), _dockers(4), "DOCKER-USER"),
    "28": Ways(frozenset(_FEW_LOOPBACK_6 | _OTHER_4 | _OTHER_6), _dockers(4, 6), "DOCKER-USER"),
    "29": Ways(frozenset(_FEW_LOOPBACK_6), _dockers(4, 6), "DOCKER-USER"),
    # ufw's refusal of routed packets holds, whatever Docker's own tables accept.
    "29-nftables": Ways(frozenset(_FEW_LOOPBACK_6), frozenset(), "filter-FORWARD"),
    "29-containerd": Ways(frozenset(_FEW_LOOPBACK_6), _dockers(4, 6), "DOCKER-USER"),
}
