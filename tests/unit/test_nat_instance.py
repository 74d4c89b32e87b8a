"""A NAT instance: its start script, its permissions, and its resources."""

from __future__ import annotations

import base64
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import botocore
import pulumi
import pulumi_aws as aws
import pytest

from components.aws.egress_settings import NAT_TAG
from components.aws.nat_boot import NatBoot, boot_script, nat_policy, nat_trust
from components.aws.partitions import partition_of
from tests.support.aws_network import Account, made_network, zones_of
from tests.support.fake_engine import ACCOUNT, running_engine

BOOT = NatBoot(
    region="ap-northeast-2",
    allocation_id="eipalloc-00000001",
    public_ip="203.0.113.7",
    interface_id="eni-00000001",
    group="campus-monitor-prod-network-nat-ap-northeast-2a-eipalloc-00000001",
)
# Each program records its call and gives its next answer, the last answer for ever.
PLAYED = """\
#!{python}
import json, pathlib, sys
me = pathlib.Path(__file__)
words = " ".join([me.name, *sys.argv[1:]])
with (me.parent / "calls").open("a") as file:
    file.write(words + "\\n")
turns = json.loads((me.parent / "turns").read_text())
for part, answers in turns.items():
    if part in words:
        code, text = answers.pop(0) if len(answers) > 1 else answers[0]
        (me.parent / "turns").write_text(json.dumps(turns))
        sys.stdout.write(text)
        sys.exit(code)
"""


def started(folder: Path, **turns: list[tuple[int, str]]) -> list[str]:
    """The script's calls, with these answers and the usual metadata."""
    answers: dict[str, list[tuple[int, str]]] = {
        "/api/token": [(0, "TOKEN")],
        "/instance-id": [(0, "i-00000001")],
        "/interface-id": [(0, "eni-00000002")],
        "/meta-data/mac": [(0, "0a:00:00:00:00:01")],
        "/public-ipv4": [(0, BOOT.public_ip)],
        **{part.replace("_", "-"): given for part, given in turns.items()},
    }
    (folder / "turns").write_text(json.dumps(answers))
    for name in ("aws", "curl", "sleep", "systemctl"):
        (folder / name).write_text(PLAYED.format(python=sys.executable))
        (folder / name).chmod(0o755)
    script = boot_script(BOOT).replace("/etc/fck-nat.conf", str(folder / "fck-nat.conf"))
    environment = {"PATH": f"{folder}:{os.environ['PATH']}"}
    subprocess.run(["sh", "-c", script], env=environment, check=True, timeout=60, capture_output=True)
    return (folder / "calls").read_text().splitlines()


def test_first_the_address_then_the_interface_then_the_report_that_it_works(tmp_path: Path) -> None:
    calls = started(tmp_path)
    asked = [call for call in calls if call.startswith(("aws", "systemctl"))]
    assert asked == [
        "aws ec2 associate-address --region ap-northeast-2 --allocation-id eipalloc-00000001 "
        "--network-interface-id eni-00000002 --allow-reassociation",
        "systemctl restart fck-nat",
        "aws autoscaling complete-lifecycle-action --region ap-northeast-2 --auto-scaling-group-name "
        f"{BOOT.group} --lifecycle-hook-name ready --instance-id i-00000001 "
        "--lifecycle-action-result CONTINUE",
    ]
    assert (tmp_path / "fck-nat.conf").read_text() == "eni_id=eni-00000001\n"
    # The metadata service is called by IMDSv2.
    assert all("X-aws-ec2-metadata-token: TOKEN" in one for one in calls if "/meta-data/" in one)


