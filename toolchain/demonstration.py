"""The closing demonstration of `make up`: one line through the gate, one stranger before it."""

from __future__ import annotations

import ipaddress
import json
import secrets
import tempfile
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from toolchain import docker, processes, say
from toolchain.images import PROBE
from toolchain.paths import LOCAL
from toolchain.say import Problem
from toolchain.settings import LocalSettings

WORLD = "campus-monitor-world"
PROBE_PREFIX = "campus-monitor-probe-"
ROOT_CERTIFICATE = "/data/caddy/pki/authorities/local/root.crt"
LOKI_SECONDS = 120
READ_BACK_SECONDS = 60
EDGE_SECONDS = 30
JOB = "make-up"


@dataclass(frozen=True)
class World:
    """The addresses of a network that plays the internet."""

    network: str
    gateway: str
    allowed: str
    stranger: str


@dataclass(frozen=True)
class Shown:
    """What the demonstration saw."""

    allowed: str
    allowed_code: str
    stranger: str
    stranger_code: str
    line: str
    read_back: bool

    def is_good(self) -> bool:
        """Whether everything was as it should be."""
        return self.allowed_code == "204" and self.stranger_code == "403" and self.read_back


def world_around(allowed: str) -> World:
    """The /24 around the allowed address, with the machine and a stranger in it."""
    address = ipaddress.IPv4Address(allowed)
    network = ipaddress.ip_network(f"{allowed}/24", strict=False)
    free = [host for host in network.hosts() if host != address]
    stranger = address + 1 if address + 1 in free[1:] else free[1]
    return World(str(network), str(free[0]), allowed, str(stranger))


def run(local: LocalSettings, outputs: dict[str, Any]) -> Shown:
    """Push from the allowed address and from a stranger's, and read the line back from Loki."""
    world = world_around(_allowed_address(outputs))
    _wait_for_loki(local)
    line = f"hello from make up, {secrets.token_hex(8)}"
    with _network(world), tempfile.TemporaryDirectory(dir=LOCAL) as folder:
        certificate = _certificate(local, Path(folder))
        push = _Push(local, world, certificate, line)
        allowed, stranger = push.code(world.allowed), push.code(world.stranger)
    found = allowed == "204" and processes.wait_until(
        lambda: line in _lines(local, line), READ_BACK_SECONDS, pause=0.5
    )
    return Shown(world.allowed, allowed, world.stranger, stranger, line, found)


def clean_up() -> None:
    """Remove the network and the probes, also those of an interrupted run."""
    for container in docker.names("container", PROBE_PREFIX):
        docker.run("rm", "--force", container)
    if WORLD in docker.names("network", WORLD):
        docker.run("network", "rm", WORLD)


def _allowed_address(outputs: dict[str, Any]) -> str:
    addresses = outputs.get("nat_public_ips") or []
    if not addresses:
        raise Problem("the stack has no nat_public_ips: nobody may push, so nothing can be shown")
    return addresses[0]


@contextmanager
def _network(world: World) -> Iterator[None]:
    clean_up()
    docker.must("network", "create", "--subnet", world.network, "--gateway", world.gateway, WORLD)
    try:
        yield
    finally:
        clean_up()


def _certificate(local: LocalSettings, folder: Path) -> Path:
    """Caddy's own root certificate."""
    container = f"{local.name_prefix}caddy"
    target = folder / "root.crt"
    copied = processes.wait_until(
        lambda: docker.run("cp", f"{container}:{ROOT_CERTIFICATE}", target).returncode == 0,
        EDGE_SECONDS,
        pause=0.5,
    )
    if not copied:
        raise Problem(f"Caddy has no certificate yet: see `docker logs {container}`")
    target.chmod(0o644)  # Caddy's is for root alone; the probe isn't root
    return target


@dataclass(frozen=True)
class _Push:
    """One line, to be pushed from several addresses."""

    local: LocalSettings
    world: World
    certificate: Path
    line: str

    def code(self, source: str) -> str:
        """The status code that a push from this address gets; curl's complaint if there is none."""
        domain, port = self.local.domain, self.local.https_port
        url = f"https://{domain}:{port}{self.local.loki.route}/loki/api/v1/push"
        done = docker.run(
            *("run", "--rm", "--interactive", "--name", PROBE_PREFIX + source.replace(".", "-")),
            *("--network", WORLD, "--ip", source),
            *("--volume", f"{self.certificate}:/root.crt:ro", PROBE),
            *("curl", "--silent", "--show-error", "--output", "/dev/null"),
            *("--write-out", "%{http_code}", "--max-time", "20"),
            *("--retry", "5", "--retry-delay", "1", "--retry-connrefused"),
            *("--resolve", f"{domain}:{port}:{self.world.gateway}", "--cacert", "/root.crt"),
            *("--header", "Content-Type: application/json", "--data-binary", "@-", url),
            stdin=push_body(self.line, time.time_ns()),
        )
        code = done.stdout.strip()
        return code if code not in ("", "000") else say.last_line(done.stderr)


def push_body(line: str, nanoseconds: int) -> str:
    """A Loki push of one line."""
    stream = {"stream": {"job": JOB}, "values": [[str(nanoseconds), line]]}
    return json.dumps({"streams": [stream]})


def _wait_for_loki(local: LocalSettings) -> None:
    """Loki takes its time (~16 s) until it says that it is ready."""
    url = f"{local.address_of_loki()}/ready"
    if _get(url) is not None:
        return
    began = time.monotonic()
    say.step("waiting for Loki to be ready (usually 16 s)")
    if not processes.wait_until(lambda: _get(url) is not None, LOKI_SECONDS, pause=0.5):
        container = f"{local.name_prefix}loki-{local.loki.name}"
        raise Problem(f"Loki isn't ready at {url}: see `docker logs {container}`")
    say.note(f"ready after {say.duration(time.monotonic() - began)}")


def _lines(local: LocalSettings, line: str) -> str:
    """What Loki answers to a query for the line."""
    query = urllib.parse.urlencode({"query": f'{{job="{JOB}"}} |= "{line}"', "since": "1h"})
    return _get(f"{local.address_of_loki()}/loki/api/v1/query_range?{query}") or ""


def _get(url: str) -> str | None:
    """The answer's text, if it is a good one; never by way of a proxy."""
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(url, timeout=5) as answer:
            return answer.read().decode()
    except (OSError, urllib.error.URLError):
        return None
