"""The dynamic resources' decisions and scripts, without a Docker Engine."""

from __future__ import annotations

import re
import subprocess
import traceback
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import bcrypt
import dill
import pytest
from docker.errors import NotFound
from pulumi.dynamic import Config, ConfigureRequest, CreateResult, ResourceProvider
from pulumi.output import Unknown

from components.live import password_hash
from components.live.confirmation import Confirmation
from components.live.docker_host import (
    HELPER_LABEL,
    HELPER_SECONDS,
    LiveError,
    Ran,
    check_path,
    read_by_script,
    run_script,
    sha256,
    volume_helper,
)
from components.live.files import LiveFiles, LiveFilesProvider, content_sha256
from components.live.password_hash import (
    GeneratedPasswordProvider,
    PasswordHashProvider,
    bcrypt_hash,
)
from components.live.password_rule import password_problem
from components.live.program_errors import readable
from components.live.programs import (
    NOT_CONFIRMED,
    NOT_READY,
    NOT_RESTORED,
    NOT_STAGED,
    PROGRAMS,
    STALE_MINUTES,
    render_apply_script,
    render_end_script,
    render_read_script,
)
from components.live.provider import LiveProvider
from components.live.volume_files import VolumeFilesProvider
from components.stack.settings import parse
from components.values.errors import SettingsError
from tests.support.live_directory import STUB, TRIED, Live

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
    assert live.leftovers() == []


@pytest.mark.parametrize("word", ["invalid", "refused"])
def test_a_refused_change_leaves_everything_as_it_was(live: Live, word: str) -> None:
    done = live.apply({"a": f"{word}\n", "new/b": "b\n"})
    assert done.returncode == 1
    assert readable(done.stderr).endswith(word)
    assert ".tree" not in readable(done.stderr)
    assert live.files() == {"a": "first\n"}
    assert live.running() == "first\n"
    assert live.read("a") == [listed("first\n"), "applied"]
    assert live.leftovers() == []


def test_nothing_changes_before_the_program_answers(live: Live) -> None:
    (live.folder / "ready").unlink()
    assert live.apply({"a": "second\n"}).returncode == NOT_READY
    assert live.files() == {"a": "first\n"}
    assert live.leftovers() == []


def test_a_change_by_hand_is_found(live: Live) -> None:
    (live.directory / "a").write_text("by hand\n")
    assert live.read("a") == [listed("by hand\n")]
    (live.folder / "running").write_text("by hand\n")
    assert live.read("a") == [listed("by hand\n"), "applied"]
    (live.folder / "running").write_text("another\n")
    assert live.read("a") == [listed("by hand\n")]


def test_a_program_that_runs_with_something_else_has_failed(live: Live) -> None:
    done = live.apply({"a": "misread\n"})
    assert done.returncode == 1
    assert "what runs is not what the files say" in readable(done.stderr)
    assert (live.files(), live.running()) == ({"a": "first\n"}, "first\n")
    assert live.leftovers() == []


def test_a_refused_change_keeps_the_running_configuration_even_if_it_is_not_ours(live: Live) -> None:
    (live.folder / "running").write_text("by hand\n")
    assert live.apply({"a": "refused\n"}).returncode == 1
    assert live.running() == "by hand\n"


def test_a_failed_restoration_is_reported(live: Live) -> None:
    (live.directory / "a").write_text("refused\n")
    assert live.apply({"a": "misread\n"}).returncode == NOT_RESTORED


def test_files_that_an_editor_replaced_are_taken_over(live: Live) -> None:
    live.apply({"sub/b": "b\n"})
    for name in ("a", "by hand"):
        (live.directory / "part").write_text("by hand\n")
        (live.directory / "part").rename(live.directory / name)
    (live.directory / "sub").unlink()
    (live.directory / "sub").mkdir()
    (live.directory / "sub/c").write_text("c\n")
    assert live.apply({"sub/b": "new\n"}).returncode == 0
    # A folder only has files that a resource has written.
    seen = {"a": "by hand\n", "by hand": "by hand\n", "sub/b": "new\n"}
    assert live.files() == seen
    assert live.leftovers() == []
    assert live.apply({"a": "second\n"}).returncode == 0
    assert live.files() == seen | {"a": "second\n"}


def test_a_foreign_file_in_a_folder_is_found_and_removed(live: Live) -> None:
    live.apply({"sub/b": "b\n"})
    assert live.read("a")[-1] == "applied"
    for name in ("c", "by hand", "e/f"):
        (live.directory / "sub" / name).parent.mkdir(exist_ok=True)
        (live.directory / "sub" / name).write_text("c\n")
    assert live.read("a") == [listed("first\n")]
    live.apply({"a": "second\n"})
    assert live.files() == {"a": "second\n", "sub/b": "b\n"}
    assert live.read("a")[-1] == "applied"


