# pyright: strict
"""What is pushed to through the gate: its port, its route, and who may push there. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Annotated, Self

from pydantic import AfterValidator, model_validator

from components.edge.settings import EdgeSettings
from components.values.area import Area
from components.values.networks import Port, checked_cidr, refuse_wide
from components.values.texts import Password, UserName


def _route(value: str) -> str:
    # Lower-case letters, digits and dashes need no quoting or decoding in any program on the way.
    if not re.fullmatch(r"/[a-z0-9][a-z0-9-]*", value):
        raise ValueError("a route is one path segment of [a-z0-9-], such as /lokiaws")
    return value


Route = Annotated[str, AfterValidator(_route)]


class Account(Area):
    """A user of a password-guarded route. Without a password the stack generates one."""

    user: UserName
    password: Password | None = None


class GuardedSettings(Area):
    """A backend and the guarded route that leads to it."""

    port: Port
    route: Route
    # Who may push: `nat` (the public addresses of the AWS network) and/or CIDRs. Never empty.
    allow: tuple[str, ...]
    allow_wide: bool = False
    # Users asked for a password on top of the address gate.
    accounts: tuple[Account, ...] = ()
    # While accounts come to a route that is in use: who names none isn't asked (docs/operations.md).
    accounts_optional: bool = False
    # Lets everything behind the AWS network's addresses push, without an account.
    nat_without_password: bool = False
    # Whether Docker publishes the port: for those whom the port policy names, past the gate.
    published: bool = False
    # Lets the policy name public addresses, or very many, for that port.
    published_wide: bool = False

    @model_validator(mode="after")
    def _check_access(self) -> Self:
        if not self.allow:
            raise ValueError("allow: at least one entry is needed: `nat` or a CIDR; received []")
        for entry in self.allow:
            if entry == "nat":
                continue
            try:
                cidr = checked_cidr(entry)
            except ValueError as error:
                raise ValueError(f"allow: {error}, received {entry!r}") from None
            if not self.allow_wide:
                refuse_wide("allow", cidr)
        users = [account.user for account in self.accounts]
        if len(set(users)) != len(users):
            # Caddy refuses a second hash for one user: rotation lists two users instead.
            raise ValueError(f"accounts: each user is listed once, received {users}")
        if self.accounts_optional and not users:
            raise ValueError("accountsOptional: there is no account, received true")
        if self.nat_without_password and (users or not self.allows_nat):
            raise ValueError("natWithoutPassword: only with `nat` and without accounts, received true")
        return self

    @property
    def ports(self) -> tuple[int, ...]:
        """The ports that are this backend's alone."""
        return (self.port,)

    @property
    def allowed_cidrs(self) -> tuple[str, ...]:
        """The entries that are CIDRs, in canonical form."""
        return tuple(checked_cidr(entry) for entry in self.allow if entry != "nat")

    @property
    def allows_nat(self) -> bool:
        """Whether the AWS network's public addresses may push here."""
        return "nat" in self.allow


def allowlist(
    backend: GuardedSettings, edge: EdgeSettings, nat_public_ips: Iterable[str] = ()
) -> tuple[str, ...]:
    """Who may push to a backend: its own list, the operators, and those of these addresses that it allows.

    The gate learns of `nat`'s addresses one by one (`AllowedAddress`).
    """
    nat = tuple(f"{ip}/32" for ip in nat_public_ips) if backend.allows_nat else ()
    return (*backend.allowed_cidrs, *edge.extra_allowed_cidrs, *nat)
