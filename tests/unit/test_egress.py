"""The AWS network's subnets, and the sources of its public addresses."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator
from typing import Any

import pulumi
import pytest
from hypothesis import given
from hypothesis import strategies as st

from components.aws.egress import (
    EgressAddresses,
    EgressAddressesArgs,
    subnet_cidrs,
)
from components.stack.settings import parse
from components.values.errors import SettingsError
from tests.support.aws_network import ELASTIC, NATS, Account, addresses, made_network, zones_of
from tests.support.fake_engine import known, running_engine
from tests.support.settings import changed

LETTERS = st.lists(st.sampled_from("abcdefgh"), min_size=1, unique=True)
VPCS = st.sampled_from(["10.0.0.0/16", "10.2.0.0/17", "10.3.0.0/18", "10.4.0.0/19", "10.1.0.0/20"])


@given(vpc=VPCS, letters=LETTERS)
def test_subnets_do_not_overlap_and_lie_in_the_vpc(vpc: str, letters: list[str]) -> None:
    public, private = subnet_cidrs(vpc, zones_of(letters))
    networks = [ipaddress.IPv4Network(cidr) for cidr in public + private]
    assert len(networks) == 2 * len(letters)
    assert all(network.subnet_of(ipaddress.IPv4Network(vpc)) for network in networks)
    assert not any(a.overlaps(b) for a in networks for b in networks if a is not b)


@given(vpc=VPCS, letters=LETTERS, other=LETTERS)
def test_a_zone_keeps_its_subnets_whatever_zones_come_and_go(
    vpc: str, letters: list[str], other: list[str]
) -> None:
    one, two = (
        dict(zip(some, zip(*subnet_cidrs(vpc, zones_of(some)), strict=True), strict=True))
        for some in (letters, other)
    )
    assert {letter: one[letter] for letter in set(one) & set(two)} == {
        letter: two[letter] for letter in set(one) & set(two)
    }


def test_the_teams_first_public_subnet() -> None:
    assert subnet_cidrs("10.0.0.0/16", zones_of(["a", "c"]))[0] == ["10.0.90.0/24", "10.0.92.0/24"]


@pytest.fixture
def account() -> Iterator[Account]:
    """Pulumi's runtime with that account behind it."""
    with running_engine(Account()) as made:
        assert isinstance(made, Account)
        yield made


def keys_and_ips(**egress: Any) -> tuple[dict[str, str], list[str]]:
    """Each address by its key, and all of them sorted."""
    made: list[EgressAddresses] = []

    def make() -> pulumi.Output[Any]:
        made.append(addresses(**egress))
        return pulumi.Output.all(keys=made[0].by_key, ips=made[0].public_ips)

    found = known(make)
    return found["keys"], found["ips"]


@pytest.mark.usefixtures("account")
def test_created_addresses_are_known_by_their_zones() -> None:
    create = {"zones": zones_of(["a", "c"]), "natPerZone": True, "addresses": ["203.0.113.9", "203.0.113.7"]}
    keys, ips = keys_and_ips(create=create)
    assert keys == {"ap-northeast-2a": "203.0.113.9", "ap-northeast-2c": "203.0.113.7"}
    assert ips == ["203.0.113.7", "203.0.113.9"]


@pytest.mark.parametrize(
    ("nat_per_zone", "gateways"),
    [
        (True, {"ap-northeast-2a": "ap-northeast-2a", "ap-northeast-2c": "ap-northeast-2c"}),
        (False, {"ap-northeast-2a": "ap-northeast-2a", "ap-northeast-2c": "ap-northeast-2a"}),
    ],
)
def test_private_subnets_leave_by_their_zones_gateway_or_by_the_one_for_all(
    account: Account, nat_per_zone: bool, gateways: dict[str, str]
) -> None:
    made = made_network(account, natPerZone=nat_per_zone)
    for zone, by in gateways.items():
        association = made[f"RouteTableAssociation private-{zone}"]
        route = made[f"Route private-{zone}"]
        assert association["subnetId"] == f"network-private-{zone}-id"
        assert association["routeTableId"] == route["routeTableId"]
        assert (route["destinationCidrBlock"], route["natGatewayId"]) == (
            "0.0.0.0/0",
            f"network-nat-{by}-id",
        )
        # A gateway is in a public subnet, which has a direct route out, and has its zone's address.
        gateway = made[f"NatGateway nat-{by}"]
        assert gateway["subnetId"] == f"network-public-{by}-id"
        assert gateway["allocationId"] == f"egress-{by}-allocation"
        assert made[f"RouteTableAssociation public-{zone}"]["routeTableId"] == "network-public-id"
    assert made["Route public"]["gatewayId"] == "network-internet-id"
    assert sum(name.startswith("NatGateway") for name in made) == len(set(gateways.values()))


def test_tags_flow_to_everything_of_the_network(account: Account) -> None:
    tags = {"team": "judge", "cost": "campus"}
    made = made_network(account, natPerZone=True, tags=tags)
    # A route and an association have none (the pulumi-aws SDK's inputs).
    takes_none = ("Route ", "RouteTableAssociation ")
    tagged = {name: inputs for name, inputs in made.items() if not name.startswith(takes_none)}
    kinds = {"Eip", "InternetGateway", "NatGateway", "RouteTable", "Subnet", "Vpc"}
    assert {name.split()[0] for name in tagged} == kinds
    for name, inputs in tagged.items():
        assert tags.items() <= inputs["tags"].items(), name
        assert inputs["tags"]["Name"], name