def test_a_folder_in_a_files_place_is_fixed(live: Live) -> None:
    live.apply({"sub/b": "b\n"})
    (live.directory / "sub/b").unlink()
    (live.directory / "sub/b/c").mkdir(parents=True)
    assert live.apply({"a": "refused\n"}).returncode == 1
    assert (live.directory / "sub/b/c").is_dir()
    assert live.apply({"sub/b": "new\n"}).returncode == 0
    assert live.files() == {"a": "first\n", "sub/b": "new\n"}


def test_a_name_that_was_removed_by_hand_comes_back(live: Live) -> None:
    (live.directory / "a").unlink()
    assert live.read("a") == []
    assert live.apply({"a": "first\n"}).returncode == 0
    assert live.files() == {"a": "first\n"}


def test_files_that_another_run_removed_have_to_be_staged_again(live: Live) -> None:
    waiting, other = live.stage({"a": "waiting\n"}), live.stage({"a": "other\n"}, work="else")
    assert live.apply({"a": "second\n"}).returncode == 0
    assert not (live.directory / waiting).exists()
    assert (live.directory / other).exists()
    done = live.run(render_apply_script(STUB), waiting, "me", "write", "0", "a")
    assert done.returncode == NOT_STAGED
    assert live.files() == {"a": "second\n"}


def test_a_staging_that_was_never_finished_goes_in_time(live: Live) -> None:
    unfinished = live.directory / live.stage({"a": "x\n"}, work="else")
    (unfinished / "whole").unlink()
    assert live.apply({"a": "second\n"}).returncode == 0
    assert unfinished.exists()
    # A test can't make a folder that is an hour old for the kernel.
    script = render_apply_script(STUB)
    hurried = script.replace(f"-cmin +{STALE_MINUTES} ", "-cmin -1 ! -path '*-work-*' ")
    assert hurried != script
    assert live.run(hurried, live.stage({"a": "third\n"}), "me", "write", "0", "a").returncode == 0
    assert not unfinished.exists()


def test_a_release_closes_and_removes(live: Live) -> None:
    live.apply({"a": "open\n", "sub/b": "b\n"})
    live.apply({"sub/c": "c\n"})
    closed = {"a": "closed\n", "sub/c": "closed\n"}
    for _ in range(2):
        assert live.apply(closed, "a", "sub/b", "sub/c", action="release").returncode == 0
        assert live.files() == closed
        assert live.running() == "closed\n"


def test_a_release_leaves_what_another_resource_wrote_since(live: Live) -> None:
    live.apply({"b": "mine\n"}, owner="me")
    live.apply({"b": "theirs\n"}, owner="they")
    assert live.apply({}, "b", owner="me", action="release").returncode == 0
    assert live.files() == {"a": "first\n", "b": "theirs\n"}
    assert live.apply({}, "b", owner="they", action="release").returncode == 0
    assert live.files() == {"a": "first\n"}


def test_files_on_trial_run_and_are_not_in_place(live: Live) -> None:
    staging = live.begin("second\n")
    assert (live.files(), live.running()) == ({"a": "first\n"}, "second\n")
    assert (live.folder / "trial").read_text() == "7\n"
    assert live.end(staging, "keep") == 0
    assert (live.files(), live.running()) == ({"a": "second\n"}, "second\n")
    assert not (live.folder / "trial").exists()
    assert live.leftovers() == []


def test_files_that_may_not_stay_are_reverted(live: Live) -> None:
    staging = live.begin("second\n")
    assert live.end(staging, "drop") == 0
    assert (live.files(), live.running()) == ({"a": "first\n"}, "first\n")
    assert not (live.folder / "trial").exists()
    assert live.leftovers() == []


def test_a_trial_that_was_over_confirms_nothing(live: Live) -> None:
    staging = live.begin("second\n")
    live.over()
    assert live.end(staging, "keep") == NOT_CONFIRMED
    assert (live.files(), live.running()) == ({"a": "first\n"}, "first\n")
    assert live.leftovers() == []


def test_a_trial_can_be_ended_by_an_update_that_does_not_know_it(live: Live) -> None:
    live.begin("second\n")
    assert live.end(".staging-other-0123", "drop") == 0
    assert (live.files(), live.running()) == ({"a": "first\n"}, "first\n")
    assert live.leftovers() == []


def test_another_change_waits_for_a_trial_and_keeps_its_files(live: Live) -> None:
    staging = live.begin("second\n")
    assert live.apply({"a": "third\n"}, program=TRIED).returncode == NOT_READY
    assert live.end(staging, "keep") == 0
    assert live.files() == {"a": "second\n"}
    live.begin("fourth\n")
    live.over()
    assert live.apply({"a": "third\n"}, program=TRIED).returncode == 0
    assert (live.files(), live.leftovers()) == ({"a": "third\n"}, [])