@pytest.mark.parametrize(
    ("turns", "times"),
    [
        ({"associate_address": [(255, ""), (255, ""), (0, "")]}, {"associate-address": 3}),
        ({"/public_ipv4": [(0, "198.51.100.1"), (0, ""), (0, BOOT.public_ip)]}, {"/public-ipv4": 3}),
        ({"restart": [(1, ""), (0, "")]}, {"systemctl restart": 2}),
        ({"complete_lifecycle": [(255, ""), (0, "")]}, {"complete-lifecycle-action": 2}),
    ],
    ids=["refused by AWS", "another address still", "the service fails", "its word isn't taken"],
)
def test_no_step_runs_before_the_former_step_has_worked(
    tmp_path: Path, turns: dict[str, list[tuple[int, str]]], times: dict[str, int]
) -> None:
    calls = started(tmp_path, **turns)
    for part, wanted in times.items():
        places = [at for at, call in enumerate(calls) if part in call]
        assert len(places) == wanted
    steps = ("associate-address", "/public-ipv4", "systemctl restart", "complete-lifecycle-action")
    last = [max(at for at, call in enumerate(calls) if part in call) for part in steps]
    first = [min(at for at, call in enumerate(calls) if part in call) for part in steps]
    assert all(before < after for before, after in zip(last, first[1:], strict=False))


@pytest.fixture
def account() -> Iterator[Account]:
    with running_engine(Account(), stack="prod") as made:
        assert isinstance(made, Account)
        yield made


def made_instances(account: Account, **changes: Any) -> dict[str, dict[str, Any]]:
    """The inputs of the resources of a network with NAT instances."""
    return made_network(account, nat="instance", **changes)


@pytest.mark.parametrize(
    ("nat_per_zone", "instances"),
    [
        (True, {"ap-northeast-2a": "ap-northeast-2a", "ap-northeast-2c": "ap-northeast-2c"}),
        (False, {"ap-northeast-2a": "ap-northeast-2a", "ap-northeast-2c": "ap-northeast-2a"}),
    ],
)
def test_private_subnets_leave_by_an_instance_behind_an_interface_that_stays(
    account: Account, nat_per_zone: bool, instances: dict[str, str]
) -> None:
    made = made_instances(account, natPerZone=nat_per_zone)
    assert not [name for name in made if name.startswith("NatGateway")]
    for zone, by in instances.items():
        route = made[f"Route private-{zone}"]
        assert route["networkInterfaceId"] == f"network-nat-{by}-id"
        assert "natGatewayId" not in route
        interface, group = made[f"NetworkInterface nat-{by}"], made[f"Group nat-{by}"]
        assert interface["sourceDestCheck"] is False
        assert interface["subnetId"] == f"network-public-{by}-id"
        assert group["vpcZoneIdentifiers"] == [interface["subnetId"]]
        assert {group[name] for name in ("minSize", "maxSize", "desiredCapacity")} == {1}
        script = base64.b64decode(made[f"LaunchTemplate nat-{by}"]["userData"]).decode()
        boot = NatBoot(
            region="ap-northeast-2",
            allocation_id=f"egress-instance-{by}-allocation",
            public_ip="203.0.113.1",
            interface_id=f"network-nat-{by}-id",
            group=group["name"],
        )
        assert script == boot_script(boot)
        # Another address gives another group, made before the routes are switched.
        assert group["name"].endswith(f"{by}-{boot.allocation_id}")
        [hook] = group["initialLifecycleHooks"]
        assert (hook["defaultResult"], hook["name"]) == ("ABANDON", "ready")
    assert sum(name.startswith("Group") for name in made) == len(set(instances.values()))


def test_a_route_waits_for_the_instance_that_it_leads_to(account: Account) -> None:
    made = list(made_instances(account))
    assert made.index("Group nat-ap-northeast-2a") < made.index("Route private-ap-northeast-2a")
    assert made.index("RolePolicy nat") < made.index("Group nat-ap-northeast-2a")


