"""What the dynamic resources decide and render, without a Docker Engine."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

import bcrypt
import dill
import pytest
from pulumi.dynamic import ResourceProvider
from pulumi.output import Unknown

from components.live.docker_host import LiveError, check_path, sha256
from components.live.files import LiveFilesProvider, content_sha256
from components.live.password_hash import (
    GeneratedPasswordProvider,
    PasswordHashProvider,
    bcrypt_hash,
)
from components.live.programs import (
    NOT_READY,
    PROGRAMS,
    Program,
    readable,
    render_apply_script,
    render_read_script,
)
from components.live.volume_files import VolumeFilesProvider

LIVE: dict[str, Any] = {
    "docker_host": "unix:///run/docker.sock",
    "container_name": "caddy",
    "container_id": "c1",
    "program": "caddy",
    "directory": "/etc/caddy/live",
    "files": {"Caddyfile": "respond 200\n"},
    "closed_files": {"Caddyfile": "respond 403\n"},
}
APPLIED = LIVE | {"content_sha256": sha256(b"respond 200\n"), "applied": True}

# A program of one file, whose running configuration is a file too.
STUB = Program(
    ready='test -e "$dir/../ready"',
    validate='if grep invalid "$dir/a"; then echo "Error: $dir/a: invalid"; exit 1; fi',
    apply='if grep refused "$dir/a"; then echo "Error: refused"; exit 1; fi; cp "$dir/a" "$dir/../running"',
    running='cat "$dir/../running"',
)


@pytest.mark.parametrize(
    ("change", "changed", "replaced"),
    [
        ({}, False, []),
        ({"files": {"Caddyfile": "respond 201\n"}}, True, []),
        ({"files": {"allowed/203.0.113.8": "x"}}, True, ["files"]),
        ({"files": {"Caddyfile": "respond 200\n", "more": "x"}}, True, ["files"]),
        ({"files": {"Caddyfile": Unknown()}}, True, []),
        ({"files": Unknown()}, True, []),
        ({"container_id": "c2"}, True, []),
        ({"container_id": Unknown()}, True, []),
        ({"container_name": "caddy-2"}, True, []),
        ({"closed_files": {}}, True, []),
    ],
)
def test_live_files_are_replaced_only_for_other_names(
    change: dict[str, Any], changed: bool, replaced: list[str]
) -> None:
    result = LiveFilesProvider().diff("owner", dict(APPLIED), LIVE | change)
    assert (result.changes, result.replaces or []) == (changed, replaced)


@pytest.mark.parametrize("drift", [{"applied": False}, {"content_sha256": sha256(b"by hand")}])
def test_live_files_are_updated_after_a_drift(drift: dict[str, Any]) -> None:
    result = LiveFilesProvider().diff("owner", APPLIED | drift, LIVE)
    assert (result.changes, result.replaces or []) == (True, [])


def test_the_hash_of_several_files_depends_on_their_names_and_not_their_order() -> None:
    assert content_sha256({"a": "1", "b": "2"}) == content_sha256({"b": "2", "a": "1"})
    assert content_sha256({"a": "1", "b": "2"}) != content_sha256({"a": "2", "b": "1"})
    assert content_sha256({"a": "1"}) == sha256(b"1")


VOLUME: dict[str, Any] = {
    "docker_host": "unix:///run/docker.sock",
    "volume_name": "config",
    "image": "sha256:1",
    "files": {"a": {"content": "x", "uid": 10001.0, "gid": 0.0, "mode": 256.0}},
    "only_if_absent": False,
}


@pytest.mark.parametrize(
    ("change", "changed", "replaced"),
    [
        ({}, False, []),
        ({"files": {"a": {"content": "y", "uid": 10001.0, "gid": 0.0, "mode": 256.0}}}, True, []),
        ({"files": {"a": {"content": "x", "uid": 10001.0, "gid": 0.0, "mode": 292.0}}}, True, []),
        ({"files": {"a": {"content": Unknown(), "uid": 0.0, "gid": 0.0, "mode": 0.0}}}, True, []),
        ({"files": Unknown()}, True, []),
        ({"volume_name": "other"}, True, ["volume_name"]),
        ({"volume_name": Unknown()}, True, []),
        ({"image": Unknown()}, True, []),
    ],
)
def test_volume_files_are_replaced_only_for_another_volume(
    change: dict[str, Any], changed: bool, replaced: list[str]
) -> None:
    lines = f"{sha256(b'x')} 10001:0 400 a\n"
    olds = VOLUME | {"content_sha256": sha256(lines.encode())}
    result = VolumeFilesProvider().diff("id", olds, VOLUME | change)
    assert (result.changes, result.replaces or []) == (changed, replaced)


@pytest.mark.parametrize("path", ["", "/a", "../a", "a/../b", ".hidden", "a/.b", "a b", "a\nb", "a/"])
def test_a_path_that_leads_elsewhere_is_refused(path: str) -> None:
    with pytest.raises(LiveError, match="relative path"):
        check_path(path)


@pytest.mark.parametrize(
    "path", ["Caddyfile", "allowed/nat/203.0.113.7.caddy", "allowed/nat/2001:db8::7.caddy"]
)
def test_a_plain_path_is_taken(path: str) -> None:
    assert check_path(path) == path


class Live:
    """The live directory of a stub program on this machine."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.directory = folder / "live"
        self.directory.mkdir()
        (folder / "ready").touch()

    def apply(
        self, files: dict[str, str], *paths: str, owner: str = "me", action: str = "write"
    ) -> subprocess.CompletedProcess[str]:
        """Stage files and run the script that applies them."""
        staging = self.directory / ".staging-1"
        staging.mkdir()
        for path, text in files.items():
            (staging / "new" / path).parent.mkdir(parents=True, exist_ok=True)
            (staging / "new" / path).write_text(text)
        arguments = [".staging-1", owner, action, *(paths or files)]
        return self._run(render_apply_script(STUB), *arguments)

    def read(self, *paths: str) -> list[str]:
        """What the reading script prints."""
        return self._run(render_read_script(STUB), *paths).stdout.splitlines()

    def files(self) -> dict[str, str]:
        """What lies in the directory, without what is our own."""
        found = [path for path in self.directory.rglob("[!.]*") if path.is_file()]
        names = [str(path.relative_to(self.directory)) for path in found]
        return {name: (self.directory / name).read_text() for name in names if not name.startswith(".")}

    def running(self) -> str:
        """What the stub runs with."""
        return (self.folder / "running").read_text()

    def _run(self, script: str, *arguments: str) -> subprocess.CompletedProcess[str]:
        command = ["sh", "-c", script, "sh", str(self.directory), *arguments]
        return subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)


