"""Where the AWS network's subnets lie."""

from __future__ import annotations

import ipaddress

import pytest

from components.aws.egress import subnet_cidrs


@pytest.mark.parametrize(("vpc", "zones"), [("10.0.0.0/16", 2), ("10.0.0.0/16", 4), ("10.1.0.0/20", 6)])
def test_subnets_do_not_overlap_and_lie_in_the_vpc(vpc: str, zones: int) -> None:
    public, private = subnet_cidrs(vpc, zones)
    networks = [ipaddress.IPv4Network(cidr) for cidr in public + private]
    assert len(networks) == 2 * zones
    assert all(network.subnet_of(ipaddress.IPv4Network(vpc)) for network in networks)
    assert not any(a.overlaps(b) for a in networks for b in networks if a is not b)


def test_the_teams_public_subnets() -> None:
    assert subnet_cidrs("10.0.0.0/16", 2)[0] == ["10.0.90.0/24", "10.0.91.0/24"]
