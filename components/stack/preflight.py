# pyright: strict
"""What is asked before anything is touched: that the Docker host answers, and that its images are available.

Only a `unix://` host is asked. A preview works without an `ssh://` host, and touches none.
"""

from __future__ import annotations

import http.client
import json
import socket
from typing import Any, cast

from pydantic.alias_generators import to_camel

from components.docker_hosts.engines import unfit
from components.stack.backends import guarded_backends
from components.stack.settings import Settings
from components.values.errors import PROJECT, SettingsError

CONNECT_SECONDS = 5.0
# The engine asks the image's registry, over the internet.
REGISTRY_SECONDS = 60.0

# What Pulumi.stage.yaml and Pulumi.prod.yaml name until somebody has looked the image's own up.
PLACEHOLDER_DIGEST = f"sha256:{'0' * 64}"

# The registry wants a login that this check doesn't have: the pull itself will show.
_UNDECIDED = (401, 403)


class _UnixConnection(http.client.HTTPConnection):
    """HTTP over a unix socket: the Docker SDK alone takes a quarter of a second to load."""

    def __init__(self, path: str) -> None:
        super().__init__("docker", timeout=REGISTRY_SECONDS)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(CONNECT_SECONDS)
        self.sock.connect(self._path)
        self.sock.settimeout(self.timeout)


def check_docker_host(settings: Settings) -> None:
    """Raise a SettingsError unless the engine answers and each image is there or can be pulled.

    One line per missing image: its key, what to do, its name.
    """
    host = settings.campus.docker_host
    scheme, _, path = host.partition("://")
    if scheme != "unix":
        return
    try:
        found = [
            _remapped(path),
            *(_image_problem(path, role, image) for role, image in _images(settings).items()),
        ]
    except OSError as error:
        raise SettingsError(
            [
                f"{PROJECT}:campus.dockerHost: no Docker Engine answers at {host} "
                f"({error.strerror or error}): start Docker, or name the host where it runs"
            ]
        ) from None
    problems = [problem for problem in found if problem is not None]
    if problems:
        raise SettingsError(problems)


def check_placeholders(settings: Settings, *, is_preview: bool) -> list[str]:
    """A line for each image whose digest is a placeholder.

    A preview may show what would come. For an update they are a SettingsError: the pull would fail half-way,
    and tasks would never start.
    """
    found = {"images.portGuard": (settings.images.port_guard, "push the image and name it here")}
    for name, service in settings.services.items():
        find = "name the digest that `docker buildx imagetools inspect NAME:TAG` prints"
        found[f"services.{name}.logRouter.image"] = service.log_router.image_name, find
        for key, one in service.containers.items():
            found[f"services.{name}.containers.{key}.image"] = one.image, find
    problems = [
        f"{PROJECT}:{key}: the digest is a placeholder: {do} "
        f"(docs/operations.md, a new server), received {json.dumps(image)}"
        for key, (image, do) in found.items()
        if image.endswith(PLACEHOLDER_DIGEST)
    ]
    if problems and not is_preview:
        raise SettingsError(problems)
    return problems


def _images(settings: Settings) -> dict[str, str]:
    """The image per role that this environment runs."""
    images = settings.images
    used = {"caddy": images.caddy, "port_guard": images.port_guard}
    used |= {one.image_key: getattr(images, one.image_key) for one in guarded_backends(settings)}
    if settings.grafana.enabled:
        used["grafana"] = images.grafana
    if settings.campus.logs_to is not None and images.alloy is not None:
        used["alloy"] = images.alloy
    if settings.prometheus is not None and images.blackbox_exporter is not None:
        used["blackbox_exporter"] = images.blackbox_exporter
    if settings.host_metrics.enabled and images.otel_collector is not None:
        used["otel_collector"] = images.otel_collector
    return used


def _remapped(socket_path: str) -> str | None:
    """Why the engine's containers can't be on the host's network; None where they can."""
    info: dict[str, Any] = _get(socket_path, "/info")[1] or {}
    what = unfit(info.get("SecurityOptions") or [])
    if what is None:
        return None
    return (
        f"{PROJECT}:campus.dockerHost: this Docker Engine {what}, so neither Caddy nor port-guard "
        "could be on its host's network: use another (docs/port-policy.md, Docker versions)"
    )


def _image_problem(socket_path: str, role: str, image: str) -> str | None:
    status, _ = _get(socket_path, f"/images/{image}/json")
    if status == http.client.OK:
        return None
    status, answer = _get(socket_path, f"/distribution/{image}/json")
    if status == http.client.OK or status in _UNDECIDED:
        return None
    return (
        f"{PROJECT}:images.{to_camel(role)}: the Docker host doesn't have it and can't pull it "
        f"({_reason(answer)}): build or load it there, or name another, received {json.dumps(image)}"
    )


def _get(socket_path: str, resource: str) -> tuple[int, Any]:
    """The engine's answer: its status and its JSON."""
    connection = _UnixConnection(socket_path)
    try:
        connection.request("GET", resource)
        response = connection.getresponse()
        return response.status, json.loads(response.read() or b"null")
    finally:
        connection.close()


def _reason(answer: Any) -> str:
    """The engine's own words, in one line."""
    said = cast("dict[str, Any]", answer).get("message", "") if isinstance(answer, dict) else ""
    return " ".join(str(said).split()) or "no reason given"