def listed(text: str) -> str:
    """The reading script's line for `a` with this text."""
    return f"{sha256(text.encode())}  a"


@pytest.fixture
def live(tmp_path: Path) -> Live:
    """A live directory with a stub program that runs with `a`."""
    made = Live(tmp_path)
    assert made.apply({"a": "first\n"}).returncode == 0
    return made


def test_a_change_is_in_place_and_runs(live: Live) -> None:
    done = live.apply({"a": "second\n", "sub/dir/b": "b\n"})
    assert (done.returncode, done.stderr) == (0, "")
    assert live.files() == {"a": "second\n", "sub/dir/b": "b\n"}
    assert live.running() == "second\n"
    assert live.read("a", "gone") == [listed("second\n"), "applied"]
    assert not list(live.directory.glob(".staging*"))


@pytest.mark.parametrize("word", ["invalid", "refused"])
def test_a_refused_change_leaves_everything_as_it_was(live: Live, word: str) -> None:
    done = live.apply({"a": f"{word}\n", "new/b": "b\n"})
    assert done.returncode == 1
    assert readable(done.stderr, ".staging-1").endswith(word)
    assert "staging" not in readable(done.stderr, ".staging-1")
    assert live.files() == {"a": "first\n"}
    assert live.running() == "first\n"
    assert live.read("a") == [listed("first\n"), "applied"]
    assert not list(live.directory.glob(".staging*"))


def test_nothing_is_touched_before_the_program_answers(live: Live) -> None:
    (live.folder / "ready").unlink()
    assert live.apply({"a": "second\n"}).returncode == NOT_READY
    assert live.files() == {"a": "first\n"}
    assert not list(live.directory.glob(".staging*"))


def test_a_change_by_hand_is_seen(live: Live) -> None:
    (live.directory / "a").write_text("by hand\n")
    assert live.read("a") == [listed("by hand\n"), "applied"]
    (live.folder / "running").write_text("by hand\n")
    assert live.read("a") == [listed("by hand\n")]


