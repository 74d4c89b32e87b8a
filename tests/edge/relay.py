"""A relay in front of each Loki that records every request.

The kernel redirects Caddy's connections to it, so that Caddy's configuration stays the one under test.
"""

from __future__ import annotations

import http.client
import json
import re
import select
import selectors
import socket
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, field
from urllib.parse import urlencode

import h11

from rig.namespaces import Namespace
from rig.processes import wait_for
from tests.edge.gate_oracle import OTLP, OTLP_METRICS, PUSH, REMOTE_WRITE

TABLE = "ip edge_relay"
# The relay's own connections have this mark; no others reach a Loki.
MARK = 0x6A7E
# More than Caddy allows, so that nothing is cut here.
MAX_HEAD = 64 << 10
CASE_HEADER = b"x-case"
CASE_IN_BODY = re.compile(rb"case=(\d+);")
# Not a preceding "100 Continue".
FINAL_STATUS = re.compile(rb"^HTTP/1\.[01] ([2-5]\d\d) ", re.MULTILINE)
# The case is searched for in this much of a body, at whose beginning it is.
SEARCHED = 4 << 10
# A request that isn't a push is recorded but not passed on, since it could stop Loki.
NOT_PASSED_ON = b"HTTP/1.1 418 Not A Push\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"

Fields = tuple[tuple[bytes, bytes], ...]


@dataclass
class Arrival:
    """One request that arrived at a Loki, with field names in lower case."""

    loki: str
    method: bytes
    target: bytes
    headers: Fields
    trailers: Fields = ()
    # Whether the whole body arrived.
    complete: bool = False
    # Some of Loki's paths accept an empty body, which has no line.
    has_body: bool = False
    # The cases at the beginning of the body.
    cases_in_body: tuple[int, ...] = ()
    # Loki's status; None before, and if the request isn't passed on.
    status: int | None = None
    # Whether Caddy gave up before the answer. Loki may have accepted it anyway, whatever it answers.
    given_up: bool = False

    def values(self, name: bytes) -> list[bytes]:
        """The values of a header field."""
        return [value for key, value in self.headers if key == name]

    @property
    def case(self) -> int | None:
        """The case in the header, or else in the body."""
        named = self.values(CASE_HEADER)
        if len(named) == 1 and named[0].isdigit():
            return int(named[0])
        return self.cases_in_body[0] if self.cases_in_body else None

    @property
    def is_push(self) -> bool:
        """Whether it is a kind of push; Loki answers 404 to Prometheus'."""
        return self.method == b"POST" and self.target in (PUSH, OTLP, REMOTE_WRITE, OTLP_METRICS)


@dataclass(eq=False)
class _Connection:
    """One of Caddy's connections, and ours to the Loki."""

    name: str
    caddy: socket.socket
    loki: socket.socket
    last: Arrival | None = None
    parser: h11.Connection = field(default_factory=lambda: _parser())
    body: bytes = b""

    def read(self, data: bytes) -> Iterator[Arrival]:
        """The requests that begin in the next bytes. Raises h11.RemoteProtocolError."""
        self.parser.receive_data(data)
        while True:
            event = self.parser.next_event()
            if isinstance(event, h11.Request):
                self.last = Arrival(self.name, event.method, event.target, tuple(event.headers))
                self.body = b""
                yield self.last
            elif isinstance(event, h11.Data):
                self.body += event.data[: SEARCHED - len(self.body)]
            elif isinstance(event, h11.EndOfMessage):
                self._end_request(tuple(event.headers))
            else:
                return

    def _end_request(self, trailers: Fields) -> None:
        assert self.last is not None
        self.last.cases_in_body = tuple(int(one) for one in CASE_IN_BODY.findall(self.body))
        self.last.has_body = self.body != b""
        self.last.trailers = trailers
        self.last.complete = True
        left, _ = self.parser.trailing_data
        self.parser = _parser()
        if left:
            self.parser.receive_data(left)

    def answered(self, data: bytes) -> None:
        """Record Loki's answer: Caddy sends the next request only after it."""
        final = FINAL_STATUS.search(data)
        if final and self.last is not None and self.last.status is None:
            self.last.status = int(final[1])

    @property
    def is_waiting(self) -> bool:
        """Whether a request waits for its answer."""
        return self.last is not None and self.last.status is None


def _parser() -> h11.Connection:
    return h11.Connection(h11.SERVER, max_incomplete_event_size=MAX_HEAD)