@pytest.mark.parametrize(("text", "words"), [("refused\n", "refused"), ("misread\n", "what runs is not")])
def test_files_that_the_program_does_not_take_on_trial_are_refused(live: Live, text: str, words: str) -> None:
    done = live.apply({"a": text}, seconds=7, program=TRIED)
    assert done.returncode == 1
    assert words in readable(done.stderr)
    assert (live.files(), live.running()) == ({"a": "first\n"}, "first\n")
    assert not (live.folder / "trial").exists()
    assert live.leftovers() == []


def test_a_program_without_a_trial_is_refused_one() -> None:
    wanted = Confirmation(seconds=1, ssh_port=22)
    with pytest.raises(LiveError, match="caddy: it can't run with files for a trial"):
        LiveFiles(
            "name",
            docker_host="unix:///nowhere",
            container_name="c",
            container_id="c",
            program="caddy",
            directory="/d",
            files={},
            closed_files={},
            confirmation=wanted,
        )


# Names of signals, programs' variables, HTTP answers, and comments.
LEFT_IN_CAPITALS = {
    *("EXIT", "EX_NOPERM", "GF_PATHS_HOME", "HTTP", "NAME", "OWNERS", "PORT_GUARD_LOCKED", "POST", "ROOT")
}


@pytest.mark.parametrize("program", sorted(PROGRAMS))
def test_the_scripts_are_sh(program: str) -> None:
    for render in (render_apply_script, render_end_script, render_read_script):
        script = render(PROGRAMS[program])
        subprocess.run(["sh", "-n", "-c", script], check=True)
        # All words have values, and the lines for shellcheck are left out.
        assert set(re.findall(r"(?<![\w$])[A-Z][A-Z_]{3,}", script)) <= LEFT_IN_CAPITALS
        assert "shellcheck" not in script


def test_an_error_is_the_programs_own_without_notices_and_secrets() -> None:
    errors = "\n".join(
        [
            '{"level":"info","ts":1.5,"msg":"using config"}',
            "2026/01/01 10:00:00.000\tINFO\tusing config",
            "Error: adapting: /etc/caddy/live/.tree-ab01/Caddyfile:3: bad $2b$14$abcdefghijk./x "
            "http://user:pass@host/",
        ]
    )
    assert readable(errors) == (
        "Error: adapting: /etc/caddy/live/Caddyfile:3: bad [hash] http://[login]@host/"
    )


def test_an_error_in_caddys_log_is_readable() -> None:
    errors = '{"level":"warn","msg":"not formatted"}\n{"level":"error","ts":1.5,"msg":"line 3: bad"}'
    assert readable(errors) == "Error: line 3: bad"
    assert readable(f"{errors}\n{errors}") == "Error: line 3: bad"


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


def test_a_hash_has_the_agreed_cost() -> None:
    assert bcrypt_hash("a password").startswith("$2b$14$")


@pytest.fixture
def cheap(monkeypatch: pytest.MonkeyPatch) -> None:
    """Fast hashes, with bcrypt's least cost."""
    monkeypatch.setattr(password_hash, "COST", 4)


@pytest.mark.usefixtures("cheap")
def test_a_password_is_hashed_once() -> None:
    provider = PasswordHashProvider()
    password = "é" * 36
    outs = provider.create({"password": password}).outs or {}
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


@pytest.mark.parametrize("password", ["", "x" * 73, "a\0b", "a\ud800"])
def test_the_settings_refuse_a_password_in_the_same_words(password: str) -> None:
    tree = {"grafana": {"enabled": True, "adminPassword": password}}
    with pytest.raises(SettingsError) as raised:
        parse(tree)
    assert password_problem(password) in [line.partition(": ")[2] for line in str(raised.value).splitlines()]


class Mistaken(LiveProvider):
    """A provider with a mistake."""

    def create(self, props: dict[str, Any]) -> CreateResult:
        """Fail in one of two ways."""
        if props:
            raise LiveError("caddy refused the files")
        return CreateResult(props["id"])


def test_a_failure_is_reported_without_a_traceback_and_a_mistake_with_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    provider = Mistaken()
    # Like Pulumi in the plugin's process, and only for this test.
    monkeypatch.setattr("sys.tracebacklimit", 1000, raising=False)
    provider.configure(ConfigureRequest(config=Config({}, "project")))
    reports: list[str] = []
    for props in ({"id": "a"}, {}):
        try:
            provider.create(props)
        except Exception:
            reports.append(traceback.format_exc())
    expected, mistake = reports
    assert expected == "components.live.docker_host.LiveError: caddy refused the files\n"
    assert 'return CreateResult(props["id"])' in mistake


