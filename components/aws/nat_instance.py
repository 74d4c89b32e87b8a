"""A cheaper NAT than AWS' gateway: fck-nat's image on one small EC2 instance per address."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import pulumi
import pulumi_aws as aws
from pulumi import ResourceOptions

from components.aws.asking import asking
from components.aws.documents import canonical
from components.aws.egress_settings import NAT_TAG
from components.aws.nat_boot import (
    DISK_GIB,
    IMAGE_NAME,
    IMAGE_OWNER,
    INSTANCE_TYPE,
    READY_HOOK,
    START_SECONDS,
    NatBoot,
    boot_script,
    nat_policy,
    nat_trust,
)
from components.values.errors import PROJECT


@dataclass(frozen=True, kw_only=True)
class NatInstancesArgs:
    """What `NatInstances` is made from; everything by zone is for the zones that have an instance."""

    region: str
    vpc_id: pulumi.Input[str]
    vpc_cidr: str
    # Public subnets, by zone.
    subnet_ids: Mapping[str, pulumi.Input[str]]
    allocation_ids: Mapping[str, pulumi.Input[str]]
    public_ips: Mapping[str, pulumi.Input[str]]
    tags: Mapping[str, str]
    # None: the newest image at the first update.
    image: str | None
    # The resources that an instance needs to reach the internet.
    internet: Sequence[pulumi.Resource]


class NatInstances(pulumi.ComponentResource):
    """One instance per zone, in an Auto Scaling group of one that replaces it when it fails.

    The network interface that routes lead to and the Elastic IP that the edge allows outlive an instance;
    its replacement takes both when it starts (`nat_boot`).
    """

    interface_ids: dict[str, pulumi.Output[str]]
    """Per zone, the interface for the route; known as soon as an instance forwards its packets."""

    def __init__(self, name: str, args: NatInstancesArgs, opts: ResourceOptions | None = None) -> None:
        super().__init__("campus-monitor:aws:NatInstances", name, None, opts)
        self._name, self._args = name, args
        self._group_id = self._security_group()
        self._image = args.image or self._newest_image()
        self._profile, self._permissions = self._role()
        self.interface_ids = {zone: self._instance(zone) for zone in args.allocation_ids}
        self.register_outputs({"interface_ids": self.interface_ids})

    def _named(self, name: str) -> dict[str, str]:
        return {**self._args.tags, NAT_TAG: pulumi.get_stack(), "Name": name}

    def _scaling_groups(self) -> str:
        """The prefix of all groups' names, with the stack's: two stacks may share a zone."""
        return f"{PROJECT}-{pulumi.get_stack()}-{self._name}-"

    def _scaling_group(self, zone: str) -> pulumi.Output[str]:
        """A group's name, which its instance has to know before the group exists.

        Another address gives another group, which is therefore made before the routes are switched to it.
        """
        return pulumi.Output.concat(self._scaling_groups(), zone, "-", self._args.allocation_ids[zone])

    def _security_group(self) -> pulumi.Output[str]:
        """Egress to anywhere, as with a NAT gateway; ingress from the network only, not from the internet."""
        group = aws.ec2.SecurityGroup(
            self._name,
            description="NAT instances",
            vpc_id=self._args.vpc_id,
            tags=self._named(self._name),
            opts=ResourceOptions(parent=self),
        )
        rules = [
            kind(
                f"{self._name}-{direction}",
                security_group_id=group.id,
                ip_protocol="-1",
                cidr_ipv4=cidr,
                opts=ResourceOptions(parent=self),
            )
            for kind, direction, cidr in (
                (aws.vpc.SecurityGroupIngressRule, "in", self._args.vpc_cidr),
                (aws.vpc.SecurityGroupEgressRule, "out", "0.0.0.0/0"),
            )
        ]
        return pulumi.Output.all(group.id, *(rule.id for rule in rules)).apply(lambda known: known[0])

    def _newest_image(self) -> str:
        """Looked up while the program runs, so that a preview fails if there is none."""
        wanted = {"name": IMAGE_NAME, "architecture": "arm64"}
        where = f"AWS was asked in {self._args.region}"
        with asking("create.natImage", f"fck-nat's newest image is needed where none is named; {where}"):
            return aws.ec2.get_ami(
                most_recent=True,
                owners=[IMAGE_OWNER],
                filters=[aws.ec2.GetAmiFilterArgs(name=key, values=[value]) for key, value in wanted.items()],
                opts=pulumi.InvokeOptions(parent=self),
            ).id

    def _role(self) -> tuple[aws.iam.InstanceProfile, aws.iam.RolePolicy]:
        args, child = self._args, ResourceOptions(parent=self)
        role = aws.iam.Role(
            self._name,
            description="NAT instances: their addresses and interfaces, and Session Manager",
            assume_role_policy=canonical(nat_trust(args.region)),
            tags=self._named(self._name),
            opts=child,
        )
        account = aws.get_caller_identity_output(opts=pulumi.InvokeOutputOptions(parent=self)).account_id
        known = pulumi.Output.all(account, *args.allocation_ids.values())
        policy = aws.iam.RolePolicy(
            self._name,
            name="nat",
            role=role.id,
            policy=known.apply(
                lambda found: canonical(
                    nat_policy(
                        region=args.region,
                        account_id=found[0],
                        stack=pulumi.get_stack(),
                        allocation_ids=found[1:],
                        groups=f"{self._scaling_groups()}*",
                    )
                )
            ),
            opts=child,
        )
        return aws.iam.InstanceProfile(self._name, role=role.name, opts=child), policy

    def _instance(self, zone: str) -> pulumi.Output[str]:
        """The permanent interface, and the group that keeps an instance behind it."""
        name = f"{self._name}-{zone}"
        interface = aws.ec2.NetworkInterface(
            name,
            subnet_id=self._args.subnet_ids[zone],
            description=pulumi.Output.concat("To be sent on from ", self._args.allocation_ids[zone]),
            security_groups=[self._group_id],
            # It receives packets for others.
            source_dest_check=False,
            tags=self._named(name),
            # Another address gives another interface: the old instance keeps this until no route leads to it.
            opts=ResourceOptions(parent=self, replace_on_changes=["description"]),
        )
        template = self._template(zone, interface)
        group = aws.autoscaling.Group(
            name,
            name=self._scaling_group(zone),
            min_size=1,
            max_size=1,
            desired_capacity=1,
            vpc_zone_identifiers=[self._args.subnet_ids[zone]],
            launch_template=aws.autoscaling.GroupLaunchTemplateArgs(
                id=template.id, version=template.latest_version.apply(str)
            ),
            # The instance isn't in service, and the group isn't complete, until it reports that it forwards.
            initial_lifecycle_hooks=[
                aws.autoscaling.GroupInitialLifecycleHookArgs(
                    name=READY_HOOK,
                    lifecycle_transition="autoscaling:EC2_INSTANCE_LAUNCHING",
                    heartbeat_timeout=START_SECONDS,
                    default_result="ABANDON",
                )
            ],
            # A changed template replaces the instance, the old one first: two can't share the interface.
            instance_refresh=aws.autoscaling.GroupInstanceRefreshArgs(
                strategy="Rolling",
                preferences=aws.autoscaling.GroupInstanceRefreshPreferencesArgs(min_healthy_percentage=0),
            ),
            wait_for_capacity_timeout=f"{2 * START_SECONDS}s",
            tags=[
                aws.autoscaling.GroupTagArgs(key=key, value=value, propagate_at_launch=False)
                for key, value in sorted(self._named(name).items())
            ],
            opts=ResourceOptions(
                parent=self, depends_on=[interface, self._permissions, *self._args.internet]
            ),
        )
        return pulumi.Output.all(interface.id, group.id).apply(lambda known: known[0])

    def _template(self, zone: str, interface: aws.ec2.NetworkInterface) -> aws.ec2.LaunchTemplate:
        args, name = self._args, f"{self._name}-{zone}"
        known = pulumi.Output.all(
            region=args.region,
            allocation_id=args.allocation_ids[zone],
            public_ip=args.public_ips[zone],
            interface_id=interface.id,
            group=self._scaling_group(zone),
        )
        tagged = ("instance", "network-interface", "volume")
        return aws.ec2.LaunchTemplate(
            name,
            image_id=self._image,
            instance_type=INSTANCE_TYPE,
            # Out of credits it slows down; "unlimited" would cost more than the instance.
            credit_specification=aws.ec2.LaunchTemplateCreditSpecificationArgs(cpu_credits="standard"),
            iam_instance_profile=aws.ec2.LaunchTemplateIamInstanceProfileArgs(arn=self._profile.arn),
            metadata_options=aws.ec2.LaunchTemplateMetadataOptionsArgs(
                http_endpoint="enabled", http_tokens="required", http_put_response_hop_limit=1
            ),
            # The instance needs an address to ask AWS for the Elastic IP, which then replaces it.
            network_interfaces=[
                aws.ec2.LaunchTemplateNetworkInterfaceArgs(
                    associate_public_ip_address="true",
                    delete_on_termination="true",
                    security_groups=[self._group_id],
                )
            ],
            block_device_mappings=[
                aws.ec2.LaunchTemplateBlockDeviceMappingArgs(
                    device_name="/dev/xvda",
                    ebs=aws.ec2.LaunchTemplateBlockDeviceMappingEbsArgs(
                        encrypted="true", volume_size=DISK_GIB, volume_type="gp3"
                    ),
                )
            ],
            tag_specifications=[
                aws.ec2.LaunchTemplateTagSpecificationArgs(resource_type=kind, tags=self._named(name))
                for kind in tagged
            ],
            user_data=known.apply(
                lambda found: base64.b64encode(boot_script(NatBoot(**found)).encode()).decode()
            ),
            tags=self._named(name),
            # A looked-up image is kept: a newer image would replace the instance in a later update.
            opts=ResourceOptions(parent=self, ignore_changes=None if args.image else ["image_id"]),
        )
