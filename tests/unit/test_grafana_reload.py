"""The reloads of Grafana by the script in its container, with fakes of its programs."""

from __future__ import annotations

import os
import subprocess
from base64 import b64encode
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from components.live import files
from components.live.container_facts import GRAFANA_SECRETS, PASSWORD_MARK
from components.live.docker_host import LiveError, Ran
from components.live.file_checks import file_problem
from components.live.files import LiveFilesProvider
from components.live.program_errors import reasons_in
from components.live.programs import PROGRAMS
from tests.support.programs import program

PASSWORD = "s3cret-canary"
ASKED = [
    "GET plugins/loki/settings",
    *(f"POST admin/provisioning/{kind}/reload" for kind in ("datasources", "dashboards", "alerting")),
]
# A fake Grafana that accepts the password in the file `has`, and a fake `grafana cli` that sets it.
CURL = """cat >"$here/header"
known=$(printf 'admin:%s' "$(cat "$here/has")" | base64 | tr -d '\\n')
echo "$3 ${12#http://127.0.0.1:3000/api/}" >>"$here/asked"
case $(cat "$here/header") in *" $known") printf "$(cat "$here/answer")" ;; *) printf 401 ;; esac"""
CLI = """home="--homepath /usr/share/grafana"
[ "$*" = "cli $home admin reset-admin-password --password-from-stdin" ] || exit 1
[ ! -e "$here/broken" ] || { echo 'Error: database is locked' >&2; exit 1; }
cat >"$here/has"
echo 'Admin password changed successfully'"""


@dataclass
class Fake:
    """The script's programs, and their results."""

    here: Path

    def run(self, before: str | None, now: str) -> subprocess.CompletedProcess[str]:
        """Reload Grafana, with the password's former and present marks."""
        for name, mark in (("tree", before), ("live", now)):
            (self.here / name).mkdir(exist_ok=True)
            if mark is not None:
                (self.here / name / PASSWORD_MARK).write_text(mark)
        script = PROGRAMS["grafana"].apply.replace(
            f"{GRAFANA_SECRETS}/admin-password", f"{self.here}/password"
        )
        env = {"PATH": f"{self.here}:{os.environ['PATH']}", "here": str(self.here)}
        script = f"dir={self.here}/live before=../tree\n{script}"
        return subprocess.run(["sh", "-uc", script], env=env, capture_output=True, text=True, timeout=60)

    @property
    def asked(self) -> list[str]:
        """Grafana's requests, in order."""
        return (self.here / "asked").read_text().splitlines()

    @property
    def has(self) -> str:
        """The password that Grafana has."""
        return (self.here / "has").read_text()


@pytest.fixture
def fake(tmp_path: Path) -> Fake:
    """A Grafana that has the settings' password."""
    for name, does in (("curl", CURL), ("grafana", CLI)):
        (tmp_path / name).write_text(f"#!/bin/sh\n{does}\n")
        (tmp_path / name).chmod(0o755)
    for name, text in (("password", PASSWORD), ("has", PASSWORD), ("answer", "200")):
        (tmp_path / name).write_text(text)
    return Fake(tmp_path)


def test_data_sources_are_reloaded_before_rules_that_name_them(fake: Fake) -> None:
    ran = fake.run("same", "same")
    assert (ran.returncode, ran.stderr, fake.asked) == (0, "", ASKED)


def test_a_new_password_of_the_settings_is_put_in(fake: Fake) -> None:
    """Grafana only reads the file when it creates its database."""
    (fake.here / "has").write_text("the one before")
    ran = fake.run("before", "now")
    assert ran.returncode == 0
    assert fake.has == PASSWORD
    assert fake.asked == [ASKED[0], *ASKED]
    assert PASSWORD not in ran.stdout + ran.stderr


def test_a_new_password_that_cannot_be_put_in_fails_the_update(fake: Fake) -> None:
    (fake.here / "has").write_text("the one before")
    (fake.here / "broken").touch()
    ran = fake.run("before", "now")
    assert ran.returncode not in (0, 77)
    assert "Error: database is locked" in ran.stderr
    assert fake.asked == ASKED[:1]


def test_a_new_password_that_grafana_has_is_left_alone(fake: Fake) -> None:
    """It was changed in Grafana first, then written to the settings."""
    (fake.here / "broken").touch()
    ran = fake.run("before", "now")
    assert (ran.returncode, fake.asked) == (0, ASKED)


@pytest.mark.parametrize("before", ["same", None], ids=["the settings' is as before", "not known"])
def test_a_password_that_was_changed_in_grafana_stays_a_persons(fake: Fake, before: str | None) -> None:
    (fake.here / "has").write_text("a person's")
    ran = fake.run(before, "same")
    assert ran.returncode == 77
    assert "write the present one as grafana.adminPassword" in ran.stderr
    # Only once: Grafana locks an address out after several wrong passwords.
    assert (fake.has, fake.asked) == ("a person's", ASKED[:1])


