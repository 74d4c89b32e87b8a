"""The NAT addresses change under pushes, each in one update: no push is refused, no line is lost."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import pytest

from rig.deployment import Deployment
from rig.emulator import Emulator
from rig.figures import TARGETS, record
from rig.namespaces import LATER_NAT, NAT, STRANGER
from rig.processes import wait_for
from rig.pusher import Found, Tally, found_in_loki
from rig.stack import Settings
from tests.aws.conftest import ZONE_A, ZONE_B, ZONE_C, login_of, network
from tests.aws.nat import Nat, SwitchedByHand
from tests.aws.under_push import LINES_PER_SECOND, pusher_behind, up
from tests.support.counts import count

pytestmark = [
    pytest.mark.docker,
    # The first test waits for all the changes.
    pytest.mark.timeout(count(test=900, soak=5400)),
    pytest.mark.usefixtures("put_back_at_the_end"),
]

CHANGES = count(test=3, soak=50)
# Until each shipper has pushed again.
SWITCHED_SECONDS = 3.0
THIRD_NAT = STRANGER

# One kind of change after the other; the last goes back to the start.
KINDS: list[tuple[str, Settings]] = [
    ("a zone is added", network({ZONE_A: NAT, ZONE_C: LATER_NAT, ZONE_B: THIRD_NAT})),
    ("the first zone is removed", network({ZONE_C: LATER_NAT, ZONE_B: THIRD_NAT})),
    ("an address is changed", network({ZONE_C: NAT, ZONE_B: THIRD_NAT})),
    (
        "one gateway serves both zones",
        network({ZONE_B: THIRD_NAT}, nat_per_zone=False, zones=[ZONE_B, ZONE_C]),
    ),
    (
        "the one gateway is replaced",
        network({ZONE_C: LATER_NAT}, nat_per_zone=False, zones=[ZONE_C, ZONE_B]),
    ),
    ("a zone is added and one removed", network({ZONE_A: NAT, ZONE_C: LATER_NAT})),
]


def addresses_of(egress: Settings) -> list[str]:
    """The public addresses of egress settings, sorted."""
    return sorted(egress["create"]["addresses"])


@dataclass
class Changed:
    """The observations while the addresses changed."""

    tally: Tally
    found: Found
    used: set[str]
    # After each change: the expected addresses, and the stack's.
    wanted: list[list[str]]
    deployed: list[list[str]]
    # After the last change: the answer to each address, and a preview's changes.
    answered: dict[str, int]
    planned: dict[str, int]


@pytest.fixture(scope="module")
def changed(stack: Deployment, emulator: Emulator) -> Changed:
    """Changes, one right after the other, under pushes."""
    began, nat = time.time_ns(), Nat(emulator)
    pusher = pusher_behind(stack, nat, "nat-changes")
    wanted: list[list[str]] = []
    deployed: list[list[str]] = []
    with pusher.running():
        for number in range(CHANGES):
            kind, egress = KINDS[number % len(KINDS)]
            started = time.monotonic()
            deployed.append(up(stack, egress))
            wanted.append(addresses_of(egress))
            print(f"{kind}: {time.monotonic() - started:.0f} s, {pusher.tally.drops or 'none dropped'}")
    found = found_in_loki(stack.rig.network.campus, stack.loki("aws"), "nat-changes", began)
    login = login_of(stack)
    answered = {one: stack.push_status(one, "aws", login) for one in (NAT, LATER_NAT, THIRD_NAT)}
    return Changed(pusher.tally, found, nat.used, wanted, deployed, answered, stack.stack.changes())


def test_no_push_is_refused_while_addresses_change(changed: Changed) -> None:
    tally = changed.tally
    refused = sum(lines for said, lines in tally.drops.items() if said.isdigit())
    versus = f"{CHANGES} changes, {tally.pushes} pushes, {sum(tally.retried.values())} retried"
    record("nat_change_refused", refused, "", tally.lines, versus)
    assert TARGETS["nat_change_refused"].met_by(refused), tally
    assert not tally.drops


def test_no_line_is_lost_while_addresses_change(changed: Changed) -> None:
    tally = changed.tally
    missing = changed.found.missing(range(tally.lines))
    record("nat_change_lines_missing", len(missing), "", tally.lines, f"{CHANGES} changes")
    assert TARGETS["nat_change_lines_missing"].met_by(len(missing)), missing[:20]
    # The pusher followed the routes: every address was a source.
    assert changed.used == {NAT, LATER_NAT, THIRD_NAT}
    assert tally.lines > CHANGES * LINES_PER_SECOND


def test_after_each_change_the_outputs_have_the_addresses(changed: Changed) -> None:
    assert changed.deployed == changed.wanted


def test_former_addresses_are_refused(changed: Changed) -> None:
    last = changed.wanted[-1]
    assert changed.answered == {one: 204 if one in last else 403 for one in (NAT, LATER_NAT, THIRD_NAT)}
    assert changed.planned == {}


@pytest.mark.soak
def test_a_nat_instance_takes_over_in_two_updates_under_push(stack: Deployment, emulator: Emulator) -> None:
    login, vpc, began = login_of(stack), default_vpc(emulator), time.time_ns()
    nat = SwitchedByHand(emulator, NAT)
    pusher = pusher_behind(stack, nat, "takeover")
    acknowledged = pusher.tally.acknowledged

    def given(*addresses: str) -> Settings:
        return {"given": {"addresses": list(addresses)}, "vpcId": vpc}

    def pushed() -> list[int]:
        return [stack.push_status(address, "aws", login) for address in (NAT, LATER_NAT, THIRD_NAT)]

    # Whatever settings another test has left.
    assert NAT in up(stack, stack.settings["egress"])
    with pusher.running():
        # Formerly keyed by zone, now by address: both give the same fragment.
        assert up(stack, given(NAT, THIRD_NAT)) == sorted([NAT, THIRD_NAT])
        assert pushed() == [204, 403, 204]
        # Now the routes are switched; pushes in flight still come from the old address.
        nat.address, before = THIRD_NAT, len(acknowledged)
        later = before + int(LINES_PER_SECOND * SWITCHED_SECONDS)
        wait_for("lines come from there", lambda: len(acknowledged) >= later, 60.0)
        assert up(stack, given(THIRD_NAT)) == [THIRD_NAT]
    assert pushed() == [403, 403, 204]
    assert stack.stack.changes() == {}
    found = found_in_loki(stack.rig.network.campus, stack.loki("aws"), "takeover", began)
    assert not pusher.tally.drops
    assert found.missing(range(pusher.tally.lines)) == []
    assert nat.used == {NAT, THIRD_NAT}


def test_a_retained_address_stays_in_the_account(stack: Deployment, emulator: Emulator) -> None:
    ec2, kept = emulator.client("ec2"), network({ZONE_A: NAT, ZONE_C: LATER_NAT, ZONE_B: THIRD_NAT})
    kept["create"]["retainAddresses"] = True
    up(stack, kept)
    up(stack, stack.settings["egress"])
    [address] = ec2.describe_addresses(PublicIps=[THIRD_NAT])["Addresses"]
    ec2.release_address(AllocationId=address["AllocationId"])
    # It still existed, though the edge no longer allows it.
    assert stack.push_status(THIRD_NAT, "aws", login_of(stack)) == 403


@contextmanager
def gateway_made_elsewhere(emulator: Emulator, address: str, tags: dict[str, str]) -> Iterator[None]:
    """A NAT gateway with this address and these tags, in a network outside the stack."""
    ec2 = emulator.client("ec2")
    listed = [{"Key": key, "Value": value} for key, value in tags.items()]
    allocation = ec2.allocate_address(Domain="vpc", Address=address)["AllocationId"]
    of_it = [{"Name": "vpc-id", "Values": [default_vpc(emulator)]}]
    subnet = ec2.describe_subnets(Filters=of_it)["Subnets"][0]["SubnetId"]
    made = ec2.create_nat_gateway(
        SubnetId=subnet,
        AllocationId=allocation,
        TagSpecifications=[{"ResourceType": "natgateway", "Tags": listed}],
    )["NatGateway"]["NatGatewayId"]
    try:
        yield
    finally:
        ec2.delete_nat_gateway(NatGatewayId=made)
        ec2.release_address(AllocationId=allocation)


def default_vpc(emulator: Emulator) -> str:
    """The account's default network."""
    every = [{"Name": "is-default", "Values": ["true"]}]
    return emulator.client("ec2").describe_vpcs(Filters=every)["Vpcs"][0]["VpcId"]


def test_a_network_made_elsewhere_is_looked_up(stack: Deployment, emulator: Emulator) -> None:
    login, tags = login_of(stack), {"for": "tasks"}
    lookup: Settings = {"lookup": {"natGatewayTags": tags}, "vpcId": default_vpc(emulator)}
    stack.stack.configure(stack.settings | {"egress": lookup})
    said = stack.stack.preview_error()
    assert "campus-monitor:egress.lookup.natGatewayTags: nothing was found: at least one" in said
    assert "Traceback" not in said
    unknown = {"natGatewayIds": ["nat-00000000000000000"]}
    stack.stack.configure(stack.settings | {"egress": lookup | {"lookup": unknown}})
    said = stack.stack.preview_error()
    assert "egress.lookup.natGatewayIds: AWS was asked:" in said
    assert "no matching EC2 NAT Gateway found" in said
    assert "Traceback" not in said
    with gateway_made_elsewhere(emulator, THIRD_NAT, tags):
        assert up(stack, lookup) == [THIRD_NAT]
        assert stack.push_status(THIRD_NAT, "aws", login) == 204
        assert stack.push_status(NAT, "aws", login) == 403
        assert stack.stack.changes() == {}
