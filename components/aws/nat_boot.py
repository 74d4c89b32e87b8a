# pyright: strict
"""Renders a NAT instance's start script, and its role's policies. Pure.

The image is fck-nat's (https://fck-nat.dev, read at 193c58c of 31 May 2026): Amazon Linux 2023 with AWS'
command line and a service `fck-nat`, which forwards packets for the network interface `eni_id` of
/etc/fck-nat.conf from the instance's own interface. The service can give that interface an Elastic IP
(`eip_id`), but goes on if that fails. Then the edge refuses the address, and refused pushes are lost; so
our script takes the Elastic IP, and only then hands the interface to the service.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from components.aws.documents import VERSION, allow
from components.aws.egress_settings import NAT_TAG
from components.aws.partitions import partition_of
from components.live.sh_files import read_script

# The owner and the name of fck-nat's images (its packer/fck-nat.pkr.hcl and docs).
IMAGE_OWNER = "568608671756"
IMAGE_NAME = "fck-nat-al2023-hvm-*-arm64-ebs"
# The smallest ARM size: 2 vCPUs, 512 MiB, 32 Mbit/s for as long as one likes, 5 Gbit/s in bursts (fck-nat's
# docs/choosing_an_instance_size.md).
INSTANCE_TYPE = "t4g.nano"
# Room for the image's 4 GiB (its packer file): with a smaller disk, no instance starts.
DISK_GIB = 8
# A start takes a minute or two; after this time the instance is given up and replaced.
START_SECONDS = 600
READY_HOOK = "ready"

# It contains no secret: everybody who may read an instance's attributes can read it.
_BOOT = Path(__file__).with_name("nat-boot.sh")


@dataclass(frozen=True, kw_only=True)
class NatBoot:
    """A NAT instance to start: its place, its addresses and its group."""

    region: str
    allocation_id: str
    public_ip: str
    interface_id: str
    group: str


def boot_script(boot: NatBoot) -> str:
    """The instance's user data: runs once, as root, at its first start."""
    words = {name.upper(): value for name, value in vars(boot).items()} | {"HOOK": READY_HOOK}
    return read_script(_BOOT, words)


def nat_trust(region: str) -> dict[str, Any]:
    """Lets EC2 give the role to an instance."""
    principal = {"Service": f"ec2.{partition_of(region).dns_suffix}"}
    statement = {"Effect": "Allow", "Action": "sts:AssumeRole", "Principal": principal}
    return {"Version": VERSION, "Statement": [statement]}


def nat_policy(
    *, region: str, account_id: str, stack: str, allocation_ids: Sequence[str], groups: str
) -> dict[str, Any]:
    """What the instances may do: take the stack's addresses and interfaces, report that they are ready, and
    serve Session Manager.

    `groups` is a pattern of the groups' names. Interfaces and instances are named by a tag, since their ids
    aren't known in advance. Session Manager's part follows its user guide, "Verify or create an IAM role with
    Session Manager permissions".
    """
    arn = f"arn:{partition_of(region).name}:"
    ec2, scaling = f"{arn}ec2:{region}:{account_id}:", f"{arn}autoscaling:{region}:{account_id}:"
    own = {"StringEquals": {f"ec2:ResourceTag/{NAT_TAG}": stack}}
    statements = [
        allow(["ec2:AssociateAddress"], [f"{ec2}elastic-ip/{one}" for one in allocation_ids]),
        allow(
            ["ec2:AssociateAddress", "ec2:AttachNetworkInterface", "ec2:ModifyNetworkInterfaceAttribute"],
            [f"{ec2}instance/*", f"{ec2}network-interface/*"],
        )
        | {"Condition": own},
        allow(
            ["autoscaling:CompleteLifecycleAction"],
            [f"{scaling}autoScalingGroup:*:autoScalingGroupName/{groups}"],
        ),
        # IAM has no resource for these.
        allow(
            [
                "ssm:UpdateInstanceInformation",
                *(
                    f"ssmmessages:{verb}{what}Channel"
                    for verb in ("Create", "Open")
                    for what in ("Control", "Data")
                ),
            ],
            ["*"],
        ),
    ]
    return {"Version": VERSION, "Statement": statements}
