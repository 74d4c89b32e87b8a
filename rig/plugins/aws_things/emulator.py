"""The plugin's AWS emulator. Nothing here can reach AWS itself."""

from __future__ import annotations

import os
import re
import threading
from collections.abc import Mapping
from http.client import HTTPConnection, HTTPSConnection
from typing import Any
from urllib.parse import urlsplit

from rig.plugins.loopback import is_loopback
from rig.plugins.provider import PluginError

# Never a person's own keys, even if the program gives some.
_NO_KEY = "emulated"
SCHEMES = ("http", "https")
STS_SECONDS = 30


class Emulator:
    """The emulator's services, connected when first used."""

    def __init__(self) -> None:
        self._endpoints: Mapping[str, str] = {}
        self._region = ""
        self._clients: dict[str, Any] = {}
        self._lock = threading.Lock()

    def use(self, region: str, endpoints: Mapping[str, str]) -> None:
        """Take the settings, without connecting."""
        with self._lock:
            self._region, self._endpoints, self._clients = region, endpoints, {}

    @property
    def region(self) -> str:
        """The region of the resources."""
        return self._region

    def client(self, service: str) -> Any:
        """The client of a service. boto3 takes half a second to load, so it is imported only here."""
        with self._lock:
            if service not in self._clients:
                self._clients[service] = self._connected(service)
            return self._clients[service]

    def identity(self) -> dict[str, str]:
        """The caller's identity, by AWS' own names. Every preview asks for it, so it does without boto3."""
        endpoint = urlsplit(self._endpoint("sts"))
        kind = HTTPSConnection if endpoint.scheme == "https" else HTTPConnection
        connection = kind(endpoint.netloc, timeout=STS_SECONDS)
        # The signature names the service; nobody verifies it.
        scope = f"{_NO_KEY}/20260101/{self._region}/sts/aws4_request"
        headers = {
            "Authorization": f"AWS4-HMAC-SHA256 Credential={scope}, SignedHeaders=host, Signature=0",
            "Content-Type": "application/x-www-form-urlencoded",
        }
        try:
            connection.request("POST", "/", "Action=GetCallerIdentity&Version=2011-06-15", headers)
            answer = connection.getresponse().read().decode()
        except OSError as error:
            raise PluginError(f"the emulator doesn't return its account: {error}") from None
        finally:
            connection.close()
        found = dict(re.findall(r"<(Account|Arn|UserId)>([^<]+)</", answer))
        if len(found) != 3:
            raise PluginError(f"the emulator doesn't return its account: {answer[:200]}")
        return found

    def _endpoint(self, service: str) -> str:
        endpoint = self._endpoints.get(service, "")
        if not is_loopback(endpoint, *SCHEMES):
            raise PluginError(
                f"the fake plugin aws has no endpoint for {service}: give the provider one "
                "on this machine (endpoints), or install the official plugin"
            )
        return endpoint

    def _connected(self, service: str) -> Any:
        endpoint = self._endpoint(service)
        # No profile and no role of this machine: only these credentials.
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
