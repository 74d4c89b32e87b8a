"""What each Docker Engine opens and closes by itself, in this suite's networks: held against what is seen."""

from __future__ import annotations

from dataclasses import dataclass

from rig.engines import chosen
from tests.policy.oracle import Way
from tests.policy.site import Probe


@dataclass(frozen=True)
class Ways:
    """An engine's own doing, without a policy of ours."""

    # Who doesn't get where, as `way_of` says it; all else is open.
    closed: frozenset[str]
    # What gets in from outside, as `way_in` says it, when ufw denies everything.
    past_ufw: frozenset[str]
    # A word in Docker's own rules.
    mark: str


def way_of(probe: Probe) -> str:
    """Whose way it is and where to."""
    return f"{probe.source.name} to {way_in(probe)}, {probe.protocol}"


def way_in(probe: Probe) -> str:
    """The way, and over which family."""
    return f"{probe.way.value}, IPv{6 if ':' in probe.address else 4}"


def is_closed_anyway(probe: Probe) -> bool:
    """Whether the kernel, or this run's Docker, drop it without any policy."""
    return way_of(probe) in of_this_run().closed


def of_this_run() -> Ways:
    """The ways of the engine that this run is for."""
    return _WAYS[chosen().name]


def _both(way: str) -> set[str]:
    return {f"{way}, tcp", f"{way}, udp"}


def _dockers(*families: int) -> frozenset[str]:
    ways = (Way.PUBLISHED, Way.LOOPBACK, Way.DIRECT)
    return frozenset(f"{way.value}, IPv{family}" for way in ways for family in families)


# The kernel drops packets to ::1 from a link. A bridge that asks netfilter shows them to Docker's DNAT first,
# which turns them away: a datagram then arrives, and no answer is taken by whoever sent it.
_LOOPBACK_6 = f"{Way.LOOPBACK.value}, IPv6"
_NO_LOOPBACK_6 = _both(f"mate to {_LOOPBACK_6}") | _both(f"office to {_LOOPBACK_6}")
_FEW_LOOPBACK_6 = _NO_LOOPBACK_6 - {f"office to {_LOOPBACK_6}, udp"}
# Between its networks Docker let nothing pass before 29, and before 28 it had no rules for IPv6.
_OTHER_4, _OTHER_6 = (_both(f"other to {Way.DIRECT.value}, IPv{family}") for family in (4, 6))

_WAYS = {
    "20.10": Ways(frozenset(_NO_LOOPBACK_6 | _OTHER_4), _dockers(4), "DOCKER-USER"),
    "28": Ways(frozenset(_FEW_LOOPBACK_6 | _OTHER_4 | _OTHER_6), _dockers(4, 6), "DOCKER-USER"),
    "29": Ways(frozenset(_FEW_LOOPBACK_6), _dockers(4, 6), "DOCKER-USER"),
    # ufw's refusal of what is routed counts, whatever Docker's own tables accept.
    "29-nftables": Ways(frozenset(_FEW_LOOPBACK_6), frozenset(), "filter-FORWARD"),
    "29-containerd": Ways(frozenset(_FEW_LOOPBACK_6), _dockers(4, 6), "DOCKER-USER"),
}
