"""The doctor's rows, each good and bad, with the test's own programs and files."""

from __future__ import annotations

import json
import socket
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from local import cache, docker, paths, processes, pulumi_cli, pulumi_plugins, settings, system, venv
from local.say import Problem
from local.settings import Place
from ops import doctor, machine
from ops.machine import Row
from tests.support.running_caddy import free_port

PLACE = Place(
    docker_host="ssh://deploy@campus.example:21541",
    other_docker_hosts=(),
    name_prefix="x-",
    domain="campus.example",
    http_port=80,
    https_port=443,
    emulator="",
    decrypted_by=None,
)
SECRET = "correct horse battery staple"


@pytest.fixture(autouse=True)
def bin_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The only folder on PATH, with only the shell in it."""
    folder = tmp_path / "bin"
    folder.mkdir()
    (folder / "sh").symlink_to("/bin/sh")
    monkeypatch.setenv("PATH", str(folder))
    monkeypatch.setenv("CAMPUS_MONITOR_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(docker, "_host", docker.SOCKET)
    monkeypatch.setattr(system, "have_program", lambda program: (folder / program).exists())
    monkeypatch.setattr(processes, "RUN", tmp_path / "run")
    return folder


def put(folder: Path, name: str, script: str = ":") -> Path:
    """A program that is a line of shell."""
    folder.mkdir(exist_ok=True)
    program = folder / name
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(0o755)
    return program


def as_user(monkeypatch: pytest.MonkeyPatch, *, root: bool) -> None:
    monkeypatch.setattr(system, "is_root", lambda: root)


def outcome(row: Row) -> tuple[str, bool]:
    """A row's state, and whether it stops."""
    return row.state, row.stops


