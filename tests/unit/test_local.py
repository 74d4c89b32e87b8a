"""The parts of `make up` that need no Docker and no network."""

from __future__ import annotations

import ast
import hashlib
import json
import os
import re
import socket
import subprocess
import sys
import tarfile
import time
from contextlib import AbstractContextManager
from pathlib import Path

import pytest
import yaml

from local import (
    cache,
    docker_plugin,
    downloads,
    emulator,
    environment,
    go,
    images,
    install,
    local_world,
    paths,
    processes,
    pulumi,
    pulumi_cli,
    pulumi_plugins,
    say,
    settings,
    stack_file,
    system,
    venv,
)
from local.say import Problem
from rig import stack
from rig.stand_ins import debian
from rig.stand_ins.root_files import NET_BIND_SERVICE, RootFiles

STACK_TEXT = """\
# A comment.
config:
  campus-monitor:edge:
    httpPort: 18080 # as a person wrote it
  campus-monitor:grafana:
    # dashboards
    enabled: true
  campus-monitor:portPolicy:
    enabled: false
"""
SALT = "encryptionsalt: v1:abc=:v1:def:ghi=\n"


@pytest.fixture
def stack_settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = tmp_path / "Pulumi.local.yaml"
    path.write_text(STACK_TEXT)
    monkeypatch.setattr(stack_file, "STACK_SETTINGS", path)
    monkeypatch.setattr(stack_file, "RECORD", tmp_path / "record.json")
    return path


class TestCache:
    def test_key_depends_on_names_contents_and_borders(self, tmp_path: Path) -> None:
        folder = tmp_path / "one"
        folder.mkdir()
        (folder / "a").write_text("x")
        before = cache.key_of(folder)
        assert cache.key_of(folder) == before
        (folder / "a").rename(folder / "b")
        assert cache.key_of(folder) != before
        assert cache.key_of("ab", "c") != cache.key_of("a", "bc")

    def test_folder_is_whole_only_after_the_block(self, tmp_path: Path) -> None:
        folder = tmp_path / "made"
        with cache.new_folder(folder, "k1") as made:
            (made / "file").write_text("1")
            assert not folder.exists()
        assert cache.is_whole(folder, "k1")
        assert not cache.is_whole(folder, "k2")

    def test_failure_keeps_the_old_folder_and_leaves_nothing(self, tmp_path: Path) -> None:
        folder = tmp_path / "made"
        with cache.new_folder(folder, "k1") as made:
            (made / "file").write_text("1")
        with pytest.raises(OSError, match="half way"):
            self._fail_half_way(cache.new_folder(folder, "k2"))
        assert (folder / "file").read_text() == "1"
        assert [path.name for path in tmp_path.iterdir()] == ["made"]

    def test_a_killed_process_leftovers_are_removed(self, tmp_path: Path) -> None:
        (tmp_path / ".made.abc" / "whole").mkdir(parents=True)
        (tmp_path / ".other.abc").mkdir()
        with cache.new_folder(tmp_path / "made", "k"):
            pass
        assert {path.name for path in tmp_path.iterdir()} == {"made", ".other.abc"}

    def test_file_appears_whole_or_not_at_all(self, tmp_path: Path) -> None:
        with pytest.raises(OSError, match="half way"):
            self._fail_half_way(cache.new_file(tmp_path / "f"))
        assert list(tmp_path.iterdir()) == []

    @staticmethod
    def _fail_half_way(new: AbstractContextManager[Path]) -> None:
        with new as made:
            (made / "file" if made.is_dir() else made).write_text("2")
            raise OSError("half way")


