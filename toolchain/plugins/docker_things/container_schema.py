"""The inputs of docker.Container, with the real plugin's rules (its version 4.5.0 upstream)."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from toolchain.plugins.docker_things.durations import nanoseconds
from toolchain.plugins.docker_things.volume import LABELS
from toolchain.plugins.schema import Prop, boolean, integer, mapping, objects, string, strings


def _one_of(pattern: str) -> Any:
    def check(value: str) -> str | None:
        return None if re.fullmatch(pattern, value) else f'"{value}" does not match "{pattern}"'

    return check


def _at_least(least: int) -> Any:
    def check(value: int) -> str | None:
        return None if value >= least else f'"{value}" should be greater than or equal to {least}'

    return check


def _duration(value: str) -> str | None:
    try:
        nanoseconds(value)
    except ValueError:
        return f'"{value}" is not a valid duration'
    return None


def _absolute(value: str) -> str | None:
    return None if value.startswith("/") else f'"{value}" must be an absolute path'


def _unset_keeps(old: Any, new: Any) -> bool:
    """An empty value leaves the image's own."""
    return new == "" or old == new


def same_ports(old: list[dict[str, Any]], new: list[dict[str, Any]]) -> bool:
    """The real plugin's comparison: every old port is still there, in whatever order."""
    if len(old) != len(new):
        return False
    return all(_has_port(new, port) for port in old)


def _has_port(ports: list[dict[str, Any]], wanted: dict[str, Any]) -> bool:
    return any(
        all(port.get(key) == wanted.get(key) for key in ("internal", "protocol", "ip"))
        # Without an external port the engine picks one, and that is no difference.
        and port.get("external") in (0, wanted.get("external"))
        for port in ports
    )


_PORT = {
    "internal": integer(required=True),
    "external": integer(computed=True),
    "ip": string(default="0.0.0.0"),
    "protocol": string(default="tcp"),
}
_VOLUME = {
    "volumeName": string(),
    "hostPath": string(check=_absolute),
    "containerPath": string(),
    "readOnly": boolean(),
}
_NETWORK = {
    "name": string(required=True),
    "aliases": strings("set"),
    "ipv4Address": string(),
    "ipv6Address": string(),
}
_HEALTHCHECK = {
    "tests": strings("list"),
    "interval": string(default="0s", check=_duration),
    "timeout": string(default="0s", check=_duration),
    "startPeriod": string(default="0s", check=_duration),
    "startInterval": string(default="0s", check=_duration),
    "retries": integer(default=0, check=_at_least(0)),
}
_UPLOAD = {
    "file": string(required=True),
    "content": string(),
    "contentBase64": string(),
    "executable": boolean(default=False),
    "permissions": string(check=_one_of(r"0[0-7]{3}")),
}

CONTAINER: Mapping[str, Prop] = {
    "name": string(replace=True),
    "image": string(required=True, replace=True),
    # Every change of these needs another container.
    "command": strings("list", computed=True, replace=True),
    "entrypoints": strings("list", computed=True, replace=True),
    "user": string(replace=True, same=_unset_keeps),
    "workingDir": string(replace=True, same=_unset_keeps),
    "hostname": string(computed=True, replace=True),
    "envs": strings("set", computed=True, replace=True),
    "labels": objects("set", LABELS, computed=True, replace=True),
    "networkMode": string(default="bridge", replace=True),
    "networksAdvanced": objects("set", _NETWORK, replace=True),
    "hosts": objects("set", {"host": string(required=True), "ip": string(required=True)}, replace=True),
    "volumes": objects("set", _VOLUME, replace=True),
    "ports": objects("list", _PORT, replace=True, same=same_ports),
    "uploads": objects("set", _UPLOAD, replace=True),
    "capabilities": Prop(
        kind="object", fields={"adds": strings("set"), "drops": strings("set")}, replace=True
    ),
    "securityOpts": strings("set", computed=True, replace=True),
    "readOnly": boolean(default=False, replace=True),
    "privileged": boolean(replace=True),
    "logDriver": string(computed=True, replace=True),
    "logOpts": mapping(replace=True),
    "stopTimeout": integer(computed=True, replace=True),
    # These are changed in the running container.
    "restart": string(default="no", check=_one_of("no|on-failure|always|unless-stopped")),
    "maxRetryCount": integer(),
    "memory": integer(check=_at_least(0)),
    "memorySwap": integer(check=_at_least(-1)),
    "memoryReservation": integer(default=0, check=_at_least(0)),
    "cpuShares": integer(check=_at_least(0)),
    "cpuSet": string(check=_one_of(r"\d+([,-]\d+)*")),
    # These are reported as an update, but a running container keeps what it has.
    "healthcheck": Prop(kind="object", fields=_HEALTHCHECK, computed=True),
    "tmpfs": mapping(),
    "init": boolean(computed=True),
    # These are the plugin's own business.
    "start": boolean(default=True),
    "mustRun": boolean(default=True),
    "wait": boolean(default=False),
    "waitTimeout": integer(default=60),
    "rm": boolean(default=False),
    "removeVolumes": boolean(default=True),
    "destroyGraceSeconds": integer(),
}
UPDATED_BY_ENGINE = (
    "restart",
    "maxRetryCount",
    "cpuShares",
    "memory",
    "memoryReservation",
    "cpuSet",
    "memorySwap",
)