def test_a_grafana_without_lokis_data_source_is_reported(fake: Fake) -> None:
    (fake.here / "answer").write_text("404")
    ran = fake.run("same", "same")
    assert (ran.returncode, fake.asked) == (1, ASKED[:1])
    assert "Error: Grafana has no data source for Loki (HTTP 404)" in ran.stderr


def test_the_admins_password_is_no_programs_argument(tmp_path: Path) -> None:
    """Arguments show in the process list: here each program records its own."""
    secret, log = tmp_path / "admin-password", tmp_path / "arguments"
    secret.write_text(PASSWORD)
    for name in ("cat", "base64", "tr", "env", "printf", "curl"):
        does = "cat >&2; printf 200" if name == "curl" else f'exec {program(name)} "$@"'
        (tmp_path / name).write_text(f'#!/bin/sh\necho "{name} $*" >>{log}\n{does}\n')
        (tmp_path / name).chmod(0o755)
    script = PROGRAMS["grafana"].apply.replace(f"{GRAFANA_SECRETS}/admin-password", str(secret))
    path = {"PATH": f"{tmp_path}:{os.environ['PATH']}"}
    ran = subprocess.run(["sh", "-uc", script], env=path, capture_output=True, text=True, timeout=60)
    login = b64encode(f"admin:{PASSWORD}".encode()).decode()
    assert (ran.returncode, ran.stderr) == (0, f"Authorization: Basic {login}\n" * 4)
    said = log.read_text()
    assert said.count("curl ") == 4
    assert PASSWORD not in said
    assert login not in said


WHY = "interval (7s) should be non-zero and divided exactly by scheduler interval: 10"
DENIED = 'Post \\"https://hooks.slack.example/services/s3cret\\": denied'
LOG = f"""logger=context t=2026-11-29T18:44:33.1Z level=info msg="Request Completed" error="no"
logger=provisioning.alerting t=2026-11-29T18:44:33.2Z level=error msg="failed to provision" error="{WHY}"
logger=x level=error msg="bad receiver" err="{DENIED}"
logger=x level=error msg="bad receiver" err="{DENIED}"
level=warn msg="level=errors"
"""


def test_why_grafana_refused_is_read_from_its_log_without_secrets() -> None:
    assert reasons_in(LOG).splitlines() == [
        f"failed to provision: {WHY}",
        'bad receiver: Post "[URL]": denied',
    ]
    assert reasons_in("nothing\n") == ""


class Refusing:
    """A container whose Grafana refuses its files, with the reason in its log, by its host's clock."""

    status = "running"
    client = SimpleNamespace(info=lambda: {"SystemTime": "2026-11-29T18:44:33.123456789Z"})

    def logs(self, since: float) -> bytes:
        """Its log since then."""
        assert since == 1795977873.0
        return LOG.encode()


def test_the_update_shows_why_grafana_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files, "put_files", lambda *_: None)
    refused = Ran(status=1, output="", errors="Error: Grafana refuses its new alerting (HTTP 500)")
    monkeypatch.setattr(files, "run_script", lambda *_: refused)
    props = {"program": "grafana", "container_name": "grafana", "directory": "/x"}
    with pytest.raises(LiveError) as raised:
        files._apply(cast("Any", Refusing()), "owner", "write", props, {}, [])
    said = str(raised.value).splitlines()
    assert said[1:4] == [refused.errors, "Its log says:", f"failed to provision: {WHY}"]
    assert "s3cret" not in str(raised.value)


@pytest.mark.parametrize(
    ("path", "text", "says"),
    [
        ("logs.json", "{ no json", "logs.json: the file is not JSON (Expecting property name"),
        ("logs.json", "", "logs.json: the file is not JSON"),
        ("alerting/rules.yaml", "groups: [", "alerting/rules.yaml: the file is not YAML (expected the node"),
        ("alerting/rules.yml", "a: b: c", "alerting/rules.yml: the file is not YAML (mapping values"),
        (
            "alerting/rules.yaml",
            "a: *s3cret",
            "alerting/rules.yaml: the file is not YAML (found undefined alias",
        ),
        ("alerting/rules.yaml", "{\x00}", "alerting/rules.yaml: the file is not YAML (ReaderError)"),
    ],
)
def test_a_file_that_grafana_would_skip_without_a_word_is_refused(path: str, text: str, says: str) -> None:
    """Before anything is written, already in the preview."""
    props = {"files": {path: text}}
    [failure] = LiveFilesProvider().check({}, props).failures
    assert failure.reason.startswith(says)
    assert "s3cret" not in failure.reason
    with pytest.raises(LiveError, match="the file is not"):
        LiveFilesProvider().create(props)


@pytest.mark.parametrize(
    ("path", "text"),
    [("a.json", "[1]"), ("a.yaml", "a: [b]"), ("a.yaml", "{}"), ("Caddyfile", "{ {"), ("x.caddy", "[")],
)
def test_a_file_that_is_what_its_name_says_is_taken(path: str, text: str) -> None:
    assert file_problem(path, text) is None
