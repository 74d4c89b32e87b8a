"""Connections to an SSH server without room for another login, with fake servers."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from docker.errors import DockerException
from paramiko.ssh_exception import SSHException

from components.live import docker_host, ssh_connect
from components.live.ssh_connect import NO_ROOM, TurnedAwayError, greeted, way_of
from tests.support.fake_engine import Engine, build

GREETING = b"SSH-2.0-OpenSSH_9.2p1\r\n"
PLAYED = """\
#!/bin/sh
case "$1" in
-G) cat {answer} ;;
*) printf '%s\\n' "$*" >>{calls}; exec {python} -c '
import socket, sys, threading
s = socket.create_connection(("127.0.0.1", {port}))
sys.stdout.buffer.write(s.recv(99)); sys.stdout.buffer.flush()
' ;;
esac
"""


@contextmanager
def serving(*answers: bytes) -> Iterator[tuple[int, list[int]]]:
    """A server that gives each connection its answer and hangs up; later connections get the last answer.

    Its port, and the length of each answer.
    """
    listener = socket.create_server(("127.0.0.1", 0))
    given: list[int] = []

    def serve() -> None:
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            answer = answers[min(len(given), len(answers) - 1)]
            given.append(len(answer))
            with connection:
                connection.sendall(answer)

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    try:
        yield listener.getsockname()[1], given
    finally:
        listener.shutdown(socket.SHUT_RDWR)
        thread.join()
        listener.close()


@pytest.fixture(autouse=True)
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """No wait between two tries."""
    monkeypatch.setattr(ssh_connect, "pause", lambda: 0.01)


def to(port: int) -> Callable[[], socket.socket]:
    return lambda: socket.create_connection(("127.0.0.1", port))


def test_a_client_that_is_turned_away_tries_again_and_loses_no_byte() -> None:
    with (
        serving(b"", NO_ROOM + b"\r\n", b"", GREETING) as (port, given),
        greeted(to(port), 10.0) as connection,
    ):
        assert connection.recv(99) == GREETING
        assert len(given) == 4


@pytest.mark.parametrize("answer", [b"", NO_ROOM + b"\r\n"])
def test_a_client_that_is_turned_away_for_too_long_fails(answer: bytes) -> None:
    began = time.monotonic()
    with serving(answer) as (port, given), pytest.raises(TurnedAwayError, match="hung up before"):
        greeted(to(port), 0.5)
    assert 0.5 < time.monotonic() - began < 5
    assert len(given) > 2


def test_a_missing_server_is_tried_once() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    tries: list[int] = []

    def connect() -> socket.socket:
        tries.append(1)
        return to(port)()

    with pytest.raises(ConnectionRefusedError):
        greeted(connect, 10.0)
    assert len(tries) == 1


@pytest.mark.parametrize(
    ("configured", "called"),
    [
        ("", None),
        ("bindaddress 127.0.0.7", None),
        ("proxyjump none", None),
        ("proxyjump one,me@two:22", "-J ssh://one -W [127.0.0.1]:{port} ssh://me@two:22"),
        ("proxycommand ssh through %n %h %p %r 100%%", "through NAME 127.0.0.1 {port} deploy 100%"),
    ],
)
def test_the_route_is_by_the_users_configuration(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, configured: str, called: str | None
) -> None:
    with serving(b"", GREETING) as (port, given):
        answer, calls, ssh = tmp_path / "answer", tmp_path / "calls", tmp_path / "ssh"
        answer.write_text(f"user deploy\nhostname 127.0.0.1\nport {port}\n{configured}\n")
        ssh.write_text(PLAYED.format(answer=answer, calls=calls, python=sys.executable, port=port))
        ssh.chmod(0o755)
        monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
        with greeted(way_of("NAME", str(port), "deploy"), 10.0) as connection:
            assert connection.recv(99) == GREETING
            if configured.startswith("bindaddress"):
                assert connection.getsockname()[0] == "127.0.0.7"
        assert len(given) == 2
        wanted = [called.format(port=port)] * 2 if called else []
        assert (calls.read_text().splitlines() if calls.exists() else []) == wanted


@pytest.mark.parametrize("answer", [GREETING, b"Hello.\r\nSSH-2.0-talkative\r\n"])
def test_ssh_gets_the_connection_itself(tmp_path: Path, answer: bytes) -> None:
    """With the provider's option, run like ssh does."""
    (tmp_path / "ssh").write_text("#!/bin/sh\n")
    (tmp_path / "ssh").chmod(0o755)
    [option, fdpass] = ssh_connect.SSH_OPTS
    assert fdpass == "-o ProxyUseFdpass=yes"
    with serving(b"", answer) as (port, _):
        command = option.removeprefix("-o ProxyCommand=").replace("%n", "127.0.0.1").replace("%r", "me")
        ours, its = socket.socketpair()
        with ours, its:
            subprocess.run(
                ["sh", "-c", f"exec {command.replace('%p', str(port))}"],
                stdout=its.fileno(),
                env={"PATH": f"{tmp_path}:{os.environ['PATH']}"},
                check=True,
                timeout=60,
            )
            _, [handle], _, _ = socket.recv_fds(ours, 1, 1)
            with socket.socket(fileno=handle) as connection:
                assert connection.recv(99) == answer


