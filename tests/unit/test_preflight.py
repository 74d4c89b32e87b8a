"""Mistakes that are refused before anything changes."""

from __future__ import annotations

import json
import socketserver
from collections.abc import Sequence
from http.server import BaseHTTPRequestHandler
from pathlib import Path

import pytest

from components.stack.preflight import PLACEHOLDER_DIGEST, check_docker_host, check_placeholders
from components.stack.settings import parse
from components.values.errors import SettingsError
from rig.stack import merged, settings_of
from tests.support.http_server import running

GUARD = "campus-monitor:images.portGuard: the digest is a placeholder: push the image"
ROUTER = "campus-monitor:services.client-api.logRouter.image: the digest is a placeholder: name the digest"
APP = "campus-monitor:services.client-api.containers.app.image: the digest is a placeholder"


@pytest.mark.parametrize("stack", ["stage", "prod"])
def test_a_placeholder_is_shown_by_a_preview_and_refused_by_an_update(stack: str) -> None:
    app = {
        "containers": {"app": {"image": f"nginx:1@{PLACEHOLDER_DIGEST}"}},
        "logRouter": {"image": f"team/log-router:1@{PLACEHOLDER_DIGEST}"},
    }
    settings = parse(merged(settings_of(stack), {"services": {"client-api": app}}))
    problems = check_placeholders(settings, is_preview=True)
    assert [line.startswith(begins) for line, begins in zip(problems, [GUARD, ROUTER, APP], strict=True)] == [
        True
    ] * 3
    with pytest.raises(SettingsError) as caught:
        check_placeholders(settings, is_preview=False)
    assert caught.value.problems == problems


def test_the_local_stack_has_none() -> None:
    assert check_placeholders(parse(settings_of("local")), is_preview=False) == []


class Engine(socketserver.ThreadingMixIn, socketserver.UnixStreamServer):
    """A fake engine with every image, and with this `info`."""

    daemon_threads = True
    options: Sequence[str] = ()


class Answering(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        assert isinstance(self.server, Engine)
        body = json.dumps({"SecurityOptions": list(self.server.options)}).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def address_string(self) -> str:
        return "a unix socket"

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002  http.server's name
        """Nothing: a test's output is its own."""


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ([], None),
        (["name=seccomp,profile=builtin", "name=cgroupns"], None),
        (["name=seccomp,profile=builtin", "name=userns"], "remaps users"),
        (["name=rootless", "name=cgroupns"], "is rootless"),
    ],
)
def test_an_engine_whose_containers_are_never_on_the_hosts_network_is_refused(
    tmp_path: Path, options: list[str], says: str | None
) -> None:
    path = tmp_path / "docker.sock"
    server = Engine(str(path), Answering)
    server.options = options
    with running(server):
        settings = parse(merged(settings_of("local"), {"campus": {"dockerHost": f"unix://{path}"}}))
        if says is None:
            check_docker_host(settings)
        else:
            with pytest.raises(SettingsError, match=rf"campus\.dockerHost: this Docker Engine {says}"):
                check_docker_host(settings)
