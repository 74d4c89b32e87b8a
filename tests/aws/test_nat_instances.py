"""A NAT instance replaces a gateway, and back, under pushes: no push is refused, no line is lost."""

from __future__ import annotations

import time
from dataclasses import dataclass, field

import pytest
from moto.ec2.models import ec2_backends

from components.aws.nat_boot import IMAGE_OWNER
from rig.deployment import Deployment
from rig.emulator import REGION, Emulator
from rig.namespaces import LATER_NAT, NAT, STRANGER
from rig.plugins.aws_things.resource import ACCOUNT
from rig.processes import wait_for
from rig.pusher import Found, Tally, found_in_loki
from rig.stack import Settings
from tests.aws.conftest import ZONE_A, ZONE_C, login_of, network
from tests.aws.nat import GIVEN_BY_AWS, Nat
from tests.aws.nat_instances import Instances
from tests.aws.under_push import pusher_behind, up

pytestmark = [
    pytest.mark.docker,
    pytest.mark.timeout(900),
    pytest.mark.usefixtures("put_back_at_the_end"),
]

FIRST, OTHER = STRANGER, LATER_NAT
# Enough for a busy machine.
START_SECONDS = 180.0


def instance(address: str) -> Settings:
    """Egress settings: one NAT instance with this address for both zones."""
    egress = network({ZONE_A: address}, nat_per_zone=False, zones=[ZONE_A, ZONE_C])
    return {"create": egress["create"] | {"nat": "instance"}}


def gateway(address: str) -> Settings:
    """Egress settings: one NAT gateway with this address for both zones."""
    return network({ZONE_A: address}, nat_per_zone=False, zones=[ZONE_A, ZONE_C])


def publish(emulator: Emulator, version: str) -> None:
    """Publish a new image of fck-nat's."""
    name = f"fck-nat-al2023-hvm-{version}-arm64-ebs"
    made = emulator.client("ec2").register_image(Name=name)["ImageId"]
    image = ec2_backends[ACCOUNT][REGION].amis[made]
    # The emulator registers images only for the caller, and ignores the architecture.
    image.owner_id, image.architecture = IMAGE_OWNER, "arm64"


@dataclass
class Seen:
    """The observations while a NAT replaced another."""

    tally: Tally
    found: Found
    used: set[str]
    started: int
    # After each change: the stack's addresses, and a preview's changes.
    deployed: list[list[str]] = field(default_factory=list)
    planned: list[dict[str, int]] = field(default_factory=list)
    # The answers to the last address and the former one at the end.
    answered: dict[str, int] = field(default_factory=dict)


@pytest.fixture(scope="module")
def seen(stack: Deployment, emulator: Emulator, tmp_path_factory: pytest.TempPathFactory) -> Seen:
    """Gateway, instance, another instance, another address, and gateway again, under pushes."""
    began, nat = time.time_ns(), Nat(emulator)
    pusher = pusher_behind(stack, nat, "nat-instances")
    instances = Instances(emulator, tmp_path_factory.mktemp("instances"))
    deployed: list[list[str]] = []
    planned: list[dict[str, int]] = []
    publish(emulator, "1.4.0-20260601")
    with instances.starting():
        with pusher.running():
            deployed.append(up(stack, instance(FIRST)))
            wait_for("the instance starts", lambda: len(instances.started) == 1, START_SECONDS)
            publish(emulator, "1.4.0-20261201")
            planned.append(stack.stack.changes())
            instances.replace()
            wait_for("another one starts", lambda: len(instances.started) == 2, START_SECONDS)
            planned.append(stack.stack.changes())
            deployed.append(up(stack, instance(OTHER)))
            wait_for("it has another address", lambda: len(instances.started) == 3, START_SECONDS)
            planned.append(stack.stack.changes())
            deployed.append(up(stack, gateway(NAT)))
            planned.append(stack.stack.changes())
        found = found_in_loki(stack.rig.network.campus, stack.loki("aws"), "nat-instances", began)
        login = login_of(stack)
        answered = {one: stack.push_status(one, "aws", login) for one in (NAT, FIRST, OTHER)}
        return Seen(pusher.tally, found, nat.used, len(instances.started), deployed, planned, answered)


def test_no_line_is_refused_or_lost(seen: Seen) -> None:
    assert not seen.tally.drops
    assert seen.found.missing(range(seen.tally.lines)) == []
    # From each of them, and never from an instance's first address.
    assert {NAT, FIRST, OTHER} <= seen.used
    assert GIVEN_BY_AWS not in seen.used


def test_an_instance_that_is_replaced_keeps_its_address(seen: Seen) -> None:
    assert seen.started == 3
    assert seen.deployed == [[FIRST], [OTHER], [NAT]]


def test_each_change_is_one_update_and_a_newer_image_none(seen: Seen) -> None:
    assert seen.planned == [{}] * 4


def test_the_former_address_is_refused(seen: Seen) -> None:
    assert seen.answered == {NAT: 204, FIRST: 403, OTHER: 403}


def test_without_an_image_the_preview_fails(stack: Deployment) -> None:
    for image in list(ec2_backends[ACCOUNT][REGION].amis.values()):
        if image.owner_id == IMAGE_OWNER:
            ec2_backends[ACCOUNT][REGION].deregister_image(image.id)
    stack.stack.configure(stack.settings | {"egress": instance(FIRST)})
    said = stack.stack.preview_error()
    assert "campus-monitor:egress.create.natImage: fck-nat's newest image is needed" in said
    assert "Traceback" not in said


def test_elastic_ips_of_the_accounts_own_are_taken_over_and_left(
    stack: Deployment, emulator: Emulator
) -> None:
    ec2 = emulator.client("ec2")
    had = ec2.allocate_address(Domain="vpc", Address=STRANGER)["AllocationId"]
    taken = gateway(STRANGER)["create"] | {"addresses": [], "allocationIds": [had]}
    try:
        assert up(stack, {"create": taken}) == [STRANGER]
        assert stack.push_status(STRANGER, "aws", login_of(stack)) == 204
        assert stack.stack.changes() == {}
        up(stack, stack.settings["egress"])
        assert ec2.describe_addresses(AllocationIds=[had])["Addresses"][0]["PublicIp"] == STRANGER
    finally:
        ec2.release_address(AllocationId=had)
