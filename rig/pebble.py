"""Pebble, an ACME authority in the world: it connects to validate a server, as Let's Encrypt does."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from rig.certificates import Authority, made_authority
from rig.namespaces import AUTHORITY, SERVER, Namespace
from rig.probe import Connection, can_connect, trust_in
from rig.processes import die_with_parent, wait_for
from rig.programs import pebble

LOOPBACK = "127.0.0.1"
START_SECONDS = 20.0
WAYS = {"http-01": 80, "tls-alpn-01": 443}


@dataclass
class Pebble:
    """An authority, with its state in memory."""

    world: Namespace
    folder: Path
    # Its clients' port; its management is on the next port.
    port: int
    # How long its certificates are valid.
    seconds: int
    # The certificate by which its clients trust it.
    own: Authority
    # Names for which it refuses a certificate; others are validated.
    refused: tuple[str, ...] = ()
    _process: subprocess.Popen[bytes] | None = field(default=None, repr=False)

    @property
    def directory(self) -> str:
        """The URL of its directory."""
        return f"https://{AUTHORITY}:{self.port}/dir"

    def start(self) -> None:
        """Start it, and return when it answers."""
        config = {
            "listenAddress": f"{AUTHORITY}:{self.port}",
            "managementListenAddress": f"{AUTHORITY}:{self.port + 1}",
            "certificate": str(self.folder / "own.pem"),
            "privateKey": str(self.folder / "own.pem"),
            "httpPort": WAYS["http-01"],
            "tlsPort": WAYS["tls-alpn-01"],
            "domainBlocklist": list(self.refused),
            "keyAlgorithm": "ecdsa",
            "retryAfter": {"authz": 1, "order": 1},
            "profiles": {"default": {"description": "", "validityPeriod": self.seconds}},
        }
        (self.folder / "own.pem").write_text(self.own.certificate + self.own.key)
        path = self.folder / "pebble.json"
        path.write_text(json.dumps({"pebble": config}))
        # Without artificial delays, and with a validation for each order.
        environment = os.environ | {"PEBBLE_VA_NOSLEEP": "1", "PEBBLE_AUTHZREUSE": "0"}
        with self._log.open("wb") as log:
            self._process = _started(
                self.world,
                log.fileno(),
                environment,
                pebble.AUTHORITY,
                f"-config={path}",
                f"-dnsserver={LOOPBACK}:{self.port + 2}",
            )
        for port in (self.port, self.port + 1):
            _wait_for_port(self.world, AUTHORITY, port)

    @contextmanager
    def unreachable(self) -> Iterator[None]:
        """Refuse every connection to it for the duration of the block."""
        packets = f"ip daddr {AUTHORITY} tcp dport {self.port}"
        with _refused(self.world, f"authority_{self.port}", packets):
            yield

    def stop(self) -> None:
        """Stop it: connections to it are refused."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def issuer(self) -> str:
        """Its root, as PEM, which the site's visitors have to trust."""
        server = (AUTHORITY, self.port + 1)
        connection = Connection(self.world, server, AUTHORITY, tls=trust_in(self.own.root))
        connection.request("GET", "/roots/0")
        with connection.getresponse() as answer:
            return answer.read().decode()

    def said(self, words: str) -> int:
        """How many lines of its log have these words."""
        return sum(words in line for line in self._log.read_text().splitlines())

    def orders(self) -> int:
        """How many orders it has accepted."""
        return self.said("Added order ")

    @property
    def _log(self) -> Path:
        return self.folder / "pebble.log"


@contextmanager
def running_pebble(
    world: Namespace,
    folder: Path,
    port: int,
    seconds: int,
    *,
    own: Authority | None = None,
    refused: tuple[str, ...] = (),
) -> Iterator[Pebble]:
    """An authority, and a DNS server that resolves every name to the campus server, during the block."""
    folder.mkdir()
    made = Pebble(world, folder, port, seconds, own or made_authority(AUTHORITY), refused)
    with (folder / "names.log").open("wb") as log:
        names = _started(
            world,
            log.fileno(),
            dict(os.environ),
            pebble.NAMES,
            *("-http01=", "-https01=", "-tlsalpn01=", "-doh=", f"-defaultIPv4={SERVER}", "-defaultIPv6="),
            *(f"-dnsserver={LOOPBACK}:{port + 2}", f"-management={LOOPBACK}:{port + 3}"),
        )
    try:
        _wait_for_port(world, LOOPBACK, port + 2)
        made.start()
        yield made
    finally:
        made.stop()
        names.kill()
        names.wait()


@contextmanager
def closed(world: Namespace, *ways: str) -> Iterator[None]:
    """Have a firewall before the campus server refuse the ports of these challenges."""
    ports = ", ".join(str(WAYS[way]) for way in ways)
    with _refused(world, "closed_ways", f"ip daddr {SERVER} tcp dport {{ {ports} }}"):
        yield


@contextmanager
def _refused(world: Namespace, name: str, packets: str) -> Iterator[None]:
    """Reset matching packets that leave the world or arrive in it."""
    table = f"inet {name}"
    commands = [f"add table {table}"]
    for hook in ("input", "output"):
        commands += [
            f"add chain {table} {hook} {{ type filter hook {hook} priority 0; }}",
            f"add rule {table} {hook} {packets} reject with tcp reset",
        ]
    world.run("nft", "; ".join(commands))
    try:
        yield
    finally:
        world.run("nft", f"delete table {table}")


def _started(
    world: Namespace, log: int, environment: dict[str, str], name: str, *arguments: str
) -> subprocess.Popen[bytes]:
    program = pebble.program(name)
    if not program.exists():
        # A missing program fails the test: nothing would be proven.
        pytest.fail(f"{name} is missing: run `make install` once")
    command = ["nsenter", f"--net={world.path}", str(program), *arguments]
    return subprocess.Popen(
        command, stdout=log, stderr=subprocess.STDOUT, env=environment, preexec_fn=die_with_parent
    )


def _wait_for_port(world: Namespace, address: str, port: int) -> None:
    wait_for(f"{address}:{port} answers", lambda: can_connect(world, None, (address, port)), START_SECONDS)
