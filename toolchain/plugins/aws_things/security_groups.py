"""aws.ec2 SecurityGroup, aws.vpc SecurityGroupIngressRule and SecurityGroupEgressRule."""

from __future__ import annotations

from typing import Any, ClassVar

from toolchain.plugins.aws_things.ec2 import TAGS, Ec2Type, only, tag_specifications
from toolchain.plugins.aws_things.emulator import found_or_none
from toolchain.plugins.provider import PluginError, State, settled
from toolchain.plugins.schema import Failure, boolean, integer, string

_NO_GROUP = ("InvalidGroup.NotFound", "InvalidGroupId.Malformed")
_NO_RULE = ("InvalidSecurityGroupRuleId.NotFound", *_NO_GROUP)
_SOURCES = {"cidrIpv4": "CidrIpv4", "cidrIpv6": "CidrIpv6"}
_EVERYTHING = [{"IpProtocol": "-1", "IpRanges": [{"CidrIp": "0.0.0.0/0"}]}]


class SecurityGroup(Ec2Type):
    """A group; its rules are resources of their own."""

    token = "aws:ec2/securityGroup:SecurityGroup"
    auto_named = True
    computed = ("arn", "egress", "ingress", "ownerId", "region", "tagsAll")
    inputs = {  # noqa: RUF012
        "name": string(computed=True, replace=True),
        "description": string(default="Managed by Pulumi", replace=True),
        "vpcId": string(computed=True, replace=True),
        "revokeRulesOnDelete": boolean(default=False),
        "tags": TAGS,
    }

    def create(self, inputs: State) -> tuple[str, State]:
        made = self._ec2.create_security_group(
            GroupName=inputs["name"],
            Description=inputs["description"],
            **({"VpcId": inputs["vpcId"]} if inputs.get("vpcId") else {}),
            **tag_specifications("security-group", inputs),
        )["GroupId"]
        # AWS lets a new group send anywhere; the real plugin takes that away at once.
        self._ec2.revoke_security_group_egress(GroupId=made, IpPermissions=_EVERYTHING)
        return made, self._read_back(made, inputs)

    def read(self, resource_id: str, state: State) -> tuple[str, State] | None:
        answer = found_or_none(self._ec2.describe_security_groups, *_NO_GROUP, GroupIds=[resource_id])
        seen = None if answer is None else only(answer["SecurityGroups"])
        if seen is None:
            return None
        return resource_id, {
            "revokeRulesOnDelete": False,
            **state,
            **self._common(seen.get("Tags")),
            "arn": self._arn("security-group", resource_id, seen["OwnerId"]),
            "description": seen["Description"],
            "egress": [_inline(one) for one in seen["IpPermissionsEgress"]],
            "ingress": [_inline(one) for one in seen["IpPermissions"]],
            "name": seen["GroupName"],
            "ownerId": seen["OwnerId"],
            "vpcId": seen["VpcId"],
        }

    def update(self, resource_id: str, old: State, new: State) -> State:
        self._retag(resource_id, old, new)
        return self._read_back(resource_id, settled(self, old, new))

    def delete(self, resource_id: str, state: State) -> None:
        found_or_none(self._ec2.delete_security_group, *_NO_GROUP, GroupId=resource_id)


