# pyright: strict
"""A backend's settings: its port, its route, and who may push to it. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Annotated, Self

from pydantic import model_validator

from components.docker_hosts.settings import GATEWAY_PLACE, READER_PLACE
from components.edge.settings import EdgeSettings
from components.values.area import Area
from components.values.networks import MAX_PORT, Port, checked_cidr, refuse_wide
from components.values.texts import Password, UserName
from components.values.value_rule import ValueRule

# Lower-case letters, digits and dashes need no quoting or decoding anywhere.
Route = Annotated[
    str, ValueRule("a route is one path segment of [a-z0-9-], such as /lokiaws", r"/[a-z0-9][a-z0-9-]*")
]
# Ports that no backend can have, since its container's address follows from the port.
RESERVED_PORTS: Mapping[int, str] = {
    GATEWAY_PLACE: "the private network's gateway has that address",
    READER_PLACE: "the reader has that address",
    443: "Caddy, which stands before it, speaks HTTPS there",
    MAX_PORT: "that address is the private network's broadcast",
}
_SOURCES = ValueRule("at least one entry is needed: `nat` or a CIDR")


class Account(Area):
    """A user of a password-guarded route. Without a password the stack generates one."""

    user: UserName
    """The shipper logs in as this user."""
    password: Password | None = None
    """The shipper logs in with this password; by default, the stack generates one."""


class GuardedSettings(Area):
    """A backend and the guarded route that leads to it."""

    port: Port
    """It listens on this port of the private network."""
    route: Route
    """Shippers push below this path of the site."""
    allow: Annotated[tuple[str, ...], _SOURCES]
    """These sources may push: CIDRs, or `nat` for the AWS network's public addresses."""
    allow_wide: bool = False
    """Entries of `allow` may be wider than one address."""
    accounts: tuple[Account, ...] = ()
    """Shippers must log in with one of these accounts, besides having an allowed address; `nat` needs one
    ([why](operations.md#an-account-on-a-route-that-is-in-use))."""
    accounts_optional: bool = False
    """Caddy lets requests without an account pass [while shippers get
    theirs](operations.md#an-account-on-a-route-that-is-in-use)."""
    nat_without_password: bool = False
    """Everything behind the AWS network's addresses may push without an account."""
    published: bool = False
    """Caddy answers queries, and nothing else, at the same port, for sources that the port policy names."""
    published_wide: bool = False
    """The port policy may name public addresses, or networks wider than a /8, for the published port."""

    @model_validator(mode="after")
    def _check_access(self) -> Self:
        if not self.allow:
            raise ValueError(f"allow: {_SOURCES.words}; received []")
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
            # Caddy refuses a second hash for a user: to rotate a password, list two users.
            raise ValueError(f"accounts: each user is listed once, received {users}")
        if self.accounts_optional and not users:
            raise ValueError("accountsOptional: there is no account, received true")
        if self.nat_without_password and (users or not self.allows_nat):
            raise ValueError("natWithoutPassword: only with `nat` and without accounts, received true")
        return self

    @property
    def ports(self) -> tuple[int, ...]:
        """The ports that only this backend has."""
        return (self.port,)

    @property
    def allowed_cidrs(self) -> tuple[str, ...]:
        """The entries that are CIDRs, in canonical form."""
        return tuple(checked_cidr(entry) for entry in self.allow if entry != "nat")

    @property
    def allows_nat(self) -> bool:
        """Whether the AWS network's public addresses may push here."""
        return "nat" in self.allow


def refuse_reserved(port: int, reserved: Mapping[int, str], received: int) -> None:
    """Raise ValueError if a backend can't have a port, because of the received one."""
    if port in reserved:
        raise ValueError(f"port: {reserved[port]} ({port}), received {received}")


def allowlist(
    backend: GuardedSettings, edge: EdgeSettings, nat_public_ips: Iterable[str] = ()
) -> tuple[str, ...]:
    """Who may push to a backend: its own list, the operators, and the NAT's addresses if it allows `nat`.

    The gate gets `nat`'s addresses one by one (`AllowedAddress`).
    """
    nat = tuple(f"{ip}/32" for ip in nat_public_ips) if backend.allows_nat else ()
    return (*backend.allowed_cidrs, *edge.extra_allowed_cidrs, *nat)
