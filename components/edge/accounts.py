"""The passwords of a backend's accounts, set or generated, and their hashes for Caddy."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import pulumi

from components.edge.guarded_settings import Account
from components.live.password_hash import GeneratedPassword, PasswordHash


def passwords_of(
    name: str, accounts: Iterable[Account], parent: pulumi.Resource
) -> dict[str, pulumi.Output[str]]:
    """The password per user (secret)."""
    return {account.user: _password(f"{name}-{account.user}", account, parent) for account in accounts}


def _password(name: str, account: Account, parent: pulumi.Resource) -> pulumi.Output[str]:
    if account.password is not None:
        return pulumi.Output.secret(account.password.get_secret_value())
    return GeneratedPassword(f"{name}-password", opts=pulumi.ResourceOptions(parent=parent)).value


def hashes_of(
    name: str, passwords: Mapping[str, pulumi.Output[str]], parent: pulumi.Resource
) -> dict[str, pulumi.Output[str]]:
    """The bcrypt hash per user."""
    return {
        user: PasswordHash(
            f"{name}-{user}-hash", password=password, opts=pulumi.ResourceOptions(parent=parent)
        ).bcrypt_hash
        for user, password in passwords.items()
    }
