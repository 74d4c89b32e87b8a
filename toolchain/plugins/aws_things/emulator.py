"""The AWS emulator that the plugin talks to. Nothing here can reach AWS itself."""

from __future__ import annotations

import os
import threading
from collections.abc import Mapping
from typing import Any

from toolchain.plugins.loopback import is_loopback
from toolchain.plugins.provider import PluginError

# Never a person's own keys, even where the program gives some.
_NO_KEY = "emulated"
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
