# pyright: strict
"""The settings for a Loki's storage and schema. Pure."""

from __future__ import annotations

import datetime
import re
from typing import Annotated, Literal, Self
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field, SecretStr, model_validator

from components.values.area import Area
from components.values.value_rule import ValueRule

_DAY = ValueRule('a day is written in quotes as year-month-day, such as "2024-01-01"')
_BUCKET = ValueRule("a bucket's name is needed")
_REGION = ValueRule("a region such as ap-northeast-2")
_ENDPOINT = ValueRule("a URL without user and path is needed, such as https://s3.example.org:3900")
_ACCESS_KEY_ID = ValueRule("3 to 128 characters of [A-Za-z0-9._-] are needed")
_SECRET_KEY = ValueRule("8 to 72 visible ASCII characters, the first none of # ; ' \", are needed")


def _day(value: str) -> str:
    try:
        if datetime.date.fromisoformat(value).isoformat() == value:
            return value
    except ValueError:
        pass
    raise ValueError(_DAY.words)


Day = Annotated[str, AfterValidator(_day), _DAY]

# On the Loki's own disk, or in a bucket.
Storage = Literal["filesystem", "s3"]


class S3(Area):
    """One Loki's own bucket, in AWS S3 or a compatible service."""

    bucket: Annotated[str, _BUCKET]
    """The bucket has this name."""
    region: Annotated[str, _REGION]
    """The bucket is in this region."""
    endpoint: Annotated[str, _ENDPOINT] | None = None
    """The S3 service is at this URL; by default, it is AWS'."""
    path_style: bool = False
    """Requests name the bucket in the path, not in the host name; most self-hosted servers need this."""
    access_key_id: Annotated[str, _ACCESS_KEY_ID]
    """Loki logs in with this access key id."""
    secret_access_key: Annotated[SecretStr, _SECRET_KEY]
    """Loki logs in with this secret access key."""

    @model_validator(mode="after")
    def _check(self) -> Self:
        # The S3 user guide, "General purpose bucket naming rules".
        if not re.fullmatch(r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]", self.bucket):
            raise ValueError(f"bucket: {_BUCKET.words}, received {self.bucket!r}")
        if not re.fullmatch(r"[a-z0-9][a-z0-9-]*", self.region):
            raise ValueError(f"region: {_REGION.words}, received {self.region!r}")
        if self.endpoint is not None and not _is_bare_url(self.endpoint):
            raise ValueError(f"endpoint: {_ENDPOINT.words}")
        if not re.fullmatch(r"[A-Za-z0-9._-]{3,128}", self.access_key_id):
            raise ValueError(f"accessKeyId: {_ACCESS_KEY_ID.words}")
        # It is a word in a credentials file, where these characters are special, and bcrypt hashes 72 bytes.
        if not re.fullmatch(r"(?![#;'\"])[!-~]{8,72}", self.secret_access_key.get_secret_value()):
            raise ValueError(f"secretAccessKey: {_SECRET_KEY.words}")
        return self


class SchemaPeriod(Area):
    """How lines are stored from a day on (UTC), until the next period begins."""

    from_: Day = Field(alias="from")
    """The period begins on this day (UTC), and ends when the next one begins."""
    store: Literal["tsdb", "boltdb-shipper"] = "tsdb"
    """The period's index has this format."""
    version: Literal["v11", "v12", "v13"] = "v13"
    """The period's lines have this schema version."""
    storage: Storage | None = None
    """The period's lines are on disk or in the bucket; by default, as the instance's `storage` says."""

    @model_validator(mode="after")
    def _check(self) -> Self:
        known = {"tsdb": ("v12", "v13"), "boltdb-shipper": ("v11", "v12")}[self.store]
        if self.version not in known:
            raise ValueError(
                f"version: one of {', '.join(known)} with store: {self.store}, received {self.version!r}"
            )
        return self

    @property
    def is_current(self) -> bool:
        """Whether this is Loki's current schema, which structured metadata needs."""
        return self.store == "tsdb" and self.version == "v13"


# A constant: lines must be read with the schema that they were written with.
DEFAULT_SCHEMA = (SchemaPeriod.model_validate({"from": "2024-01-01"}),)


def _is_bare_url(url: str) -> bool:
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        return False
    host = parts.hostname or ""
    bare = f"{parts.scheme}://{host}" + ("" if port is None else f":{port}")
    return parts.scheme in ("http", "https") and bool(host) and url == bare
