"""What `make up` has to know of Pulumi.local.yaml; the program checks the settings themselves."""

from __future__ import annotations

import ipaddress
import json
from dataclasses import dataclass
from typing import Any

from local import say, venv
from local.paths import ROOT, STACK_SETTINGS
from local.say import Problem

NAMESPACE = "campus-monitor:"


@dataclass(frozen=True)
class LocalSettings:
    """The local stack's settings as far as `make up` goes by them."""

    docker_host: str
    name_prefix: str
    network_cidr: str
    domain: str
    http_port: int
    https_port: int
    images: dict[str, str]
    grafana_enabled: bool
    emulator: str
    # The Lokis' ports by name.
    lokis: dict[str, int]

    def address_of_loki(self, name: str) -> str:
        """Where a Loki answers on the private network: the network's address plus the port."""
        network = ipaddress.ip_network(self.network_cidr)
        return f"http://{network.network_address + self.lokis[name]}:{self.lokis[name]}"


def read(*, check: bool = True) -> LocalSettings:
    """Read Pulumi.local.yaml (the virtualenv has to be there: it has the YAML reader).

    With `check`, a setting that the program would refuse is a Problem already here.
    """
    if not STACK_SETTINGS.exists():
        raise Problem("Pulumi.local.yaml is missing: `git checkout Pulumi.local.yaml`")
    command = [venv.python(), "-m", "local.settings_reader", *(["--check"] if check else [])]
    done = say.capture(command, cwd=ROOT, stdin=STACK_SETTINGS.read_text())
    if done.returncode != 0:
        raise Problem("\n       ".join(done.stderr.strip().splitlines()))
    return parse(json.loads(done.stdout))


def parse(document: Any) -> LocalSettings:
    """The settings in the file's content; a Problem that names the key that is missing."""
    config = _mapping(_mapping(document, "the file").get("config", {}), "config")
    campus, edge = _area(config, "campus"), _area(config, "edge")
    return LocalSettings(
        docker_host=_text(campus, "campus.dockerHost"),
        name_prefix=_text(campus, "campus.namePrefix"),
        network_cidr=_network(campus, "campus.networkCidr"),
        domain=_text(edge, "edge.domain"),
        http_port=_port(edge, "edge.httpPort"),
        https_port=_port(edge, "edge.httpsPort"),
        images={
            name: reference
            for name, reference in _area(config, "images").items()
            if isinstance(reference, str)
        },
        grafana_enabled=_area(config, "grafana").get("enabled", True) is not False,
        emulator=_text(_area(config, "aws"), "aws.emulator"),
        lokis=_lokis(_area(config, "loki")),
    )


def _lokis(loki: dict[str, Any]) -> dict[str, int]:
    instances = _mapping(loki.get("instances", {}), "loki.instances")
    return {
        name: _port(_mapping(one, f"loki.instances.{name}"), f"loki.instances.{name}.port")
        for name, one in instances.items()
    }


def _area(config: dict[str, Any], name: str) -> dict[str, Any]:
    return _mapping(config.get(NAMESPACE + name) or {}, name)


def _mapping(value: Any, path: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise Problem(f"Pulumi.local.yaml: {NAMESPACE}{path} must be a mapping")
    return value


def _text(area: dict[str, Any], path: str) -> str:
    value = area.get(path.rpartition(".")[2])
    if not isinstance(value, str) or not value:
        raise Problem(f"Pulumi.local.yaml: {NAMESPACE}{path} must be a text, not {value!r}")
    return value


def _port(area: dict[str, Any], path: str) -> int:
    value = area.get(path.rpartition(".")[2])
    if not isinstance(value, int) or isinstance(value, bool) or not 1 <= value <= 65535:
        raise Problem(f"Pulumi.local.yaml: {NAMESPACE}{path} must be a port from 1 to 65535, not {value!r}")
    return value


def _network(area: dict[str, Any], path: str) -> str:
    value = _text(area, path)
    try:
        return str(ipaddress.ip_network(value))
    except ValueError as error:
        raise Problem(f"Pulumi.local.yaml: {NAMESPACE}{path} must be a network: {error}") from None