class TestRefusals:
    def test_are_remembered_for_hours_and_forgotten(self, tmp_path: Path) -> None:
        refusals = cache.Refusals(tmp_path / "refusals.json")
        assert not refusals.remembers("route")
        refusals.remember("route")
        assert cache.Refusals(tmp_path / "refusals.json").remembers("route")
        assert not refusals.remembers("other")
        refusals.forget("route")
        assert not refusals.remembers("route")

    def test_a_refusal_is_a_problem_if_only_official_downloads_count(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        refusals = cache.Refusals(tmp_path / "refusals.json")
        refusals.remember("route")
        monkeypatch.setenv("CAMPUS_MONITOR_OFFICIAL_ONLY", "1")
        # It is tried again, whatever an earlier run remembered.
        assert not refusals.remembers("route")
        with pytest.raises(Problem, match="route: refused, and with CAMPUS_MONITOR_OFFICIAL_ONLY"):
            refusals.remember("route")

    @pytest.mark.parametrize("age", [cache.REFUSAL_SECONDS + 1, -3600])
    def test_refusals_that_are_old_or_from_the_future_do_not_count(self, tmp_path: Path, age: int) -> None:
        path = tmp_path / "refusals.json"
        path.write_text(json.dumps({"route": time.time() - age}))
        assert not cache.Refusals(path).remembers("route")

    def test_a_test_run_outlasts_them(self, tmp_path: Path) -> None:
        path = tmp_path / "refusals.json"
        path.write_text(json.dumps({"docker pull nginx:1": time.time() - cache.REFUSAL_SECONDS - 1}))
        refusals = cache.Refusals(path)
        asked = images.Images(refusals, load=False)
        assert asked.was_refused("nginx:1")
        assert not asked.refused_lately("nginx:1")
        refusals.forget("docker pull nginx:1")
        assert not asked.was_refused("nginx:1")

    @pytest.mark.parametrize("text", ["", "{", "[]", '{"route": "yesterday"}'])
    def test_a_broken_file_remembers_nothing(self, tmp_path: Path, text: str) -> None:
        path = tmp_path / "refusals.json"
        path.write_text(text)
        refusals = cache.Refusals(path)
        assert not refusals.remembers("route")
        refusals.remember("route")
        assert refusals.remembers("route")


class TestEnvironment:
    def test_file_says_what_our_own_commands_get(self, tmp_path: Path) -> None:
        made = environment.Environment((tmp_path / "with space", tmp_path / "b"))
        file = tmp_path / "env"
        file.write_text(made.file_text())
        shown = subprocess.run(
            ["sh", "-c", '. "$0" && env', str(file)],
            env={"PATH": "/usr/bin:/bin"},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        variables = dict(line.split("=", 1) for line in shown.splitlines() if "=" in line)
        assert variables["PATH"] == f"{tmp_path}/with space:{tmp_path}/b:/usr/bin:/bin"
        for name, value in made.variables().items():
            assert variables[name] == value

    def test_ours_come_first_and_only_once(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("PATH", f"/usr/bin:{tmp_path}")
        made = environment.Environment((tmp_path,)).of_process()
        assert made["PATH"] == f"{tmp_path}:/usr/bin"

    def test_plugins_come_before_pulumi_only_where_wanted(self, tmp_path: Path) -> None:
        assert environment.make(tmp_path, ()).path[:2] == (paths.VENV / "bin", tmp_path)
        with_plugins = environment.make(tmp_path, (tmp_path / "a", tmp_path / "b")).path
        assert with_plugins[:4] == (paths.VENV / "bin", tmp_path / "a", tmp_path / "b", tmp_path)


class TestStackFile:
    def test_everything_comes_back_exactly(self, stack_settings: Path) -> None:
        stack_file.keep_before()
        stack_settings.write_text(STACK_TEXT + SALT)
        stack_file.keep_after()
        stack_settings.write_text(stack_settings.read_text().replace("true", "false"))
        stack_file.keep_after(grafana_off=True)
        assert stack_file.we_turned_grafana_off()
        stack_file.keep_before()  # a second make up
        stack_file.take_back()
        assert stack_settings.read_text() == STACK_TEXT
        assert not stack_file.RECORD.exists()

    def test_a_persons_changes_stay(self, stack_settings: Path) -> None:
        stack_file.keep_before()
        changed = STACK_TEXT.replace("true", "false") + SALT
        stack_settings.write_text(changed)
        stack_file.keep_after(grafana_off=True)
        stack_settings.write_text(changed.replace("18080", "28080"))
        stack_file.take_back()
        assert stack_settings.read_text() == STACK_TEXT.replace("18080", "28080")

    def test_a_grafana_that_a_person_turned_off_stays_off(self, stack_settings: Path) -> None:
        off = STACK_TEXT.replace("true", "false")
        stack_settings.write_text(off)
        stack_file.keep_before()
        stack_settings.write_text("# mine\n" + off + SALT)
        stack_file.take_back()
        assert stack_settings.read_text() == "# mine\n" + off

    def test_without_a_record_nothing_is_touched(self, stack_settings: Path) -> None:
        stack_settings.write_text(STACK_TEXT + SALT)
        stack_file.take_back()
        assert stack_settings.read_text() == STACK_TEXT + SALT

    def test_a_stray_salt_is_not_taken_for_a_persons(self, stack_settings: Path) -> None:
        stack_settings.write_text(STACK_TEXT + SALT)
        stack_file.keep_before()
        stack_file.remove_salt()
        assert stack_settings.read_text() == STACK_TEXT
        stack_file.take_back()
        assert stack_settings.read_text() == STACK_TEXT


class TestSettings:
    def test_of_the_local_stack_are_understood(self) -> None:
        local = settings.read()
        # The network's address plus the port.
        assert local.backends == {
            "aws": "http://172.29.12.28:3100",
            "test": "http://172.29.12.127:3199",
            "prometheus": "http://172.29.35.130:9090",
        }
        assert local.place.http_port != 80
        assert local.place.https_port != 443
        assert emulator.address(local.place.emulator)[0] == "127.0.0.1"
        needed = install.needed_images(local)
        assert needed[0] == images.BASE
        assert needed[-1] == images.PROBE
        assert not {local.images["grafana"], local.images["alloy"]} & set(needed)

    def test_settings_that_the_program_refuses_are_found_before_anything_is_created(
        self, tmp_path: Path
    ) -> None:
        path = tmp_path / "Pulumi.local.yaml"
        text = paths.STACK_SETTINGS.read_text()
        path.write_text(text.replace("  campus-monitor:loki:", "  campus-monitor:loki:\n    x: 1"))
        with pytest.raises(Problem, match=r"campus-monitor:loki\.x: unknown key"):
            settings.read(tmp_path)
        # `make down` still finds its place.
        assert settings.place(folder=tmp_path) == settings.place()
        path.write_text(text.replace("  campus-monitor:edge:", "  campus-monitor:edge:\n    x: 1"))
        with pytest.raises(Problem, match=r"campus-monitor:edge\.x: unknown key"):
            settings.place(folder=tmp_path)
        path.unlink()
        with pytest.raises(Problem, match="is missing"):
            settings.read(tmp_path)

    def test_tests_start_from_the_settings_that_make_up_found(self, monkeypatch: pytest.MonkeyPatch) -> None:
        found = stack.local_settings()
        off = stack.merged(found, {"grafana": {"enabled": False}})
        monkeypatch.setattr(stack, "settings_of", lambda _: off)
        monkeypatch.setattr(stack_file, "we_turned_grafana_off", lambda: True)
        assert found["grafana"]["enabled"]
        assert stack.local_settings() == found

    def test_every_docker_host_of_a_stack_is_known_once(self, tmp_path: Path) -> None:
        tree = {
            "campus": {
                "dockerHost": "ssh://one",
                "address": "10.20.0.11",
                "otherHosts": {
                    "log2": {"dockerHost": "ssh://two:22", "address": "10.20.0.12"},
                    "log3": {"dockerHost": "ssh://three", "address": "10.20.0.13"},
                },
            },
            "edge": {"domain": "campus.example", "tls": "internal"},
            "shippers": {"log3": {"dockerHost": "ssh://three", "loki": "test", "account": "admin"}},
            "aws": {"region": "ap-northeast-2"},
        }
        config = {f"campus-monitor:{area}": value for area, value in tree.items()}
        (tmp_path / "Pulumi.x.yaml").write_text(yaml.safe_dump({"config": config, "encryptionsalt": "v1:x"}))
        place = settings.place("x", tmp_path)
        assert place.docker_hosts == ["ssh://one", "ssh://two:22", "ssh://three"]
        assert (place.emulator, place.decrypted_by) == ("", "encryptionsalt")


class TestPorts:
    def test_a_taken_port_is_named_with_its_key(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(processes, "RUN", tmp_path)
        with socket.socket() as taken:
            taken.bind(("127.0.0.1", 0))
            taken.listen()
            port = taken.getsockname()[1]
            assert not system.port_is_free(port)
            assert not system.port_is_free(port, "127.0.0.1")
            with pytest.raises(Problem) as raised:
                emulator.check_port(f"http://127.0.0.1:{port}")
        assert system.port_is_free(port)
        assert str(port) in str(raised.value)
        assert "campus-monitor:aws.emulator in Pulumi.local.yaml" in str(raised.value)

    def test_the_local_stack_needs_an_emulator(self) -> None:
        with pytest.raises(Problem, match="loopback URL"):
            emulator.address("")


class TestProcesses:
    @pytest.fixture(autouse=True)
    def _run_folder(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(processes, "RUN", tmp_path)

    def test_ends_only_what_it_started(self) -> None:
        processes.start("sleeper", [sys.executable, "-c", "import time; time.sleep(600)"])
        pid = processes.pid_of("sleeper")
        assert pid is not None
        assert processes.stop("sleeper")
        assert processes.began(pid) is None
        assert not processes.stop("sleeper")

    def test_another_process_with_the_same_pid_is_left_alone(self, tmp_path: Path) -> None:
        (tmp_path / "other.json").write_text(json.dumps({"pid": os.getpid(), "began": "1"}))
        assert processes.pid_of("other") is None
        assert not processes.stop("other")

    def test_a_program_that_ends_at_once_is_a_problem_with_its_words(self) -> None:
        processes.start("failing", [sys.executable, "-c", "raise SystemExit('no such thing')"])
        with pytest.raises(Problem, match="failing did not start: no such thing"):
            processes.wait_for_start("failing", lambda: False, 30)


class TestImages:
    @pytest.fixture(autouse=True)
    def _cache(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("CAMPUS_MONITOR_CACHE", str(tmp_path))

    @staticmethod
    def _put(image: str, key: str, origin: str) -> None:
        tar = images.tar_of(image)
        tar.parent.mkdir(exist_ok=True)
        tar.write_bytes(b"")
        stamp = {"key": key, "id": "sha256:1", "origin": origin}
        tar.with_suffix(".json").write_text(json.dumps(stamp))

    def test_tar_has_the_images_name(self) -> None:
        assert images.tar_of("grafana/loki:3.7.8").name == "grafana_loki_3.7.8.tar"
        assert images.tar_of("a/b@sha256:0").name == "a_b_sha256_0.tar"

    def test_an_image_made_here_counts_only_while_the_refusal_is_recent(self) -> None:
        refusals = cache.Refusals()
        key = images.stand_in_images.STAND_INS[images.BASE].key()
        self._put(images.BASE, key, "stand-in")
        assert not images.Images(refusals, load=False).ready(images.BASE)
        refusals.remember(f"docker pull {images.BASE}")
        assert images.Images(refusals, load=False).ready(images.BASE)
        self._put(images.BASE, "another recipe", "stand-in")
        assert not images.Images(refusals, load=False).ready(images.BASE)

    def test_a_pulled_image_stays(self) -> None:
        self._put("nginx:1", "nginx:1", "pull")
        assert images.Images(cache.Refusals(), load=False).ready("nginx:1")

    def test_half_a_tar_does_not_count(self) -> None:
        images.tar_of("nginx:1").parent.mkdir()
        images.tar_of("nginx:1").write_bytes(b"half")
        assert not images.Images(cache.Refusals(), load=False).ready("nginx:1")

    def test_our_own_image_changes_with_its_base(self) -> None:
        self._put(images.BASE, images.BASE, "pull")
        key = images._build_key(paths.ROOT / "images" / "probe")
        self._put(images.PROBE, key, "build")
        assert images.Images(cache.Refusals(), load=False).ready(images.PROBE)
        self._put(images.PROBE, "older context", "build")
        assert not images.Images(cache.Refusals(), load=False).ready(images.PROBE)


class TestRootFiles:
    def test_same_files_give_the_same_tar(self, tmp_path: Path) -> None:
        program = tmp_path / "program"
        program.write_bytes(b"\x7fELF")
        made = [tmp_path / "1.tar", tmp_path / "2.tar"]
        for tar in made:
            with RootFiles(tar) as files:
                files.folder("/loki", owner=10001)
                files.text("etc/passwd", "root\n")
                files.link("bin/sh", "/bin/busybox")
                files.program("usr/bin/caddy", program, capability=NET_BIND_SERVICE)
        assert made[0].read_bytes() == made[1].read_bytes()
        with tarfile.open(made[0]) as archive:
            assert archive.getmember("loki").uid == 10001
            caddy = archive.getmember("usr/bin/caddy")
            assert caddy.mode == 0o755
            capability = caddy.pax_headers["SCHILY.xattr.security.capability"].encode()
            assert capability == NET_BIND_SERVICE
            assert len(capability) == 20


class TestDebian:
    def test_sources_are_the_machines_own(self) -> None:
        listed = (
            "http://mirror.test/debian/ trixie Debian main\n"
            "http://mirror.test/debian/ trixie-updates Debian main\n"
            "http://mirror.test/security/ trixie-security Debian main\n"
            "http://other.test/ nodistro Node main\n"
        )
        found = debian.parse_sources(listed)
        assert [(one.uri, one.suite) for one in found] == [
            ("http://mirror.test/debian/", "bookworm"),
            ("http://mirror.test/security/", "bookworm-security"),
        ]

    def test_another_distribution_has_none(self) -> None:
        assert debian.parse_sources("http://mirror.test/ubuntu/ noble Ubuntu main\n") == []


class TestLocalWorld:
    @pytest.mark.parametrize(
        ("allowed", "gateway", "stranger"),
        [
            ("203.0.113.7", "203.0.113.1", "203.0.113.8"),
            ("203.0.113.1", "203.0.113.2", "203.0.113.3"),
            ("203.0.113.254", "203.0.113.1", "203.0.113.2"),
        ],
    )
    def test_world_has_three_different_addresses(self, allowed: str, gateway: str, stranger: str) -> None:
        world = local_world.world_around(allowed)
        assert (world.network, world.gateway, world.stranger) == (
            "203.0.113.0/24",
            gateway,
            stranger,
        )


class TestPulumi:
    @pytest.fixture(autouse=True)
    def _elsewhere(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("CAMPUS_MONITOR_CACHE", str(tmp_path / "cache"))
        monkeypatch.setenv("PATH", "/usr/bin:/bin")

    @staticmethod
    def _program(path: Path, says: str) -> Path:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"#!/bin/sh\necho {says}\n")
        path.chmod(0o755)
        return path

    def _release(self, folder: Path, version: str) -> str:
        with tarfile.open(folder / "release.tar.gz", "w:gz") as archive:
            for name in pulumi_cli.PROGRAMS:
                archive.add(self._program(folder / name, version), f"pulumi/{name}")
        return (folder / "release.tar.gz").as_uri()

    def test_the_official_release_is_unpacked_once(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        url = self._release(tmp_path, "v3.256.0")
        monkeypatch.setattr(pulumi_cli, "release_url", lambda _: url)
        found = pulumi_cli.ensure(cache.Refusals())
        assert {path.name for path in found.iterdir()} >= set(pulumi_cli.PROGRAMS)
        monkeypatch.setattr(pulumi_cli, "release_url", lambda _: "file:///nowhere")
        assert pulumi_cli.ensure(cache.Refusals()) == found == pulumi_cli.find()

    @pytest.mark.parametrize("version", [None, "broken"])
    def test_a_refusal_is_remembered_and_leaves_nothing(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, version: str | None
    ) -> None:
        url = self._release(tmp_path, version) if version else (tmp_path / "none").as_uri()
        monkeypatch.setattr(pulumi_cli, "release_url", lambda _: url)
        built: list[bool] = []
        monkeypatch.setattr(pulumi_cli, "_build", lambda: built.append(True))
        refusals = cache.Refusals()
        pulumi_cli.ensure(refusals)
        assert built == [True]
        assert refusals.remembers(pulumi_cli.ROUTE)
        assert pulumi_cli.find() is None
        assert list(pulumi_cli.folder().parent.iterdir()) == []

    @pytest.mark.parametrize(
        ("version", "language", "taken"),
        [("v3.256.0", True, True), ("v3.99.0", True, False), ("v3.256.0", False, False)],
    )
    def test_one_on_path_is_taken_if_it_fits(
        self,
        tmp_path: Path,
        monkeypatch: pytest.MonkeyPatch,
        version: str,
        language: bool,
        taken: bool,
    ) -> None:
        folder = self._program(tmp_path / "bin" / "pulumi", version).parent
        if language:
            self._program(folder / "pulumi-language-python", version)
        monkeypatch.setenv("PATH", f"{folder}:/usr/bin:/bin")
        assert pulumi_cli.find() == (folder if taken else None)

    def test_our_copy_in_the_sourced_environment_does_not_count_as_a_persons(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        ours = self._program(pulumi_cli.folder() / "pulumi", "v3.256.0").parent
        self._program(ours / "pulumi-language-python", "v3.256.0")
        monkeypatch.setenv("PATH", f"{ours}:/usr/bin:/bin")
        assert pulumi_cli.find() is None


class TestGo:
    @pytest.mark.parametrize("room", ["local", "rig"])
    def test_every_build_is_pinned(self, room: str) -> None:
        modules = list((paths.ROOT / room / "go").iterdir())
        assert modules
        for module in modules:
            assert go.wanted_version(module / "go.mod") >= (1, 24)
            assert (module / "go.sum").read_text().count(" h1:") > 10

    def test_versions_compare_as_numbers(self) -> None:
        assert go.version("1.9") < go.version("1.26.5")


class TestPins:
    def test_locks_have_hashes_and_name_no_place(self) -> None:
        locks = [*venv.LOCKS.glob("*.txt"), *paths.ROOT.glob("requirements*.txt")]
        assert len(locks) == 5
        for lock in locks:
            text = lock.read_text()
            pins = [line for line in text.splitlines() if "==" in line and "--hash" not in line]
            assert text.count("--hash=sha256:") >= len(pins) > 0, lock
            assert "://" not in text, lock
            assert "--find-links" not in text, lock

    def test_plugins_are_as_new_as_their_sdks(self) -> None:
        text = (paths.ROOT / "requirements.txt").read_text()
        for name, version in pulumi_plugins.PLUGINS.items():
            assert f"pulumi-{name}=={version} " in text


def pinned(folder: Path, monkeypatch: pytest.MonkeyPatch, name: str, content: str) -> None:
    """Pin an archive with this name and content."""
    digest = hashlib.sha256(content.encode()).hexdigest()
    (folder / "checksums.txt").write_text(f"{digest}  {name}\n")
    monkeypatch.setattr(downloads, "CHECKSUMS", folder / "checksums.txt")


class TestDownloads:
    @pytest.fixture(autouse=True)
    def archive(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
        """An archive's address."""
        (tmp_path / "some.tar.gz").write_text("content")
        monkeypatch.setattr(downloads, "CHECKSUMS", tmp_path / "none")
        monkeypatch.setattr(downloads, "unpinned", [])
        return (tmp_path / "some.tar.gz").as_uri()

    def test_an_archive_that_matches_its_pin_is_accepted_silently(
        self,
        tmp_path: Path,
        monkeypatch: pytest.MonkeyPatch,
        archive: str,
        capsys: pytest.CaptureFixture[str],
    ) -> None:
        pinned(tmp_path, monkeypatch, "some.tar.gz", "content")
        downloads.fetch(archive, tmp_path / "got")
        assert (tmp_path / "got").read_text() == "content"
        assert downloads.unpinned == []
        assert capsys.readouterr() == ("", "")

    def test_an_archive_that_does_not_match_is_a_problem_and_is_removed(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, archive: str
    ) -> None:
        pinned(tmp_path, monkeypatch, "some.tar.gz", "other content")
        with pytest.raises(Problem, match="Nothing of it was run"):
            downloads.fetch(archive, tmp_path / "got")
        assert not (tmp_path / "got").exists()

    def test_an_unpinned_archive_is_reported_with_its_line(
        self, tmp_path: Path, archive: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        downloads.fetch(archive, tmp_path / "got")
        [line] = downloads.unpinned
        downloads.CHECKSUMS.write_text(f"{line}\n")
        monkeypatch.setattr(downloads, "unpinned", [])
        downloads.fetch(archive, tmp_path / "got")
        assert downloads.unpinned == []

    def test_the_repositorys_own_lines_are_for_what_is_downloaded_now(self) -> None:
        """A new version without its lines would be unpinned without notice."""
        known = paths.ROOT / "local" / "checksums.txt"
        lines = known.read_text().splitlines() if known.exists() else []
        urls = [pulumi_cli.release_url(machine) for machine in ("x86_64", "aarch64")]
        urls += [
            pulumi_plugins.release_url(name, machine)
            for name in pulumi_plugins.PLUGINS
            for machine in ("x86_64", "aarch64")
        ]
        names = {str(url).rpartition("/")[2] for url in urls}
        assert {line.partition("  ")[2] for line in lines} <= names
        assert all(re.fullmatch(r"[0-9a-f]{64}  \S+", line) for line in lines)


class TestPlugins:
    @pytest.fixture(autouse=True)
    def built(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
        """The Docker plugin's folder in a filled cache, so that nothing is built."""
        monkeypatch.setenv("CAMPUS_MONITOR_CACHE", str(tmp_path / "cache"))
        monkeypatch.setenv("PATH", "/usr/bin:/bin")
        version = pulumi_plugins.PLUGINS["docker"]
        folder = docker_plugin.folder(version)
        with cache.new_folder(folder, cache.key_of(version, paths.GO / docker_plugin.MODULE)) as made:
            self._program(made / "pulumi-resource-docker", ":")
        site = tmp_path / "site"
        site.mkdir()
        for name in pulumi_plugins.PLUGINS:
            (site / f"{name}.tar.gz").write_text("an archive")
        monkeypatch.setattr(pulumi_plugins, "release_url", lambda name, _: (site / f"{name}.tar.gz").as_uri())
        monkeypatch.setattr(downloads, "unpinned", [])
        return folder

    @staticmethod
    def _program(path: Path, script: str) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"#!/bin/sh\n{script}\n")
        path.chmod(0o755)

    def _pulumi(self, tmp_path: Path, refuses: str) -> Path:
        """A fake pulumi without plugins that notes its installations."""
        install = f"echo $4 >> {tmp_path}/asked; test -s $7 && ! [ '{refuses}' = $4 ]"
        asked = f"[ $2 = ls ] && echo '[]' || {{ {install}; }}"
        self._program(tmp_path / "pulumi" / "pulumi", asked)
        return tmp_path / "pulumi"

    def test_each_refused_plugin_has_its_replacement(self, tmp_path: Path, built: Path) -> None:
        refusals = cache.Refusals()
        assert pulumi_plugins.ensure(self._pulumi(tmp_path, "none"), None, refusals) == ()
        assert pulumi_plugins.ensure(self._pulumi(tmp_path, "docker"), None, refusals) == (built,)
        assert pulumi_plugins.ensure(self._pulumi(tmp_path, "aws"), None, refusals) == (
            built,
            paths.STAND_IN_PLUGINS,
        )
        # Docker's had already been refused the last time.
        assert (tmp_path / "asked").read_text().split() == ["docker", "aws", "docker", "aws", "aws"]

    def test_a_plugin_that_the_site_refuses_has_its_replacement(self, tmp_path: Path, built: Path) -> None:
        (tmp_path / "site" / "docker.tar.gz").unlink()
        refusals = cache.Refusals()
        assert pulumi_plugins.ensure(self._pulumi(tmp_path, "none"), None, refusals) == (built,)

    def test_a_plugin_that_does_not_match_its_pin_is_not_installed(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        pinned(tmp_path, monkeypatch, "docker.tar.gz", "another archive")
        with pytest.raises(Problem, match=r"docker\.tar\.gz doesn't match local/checksums\.txt"):
            pulumi_plugins.ensure(self._pulumi(tmp_path, "none"), None, cache.Refusals())
        assert not (tmp_path / "asked").exists()

    def test_a_real_stack_has_no_replacement_of_a_plugin(self, tmp_path: Path) -> None:
        pulumi_plugins.install_official(self._pulumi(tmp_path, "none"))
        assert (tmp_path / "asked").read_text().split() == ["docker", "aws"]
        with pytest.raises(Problem, match="Pulumi's aws plugin isn't available"):
            pulumi_plugins.install_official(self._pulumi(tmp_path, "aws"))

    def test_no_plugin_is_built_if_only_official_downloads_count(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv(cache.OFFICIAL_ONLY, "1")
        with pytest.raises(Problem, match=r"pulumi plugin docker 5\.2\.0: refused"):
            pulumi_plugins.ensure(self._pulumi(tmp_path, "docker"), None, cache.Refusals())

    def test_a_persons_folder_has_both_or_is_refused(self, tmp_path: Path) -> None:
        own, pulumi_folder = tmp_path / "own", self._pulumi(tmp_path, "docker")
        self._program(own / "pulumi-resource-docker", ":")
        with pytest.raises(Problem, match="has no pulumi-resource-aws"):
            pulumi_plugins.ensure(pulumi_folder, own, cache.Refusals())
        self._program(own / "pulumi-resource-aws", ":")
        assert pulumi_plugins.ensure(pulumi_folder, own, cache.Refusals()) == (own,)

    def test_a_persons_on_path_is_there_and_ours_is_not(
        self, tmp_path: Path, built: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        own, pulumi_folder = tmp_path / "own", self._pulumi(tmp_path, "none")
        monkeypatch.setenv("PATH", f"{built}:{paths.STAND_IN_PLUGINS}:/usr/bin:/bin")
        assert pulumi_plugins.missing(pulumi_folder) == ["docker", "aws"]
        self._program(own / "pulumi-resource-docker", ":")
        monkeypatch.setenv("PATH", f"{own}:{built}:{paths.STAND_IN_PLUGINS}:/usr/bin:/bin")
        assert pulumi_plugins.missing(pulumi_folder) == ["aws"]


class TestPassphrase:
    @pytest.fixture(autouse=True)
    def _local(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(pulumi, "PASSPHRASE", tmp_path / "passphrase")
        monkeypatch.setattr(pulumi, "STATE", tmp_path / "state")

    def test_is_made_once_and_for_its_owner_only(self, tmp_path: Path) -> None:
        pulumi.ensure_passphrase()
        made = (tmp_path / "passphrase").read_text()
        assert (tmp_path / "passphrase").stat().st_mode & 0o777 == 0o600
        assert len(made.strip()) == 64
        pulumi.ensure_passphrase()
        assert (tmp_path / "passphrase").read_text() == made

    def test_a_state_without_its_passphrase_is_a_problem(self, tmp_path: Path) -> None:
        stacks = tmp_path / "state" / ".pulumi" / "stacks" / "campus-monitor"
        stacks.mkdir(parents=True)
        (stacks / "local.json").write_text("{}")
        with pytest.raises(Problem, match="make down"):
            pulumi.ensure_passphrase()


def test_the_lines_of_make_up_are_not_committed() -> None:
    """The salt belongs to one work tree's passphrase: take it out with `make down` and commit."""
    shown = say.capture(["git", "show", "HEAD:Pulumi.local.yaml"], cwd=paths.ROOT)
    if shown.returncode != 0:
        pytest.skip("this is not a git work tree")
    assert stack_file.SALT.search(shown.stdout) is None


def test_only_the_standard_library_is_needed() -> None:
    """It runs before anything is installed; only some programs need the virtualenv."""
    folders = ("local", "ops", "ops/verify", "rig/programs", "rig/stand_ins")
    # The one of the stack's own modules that the doctor shares with it.
    shared = "components/docker_hosts/engines"
    found = [path for folder in folders for path in (paths.ROOT / folder).glob("*.py")]
    found.append(paths.ROOT / f"{shared}.py")
    modules = {str(path.relative_to(paths.ROOT).with_suffix("")): path for path in found}
    for program in ("local/emulated_aws", "ops/prices", "ops/ports", "ops/costs"):
        del modules[program]
    for path in modules.values():
        for node in ast.walk(ast.parse(path.read_text())):
            names: list[str] = []
            if isinstance(node, ast.Import):
                names = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom):
                names = [node.module or ""]
            for name in names:
                first = name.partition(".")[0]
                ours = first in ("local", "ops", "rig") or name == shared.replace("/", ".")
                assert ours or first in sys.stdlib_module_names, f"{path}: {name}"


class TestSaying:
    @pytest.mark.parametrize(("seconds", "said"), [(0, "0 s"), (59.4, "59 s"), (185, "3 min 05 s")])
    def test_durations(self, seconds: float, said: str) -> None:
        assert say.duration(seconds) == said

    def test_a_long_command_that_fails_names_its_log(self, tmp_path: Path) -> None:
        log = tmp_path / "log"
        with pytest.raises(Problem, match=r"the thing failed: no luck .*log\)"):
            say.watched("the thing", ["sh", "-c", "echo no luck; exit 3"], log, usual=1)

    def test_a_command_that_is_not_there_fails_without_an_exception(self) -> None:
        assert say.capture(["/nowhere/program"]).returncode == 127


def test_help_lists_every_target_and_the_documents_name_no_other() -> None:
    targets = set((paths.ROOT / "Makefile").read_text().partition(".PHONY:")[2].partition("\n")[0].split())
    done = subprocess.run(["make", "help"], cwd=paths.ROOT, capture_output=True, text=True, check=True)
    listed = {line.split()[0] for line in done.stdout.splitlines()}
    assert listed == targets
    documents = [paths.ROOT / "README.md", *(paths.ROOT / "docs").rglob("*.md")]
    named = {
        found
        for one in documents
        for found in re.findall(r"(?:^|`)make ([a-z][a-z-]*)", one.read_text(), re.M)
    }
    assert {"up", "test", "doctor", "verify"} <= named <= targets