class TestPython:
    def test_this_one_is_well(self) -> None:
        row = machine.python(sys.executable)
        assert outcome(row) == ("ok", False)
        assert row.words == ".".join(str(part) for part in sys.version_info[:3])

    def test_an_older_one_is_old(self, bin_folder: Path) -> None:
        row = machine.python(str(put(bin_folder, "python", "echo 3.10.12")))
        assert outcome(row) == ("old", True)
        assert "make PYTHON=" in row.words

    def test_one_without_virtualenvs_needs_a_package_or_uv(self, bin_folder: Path) -> None:
        bare = str(put(bin_folder, "python", "echo 3.11.2; exit 1"))
        row = machine.python(bare)
        assert outcome(row) == ("missing", True)
        assert "python3-venv" in row.words
        put(bin_folder, "uv")
        assert outcome(machine.python(bare)) == ("ok", False)

    def test_nobody_but_a_person_gets_a_real_stack_what_pulumi_install_needs(
        self, bin_folder: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        for program in ("apt-get", "dpkg", "uv"):
            put(bin_folder, program)
        as_user(monkeypatch, root=True)
        monkeypatch.setattr(sys, "executable", str(put(bin_folder, "python", "echo 3.11.2; exit 1")))
        row = doctor.for_real("stage", {})[0]
        assert (row.name, *outcome(row)) == ("python", "missing", True)
        assert "`apt-get install python3-venv`" in row.words


def test_git_is_nothing_that_make_installs(bin_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert outcome(machine.by_hand("git", "git", stops=False)) == ("missing", False)
    put(bin_folder, "apt-get")
    put(bin_folder, "dpkg")
    as_user(monkeypatch, root=True)
    assert "`apt-get install git`" in machine.by_hand("git", "git", stops=False).words
    as_user(monkeypatch, root=False)
    assert "`sudo apt-get install git`" in machine.by_hand("git", "git", stops=False).words
    put(bin_folder, "git")
    assert outcome(machine.by_hand("git", "git", stops=False)) == ("ok", False)


class TestDocker:
    def test_an_engine_that_answers_is_well(self, bin_folder: Path) -> None:
        put(bin_folder, "docker", "echo 28.5.1")
        assert machine.docker_engine() == Row("docker", "ok", "28.5.1")

    @pytest.mark.parametrize(
        ("debian", "root", "said", "stops"),
        [
            (True, True, "make installs docker.io", False),
            (True, False, "sudo apt-get install docker.io", True),
            (False, True, machine.DOCKER_SITE, True),
        ],
    )
    def test_where_there_is_none_it_says_how_to_get_it(
        self,
        bin_folder: Path,
        monkeypatch: pytest.MonkeyPatch,
        debian: bool,
        root: bool,
        said: str,
        stops: bool,
    ) -> None:
        if debian:
            put(bin_folder, "apt-get")
            put(bin_folder, "dpkg")
        as_user(monkeypatch, root=root)
        row = machine.docker_engine()
        assert outcome(row) == ("missing", stops)
        assert said in row.words

    @pytest.mark.parametrize(
        ("complaint", "root", "said", "stops"),
        [
            ("is the docker daemon running?", True, "`make up` starts it", False),
            ("is the docker daemon running?", False, "sudo systemctl start docker", True),
            ("permission denied", False, "usermod -aG docker", True),
        ],
    )
    def test_one_that_does_not_answer_is_started_by_whom_it_says(
        self,
        bin_folder: Path,
        monkeypatch: pytest.MonkeyPatch,
        complaint: str,
        root: bool,
        said: str,
        stops: bool,
    ) -> None:
        put(bin_folder, "docker", f"echo '{complaint}' >&2; exit 1")
        put(bin_folder, "dockerd")
        as_user(monkeypatch, root=root)
        row = machine.docker_engine()
        assert outcome(row) == ("missing", stops)
        assert said in row.words

    def test_one_that_wants_a_newer_client_says_so(self, bin_folder: Path) -> None:
        put(bin_folder, "docker", "echo 'client version 1.41 is too old.' >&2; exit 1")
        put(bin_folder, "dockerd")
        row = machine.docker_engine()
        assert outcome(row) == ("old", True)
        assert "install a newer docker command" in row.words

    def test_another_engine_of_the_settings_is_a_persons_to_start(self, bin_folder: Path) -> None:
        put(bin_folder, "docker", "echo 'no such host' >&2; exit 1")
        docker.use("unix:///elsewhere.sock")
        row = machine.docker_engine()
        assert outcome(row) == ("missing", True)
        assert "campus.dockerHost" in row.words


class TestPulumi:
    @staticmethod
    def _put(folder: Path, version: str, plugins: str = "[]") -> None:
        put(folder, "pulumi", f"[ $1 = version ] && echo {version} || echo '{plugins}'")
        put(folder, "pulumi-language-python")

    LISTED = '[{"name":"docker","version":"5.2.0"},{"name":"aws","version":"7.51.1"}]'

    def test_one_that_fits_is_well(self, bin_folder: Path) -> None:
        self._put(bin_folder, "v3.256.0")
        row = machine.pulumi()
        assert outcome(row) == ("ok", False)
        assert row.words == f"3.256.0 in {bin_folder}"

    def test_an_older_one_is_old_and_none_is_missing(self, bin_folder: Path) -> None:
        assert outcome(machine.pulumi()) == ("missing", False)
        self._put(bin_folder, "v3.99.0")
        row = machine.pulumi()
        assert outcome(row) == ("old", False)
        assert pulumi_cli.VERSION in row.words

    def test_plugins_are_official_missing_or_replaced(self, bin_folder: Path, tmp_path: Path) -> None:
        refusals = cache.Refusals(tmp_path / "refusals.json")
        assert outcome(machine.plugins(refusals)) == ("missing", False)
        self._put(bin_folder, "v3.256.0", self.LISTED)
        assert machine.plugins(refusals).words == "docker 5.2.0, aws 7.51.1"
        self._put(bin_folder, "v3.256.0", self.LISTED.replace("7.51.1", "6.0.0"))
        row = machine.plugins(refusals)
        assert outcome(row) == ("missing", False)
        assert row.words.startswith("aws:")
        refusals.remember("pulumi plugin aws 7.51.1")
        row = machine.plugins(refusals)
        assert outcome(row) == ("ok", False)
        assert row.words == "aws was refused: the fake of rig/plugins; for the local stack only"
        self._put(bin_folder, "v3.256.0")
        # Docker's was not refused, so it is still missing.
        assert machine.plugins(refusals).words.startswith("docker:")

    def test_a_real_stack_wants_pulumis_own(self, bin_folder: Path) -> None:
        assert outcome(doctor.official_pulumi()) == ("missing", True)
        self._put(bin_folder, "v3.256.0")
        row = doctor.official_pulumi()
        assert outcome(row) == ("missing", True)
        assert "without docker, aws" in row.words
        self._put(bin_folder, "v3.256.0", self.LISTED)
        assert outcome(doctor.official_pulumi()) == ("ok", False)

    def test_the_versions_listed_here_are_the_pinned_ones(self) -> None:
        assert all(version in self.LISTED for version in pulumi_plugins.PLUGINS.values())


def test_disk(tmp_path: Path) -> None:
    places = [tmp_path / "not" / "made" / "yet", Path("/")]
    assert outcome(machine.disk(places, 0.0)) == ("ok", False)
    row = machine.disk(places, 1 << 30)
    assert outcome(row) == ("missing", True)
    assert "make room" in row.words


@pytest.mark.parametrize(("kib", "state"), [(4_000_000, "ok"), (3_500_000, "missing")])
def test_memory(tmp_path: Path, kib: int, state: str) -> None:
    (tmp_path / "meminfo").write_text(f"MemTotal:       {kib} kB\nMemFree:        1 kB\n")
    assert outcome(machine.memory(tmp_path / "meminfo")) == (state, state != "ok")


class TestPorts:
    @pytest.fixture
    def place(self) -> Place:
        """A local stack's place with three free ports."""
        http, https, emulated = (free_port() for _ in range(3))
        return replace(PLACE, http_port=http, https_port=https, emulator=f"http://127.0.0.1:{emulated}")

    KEYS = ("campus-monitor:edge.httpPort", "campus-monitor:edge.httpsPort", "campus-monitor:aws.emulator")

    def test_those_of_the_local_stack_are_looked_at(self, place: Place) -> None:
        emulated = place.emulator.rpartition(":")[2]
        assert [(row.name, *outcome(row)) for row in machine.ports(place)] == [
            (f"port {port}", "ok", False) for port in (place.http_port, place.https_port, emulated)
        ]

    @pytest.mark.parametrize("place_of_key", range(3))
    def test_a_taken_one_is_named_with_its_key(self, place: Place, place_of_key: int) -> None:
        port = int(machine.ports(place)[place_of_key].name.removeprefix("port "))
        with socket.socket() as taken:
            taken.bind(("127.0.0.1", port))
            taken.listen()
            rows = machine.ports(place)
        assert [outcome(row) for row in rows].count(("missing", True)) == 1
        assert f"set {self.KEYS[place_of_key]} in Pulumi.local.yaml" in rows[place_of_key].words

    def test_the_local_stacks_own_are_well(self, bin_folder: Path, place: Place) -> None:
        put(bin_folder, "docker", 'case "$*" in *x-caddy) echo true ;; esac')
        with socket.socket() as taken:
            taken.bind(("127.0.0.1", place.http_port))
            taken.listen()
            assert outcome(machine.ports(place)[0]) == ("ok", False)
            assert outcome(machine.ports(replace(place, name_prefix="y-"))[0]) == ("missing", True)


class TestKernel:
    @pytest.mark.parametrize(
        ("name", "release"), [("Linux", "5.8.0-1"), ("Linux", "4.19.0"), ("Darwin", "24.1.0")]
    )
    def test_an_older_or_another_one_is_old(self, tmp_path: Path, name: str, release: str) -> None:
        (tmp_path / "sys/module/nf_tables").mkdir(parents=True)
        assert outcome(machine.kernel(name, release, tmp_path)) == ("old", True)

    @pytest.mark.parametrize(
        ("path", "content"),
        [
            ("lib/modules/5.10.0/modules.dep", "kernel/net/netfilter/nf_tables.ko.xz: kernel/x.ko\n"),
            ("lib/modules/5.10.0/modules.builtin", "kernel/net/netfilter/nf_tables.ko\n"),
            ("boot/config-5.10.0", "CONFIG_NF_TABLES=m\n"),
            ("sys/module/nf_tables/refcnt", "0\n"),
        ],
    )
    def test_nftables_is_found_wherever_it_is_listed(self, tmp_path: Path, path: str, content: str) -> None:
        assert outcome(machine.kernel("Linux", "5.10.0", tmp_path)) == ("missing", True)
        (tmp_path / path).parent.mkdir(parents=True)
        (tmp_path / path).write_text(content)
        assert outcome(machine.kernel("Linux", "5.10.0", tmp_path)) == ("ok", False)

    def test_other_tables_are_none(self, tmp_path: Path) -> None:
        (tmp_path / "boot").mkdir()
        (tmp_path / "boot/config-5.10.0").write_text("# CONFIG_NF_TABLES is not set\nCONFIG_NF_TABLES_X=y\n")
        assert outcome(machine.kernel("Linux", "5.10.0", tmp_path)) == ("missing", True)


@pytest.mark.parametrize(
    ("held", "state"),
    [
        ("000001ffffffffff", "ok"),
        ("0000000000201000", "ok"),
        ("0000000000001000", "missing"),
        ("0000000000200000", "missing"),
    ],
)
def test_rights_are_those_of_this_process(tmp_path: Path, held: str, state: str) -> None:
    (tmp_path / "status").write_text(f"CapPrm:\tffffffffffffffff\nCapEff:\t{held}\n")
    assert outcome(machine.rights(tmp_path / "status")) == (state, False)


PROGRAMS = frozenset({*system.TEST_PROGRAMS, "dockerd"})


@pytest.mark.parametrize("absent", sorted(PROGRAMS))
def test_programs_of_the_tests(bin_folder: Path, absent: str) -> None:
    for program in PROGRAMS - {absent}:
        put(bin_folder, program)
    row = machine.test_programs()
    assert outcome(row) == ("missing", False)
    assert f"no {absent}" in row.words
    put(bin_folder, absent)
    assert outcome(machine.test_programs()) == ("ok", False)


def test_the_local_stacks_shell_is_refused_to_a_real_one() -> None:
    assert outcome(doctor.shell({"PULUMI_BACKEND_URL": "s3://state"})) == ("ok", False)
    assert outcome(doctor.shell({"PULUMI_BACKEND_URL": f"file://{paths.STATE}"})) == ("missing", True)


class TestSecrets:
    def test_a_stack_that_was_never_made_is_missing(self) -> None:
        row = doctor.secrets("stage", None, {"PULUMI_CONFIG_PASSPHRASE": SECRET})
        assert outcome(row) == ("missing", True)
        assert "pulumi stack init stage" in row.words

    def test_a_key_of_the_settings_is_enough(self) -> None:
        assert outcome(doctor.secrets("stage", "secretsprovider", {})) == ("ok", False)

    def test_a_passphrase_is_named_and_never_shown(self, tmp_path: Path) -> None:
        file = tmp_path / "passphrase"
        missing = {"PULUMI_CONFIG_PASSPHRASE_FILE": str(file)}
        for environment in ({}, missing):
            assert outcome(doctor.secrets("stage", "encryptionsalt", environment)) == ("missing", True)
        file.write_text(SECRET)
        for environment in ({"PULUMI_CONFIG_PASSPHRASE": SECRET}, missing):
            row = doctor.secrets("stage", "encryptionsalt", environment)
            assert outcome(row) == ("ok", False)
            assert SECRET not in row.words


class TestAws:
    @pytest.mark.parametrize("names", doctor.AWS_VARIABLES)
    def test_variables_are_named_and_never_shown(self, tmp_path: Path, names: tuple[str, ...]) -> None:
        whole = dict.fromkeys(names, SECRET)
        row = doctor.aws(whole, tmp_path)
        assert outcome(row) == ("ok", False)
        assert all(name in row.words for name in names)
        assert SECRET not in row.words
        del whole[names[-1]]
        assert outcome(doctor.aws(whole, tmp_path)) == ("missing", True)

    def test_files_count_too(self, tmp_path: Path) -> None:
        (tmp_path / "config").write_text("")
        assert outcome(doctor.aws({}, tmp_path)) == ("ok", False)


class TestKnownHost:
    KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJdD7y3aLq454yWBdwLWbieU1ebz9/cu7/QEXn9OIeZJ"

    @pytest.fixture(autouse=True)
    def _real_programs(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("PATH", "/usr/bin:/bin")

    def test_the_key_is_known_under_its_port(self, tmp_path: Path) -> None:
        file = tmp_path / "known_hosts"
        file.write_text(f"campus.example {self.KEY}\n")
        row = doctor.known_host(PLACE.docker_host, file)
        assert outcome(row) == ("missing", True)
        assert "ssh -p 21541 deploy@campus.example docker version" in row.words
        file.write_text(f"[campus.example]:21541 {self.KEY}\n")
        assert outcome(doctor.known_host(PLACE.docker_host, file)) == ("ok", False)

    def test_a_socket_needs_no_key(self, tmp_path: Path) -> None:
        row = doctor.known_host("unix:///var/run/docker.sock", tmp_path / "known_hosts")
        assert outcome(row) == ("ok", False)
        assert "isn't ssh://" in row.words

    def test_the_usual_port_is_not_named(self, tmp_path: Path) -> None:
        (tmp_path / "known_hosts").write_text(f"campus.example {self.KEY}\n")
        host = "ssh://campus.example"
        assert outcome(doctor.known_host(host, tmp_path / "known_hosts")) == ("ok", False)


def test_a_real_stack_needs_for_ssh_its_client(bin_folder: Path, tmp_path: Path) -> None:
    [row] = doctor.ssh(["ssh://one", "ssh://two"], tmp_path / "known_hosts")
    assert (row.name, *outcome(row)) == ("ssh-keygen", "missing", True)
    [row] = doctor.ssh(["unix:///var/run/docker.sock"], tmp_path / "known_hosts")
    assert outcome(row) == ("ok", False)
    put(bin_folder, "ssh-keygen", "exit 0")
    rows = doctor.ssh(["ssh://one", "ssh://two"], tmp_path / "known_hosts")
    assert [outcome(row) for row in rows] == [("ok", False)] * 2


NFTABLES = {"ServerVersion": "29.8.0", "FirewallBackend": {"Driver": "nftables"}}
IPTABLES = {"ServerVersion": "29.8.0", "FirewallBackend": {"Driver": "iptables"}}


class TestEngine:
    @staticmethod
    def _put(folder: Path, info: dict[str, Any], *ufw: str) -> None:
        """A fake ssh with the server's answers."""
        lines = " ".join(f"'{line}'" for line in (json.dumps(info), *ufw))
        put(
            folder,
            "ssh",
            f"""case "$*" in *BatchMode=yes*-p\\ 21541\\ --\\ me@campus*) printf '%s\\n' {lines} ;; esac""",
        )

    def _rows(self) -> list[tuple[str, str, bool]]:
        return [(row.name, *outcome(row)) for row in doctor.engine("ssh://me@campus:21541")]

    def test_it_is_reported_with_its_backend(self, bin_folder: Path) -> None:
        self._put(bin_folder, {"ServerVersion": "20.10.24"})
        [row] = doctor.engine("ssh://me@campus:21541")
        assert outcome(row) == ("ok", False)
        assert row.words == "ssh://me@campus:21541: 20.10.24"
        self._put(bin_folder, NFTABLES)
        [row] = doctor.engine("ssh://me@campus:21541")
        assert row.words == "ssh://me@campus:21541: 29.8.0 with nftables"

    @pytest.mark.parametrize(
        ("info", "ufw", "routed", "stops"),
        [
            (NFTABLES, "yes", "DROP", True),
            (NFTABLES, "yes", "ACCEPT", False),
            (NFTABLES, "no", "DROP", False),
            (IPTABLES, "yes", "DROP", False),
        ],
    )
    def test_an_ufw_that_refuses_what_is_routed_cuts_the_nftables_backend_off(
        self, bin_folder: Path, info: dict[str, Any], ufw: str, routed: str, stops: bool
    ) -> None:
        self._put(bin_folder, info, f"ENABLED={ufw}", f'DEFAULT_FORWARD_POLICY="{routed}"')
        assert self._rows() == [("docker", "ok", False), *([("ufw", "missing", True)] if stops else [])]

    @pytest.mark.parametrize("option", ["userns", "rootless"])
    def test_an_engine_whose_containers_are_never_on_the_hosts_network_stops(
        self, bin_folder: Path, option: str
    ) -> None:
        usual = ["name=seccomp,profile=builtin", "name=cgroupns"]
        self._put(bin_folder, IPTABLES | {"SecurityOptions": usual})
        assert self._rows() == [("docker", "ok", False)]
        self._put(bin_folder, IPTABLES | {"SecurityOptions": [*usual, f"name={option}"]})
        assert self._rows() == [("docker", "ok", False), ("docker users", "missing", True)]

    def test_a_client_that_is_too_old_is_reported(self, bin_folder: Path) -> None:
        self._put(bin_folder, NFTABLES)
        put(bin_folder, "docker", "echo 'client version 1.41 is too old. Minimum is 1.44' >&2; exit 1")
        assert self._rows() == [("docker", "ok", False), ("docker here", "old", False)]
        put(bin_folder, "docker")
        assert self._rows() == [("docker", "ok", False)]

    def test_an_ssh_that_is_let_in_where_no_engine_answers_stops(self, bin_folder: Path) -> None:
        """The output of `docker info` for a socket that is missing or forbidden."""
        reason = "Cannot connect to the Docker daemon at unix:///var/run/docker.sock."
        self._put(bin_folder, {"ServerVersion": "", "ServerErrors": [f"{reason}\nIs it running?"]})
        [row] = doctor.engine("ssh://me@campus:21541")
        assert outcome(row) == ("missing", True)
        assert row.words == f"ssh://me@campus:21541: {reason} Is it running?"
        put(bin_folder, "ssh", """echo '{"ServerVersion": ""}'; echo 'permission denied' >&2; exit 1""")
        [row] = doctor.engine("ssh://me@campus:21541")
        assert outcome(row) == ("missing", True)
        assert row.words == "ssh://me@campus:21541: permission denied"

    def test_one_that_does_not_answer_stops(self, bin_folder: Path) -> None:
        put(bin_folder, "ssh", "echo 'Permission denied (publickey).' >&2; exit 255")
        [row] = doctor.engine("ssh://me@campus:21541")
        assert outcome(row) == ("missing", True)
        assert row.words == "ssh://me@campus:21541: Permission denied (publickey)."


class TestSite:
    @pytest.mark.parametrize(
        ("addresses", "state", "said"),
        [
            (["203.0.113.1"], "ok", "campus.example is 203.0.113.1"),
            (["203.0.113.1", "2001:db8::1"], "old", "campus.example also has 2001:db8::1: shippers"),
        ],
    )
    def test_an_aaaa_record_is_reported_with_its_effect(
        self, monkeypatch: pytest.MonkeyPatch, addresses: list[str], state: str, said: str
    ) -> None:
        answers = [(0, 0, 0, "", (one, 443)) for one in addresses]
        monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: answers)
        row = doctor.site("campus.example")
        assert outcome(row) == (state, False)
        assert row.words.startswith(said)
        assert ("AAAA" in row.words) == (state == "old")

    def test_a_name_that_does_not_resolve_is_reported(self) -> None:
        row = doctor.site("nowhere.invalid")
        assert outcome(row) == ("missing", False)
        assert row.words.startswith("nowhere.invalid doesn't resolve here: ")


class TestRun:
    def test_a_row_that_stops_is_an_exit_code_and_a_name(
        self, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        rows = [Row("one", "ok", "1.0"), Row("two", "missing", "make gets it")]
        monkeypatch.setattr(doctor, "for_local", lambda: rows)
        assert doctor.run("local") == 0
        assert capsys.readouterr().out.splitlines()[1].split() == ["missing", "two", "make", "gets", "it"]
        rows.append(Row("three", "old", "get it", stops=True))
        assert doctor.run("local") == 1
        assert capsys.readouterr().out.splitlines()[-1] == "see to these first: three"

    def test_every_stack_of_the_repository_has_its_rows(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        monkeypatch.setenv("HOME", str(tmp_path))
        for stack, known in (("local", "port 18443"), ("stage", "aws"), ("prod", "ssh")):
            assert doctor.run(stack) == 1
            assert known in capsys.readouterr().out
        assert not list(tmp_path.glob("cache"))

    def test_without_the_virtualenv_the_rest_is_reported(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(venv, "VENV", tmp_path)
        for stack, rows in (("local", doctor.for_local()), ("stage", doctor.for_real("stage", {}))):
            [unread] = [row for row in rows if row.name == "settings"]
            assert outcome(unread) == ("missing", stack != "local")
            assert "`make venv`" in unread.words
            assert len(rows) > 5

    def test_settings_that_are_refused_are_a_row(self, monkeypatch: pytest.MonkeyPatch) -> None:
        def refused(_: str) -> Place:
            raise Problem("campus-monitor:edge.x: unknown key\n       campus-monitor:edge.y: unknown key")

        monkeypatch.setattr(settings, "place", refused)
        [row] = [row for row in doctor.for_local() if row.name == "settings"]
        assert outcome(row) == ("missing", True)
        assert row.words == "campus-monitor:edge.x: unknown key campus-monitor:edge.y: unknown key"

    def test_another_stack_is_a_problem(self) -> None:
        with pytest.raises(Problem, match=r"there is no Pulumi\.other\.yaml"):
            doctor.run("other")