def test_a_failure_is_one_line_and_an_exit_code(tmp_path: Path) -> None:
    (tmp_path / "ssh").write_text("#!/bin/sh\n")
    (tmp_path / "ssh").chmod(0o755)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = str(listener.getsockname()[1])
    done = subprocess.run(
        [sys.executable, "-S", "-m", "components.live.ssh_connect", "127.0.0.1", port, "me"],
        capture_output=True,
        text=True,
        env={"PATH": f"{tmp_path}:{os.environ['PATH']}"},
        timeout=60,
        check=False,
    )
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.count("\n") == 1
    assert f"127.0.0.1 port {port}: " in done.stderr


class TestTheSdk:
    """docker_host.client, whose SDK logs in by paramiko."""

    @pytest.fixture
    def tries(self, monkeypatch: pytest.MonkeyPatch) -> list[Exception | None]:
        """The outcome of each try, in reverse order."""
        ends: list[Exception | None] = []

        class Client:
            def __init__(self, *_: object, **__: object) -> None:
                if (end := ends.pop()) is not None:
                    raise end

            def close(self) -> None:
                """Nothing is open."""

        monkeypatch.setattr("docker.DockerClient", Client)
        return ends

    def test_tries_again_if_it_was_turned_away(self, tries: list[Exception | None]) -> None:
        tries += [
            None,
            SSHException(f"{docker_host.NOT_GREETED}[Errno 104]"),
            SSHException(docker_host.NOT_GREETED),
        ]
        with docker_host.client("ssh://me@campus"):
            assert tries == []

    @pytest.mark.parametrize(
        "end",
        [SSHException("No authentication methods available"), DockerException("no"), OSError("refused")],
    )
    def test_other_failures_are_reported_at_once(self, tries: list[Exception | None], end: Exception) -> None:
        tries += [None, end]
        with pytest.raises(docker_host.UnreachableError), docker_host.client("ssh://me@campus"):
            pass
        assert tries == [None]

    def test_it_does_not_try_for_ever(
        self, tries: list[Exception | None], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(ssh_connect, "SECONDS", 0.0)
        tries += [None, SSHException(f"{docker_host.NOT_GREETED}[Errno 104]")]
        unreachable = pytest.raises(docker_host.UnreachableError, match=r"SSHException: .*Errno 104")
        with unreachable, docker_host.client("ssh://me@campus"):
            pass


def test_dockers_provider_tries_again_only_over_ssh(engine: Engine) -> None:
    build(campus={"dockerHost": "ssh://deploy@campus.example:22"})
    made = {one.name: one.inputs for one in engine.made.values() if one.typ == "pulumi:providers:docker"}
    assert made["campus-docker"]["sshOpts"] == str(list(ssh_connect.SSH_OPTS)).replace("'", '"')
    build(campus={"dockerHost": "unix:///run/docker.sock"})
    made = {one.name: one.inputs for one in engine.made.values() if one.typ == "pulumi:providers:docker"}
    assert "sshOpts" not in made["campus-docker"]
