"""The AWS emulator that the plugin talks to. Nothing here can reach AWS itself."""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Mapping
from typing import Any

from toolchain.plugins.loopback import is_loopback
from toolchain.plugins.provider import PluginError, State

# Never a person's own keys, even where the program gives some.
_NO_KEY = "emulated"
_TAG_OWNER = "aws:"
SCHEMES = ("http", "https")


class Emulator:
    """The emulator's services, connected to when first needed."""

    def __init__(self) -> None:
        self._endpoints: Mapping[str, str] = {}
        self._region = ""
        self._clients: dict[str, Any] = {}
        self._lock = threading.Lock()

    def use(self, region: str, endpoints: Mapping[str, str]) -> None:
        """Take the settings; nothing is connected to yet."""
        with self._lock:
            self._region, self._endpoints, self._clients = region, endpoints, {}

    @property
    def region(self) -> str:
        """The region that things are made in."""
        return self._region

    def client(self, service: str) -> Any:
        """The client of one service. boto3 takes half a second to load, so only here."""
        with self._lock:
            if service not in self._clients:
                self._clients[service] = self._connected(service)
            return self._clients[service]

    def _connected(self, service: str) -> Any:
        endpoint = self._endpoints.get(service, "")
        if not is_loopback(endpoint, *SCHEMES):
            raise PluginError(
                f"the stand-in plugin aws has no endpoint for {service}: give the provider one "
                "on this machine (endpoints), or install the official plugin"
            )
        # No profile, no role of this machine: only what is given right here.
        os.environ["AWS_CONFIG_FILE"] = os.environ["AWS_SHARED_CREDENTIALS_FILE"] = os.devnull
        os.environ["AWS_EC2_METADATA_DISABLED"] = "true"
        from boto3.session import Session
        from botocore.config import Config

        return Session().client(
            service,  # type: ignore[call-overload]
            region_name=self._region,
            endpoint_url=endpoint,
            aws_access_key_id=_NO_KEY,
            aws_secret_access_key=_NO_KEY,
            config=Config(proxies={}, retries={"max_attempts": 2}),
        )


def error_code(error: Exception) -> str:
    """The service's own name of an error, "" for an error that isn't a service's."""
    response = getattr(error, "response", None)
    return response["Error"]["Code"] if isinstance(response, dict) else ""


def explain(error: Exception) -> str | None:
    """One line for an error of boto3 or of a service."""
    if "botocore.exceptions" not in sys.modules:
        return None
    from botocore.exceptions import BotoCoreError, ClientError

    if isinstance(error, ClientError | BotoCoreError):
        return " ".join(str(error).split())
    return None


def found_or_none(call: Any, *absent: str, **arguments: Any) -> Any:
    """The call's answer, None where the service says with one of those codes: no such thing."""
    from botocore.exceptions import ClientError

    try:
        return call(**arguments)
    except ClientError as error:
        if error_code(error) in absent:
            return None
        raise


def tag_list(state: State, key: str = "Key", value: str = "Value") -> list[dict[str, str]]:
    """Tags as most services want them."""
    return [{key: name, value: text} for name, text in sorted((state.get("tags") or {}).items())]


def tag_map(tags: Any, key: str = "Key", value: str = "Value") -> dict[str, str]:
    """Tags as Pulumi shows them, without those that AWS sets itself."""
    found = {one[key]: one[value] for one in tags or []}
    return {name: text for name, text in found.items() if not name.startswith(_TAG_OWNER)}


def tag_changes(old: State, new: State) -> tuple[dict[str, str], list[str]]:
    """What to set and what to remove to come from the old tags to the new."""
    before, after = old.get("tags") or {}, new.get("tags") or {}
    put = {name: text for name, text in after.items() if before.get(name) != text}
    return put, sorted(before.keys() - after.keys())