class Engine:
    """A container whose scripts run here; the engine loses the output of some."""

    name = "a-container"

    def __init__(self, *lost: tuple[bool, bool]) -> None:
        # Whether the first and the second output is lost, per run; later runs lose none.
        self.lost = list(lost)
        self.runs = 0

    def exec_run(self, command: list[str], *, demux: bool) -> Any:
        """Like Docker's SDK."""
        assert demux
        self.runs += 1
        done = subprocess.run(command, capture_output=True, check=False)
        lost = self.lost.pop(0) if self.lost else (False, False)
        printed = (done.stdout, done.stderr)
        output = tuple(None if gone else text for gone, text in zip(lost, printed, strict=True))
        return SimpleNamespace(exit_code=done.returncode, output=output)


SAYS = 'printf "out %s" "$1"; echo err >&2; exit 3'


def test_a_scripts_output_is_separated_from_its_mark() -> None:
    ran = run_script(cast(Any, Engine()), SAYS, "a b")
    assert ran == Ran(status=3, output="out a b", errors="err\n", is_whole=True)
    killed = run_script(cast(Any, Engine()), "kill -9 $$")
    assert killed is not None
    assert (killed.status, killed.output, killed.is_whole) == (137, "", True)


@pytest.mark.parametrize("lost", [(True, False), (False, True), (True, True)])
def test_lost_output_is_noticed_and_read_again(lost: tuple[bool, bool]) -> None:
    ran = run_script(cast(Any, Engine(lost)), SAYS)
    assert ran is not None
    assert (ran.status, ran.is_whole) == (3, False)
    engine = Engine(lost, lost)
    ran = read_by_script(cast(Any, engine), SAYS, "x")
    assert (ran, engine.runs) == (Ran(status=3, output="out x", errors="err\n", is_whole=True), 3)
    with pytest.raises(LiveError, match="a-container: 5 times the Docker Engine lost a script's output"):
        read_by_script(cast(Any, Engine(*[lost] * 5)), SAYS)


class Helpers:
    """The engine's API for helper containers."""

    def __init__(self) -> None:
        self.now = 1_000_000
        # Each container's creation time and volume, by name, which is also its id.
        self.there: dict[str, tuple[int, str]] = {}
        self.containers = self.api = self

    def get(self, name: str) -> Any:
        if name not in self.there:
            raise NotFound(name)
        return SimpleNamespace(id=name, name=name, remove=lambda force: self.remove_container(name, force))

    def create(self, image: str, *, name: str, labels: dict[str, str], **_: Any) -> Any:
        assert image == "image"
        assert name not in self.there
        self.there[name] = (self.now, labels[HELPER_LABEL])
        return self.get(name)

    def __call__(self, *, all: bool, filters: dict[str, str]) -> list[dict[str, Any]]:  # noqa: A002
        """The list of `api.containers`."""
        assert all
        label, _, volume = filters["label"].partition("=")
        assert label == HELPER_LABEL
        return [{"Id": name, "Created": at} for name, (at, of) in self.there.items() if of == volume]

    def remove_container(self, name: str, force: bool) -> None:
        assert force
        del self.there[name]

    def helping(self, purpose: str | None = None) -> Any:
        return volume_helper(cast("Any", self), "data", "image", purpose)

    def leave(self, purpose: str | None = None) -> str:
        """The helper of a killed run."""
        with self.helping(purpose) as made:
            name = made.name
        self.there[name] = (self.now, "data")
        return name


class TestHelpers:
    def test_a_reader_disturbs_neither_an_update_nor_another_reader(self) -> None:
        """Like a search for drift while `pulumi up` writes: it takes no lock."""
        engine = Helpers()
        with engine.helping("Caddyfile") as writing:
            with engine.helping() as looking, engine.helping() as other:
                assert len({writing.name, looking.name, other.name}) == 3
                assert set(engine.there) == {writing.name, looking.name, other.name}
            assert set(engine.there) == {writing.name}
        assert engine.there == {}

    def test_a_killed_updates_helper_is_removed_by_the_next_update(self) -> None:
        engine = Helpers()
        killed = engine.leave("Caddyfile")
        with engine.helping("Caddyfile") as again:
            assert again.name == killed
        assert engine.there == {}

    def test_a_killed_readers_helper_is_removed_when_it_is_too_old_to_be_in_use(self) -> None:
        engine = Helpers()
        engine.there["of another volume"] = (0, "other")
        killed = engine.leave()
        engine.now += HELPER_SECONDS
        with engine.helping():
            assert killed in engine.there
        engine.now += 1
        with engine.helping():
            assert killed not in engine.there
        assert set(engine.there) == {"of another volume"}