def test_an_instance_is_only_reached_from_the_network_and_by_session_manager(account: Account) -> None:
    made = made_instances(account)
    template = made["LaunchTemplate nat-ap-northeast-2a"]
    assert "keyName" not in template
    assert template["metadataOptions"] == {
        "httpEndpoint": "enabled",
        "httpTokens": "required",
        "httpPutResponseHopLimit": 1,
    }
    assert template["instanceType"] == "t4g.nano"
    assert template["creditSpecification"] == {"cpuCredits": "standard"}
    assert [one["ebs"]["encrypted"] for one in template["blockDeviceMappings"]] == ["true"]
    ways_in = [one for name, one in made.items() if name.startswith("SecurityGroupIngressRule")]
    assert [(one["cidrIpv4"], one["ipProtocol"]) for one in ways_in] == [("10.0.0.0/16", "-1")]


def test_the_role_may_only_change_the_stacks_own_resources(account: Account) -> None:
    made = made_instances(account, natPerZone=True)
    policy = json.loads(made["RolePolicy nat"]["policy"])
    ec2 = f"arn:aws:ec2:ap-northeast-2:{ACCOUNT}:"
    for statement in policy["Statement"]:
        changes = [one for one in statement["Action"] if one.startswith(("ec2:", "autoscaling:"))]
        for resource in statement["Resource"] if changes else ():
            owned = statement.get("Condition") == {"StringEquals": {f"ec2:ResourceTag/{NAT_TAG}": "prod"}}
            ours = "autoScalingGroupName/campus-monitor-prod-network-nat-" in resource
            assert owned or ours or resource.startswith(f"{ec2}elastic-ip/egress-instance-")
    # The condition matches the resources' tag.
    for zone in zones_of(["a", "c"]):
        template = made[f"LaunchTemplate nat-{zone}"]
        tagged = {one["resourceType"]: one["tags"][NAT_TAG] for one in template["tagSpecifications"]}
        assert tagged == {"instance": "prod", "network-interface": "prod", "volume": "prod"}
        assert made[f"NetworkInterface nat-{zone}"]["tags"][NAT_TAG] == "prod"


def test_an_image_is_named_or_the_newest_one(account: Account) -> None:
    assert made_instances(account)["LaunchTemplate nat-ap-northeast-2a"]["imageId"] == "ami-00000001"


def test_a_named_image_is_used_without_a_lookup(account: Account) -> None:
    account.images = ()
    made = made_instances(account, natImage="ami-0123456789abcdef0")
    assert made["LaunchTemplate nat-ap-northeast-2a"]["imageId"] == "ami-0123456789abcdef0"


def test_where_there_is_no_image_the_preview_says_which_setting_to_give(
    account: Account, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(**_: object) -> None:
        raise Exception("Your query returned no results.\nPlease change your search criteria")

    monkeypatch.setattr(aws.ec2, "get_ami", refused)
    with pytest.raises(pulumi.RunError) as caught:
        made_instances(account)
    line = str(caught.value)
    assert line.startswith("campus-monitor:egress.create.natImage: fck-nat's newest image is needed")
    assert "in ap-northeast-2: Your query returned no results. Please change" in line
    assert "\n" not in line


def test_partitions_are_as_aws_has_them() -> None:
    path = Path(botocore.__file__).with_name("data") / "partitions.json"
    for partition in json.loads(path.read_text())["partitions"]:
        for region in partition["regions"]:
            if not region.startswith("aws-"):
                found = partition_of(region)
                assert found == (partition["id"], partition["outputs"]["dnsSuffix"]), region


@pytest.mark.parametrize(
    ("region", "partition", "service"),
    [
        ("ap-northeast-2", "aws", "ec2.amazonaws.com"),
        ("cn-north-1", "aws-cn", "ec2.amazonaws.com.cn"),
        ("us-gov-west-1", "aws-us-gov", "ec2.amazonaws.com"),
    ],
)
def test_the_role_is_right_in_every_partition(region: str, partition: str, service: str) -> None:
    assert nat_trust(region)["Statement"][0]["Principal"] == {"Service": service}
    policy = nat_policy(
        region=region, account_id=ACCOUNT, stack="prod", allocation_ids=["eipalloc-1"], groups="g-*"
    )
    arns = [one for statement in policy["Statement"] for one in statement["Resource"] if one != "*"]
    assert {one.split(":")[1] for one in arns} == {partition}