def test_a_release_closes_and_removes(live: Live) -> None:
    live.apply({"a": "open\n", "sub/b": "b\n"})
    assert live.apply({"a": "closed\n"}, "a", "sub/b", action="release").returncode == 0
    assert live.files() == {"a": "closed\n"}
    assert live.running() == "closed\n"


def test_a_release_leaves_what_another_resource_wrote_since(live: Live) -> None:
    live.apply({"b": "mine\n"}, owner="me")
    live.apply({"b": "theirs\n"}, owner="they")
    assert live.apply({}, "b", owner="me", action="release").returncode == 0
    assert live.files() == {"a": "first\n", "b": "theirs\n"}
    assert live.apply({}, "b", owner="they", action="release").returncode == 0
    assert live.files() == {"a": "first\n"}


@pytest.mark.parametrize("program", sorted(PROGRAMS))
def test_the_scripts_are_sh(program: str) -> None:
    for script in (render_apply_script(PROGRAMS[program]), render_read_script(PROGRAMS[program])):
        subprocess.run(["sh", "-n", "-c", script], check=True)


def test_an_error_is_the_programs_own_without_notices_and_secrets() -> None:
    errors = "\n".join(
        [
            '{"level":"info","ts":1.5,"msg":"using config"}',
            "2026/01/01 10:00:00.000\tINFO\tusing config",
            "Error: adapting: /etc/caddy/live/.staging-ab/tree/Caddyfile:3: bad $2b$14$abcdefghijk./x "
            "http://user:pass@host/",
        ]
    )
    assert readable(errors, ".staging-ab") == (
        "Error: adapting: /etc/caddy/live/Caddyfile:3: bad [hash] http://[login]@host/"
    )


def test_an_error_in_caddys_log_is_told_in_plain_words() -> None:
    errors = '{"level":"warn","msg":"not formatted"}\n{"level":"error","ts":1.5,"msg":"line 3: bad"}'
    assert readable(errors, ".staging-ab") == "Error: line 3: bad"


@pytest.mark.parametrize(
    ("password", "words"),
    [("", "empty"), ("x" * 73, "has 73"), ("é" * 37, "has 74"), ("a\0b", "NUL"), ("a\ud800", "UTF-8")],
)
def test_a_password_that_bcrypt_would_not_take_whole_is_refused(password: str, words: str) -> None:
    with pytest.raises(LiveError, match=words) as raised:
        bcrypt_hash(password)
    assert not password or password not in str(raised.value)
    failures = PasswordHashProvider().check({}, {"password": password}).failures
    # Pulumi prints the value of a property that a failure names.
    assert [failure.property for failure in failures] == [""]


def test_a_password_is_hashed_once() -> None:
    provider = PasswordHashProvider()
    password = "é" * 36
    outs = provider.create({"password": password}).outs or {}
    assert outs["bcrypt_hash"].startswith("$2b$14$")
    assert bcrypt.checkpw(password.encode(), outs["bcrypt_hash"].encode())
    assert provider.diff("id", outs, {"password": password}).changes is False
    assert provider.diff("id", outs, {"password": "other"}).changes is True
    assert provider.diff("id", outs, {"password": Unknown()}).changes is True
    same = provider.update("id", outs, {"password": password}).outs or {}
    assert same["bcrypt_hash"] == outs["bcrypt_hash"]
    other = provider.update("id", outs, {"password": "other"}).outs or {}
    assert bcrypt.checkpw(b"other", other["bcrypt_hash"].encode())


def test_a_password_that_is_not_known_yet_is_not_refused() -> None:
    assert PasswordHashProvider().check({}, {"password": Unknown()}).failures == []


def test_a_generated_password_stays() -> None:
    provider = GeneratedPasswordProvider()
    first, second = ((provider.create({}).outs or {})["value"] for _ in range(2))
    assert len(first) == 32
    assert first != second
    assert provider.diff("id", {"value": first}, {}).changes is False


@pytest.mark.parametrize(
    "provider",
    [LiveFilesProvider, VolumeFilesProvider, PasswordHashProvider, GeneratedPasswordProvider],
)
def test_a_provider_is_a_short_reference_in_the_state(provider: type[ResourceProvider]) -> None:
    pickled = dill.dumps(provider(), recurse=True)
    assert provider.__module__.encode() in pickled
    assert len(pickled) < 150
