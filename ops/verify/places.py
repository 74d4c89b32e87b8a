"""The places that a deployment is checked from: connections to its site, and their outcome."""

from __future__ import annotations

import base64
import errno
import http.client
import socket
import ssl
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from local import processes
from local.say import Problem
from ops.verify import checks
from ops.verify.checks import Knock, Login, Result, Verdict

# Longer than a push waits at the gate for a Loki that restarts.
ANSWER_SECONDS = 30.0
KNOCK_SECONDS = 3.0
# A new site may not have its first certificate yet.
SITE_SECONDS = 60.0


@dataclass(frozen=True)
class Answer:
    """The outcome of a request: no status if there was no answer."""

    status: int | None
    said: str
    body: bytes = b""


class Pusher(Protocol):
    """A client that pushes from its address."""

    @property
    def seen(self) -> str | None:
        """The client's address as the server sees it; None if that isn't known."""
        ...

    @property
    def name(self) -> str:
        """Its name in the table."""
        ...

    def push(self, path: str, body: str, login: Login | None) -> Answer:
        """What a push is answered."""
        ...


@dataclass(frozen=True)
class Trust:
    """Which certificates are believed, and how the table says so."""

    context: ssl.SSLContext
    named: str

    @classmethod
    def of(cls, authority: Path | None) -> Trust:
        """This machine's authorities, or only those in a file; a Problem if it can't be read."""
        if authority is None:
            return cls(ssl.create_default_context(), "this machine")
        try:
            return cls(ssl.create_default_context(cafile=str(authority)), authority.name)
        except OSError as error:
            raise Problem(f"{authority} isn't a file of certificates in PEM: {error}") from None


@dataclass(frozen=True)
class Place:
    """A way to one of the site's addresses."""

    host: str
    server: tuple[str, int]
    # The address that connections are bound to; None leaves it to the system.
    source: str | None
    seen: str | None
    # The address by which this machine goes there.
    own: str
    trust: Trust

    @property
    def name(self) -> str:
        """The client's address, as far as it is known."""
        return self.seen or f"{self.own} (or what it is translated to)"

    @property
    def target(self) -> str:
        """The site, at this address."""
        return f"{self.host}:{self.server[1]} at {self.server[0]}"

    def request(
        self, method: str, path: str, body: bytes | None = None, headers: Mapping[str, str] | None = None
    ) -> Answer:
        """One request over a new connection. The answer's text repeats nothing of what was sent."""
        connection = _Connection(self)
        try:
            connection.request(method, path, body, dict(headers or {}))
            answer = connection.getresponse()
            return Answer(answer.status, str(answer.status), answer.read())
        except (OSError, http.client.HTTPException) as error:
            return Answer(None, f"no answer ({_reason(error)})")
        finally:
            connection.close()

    def push(self, path: str, body: str, login: Login | None) -> Answer:
        """What a push is answered."""
        headers = {"Content-Type": "application/json", **(basic_auth(login) if login else {})}
        return self.request("POST", path, body.encode(), headers)

    def knock(self, port: int) -> Knock:
        """The outcome of a connection to a port of the server."""
        try:
            self.connect(port, KNOCK_SECONDS).close()
        except ConnectionRefusedError:
            return "refused"
        except OSError:
            return "silent"
        return "open"

    def connect(self, port: int, seconds: float) -> socket.socket:
        """A TCP connection to the server; an OSError if there is none."""
        source = (self.source, 0) if self.source else None
        return socket.create_connection((self.server[0], port), seconds, source)

    def certificate(self) -> list[Result]:
        """Whether the site's certificate is valid, and for how long."""
        found: list[Result] = []
        processes.wait_until(lambda: self._found_certificate(found), SITE_SECONDS, pause=0.5)
        return found

    def _found_certificate(self, found: list[Result]) -> bool:
        """Look once; False if another look may help."""
        found.clear()
        try:
            with (
                self.connect(self.server[1], ANSWER_SECONDS) as plain,
                self.trust.context.wrap_socket(plain, server_hostname=self.host) as connection,
            ):
                found += self._judged(connection.getpeercert() or {})
        except ssl.SSLCertVerificationError as error:
            found.append(Result("certificate", self.target, Verdict.WRONG, error.verify_message))
        except OSError as error:
            found.append(Result("certificate", self.target, Verdict.WRONG, _reason(error)))
            return False
        return True

    def _judged(self, certificate: Mapping[str, Any]) -> list[Result]:
        begins, ends = (ssl.cert_time_to_seconds(certificate[key]) for key in ("notBefore", "notAfter"))
        issuer = {key: value for part in certificate["issuer"] for key, value in part}
        named = issuer.get("commonName") or issuer.get("organizationName", "nameless")
        text = f"{named}, trusted by {self.trust.named}"
        return [
            Result("certificate", self.target, Verdict.OK, text),
            checks.judge_renewal(self.target, ends - time.time(), ends - begins),
        ]