@pytest.mark.parametrize("how", [{"natGatewayIds": list(NATS)}, {"natGatewayTags": {"for": "tasks"}}])
def test_addresses_of_nat_gateways_are_found_all_of_them(account: Account, how: dict[str, Any]) -> None:
    account.secondary = ("eipalloc-203.0.113.10",)
    keys, ips = keys_and_ips(lookup=how)
    assert keys == {ip: ip for ip in ips}
    assert ips == sorted([*NATS.values(), "203.0.113.10"])
    assert not [one for one in account.made.values() if one.typ.startswith("aws:")]


@pytest.mark.parametrize(("grows", "warnings"), [("disabled", 0), ("enabled", 1)])
def test_a_regional_gateway_sends_from_all_its_addresses(
    account: Account, grows: str, warnings: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    account.regional, account.grows = ("203.0.113.20", "203.0.113.21"), grows
    said: list[str] = []
    monkeypatch.setattr(pulumi.log, "warn", said.append)
    _, ips = keys_and_ips(lookup={"natGatewayIds": list(NATS)})
    assert ips == ["203.0.113.20", "203.0.113.21", NATS["nat-00000001"]]
    assert len(said) == warnings
    assert all("nat-00000002" in one and "403" in one for one in said)


def test_elastic_ips_that_the_account_has_are_taken_over_and_never_released(account: Account) -> None:
    made: list[EgressAddresses] = []

    def make() -> pulumi.Output[Any]:
        create = {"zones": zones_of(["a", "c"]), "natPerZone": True, "allocationIds": list(ELASTIC)}
        made.append(addresses(create=create))
        return pulumi.Output.all(keys=made[0].by_key, zones=made[0].by_zone)

    found = known(make)
    # Keyed by address and not by zone: while they are replaced, both are allowed.
    assert found["keys"] == {ip: ip for ip in ELASTIC.values()}
    assert found["zones"] == dict(zip(zones_of(["a", "c"]), found["keys"], strict=True))
    assert list(made[0].allocation_ids) == zones_of(["a", "c"])
    assert made[0].retained == {}
    assert not [one for one in account.made.values() if one.typ.endswith(":Eip")]


@pytest.mark.usefixtures("account")
def test_addresses_are_found_by_their_own_tags() -> None:
    assert keys_and_ips(lookup={"addressTags": {"for": "tasks"}})[1] == ["203.0.113.8"]


@pytest.mark.usefixtures("account")
def test_given_addresses_are_taken_as_they_are_and_sorted() -> None:
    given_ones = ["203.0.113.9", "203.0.113.7"]
    assert keys_and_ips(given={"addresses": given_ones})[1] == sorted(given_ones)


@pytest.mark.parametrize(
    ("how", "secondary", "says"),
    [
        ({"natGatewayTags": {"for": "nobody"}}, (), ("natGatewayTags: nothing was found", "at least one")),
        ({"addressTags": {"for": "nobody"}}, (), ("addressTags: nothing was found", "at least one")),
        (
            {"natGatewayIds": ["nat-00000001"]},
            ("eipalloc-10.0.0.1",),
            ("natGatewayIds:", "global unicast", "'10.0.0.1'"),
        ),
        ({"natGatewayIds": ["nat-00000001"]}, ("eipalloc-",), ("natGatewayIds:", "one IPv4 address", "''")),
        (
            {"natGatewayIds": list(NATS)},
            ("eipalloc-203.0.113.7",),
            ("natGatewayIds: an address was found twice", "203.0.113.7"),
        ),
    ],
)
def test_looked_up_addresses_are_checked_while_the_program_runs(
    account: Account, how: dict[str, Any], secondary: tuple[str, ...], says: tuple[str, ...]
) -> None:
    account.secondary = secondary
    with pytest.raises(pulumi.RunError) as caught:
        addresses(lookup=how)
    line = str(caught.value)
    assert line.startswith("campus-monitor:egress.lookup.")
    assert "\n" not in line
    for word in says:
        assert word in line


def test_fargate_wants_a_network() -> None:
    tree = changed("egress", {"given": {"addresses": ["203.0.113.7"]}})
    tree["services"]["client-api"] |= {"launch": "fargate", "memoryMib": 1024}
    with pytest.raises(SettingsError, match=r"egress\.vpcId: the network of services\.client-api's tasks"):
        parse(tree)
    tree["egress"]["vpcId"] = "vpc-00000001"
    assert parse(tree).egress.vpc_id == "vpc-00000001"


@pytest.mark.parametrize("kept", [True, False])
def test_retained_addresses_are_an_output(kept: bool) -> None:
    create = {"create": {"zones": zones_of(["a", "c"]), "retainAddresses": kept}}
    settings = parse(changed("egress", create))
    made: list[EgressAddresses] = []

    @pulumi.runtime.test
    def program() -> pulumi.Output[Any]:
        addresses = EgressAddresses("egress", EgressAddressesArgs(egress=settings.egress))
        made.append(addresses)
        return addresses.public_ips

    with running_engine():
        program()
    # One NAT gateway for both zones, with one address.
    assert list(made[0].retained) == (zones_of(["a"]) if kept else [])
