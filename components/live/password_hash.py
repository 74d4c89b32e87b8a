"""Passwords that stay: generated once, or hashed once, and the same in every later update."""

from __future__ import annotations

import secrets
import uuid
from typing import Any

import bcrypt
import pulumi
from pulumi import ResourceOptions
from pulumi.dynamic import (
    CheckFailure,
    CheckResult,
    CreateResult,
    DiffResult,
    Resource,
    ResourceProvider,
    UpdateResult,
)

from components.settings import MAX_PASSWORD_BYTES

# What Caddy's fixed fake hash for unknown users costs: with a cheaper one, a guess at a user who
# exists would be answered sooner (Caddy, modules/caddyhttp/caddyauth/bcrypt.go).
COST = 14
# 24 bytes are 192 bits: nobody guesses them.
_GENERATED_BYTES = 24


class PasswordHashProvider(ResourceProvider):
    """Hashes at create, and at an update of the password. Stateless."""

    def check(self, _olds: dict[str, Any], news: dict[str, Any]) -> CheckResult:
        """Refuses what bcrypt would cut short or can't take; never prints it."""
        password = news.get("password")
        if not isinstance(password, str):
            return CheckResult(news, [])  # not known yet
        size = len(password.encode("utf-8", errors="surrogatepass"))
        if 1 <= size <= MAX_PASSWORD_BYTES:
            return CheckResult(news, [])
        rule = f"a password has 1 to {MAX_PASSWORD_BYTES} bytes, this one has {size}"
        return CheckResult(news, [CheckFailure("password", rule)])

    def create(self, props: dict[str, Any]) -> CreateResult:
        """Hashes the password."""
        return CreateResult(uuid.uuid4().hex, _hashed(props["password"]))

    def diff(self, _id: str, olds: dict[str, Any], news: dict[str, Any]) -> DiffResult:
        """Changed if the password is another, or not known yet."""
        return DiffResult(changes=olds.get("password") != news.get("password"))

    def update(self, _id: str, olds: dict[str, Any], news: dict[str, Any]) -> UpdateResult:
        """Hashes anew only if the password is another: a hash is salted, and no two are alike."""
        if olds.get("password") == news["password"]:
            return UpdateResult({key: olds[key] for key in ("password", "bcrypt_hash")})
        return UpdateResult(_hashed(news["password"]))


def _hashed(password: str) -> dict[str, Any]:
    digest = bcrypt.hashpw(password.encode(), bcrypt.gensalt(COST))
    return {"password": password, "bcrypt_hash": digest.decode("ascii")}


class PasswordHash(Resource):
    """A password's bcrypt hash of cost 14, kept while the password stays the same."""

    bcrypt_hash: pulumi.Output[str]
    """The hash, as Caddy's `basic_auth` takes it (a secret)."""

    def __init__(
        self, name: str, *, password: pulumi.Input[str], opts: ResourceOptions | None = None
    ) -> None:
        props = {"password": pulumi.Output.secret(password), "bcrypt_hash": None}
        secret = ResourceOptions(additional_secret_outputs=["password", "bcrypt_hash"])
        super().__init__(PasswordHashProvider(), name, props, ResourceOptions.merge(opts, secret))


class GeneratedPasswordProvider(ResourceProvider):
    """Generates at create and never again. Stateless."""

    def create(self, props: dict[str, Any]) -> CreateResult:
        """A random password of URL-safe characters."""
        del props  # nothing decides it
        return CreateResult(uuid.uuid4().hex, {"value": secrets.token_urlsafe(_GENERATED_BYTES)})

    def diff(self, _id: str, _olds: dict[str, Any], _news: dict[str, Any]) -> DiffResult:
        """Never changed."""
        return DiffResult(changes=False)


class GeneratedPassword(Resource):
    """A password that the stack makes up once, for accounts that the settings give none."""

    value: pulumi.Output[str]
    """The password: 32 URL-safe characters (a secret)."""

    def __init__(self, name: str, *, opts: ResourceOptions | None = None) -> None:
        secret = ResourceOptions(additional_secret_outputs=["value"])
        super().__init__(
            GeneratedPasswordProvider(), name, {"value": None}, ResourceOptions.merge(opts, secret)
        )
