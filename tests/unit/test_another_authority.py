"""How long the script that reloads Caddy waits for another authority's certificate.

It runs in a folder with a fake `caddy reload` that accepts everything, and a fake `sleep`.
"""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

import pytest

from components.edge.caddyfile import render_closed
from components.edge.settings import ACME_STAGING, AcmeSettings, EdgeSettings
from components.live.programs import CERTIFICATE_SECONDS, LETS_ENCRYPT, PROGRAMS
from tests.support.programs import program, run

DOMAIN = "campus.example.org"
CA, OTHER = "https://ca.example.org:9000/acme/my%20own/directory", "https://[2001:db8::1]/dir"
ACME = EdgeSettings(domain=DOMAIN, tls="acme", email="a@example.com", http_port=80, https_port=443)
STAGING = ACME.model_copy(update={"tls": "acme-staging"})
OWN = ACME.model_copy(update={"acme": AcmeSettings(directory=CA)})
ANOTHER = ACME.model_copy(update={"acme": AcmeSettings(directory=OTHER)})
INTERNAL = ACME.model_copy(update={"tls": "internal"})


class Reload:
    """One reload from one site to another, with certificates that exist or come while it waits."""

    def __init__(self, folder: Path, before: EdgeSettings, after: EdgeSettings) -> None:
        self._folder = folder
        self._sleeps, self._loads, self._comes = folder / "sleeps", folder / "loads", folder / "comes"
        self._sleeps.touch()
        self._comes.touch()
        caddy = program("caddy")
        self._tool("caddy", f'[ "$1" = reload ] || exec {caddy} "$@"\necho >>{self._loads}\ncat >/dev/null')
        self._tool("sleep", f'echo "$1" >>{self._sleeps}\n. {self._comes}')
        (folder / "Caddyfile").write_text(render_closed(before))
        adapted = run(caddy, "adapt", "--config", "Caddyfile", "--adapter", "caddyfile", cwd=folder)
        (folder / "autosave.json").write_text(adapted)
        (folder / "Caddyfile").write_text(render_closed(after))

    def keeps(self, directory: str, domain: str = DOMAIN) -> None:
        """Have an earlier certificate from this authority."""
        path, note = self._place(directory, domain)
        path.parent.mkdir(parents=True)
        path.write_text(note)

    def comes(self, directory: str) -> None:
        """Have a certificate come in the third second."""
        path, note = self._place(directory, DOMAIN)
        self._comes.write_text(
            f"[ $(wc -l <{self._sleeps}) -lt 3 ] || {{ mkdir -p {path.parent}; echo '{note}' >{path}; }}\n"
        )

    def run(self) -> tuple[int, int, int, str]:
        """The status, the number of Caddy's reloads, the seconds of waiting, and the errors."""
        script = PROGRAMS["caddy"].apply.replace("/config/caddy", str(self._folder))
        script = script.replace("/data/caddy", str(self._folder))
        ran = subprocess.run(
            ["sh", "-uc", f"dir={self._folder}\n{script}"],
            env=os.environ | {"PATH": f"{self._folder}:{os.environ['PATH']}"},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=60,
        )
        loads = len(self._loads.read_text().splitlines())
        return ran.returncode, loads, sum(map(int, self._sleeps.read_text().split())), ran.stderr

    def _place(self, directory: str, domain: str) -> tuple[Path, str]:
        # In Caddy's form; the folder's name doesn't matter.
        note = {"sans": [domain], "issuer_data": {"url": "https://x/cert/1", "ca": directory}}
        folder = self._folder / "certificates" / f"authority-{len(directory)}" / domain
        return folder / f"{domain}.json", json.dumps(note, indent="\t")

    def _tool(self, name: str, does: str) -> None:
        (self._folder / name).write_text(f"#!/bin/sh\n{does}\n")
        (self._folder / name).chmod(0o755)


@pytest.mark.parametrize(
    ("before", "of", "after", "to"),
    [
        (ACME, LETS_ENCRYPT, OWN, CA),
        (STAGING, ACME_STAGING, ACME, LETS_ENCRYPT),
        (OWN, CA, ANOTHER, OTHER),
        (ANOTHER, OTHER, STAGING, ACME_STAGING),
    ],
)
def test_a_certificate_is_waited_for(
    tmp_path: Path, before: EdgeSettings, of: str, after: EdgeSettings, to: str
) -> None:
    reload = Reload(tmp_path, before, after)
    reload.keeps(of)
    reload.comes(to)
    assert reload.run() == (0, 2, 3, "")


def test_a_certificate_that_does_not_come_is_a_failure_that_names_the_authority(tmp_path: Path) -> None:
    reload = Reload(tmp_path, ACME, OWN)
    reload.keeps(LETS_ENCRYPT)
    # Certificates of another authority or for another name don't count.
    reload.keeps(ACME_STAGING)
    reload.keeps(CA, "other.example.org")
    status, loads, seconds, said = reload.run()
    assert (status, loads, seconds) == (1, 2, CERTIFICATE_SECONDS)
    [line] = said.splitlines()
    assert line == (
        f"Error: no certificate for {DOMAIN} came within {CERTIFICATE_SECONDS} s from {CA} "
        "(Caddy says why: docker logs caddy 2>&1 | grep 'could not get')"
    )


def test_an_earlier_certificate_is_enough(tmp_path: Path) -> None:
    reload = Reload(tmp_path, OWN, ACME)
    reload.keeps(CA)
    reload.keeps(LETS_ENCRYPT)
    assert reload.run() == (0, 2, 0, "")


@pytest.mark.parametrize(
    ("before", "after", "loads"),
    [(OWN, ACME, 2), (OWN, OWN, 1), (OWN, INTERNAL, 1), (INTERNAL, OWN, 1)],
)
def test_without_a_certificate_to_lose_there_is_no_wait(
    tmp_path: Path, before: EdgeSettings, after: EdgeSettings, loads: int
) -> None:
    assert Reload(tmp_path, before, after).run() == (0, loads, 0, "")