class _GroupRule(Ec2Type):
    """One rule of a group."""

    computed = ("arn", "region", "securityGroupRuleId", "tagsAll")
    inputs = {  # noqa: RUF012
        "securityGroupId": string(required=True, replace=True),
        "ipProtocol": string(required=True),
        "fromPort": integer(),
        "toPort": integer(),
        "cidrIpv4": string(),
        "cidrIpv6": string(),
        "description": string(),
        "tags": TAGS,
    }
    is_egress: ClassVar[bool]

    def failures(self, inputs: State) -> list[Failure]:
        given = [name for name in _SOURCES if inputs.get(name)]
        if len(given) == 1:
            return []
        return [Failure("cidrIpv4", "exactly one of cidrIpv4 and cidrIpv6 must be given")]

    def _call(self, action: str) -> Any:
        return getattr(self._ec2, f"{action}_security_group_{'egress' if self.is_egress else 'ingress'}")

    def create(self, inputs: State) -> tuple[str, State]:
        made = self._call("authorize")(
            GroupId=inputs["securityGroupId"],
            IpPermissions=[_permission(inputs)],
            **tag_specifications("security-group-rule", inputs),
        )["SecurityGroupRules"][0]["SecurityGroupRuleId"]
        return made, self._read_back(made, inputs)

    def read(self, resource_id: str, state: State) -> tuple[str, State] | None:
        answer = found_or_none(
            self._ec2.describe_security_group_rules, *_NO_RULE, SecurityGroupRuleIds=[resource_id]
        )
        seen = None if answer is None else only(answer["SecurityGroupRules"])
        if seen is None or seen["IsEgress"] is not self.is_egress:
            return None
        return resource_id, {
            **state,
            **self._common(seen.get("Tags")),
            "arn": self._arn("security-group-rule", resource_id),
            "cidrIpv4": seen.get("CidrIpv4", ""),
            "cidrIpv6": seen.get("CidrIpv6", ""),
            "description": seen.get("Description", ""),
            "fromPort": seen.get("FromPort", 0),
            "ipProtocol": seen["IpProtocol"],
            "securityGroupId": seen["GroupId"],
            "securityGroupRuleId": resource_id,
            "toPort": seen.get("ToPort", 0),
        }

    def update(self, resource_id: str, old: State, new: State) -> State:
        if _sources(old) != _sources(new):
            raise PluginError(
                "a rule's CIDR keeps its address family (the real plugin replaces the rule; "
                "the stand-in doesn't): name the rule after its CIDR"
            )
        request = {_SOURCES[name]: new[name] for name in _sources(new)}
        for name in ("IpProtocol", "FromPort", "ToPort", "Description"):
            value = new.get(name[0].lower() + name[1:])
            request |= {} if value is None else {name: value}
        self._ec2.modify_security_group_rules(
            GroupId=new["securityGroupId"],
            SecurityGroupRules=[{"SecurityGroupRuleId": resource_id, "SecurityGroupRule": request}],
        )
        self._retag(resource_id, old, new)
        return self._read_back(resource_id, settled(self, old, new))

    def delete(self, resource_id: str, state: State) -> None:
        if self.read(resource_id, state) is None:
            return
        self._call("revoke")(GroupId=state["securityGroupId"], SecurityGroupRuleIds=[resource_id])


class SecurityGroupIngressRule(_GroupRule):
    """What may reach the group's members."""

    token = "aws:vpc/securityGroupIngressRule:SecurityGroupIngressRule"
    is_egress = False


class SecurityGroupEgressRule(_GroupRule):
    """What the group's members may reach."""

    token = "aws:vpc/securityGroupEgressRule:SecurityGroupEgressRule"
    is_egress = True


def _sources(state: State) -> list[str]:
    return [name for name in _SOURCES if state.get(name)]


def _permission(inputs: State) -> dict[str, Any]:
    described = {"Description": inputs["description"]} if inputs.get("description") else {}
    found: dict[str, Any] = {"IpProtocol": inputs["ipProtocol"]}
    found |= {
        api: inputs[name]
        for name, api in (("fromPort", "FromPort"), ("toPort", "ToPort"))
        if inputs.get(name) is not None
    }
    if inputs.get("cidrIpv4"):
        return found | {"IpRanges": [{"CidrIp": inputs["cidrIpv4"], **described}]}
    return found | {"Ipv6Ranges": [{"CidrIpv6": inputs["cidrIpv6"], **described}]}


def _inline(permission: Any) -> State:
    """A rule as the group itself shows it."""
    return {
        "protocol": permission["IpProtocol"],
        "fromPort": permission.get("FromPort", 0),
        "toPort": permission.get("ToPort", 0),
        "cidrBlocks": [one["CidrIp"] for one in permission.get("IpRanges", [])],
        "ipv6CidrBlocks": [one["CidrIpv6"] for one in permission.get("Ipv6Ranges", [])],
    }
