"""Checks the local stack from two containers: one at the allowed address, and a stranger."""

from __future__ import annotations

import tempfile
import urllib.error
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from local import docker, environment, local_world, processes, pulumi, pulumi_cli, say, settings
from local.images import PROBE
from local.paths import LOCAL
from local.say import Problem
from local.settings import LocalSettings
from ops.verify import checks, proof
from ops.verify.checks import Login, Result, Route
from ops.verify.places import Answer, Trust, places

ROOT_CERTIFICATE = "/data/caddy/pki/authorities/local/root.crt"
EDGE_SECONDS = 30


@dataclass(frozen=True)
class Container:
    """A container that pushes."""

    # Caddy's host, address and port, as seen from the container.
    site: tuple[str, str, int]
    seen: str
    certificate: Path

    @property
    def name(self) -> str:
        """Its address."""
        return self.seen

    def push(self, path: str, body: str, login: Login | None) -> Answer:
        """The status code that a push gets; curl's complaint if there is none."""
        host, address, port = self.site
        done = docker.run(
            *("run", "--rm", "--interactive"),
            *("--name", local_world.PROBE_PREFIX + self.seen.replace(".", "-")),
            *("--network", local_world.NETWORK, "--ip", self.seen),
            *("--volume", f"{self.certificate}:/root.crt:ro", PROBE),
            *("curl", "--silent", "--show-error", "--output", "/dev/null"),
            *("--write-out", "%{http_code}", "--max-time", "20"),
            *("--resolve", f"{host}:{port}:{address}", "--cacert", "/root.crt"),
            *("--config", "-", f"https://{host}:{port}{path}"),
            stdin=curl_config(body, login),
        )
        code = done.stdout.strip()
        if code in ("", "000"):
            return Answer(None, f"no answer ({say.last_line(done.stderr)})")
        return Answer(int(code), code)


def curl_config(body: str, login: Login | None) -> str:
    """What curl reads from its standard input: other users could see a password among its arguments."""
    options = {"header": "Content-Type: application/json", "data-binary": body}
    if login is not None:
        options["user"] = f"{login.user}:{login.password}"
    return "".join(f"{name} = {_quoted(value)}\n" for name, value in options.items())


def _quoted(text: str) -> str:
    """As curl's configuration wants it (curl(1), --config)."""
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


def verify() -> list[Result]:
    """Prove the local stack as it is now; a Problem if there is none."""
    folder = pulumi_cli.find()
    if folder is None or not pulumi.has_state():
        raise Problem("there is no local stack to verify: `make up` makes it")
    local = settings.read()
    docker.use(local.place.docker_host)
    return _prove(local, pulumi.LocalStack(environment.make(folder, ())).outputs())


def _prove(local: LocalSettings, outputs: Mapping[str, object]) -> list[Result]:
    deployed = checks.parse(outputs)
    world = local_world.world_around(_allowed_address(outputs))
    with local_world.network(world), tempfile.TemporaryDirectory(dir=LOCAL) as folder:
        certificate = _certificate(local, Path(folder))
        trust = replace(Trust.of(certificate), named="the root in Caddy's volume")
        here = places(deployed.host, deployed.port, (), trust)
        site = (deployed.host, world.gateway, deployed.port)
        pushers = [Container(site, seen, certificate) for seen in (world.allowed, world.stranger)]
        return proof.prove(deployed, here, pushers, _reader(local))


def _allowed_address(outputs: Mapping[str, object]) -> str:
    addresses = outputs.get("nat_public_ips")
    if not isinstance(addresses, list) or not addresses:
        raise Problem("the stack has no nat_public_ips: no address may push, so nothing can be proven")
    return str(addresses[0])


def _certificate(local: LocalSettings, folder: Path) -> Path:
    """Caddy's own root certificate."""
    container = f"{local.place.name_prefix}caddy"
    target = folder / "root.crt"
    copied = processes.wait_until(
        lambda: docker.run("cp", f"{container}:{ROOT_CERTIFICATE}", target).returncode == 0,
        EDGE_SECONDS,
        pause=0.5,
    )
    if not copied:
        raise Problem(f"Caddy has no certificate yet: see `docker logs {container}`")
    target.chmod(0o644)  # only root can read Caddy's own file; the probe isn't root
    return target


def _reader(local: LocalSettings) -> proof.Reader:
    """Queries backends directly: this machine reaches the private network."""

    def read(route: Route, query: str) -> str | None:
        return _get(local.backends[route.name] + query)

    return read


def _get(url: str) -> str | None:
    """The text of a successful answer; never through a proxy."""
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(url, timeout=5) as answer:
            return answer.read().decode()
    except (OSError, urllib.error.URLError):
        return None
