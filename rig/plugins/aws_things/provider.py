"""The aws provider: its settings and its types."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import Any

from rig.plugins.aws_things.emulator import SCHEMES, Emulator
from rig.plugins.aws_things.functions import functions
from rig.plugins.aws_things.resource import AwsResource
from rig.plugins.aws_things.table import ENTRIES
from rig.plugins.loopback import is_loopback
from rig.plugins.provider import Function, PluginError, Provider, ResourceType, State
from rig.plugins.schema import Failure, Prop, boolean, string


class AwsProvider(Provider):
    """Network, task definitions, roles, log groups and alarms of an emulated AWS account."""

    name = "aws"
    sdk = "pulumi_aws"
    config = {  # noqa: RUF012
        "region": string(required=True),
        "accessKey": string(),
        "secretKey": string(),
        "endpoints": Prop(kind="list"),
        **dict.fromkeys(("skipCredentialsValidation", "skipRequestingAccountId"), boolean()),
        **dict.fromkeys(("skipMetadataApiCheck", "skipRegionValidation"), boolean()),
    }

    def __init__(self) -> None:
        self._emulator = Emulator()
        self._types = {token: AwsResource(entry, self._emulator) for token, entry in ENTRIES.items()}
        self._functions = functions(self._emulator)

    @property
    def types(self) -> Mapping[str, ResourceType]:
        return self._types

    @property
    def functions(self) -> Mapping[str, Function]:
        return self._functions

    def config_failures(self, config: State) -> list[Failure]:
        reason = _refusal(config)
        return [] if reason is None else [Failure("endpoints", reason)]

    def configure(self, config: State) -> None:
        reason = _refusal(config)
        if reason is not None:
            raise PluginError(reason)
        self._emulator.use(config["region"], dict(_endpoints(config)))

    def explain(self, error: Exception) -> str | None:
        if "botocore.exceptions" not in sys.modules:
            return None
        from botocore.exceptions import BotoCoreError, ClientError

        return " ".join(str(error).split()) if isinstance(error, ClientError | BotoCoreError) else None


def _endpoints(config: State) -> list[tuple[str, Any]]:
    entries = config.get("endpoints") or []
    return [pair for entry in entries if isinstance(entry, dict) for pair in entry.items()]


def _refusal(config: State) -> str | None:
    """Why these endpoints are refused; None if all are on this machine."""
    endpoints = _endpoints(config)
    if not endpoints:
        return (
            "the fake plugin aws is test equipment and never speaks to AWS: give the provider "
            "endpoints on this machine, or install the official plugin"
        )
    for service, url in endpoints:
        if not isinstance(url, str) or not is_loopback(url, *SCHEMES):
            return (
                f"the fake plugin aws only speaks to an emulator on this machine: the endpoint "
                f"of {service} is {url!r}, not a loopback address"
            )
    return None
