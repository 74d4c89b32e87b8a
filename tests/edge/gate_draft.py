"""A draft of a request, for the gate's cases: a push that must pass, unless it is changed."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from dataclasses import dataclass, field
from ipaddress import ip_address, ip_network
from random import Random
from typing import Literal

from tests.edge.gate_oracle import OTLP, Door, H2Request, Policy

Fields = list[tuple[bytes, bytes]]
Transport = Literal["h1", "h2", "plain"]


@dataclass
class Draft:
    """One HTTP/1 or HTTP/2 request."""

    rng: Random
    policy: Policy
    door: Door
    source: str
    # Its number, in a header and in the body.
    case: int
    # The time of its line, in nanoseconds since 1970.
    stamp: int
    transport: Transport = "h1"
    method: bytes = b"POST"
    target: bytes = b""
    host: bytes = b""
    version: bytes = b"1.1"
    login: bytes | None = None
    fields: Fields = field(default_factory=list)
    body: bytes = b""
    # The fields and bytes of an HTTP/1 body; None means a Content-Length.
    framing: Callable[[bytes], tuple[Fields, bytes]] | None = None
    # The last changes, of the HTTP/1 bytes and of the HTTP/2 stream.
    finish: Callable[[bytes], bytes] | None = None
    finish_stream: Callable[[H2Request], H2Request] | None = None
    # The name in the TLS handshake, and the bytes before it.
    site: str = ""
    preface: bytes = b""
    # Whether it needs its own connection, and whether that ends within the request.
    is_alone: bool = False
    ends_early: bool = False

    def __post_init__(self) -> None:
        self.target = self.door.target
        self.host = self.policy.host.encode()
        self.site = self.policy.host
        self.fields = [(b"Content-Type", b"application/json")]
        body = otlp_body if self.door.path == OTLP else push_body
        self.body = body(self.case, self.stamp)
        if self.door.accounts:
            self.login = basic(*self.rng.choice(sorted(self.door.accounts.items())))

    def add(self, name: bytes, value: bytes) -> None:
        """Add a header field."""
        self.fields.append((name, value))

    def sent(self) -> bytes | H2Request:
        """The bytes or the stream to send."""
        return self.stream() if self.transport == "h2" else self.raw()

    def raw(self) -> bytes:
        """The request in HTTP/1."""
        framing, body = self.framing(self.body) if self.framing else with_length(self.body)
        fields = [
            (b"Host", self.host),
            (b"X-Case", b"%d" % self.case),
            *([] if self.login is None else [(b"Authorization", self.login)]),
            *self.fields,
            *framing,
        ]
        line = self.method + b" " + self.target + b" HTTP/" + self.version
        data = b"\r\n".join([line, *(name + b": " + value for name, value in fields), b"", body])
        return self.finish(data) if self.finish else data

    def stream(self) -> H2Request:
        """The request in HTTP/2."""
        headers = (
            (b":method", self.method),
            (b":scheme", b"https"),
            (b":authority", self.host),
            (b":path", self.target),
            (b"x-case", b"%d" % self.case),
            *([] if self.login is None else [(b"authorization", self.login)]),
            *((name.lower(), value) for name, value in self.fields),
        )
        request = H2Request(headers=headers, body=self.body)
        return self.finish_stream(request) if self.finish_stream else request

    def is_guess(self) -> bool:
        """Whether a password is hashed for it, which is slow."""
        return (
            bool(self.door.accounts)
            and self.login is not None
            and (self.method, self.target) == (b"POST", self.door.target)
            and is_allowed(self.door, self.source)
        )


def is_allowed(door: Door, source: str) -> bool:
    """Whether a route allows an address."""
    return any(ip_address(source) in ip_network(allowed) for allowed in door.allowed)


def push_body(case: int, stamp: int) -> bytes:
    """A push of one line with its case's number."""
    stream = {"stream": {"job": "gate"}, "values": [[str(stamp), f"case={case};"]]}
    return json.dumps({"streams": [stream]}).encode()


def otlp_body(case: int, stamp: int) -> bytes:
    """The same in OpenTelemetry's JSON encoding."""
    line = {"timeUnixNano": str(stamp), "body": {"stringValue": f"case={case};"}}
    name = {"key": "service.name", "value": {"stringValue": "gate"}}
    logs = {"resource": {"attributes": [name]}, "scopeLogs": [{"logRecords": [line]}]}
    return json.dumps({"resourceLogs": [logs]}).encode()


def basic(user: str, password: str) -> bytes:
    """The value of an Authorization field."""
    return b"Basic " + base64.b64encode(f"{user}:{password}".encode())


def with_length(body: bytes) -> tuple[Fields, bytes]:
    """A body with its Content-Length."""
    return [(b"Content-Length", b"%d" % len(body))], body


def chunked(*pieces: bytes) -> bytes:
    """A chunked body."""
    return b"".join(b"%x\r\n%b\r\n" % (len(piece), piece) for piece in pieces if piece) + b"0\r\n\r\n"


def last_request(policy: Policy) -> bytes:
    """A request after which the server closes the connection."""
    return b"GET /the-end HTTP/1.1\r\nHost: " + policy.host.encode() + b"\r\nConnection: close\r\n\r\n"
