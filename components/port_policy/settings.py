# pyright: strict
"""The port policy's settings: its rules, and how operators keep their access. Pure."""

from __future__ import annotations

import re
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, Field, model_validator

from components.port_policy.rules import NUMBERS, AnyProtocol, Rule
from components.values.area import Area
from components.values.networks import MAX_PORT, PORT, Cidr, Port
from components.values.value_rule import ValueRule

_LOGIN = ValueRule("a login on another machine is needed, user@host or user@host:port")
_PORTS = ValueRule("a port or a range such as 6000-6007")
_COMMENT = ValueRule("up to 80 letters, digits, spaces and .,:()/+- (no quotes)")


def _ssh_login(value: str) -> str:
    # Neither begins with a dash, which ssh takes for an option.
    match = re.fullmatch(
        r"(?!-)[A-Za-z0-9._-]+@((?!-)[A-Za-z0-9.-]+|\[[0-9A-Fa-f:.]+\])(?::(\d{1,5}))?", value
    )
    if not match or (match[2] and not 1 <= int(match[2]) <= MAX_PORT):
        raise ValueError(_LOGIN.words)
    return value


SshLogin = Annotated[str, AfterValidator(_ssh_login), _LOGIN]


class PortRule(Area):
    """One line of the port policy; reads like ufw's: allow 443/tcp from 203.0.113.0/24."""

    action: Literal["allow", "limit", "deny"]
    """`allow` lets packets in, `limit` a bounded rate of new connections per source, `deny` none."""
    port: Annotated[int | str, _PORTS] | None = None
    """The rule is for this port, or for a range such as `6000-6007`; protocols without ports have none."""
    # In ufw, no protocol means both; here `both` is written out.
    protocol: AnyProtocol = "tcp"
    """The rule is for this protocol, or for both TCP and UDP."""
    from_: tuple[Cidr, ...] = Field(default=(), alias="from")
    """The rule is for packets from these sources; by default, from anywhere."""
    comment: Annotated[str, _COMMENT] = ""
    """The listing of the rules shows this comment."""

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.protocol in NUMBERS:
            self._check_portless()
        else:
            self._check_ports()
        if not re.fullmatch(r"[\w .,:()/+-]{0,80}", self.comment):
            raise ValueError(f"comment: {_COMMENT.words}, received {self.comment!r}")
        return self

    def _check_portless(self) -> None:
        if self.port is not None:
            raise ValueError(f"port: {self.protocol} has no ports: remove it, received {self.port!r}")
        if self.action == "limit":
            raise ValueError(
                f"action: {self.protocol} has no connections that could be counted: allow or deny, "
                "received 'limit'"
            )

    def _check_ports(self) -> None:
        first, last = self._bounds()
        for port in (first, last):
            if not 1 <= port <= MAX_PORT:
                raise ValueError(f"port: {PORT.words}, received {self.port!r}")
        if first > last:
            raise ValueError(f"port: a range begins with its lower port, received {self.port!r}")
        if first < last and self.protocol == "both":
            # ufw(8): "Must specify 'tcp' or 'udp' with multiple ports".
            raise ValueError(f"protocol: a range of ports is for tcp or udp, received {self.protocol!r}")

    @property
    def rule(self) -> Rule:
        """The rule as the renderer takes it."""
        first, last = self._bounds()
        return Rule(
            action=self.action,
            protocol=self.protocol,
            first_port=first,
            last_port=last,
            sources=self.from_,
            comment=self.comment,
        )

    def _bounds(self) -> tuple[int, int]:
        if self.protocol in NUMBERS:
            return 0, 0
        match = re.fullmatch(r"(\d{1,9})(?:-(\d{1,9}))?", str(self.port))
        if not match:
            raise ValueError(f"port: {_PORTS.words}, received {self.port!r}")
        return int(match[1]), int(match[2] or match[1])


# Open on the team's server 3. Ports 3100, 3101, 3199 and 3200 are for the campus alone: each stack file
# names them with its campus CIDRs.
DEFAULT_RULES = (
    PortRule.model_validate({"action": "limit", "port": 21541, "comment": "SSH"}),
    PortRule.model_validate({"action": "allow", "port": 80, "comment": "ACME and redirects"}),
    PortRule.model_validate({"action": "allow", "port": 443, "comment": "Caddy"}),
)


class PortPolicySettings(Area):
    """What may enter the host; everything else is dropped."""

    namespace: Literal["host", "own"] = "host"
    """The rules guard the Docker host (`host`), or only a network namespace of the guard's own, where they
    can't cut you off (`own`)."""
    rules: tuple[PortRule, ...] = DEFAULT_RULES
    """The guard applies these rules in order, and drops packets that no rule lets in."""
    operator_cidrs: tuple[Cidr, ...] = ()
    """No rule may lock operators in these networks out of SSH; `namespace: host` needs at least one."""
    ssh_port: Port | None = None
    """The Docker host serves SSH on this port; by default, on the port in `dockerHost`'s `ssh://` URL."""
    confirm_target: SshLogin | None = None
    """The trial of new rules logs in to this other machine over SSH, and tries the server's SSH port from
    there ([why](port-policy.md))."""
    # An update waits for another update's trial for a minute at most.
    confirm_seconds: int = Field(default=30, ge=1, le=50)
    """New rules are on trial for this many seconds."""

    @property
    def plain_rules(self) -> tuple[Rule, ...]:
        """The rules as the renderer takes them."""
        return tuple(rule.rule for rule in self.rules)