class _Connection(http.client.HTTPConnection):
    """HTTP over TLS from a place."""

    def __init__(self, place: Place) -> None:
        super().__init__(place.host, place.server[1], timeout=ANSWER_SECONDS)
        self._place = place

    def connect(self) -> None:
        plain = self._place.connect(self.port, ANSWER_SECONDS)
        try:
            self.sock = self._place.trust.context.wrap_socket(plain, server_hostname=self.host)
        except BaseException:
            plain.close()
            raise


def places(host: str, port: int, sources: Sequence[str], trust: Trust) -> list[Place]:
    """Each way from here to the site: for each address of its name, from each source of the same family.

    A source is an address as the server sees it: one of this machine's own, or a NAT's on the way. Without
    any, the system chooses. A Problem if the name doesn't resolve, or a source isn't an address.
    """
    for source in sources:
        checks.check_address(source)
    ways = [way for address in addresses(host, port) for way in _ways(host, (address, port), sources, trust)]
    if not ways:
        raise Problem(
            f"there is no way to {host} from here{' with ' + ', '.join(sources) if sources else ''}"
        )
    return ways


def unseen(host: str, port: int, here: Sequence[Place]) -> list[Result]:
    """A row for each address of the site's name that isn't reached from here: its gate isn't proven."""
    seen = {place.server[0] for place in here}
    why = "there is no route to it from here, or from the addresses in FROM"
    return [
        Result("address", address, Verdict.UNPROVEN, why)
        for address in addresses(host, port)
        if address not in seen
    ]


def over_ipv6(host: str, port: int, routes: Sequence[checks.Route]) -> list[Result]:
    """Rows about pushes to the site's IPv6 addresses, if its name has any."""
    return checks.ipv6_notes(addresses(host, port), routes)


def _ways(host: str, server: tuple[str, int], sources: Sequence[str], trust: Trust) -> list[Place]:
    own = _own_address(server)
    if own is None:
        return []
    if not sources:
        return [Place(host, server, None, checks.seen_by(server[0], own), own, trust)]
    fitting = [source for source in sources if (":" in source) == (":" in server[0])]
    return [_from(source, host, server, own, trust) for source in fitting]


def _from(source: str, host: str, server: tuple[str, int], own: str, trust: Trust) -> Place:
    if _is_ours(source):
        return Place(host, server, source, source, source, trust)
    return Place(host, server, None, source, own, trust)


def addresses(host: str, port: int) -> list[str]:
    """The addresses of the site's name; a Problem if it doesn't resolve."""
    if host.endswith(".localhost"):
        return ["127.0.0.1"]  # RFC 6761, section 6.3; not every resolver knows that
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except OSError as error:
        raise Problem(f"{host} doesn't resolve here: {_reason(error)}") from None
    return list(dict.fromkeys(str(one[4][0]) for one in found))


def _own_address(server: tuple[str, int]) -> str | None:
    """The source address of this machine's route there; None without a route. Nothing is sent."""
    try:
        with socket.socket(_family(server[0]), socket.SOCK_DGRAM) as asked:
            asked.connect(server)
            return asked.getsockname()[0]
    except OSError:
        return None


def _is_ours(address: str) -> bool:
    with socket.socket(_family(address), socket.SOCK_DGRAM) as tried:
        try:
            tried.bind((address, 0))
        except OSError as error:
            if error.errno != errno.EADDRNOTAVAIL:
                raise
            return False
        return True


def _family(address: str) -> socket.AddressFamily:
    return socket.AF_INET6 if ":" in address else socket.AF_INET


def basic_auth(login: Login) -> dict[str, str]:
    """The header for a login."""
    pair = base64.b64encode(f"{login.user}:{login.password}".encode()).decode()
    return {"Authorization": f"Basic {pair}"}


def _reason(error: Exception) -> str:
    return getattr(error, "strerror", None) or str(error) or type(error).__name__