class Relay:
    """The relays in front of all Lokis of a deployment, by their names and addresses."""

    def __init__(self, campus: Namespace, lokis: dict[str, tuple[str, int]]) -> None:
        self._campus, self._lokis = campus, lokis
        self._selector = selectors.DefaultSelector()
        self._connections: set[_Connection] = set()
        self._arrivals: list[Arrival] = []
        self._broken: list[str] = []
        self._failure: BaseException | None = None
        self._stopping = False
        # Guards the fields above.
        self._lock = threading.Lock()

    @contextmanager
    def running(self) -> Iterator[None]:
        """Relay during the block.

        The kernel resets Caddy's existing connections to the Lokis.
        """
        listeners: dict[str, socket.socket] = {}
        thread = threading.Thread(target=self._loop, name="relay", daemon=True)
        try:
            with self._campus.entered():
                for name in self._lokis:
                    listeners[name] = socket.create_server(("127.0.0.1", 0), backlog=256)
                    self._selector.register(listeners[name], selectors.EVENT_READ, name)
            thread.start()
            self._nft(self._rules({name: one.getsockname()[1] for name, one in listeners.items()}))
            try:
                yield
            finally:
                self._nft(f"delete table {TABLE}\n")
        finally:
            self._stopping = True
            if thread.ident is not None:
                thread.join()
            for connection in list(self._connections):
                self._end(connection)
            for listener in listeners.values():
                listener.close()
            self._selector.close()

    def take(self) -> tuple[list[Arrival], list[str]]:
        """The requests since the last call, and the arrived bytes that weren't clean HTTP.

        Waits until everything from Caddy is read and answered.
        """
        wait_for("all that came before the Lokis is read and answered", self._is_quiet, 30.0)
        with self._lock:
            if self._failure is not None:
                raise RuntimeError("the relay has failed") from self._failure
            taken = self._arrivals, self._broken
            self._arrivals, self._broken = [], []
            return taken

    def lines(self, name: str, selector: str) -> int:
        """The number of a Loki's lines of the last hour, queried without the relay."""
        asked = urlencode({"query": f"sum(count_over_time({selector}[1h]))", "time": time.time_ns()})
        with closing(self._dial()) as connection:
            connection.connect(self._lokis[name])
            client = http.client.HTTPConnection(*self._lokis[name])
            client.sock = connection
            client.request("GET", f"/loki/api/v1/query?{asked}")
            answer = client.getresponse()
            text = answer.read()
        if answer.status != 200:
            raise RuntimeError(f"Loki {name} answered {answer.status}: {text[:200]!r}")
        found = json.loads(text)["data"]["result"]
        return int(found[0]["value"][1]) if found else 0

    def _dial(self) -> socket.socket:
        """A socket that may connect to a Loki."""
        with self._campus.entered():
            made = socket.socket()
        made.setsockopt(socket.SOL_SOCKET, socket.SO_MARK, MARK)
        made.settimeout(10.0)
        made.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return made

    def _is_quiet(self) -> bool:
        with self._lock:
            if self._failure is not None:
                return True
            readable, _, _ = select.select(list(self._selector.get_map()), [], [], 0)
            return not readable and not any(one.is_waiting for one in self._connections)

    def _loop(self) -> None:
        try:
            while not self._stopping:
                ready = self._selector.select(0.05)
                with self._lock:
                    for key, _ in ready:
                        self._serve(key)
        except BaseException as error:
            with self._lock:
                self._failure = error

    def _serve(self, key: selectors.SelectorKey) -> None:
        """Read from a socket: a new connection, or bytes of one."""
        ready = key.fileobj
        assert isinstance(ready, socket.socket)
        if isinstance(key.data, str):
            self._begin(key.data, ready.accept()[0])
            return
        connection: _Connection = key.data
        if connection not in self._connections:
            return  # the other side ended it in this round
        try:
            goes_on = self._pass_on(connection, ready)
        except OSError:  # either side may end a connection at any time
            goes_on = False
        if not goes_on:
            self._end(connection)

    def _begin(self, name: str, caddy: socket.socket) -> None:
        loki = self._dial()
        caddy.settimeout(10.0)
        caddy.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        connection = _Connection(name, caddy, loki)
        self._connections.add(connection)
        for one in (caddy, loki):
            self._selector.register(one, selectors.EVENT_READ, connection)
        try:
            loki.connect(self._lokis[name])
        except OSError:
            self._end(connection)

    def _pass_on(self, connection: _Connection, ready: socket.socket) -> bool:
        """Pass on one side's bytes; whether the connection goes on."""
        data = ready.recv(256 << 10)
        if not data:
            return False
        if ready is connection.loki:
            connection.answered(data)
            connection.caddy.sendall(data)
            return True
        try:
            begun = list(connection.read(data))
        except h11.RemoteProtocolError as error:
            self._broken.append(f"before {connection.name}: {error}")
            return False
        self._arrivals += begun
        if not all(one.is_push for one in begun):
            connection.caddy.sendall(NOT_PASSED_ON)
            return False
        connection.loki.sendall(data)
        return True

    def _end(self, connection: _Connection) -> None:
        self._connections.discard(connection)
        if connection.last is not None and connection.last.is_push and connection.is_waiting:
            # Loki may have the whole push, and accept it or not.
            connection.last.given_up = True
            with suppress(OSError):
                connection.loki.shutdown(socket.SHUT_WR)
                while connection.is_waiting and (data := connection.loki.recv(64 << 10)):
                    connection.answered(data)
        for one in (connection.caddy, connection.loki):
            with suppress(KeyError):
                self._selector.unregister(one)
            one.close()

    def _rules(self, ports: dict[str, int]) -> str:
        turned = "\n".join(
            f"ip daddr {address} tcp dport {port} meta mark != {MARK} redirect to :{ports[name]}"
            for name, (address, port) in self._lokis.items()
        )
        others = "\n".join(
            f"ip daddr {address} tcp dport {port} meta mark != {MARK} reject with tcp reset"
            for name, (address, port) in self._lokis.items()
        )
        return f"""table {TABLE} {{
            chain turned {{
                type nat hook output priority -100
                {turned}
            }}
            chain others {{
                type filter hook output priority 0
                {others}
            }}
        }}
        """

    def _nft(self, text: str) -> None:
        command = ["nsenter", f"--net={self._campus.path}", "nft", "-f", "-"]
        subprocess.run(command, input=text, check=True, text=True)
