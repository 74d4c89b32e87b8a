# pyright: strict
"""The AWS of the stack's cloud half. Pure."""

from __future__ import annotations

from typing import Annotated, Self
from urllib.parse import urlsplit

from pydantic import model_validator

from components.values.area import Area
from components.values.texts import KeyArn, has_password
from components.values.value_rule import ValueRule

TopicArn = Annotated[
    str, ValueRule("an SNS topic's ARN is needed", r"arn:aws[a-z-]*:sns:[a-z0-9-]+:\d{12}:[\w-]+")
]
_EMULATOR = ValueRule("a URL on this machine, http://127.0.0.1:<port>")


class AwsSettings(Area):
    """An AWS region, or an emulator on this machine."""

    region: Annotated[str, ValueRule("a region such as ap-northeast-2", r"[a-z]{2}(-[a-z]+)+-\d")]
    """The stack creates its AWS resources in this region."""
    alarm_topic_arn: TopicArn | None = None
    """CloudWatch's alarms notify this SNS topic; by default, they only show in CloudWatch."""
    # AWS' own key decrypts for everybody in the account who may read the parameter.
    kms_key_arn: KeyArn | None = None
    """SSM encrypts the log routers' passwords with this KMS key; by default, with AWS' own."""
    # Only loopback: the fake credentials must never leave this machine.
    emulator: Annotated[str, _EMULATOR] | None = None
    """The stack uses the AWS emulator at this URL instead of AWS."""

    @model_validator(mode="after")
    def _check(self) -> Self:
        key = self.kms_key_arn
        if key is not None and key.split(":")[3] != self.region:
            raise ValueError(f"kmsKeyArn: a key in {self.region} is needed, received {key!r}")
        if self.emulator is not None and not _is_loopback_url(self.emulator):
            shown = "" if has_password(self.emulator) else f", received {self.emulator!r}"
            raise ValueError(f"emulator: {_EMULATOR.words}{shown}")
        return self


def _is_loopback_url(url: str) -> bool:
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        return False
    return (
        parts.scheme == "http"
        and parts.hostname == "127.0.0.1"
        and port is not None
        and parts.username is None
        and not has_password(url)
    )
