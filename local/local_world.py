"""The world around the local stack: an allowed address and a stranger's, played by containers."""

from __future__ import annotations

import ipaddress
import tempfile
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from local import docker, processes, say
from local.images import PROBE
from local.paths import LOCAL
from local.say import Problem
from local.settings import LocalSettings
from ops.verify import checks, proof
from ops.verify.checks import Login, Result
from ops.verify.places import Answer, Trust, places, push_body

WORLD = "campus-monitor-world"
PROBE_PREFIX = "campus-monitor-probe-"
ROOT_CERTIFICATE = "/data/caddy/pki/authorities/local/root.crt"
EDGE_SECONDS = 30


@dataclass(frozen=True)
class World:
    """The addresses of a network that plays the internet."""

    network: str
    gateway: str
    allowed: str
    stranger: str


@dataclass(frozen=True)
class Container:
    """Somebody in that world who pushes."""

    # Where Caddy answers there: host, address and port.
    site: tuple[str, str, int]
    seen: str
    certificate: Path

    @property
    def name(self) -> str:
        """Its address."""
        return self.seen

    def push(self, path: str, line: str, login: Login | None) -> Answer:
        """The status code that a push of one line gets; curl's complaint if there is none."""
        host, address, port = self.site
        done = docker.run(
            *("run", "--rm", "--interactive", "--name", PROBE_PREFIX + self.seen.replace(".", "-")),
            *("--network", WORLD, "--ip", self.seen),
            *("--volume", f"{self.certificate}:/root.crt:ro", PROBE),
            *("curl", "--silent", "--show-error", "--output", "/dev/null"),
            *("--write-out", "%{http_code}", "--max-time", "20"),
            *("--resolve", f"{host}:{port}:{address}", "--cacert", "/root.crt"),
            *("--config", "-", f"https://{host}:{port}{path}"),
            stdin=curl_config(line, login),
        )
        code = done.stdout.strip()
        if code in ("", "000"):
            return Answer(None, f"no answer ({say.last_line(done.stderr)})")
        return Answer(int(code), code)


def curl_config(line: str, login: Login | None) -> str:
    """What curl reads from its standard input: a password among its arguments would be seen by others."""
    options = {"header": "Content-Type: application/json", "data-binary": push_body(line)}
    if login is not None:
        options["user"] = f"{login.user}:{login.password}"
    return "".join(f"{name} = {_quoted(value)}\n" for name, value in options.items())


def _quoted(text: str) -> str:
    """As curl's configuration wants it (curl(1), --config)."""
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


def world_around(allowed: str) -> World:
    """The /24 around the allowed address, with the machine and a stranger in it."""
    address = ipaddress.IPv4Address(allowed)
    network = ipaddress.ip_network(f"{allowed}/24", strict=False)
    free = [host for host in network.hosts() if host != address]
    stranger = address + 1 if address + 1 in free[1:] else free[1]
    return World(str(network), str(free[0]), allowed, str(stranger))


def prove(local: LocalSettings, outputs: Mapping[str, object]) -> list[Result]:
    """Prove the local stack: pushed to from the allowed address and from a stranger's."""
    deployed = checks.parse(outputs)
    world = world_around(_allowed_address(outputs))
    with _network(world), tempfile.TemporaryDirectory(dir=LOCAL) as folder:
        certificate = _certificate(local, Path(folder))
        trust = replace(Trust.of(certificate), named="the root in Caddy's volume")
        here = places(deployed.host, deployed.port, (), trust)
        site = (deployed.host, world.gateway, deployed.port)
        pushers = [Container(site, seen, certificate) for seen in (world.allowed, world.stranger)]
        return proof.prove(deployed, here, pushers, _reader(local))


def clean_up() -> None:
    """Remove the network and the probes, also those of an interrupted run."""
    for container in docker.names("container", PROBE_PREFIX):
        docker.run("rm", "--force", container)
    if WORLD in docker.names("network", WORLD):
        docker.run("network", "rm", WORLD)


def _allowed_address(outputs: Mapping[str, object]) -> str:
    addresses = outputs.get("nat_public_ips")
    if not isinstance(addresses, list) or not addresses:
        raise Problem("the stack has no nat_public_ips: nobody may push, so nothing can be shown")
    return str(addresses[0])


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


def _reader(local: LocalSettings) -> proof.Reader:
    """Loki itself, on the private network: from this machine it is reached."""

    def read(loki: str, query: str) -> list[str] | None:
        asked = urllib.parse.urlencode({"query": query, "since": "1h"})
        answer = _get(f"{local.address_of_loki(loki)}/loki/api/v1/query_range?{asked}")
        return None if answer is None else proof.lines_of(answer)

    return read


def _get(url: str) -> str | None:
    """The answer's text, if it is a good one; never by way of a proxy."""
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(url, timeout=5) as answer:
            return answer.read().decode()
    except (OSError, urllib.error.URLError):
        return None
