"""Passwords: bcrypt hashes and generated passwords that stay the same from run to run."""

from __future__ import annotations

import secrets
from typing import Any

import pulumi
from pulumi import dynamic
from pulumi.output import Unknown

from components.live.docker_host import LiveError
from components.live.password_rule import password_problem
from components.live.provider import LiveProvider

# The cost of Caddy's fake hash for unknown users: a cheaper hash would reveal which users exist.
COST = 14
GENERATED_BYTES = 24

Props = dict[str, Any]


def bcrypt_hash(password: str) -> str:
    """A bcrypt hash with a fresh salt; a LiveError for a password that bcrypt would cut short."""
    # Imported only here: a preview doesn't need it.
    import bcrypt

    problem = password_problem(password)
    if problem:
        raise LiveError(f"password: {problem}")
    return bcrypt.hashpw(password.encode(), bcrypt.gensalt(COST)).decode()


class PasswordHashProvider(LiveProvider):
    """Hashes once per password. Its module path and name are in the state."""

    def check(self, _olds: Props, news: Props) -> dynamic.CheckResult:
        """Refuse, already in the preview, a password that can't be hashed whole."""
        password = news.get("password", "")
        problem = None if isinstance(password, Unknown) else password_problem(password)
        # Without the property's name: next to a name, Pulumi prints the value.
        failures = [dynamic.CheckFailure("", f"password: {problem}")] if problem else []
        return dynamic.CheckResult(news, failures)

    def diff(self, _id: str, _olds: Props, _news: Props) -> dynamic.DiffResult:
        """Changed if the password differs or isn't known yet; hashes nothing."""
        password = _news.get("password")
        return dynamic.DiffResult(changes=isinstance(password, Unknown) or password != _olds.get("password"))

    def create(self, props: Props) -> dynamic.CreateResult:
        """Hash the password."""
        hashed = props | {"bcrypt_hash": bcrypt_hash(props["password"])}
        return dynamic.CreateResult("password-hash", hashed)

    def update(self, _id: str, _olds: Props, _news: Props) -> dynamic.UpdateResult:
        """Hash the new password; keep the hash if the password is the same."""
        if _news["password"] == _olds.get("password"):
            return dynamic.UpdateResult(_news | {"bcrypt_hash": _olds["bcrypt_hash"]})
        return dynamic.UpdateResult(_news | {"bcrypt_hash": bcrypt_hash(_news["password"])})


class PasswordHash(dynamic.Resource, module="live", name="PasswordHash"):
    """The bcrypt hash of a password, unchanged while the password is."""

    bcrypt_hash: pulumi.Output[str]
    """The hash (secret)."""

    def __init__(
        self, name: str, *, password: pulumi.Input[str], opts: pulumi.ResourceOptions | None = None
    ) -> None:
        """Hash `password`: 1 to 72 bytes."""
        props = {"password": pulumi.Output.secret(password), "bcrypt_hash": None}
        secret = pulumi.ResourceOptions(additional_secret_outputs=["password", "bcrypt_hash"])
        super().__init__(PasswordHashProvider(), name, props, pulumi.ResourceOptions.merge(opts, secret))


class GeneratedPasswordProvider(LiveProvider):
    """Makes a password once. Its module path and name are in the state."""

    def diff(self, _id: str, _olds: Props, _news: Props) -> dynamic.DiffResult:
        """Never changed."""
        return dynamic.DiffResult(changes=False)

    def create(self, props: Props) -> dynamic.CreateResult:
        """Make a password."""
        made = props | {"value": secrets.token_urlsafe(GENERATED_BYTES)}
        return dynamic.CreateResult("generated-password", made)


class GeneratedPassword(dynamic.Resource, module="live", name="GeneratedPassword"):
    """A random password, made once and kept in the (encrypted) state."""

    value: pulumi.Output[str]
    """The password (secret): 24 random bytes, URL-safe."""

    def __init__(self, name: str, *, opts: pulumi.ResourceOptions | None = None) -> None:
        """Make a password; to rotate it, replace the resource or name another."""
        secret = pulumi.ResourceOptions(additional_secret_outputs=["value"])
        merged = pulumi.ResourceOptions.merge(opts, secret)
        super().__init__(GeneratedPasswordProvider(), name, {"value": None}, merged)
