"""`make verify`, run in the rig's world, and the fake Grafana through which it reads lines."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from rig.deployment import Deployment, on_readers_network
from rig.namespaces import SERVER, SERVER_6
from rig.probe import Login, ca_of
from rig.processes import with_hosts
from rig.stack import ROOT

ADMIN = Login("admin", "an-admin-password-canary")
SECONDS = 300


def data_sources(ports: Mapping[str, int]) -> str:
    """Caddy directives for Grafana's data source proxy, with its password: the backends' ports by uid."""
    reader = on_readers_network("reader")
    parts = ["respond /api/datasources/* 401"]
    for uid, port in ports.items():
        path = f"/api/datasources/proxy/uid/{uid}"
        parts += [
            f'@{uid} {{\npath {path}/*\nheader Authorization "{ADMIN.header()}"\n}}',
            f"handle @{uid} {{\nuri strip_prefix {path}\nreverse_proxy {reader}:{port}\n}}",
        ]
    return "\n".join(parts)


@dataclass
class Verified:
    """The table's lines by result, and the exit code."""

    code: int
    text: str
    lines: list[tuple[str, str]] = field(default_factory=list[tuple[str, str]])

    def having(self, verdict: str) -> list[str]:
        """The checks with this result, each with its target."""
        return [what for what, seen in self.lines if seen.startswith(f"{verdict}:")]


@dataclass
class Looking:
    """A user outside who runs `make verify`."""

    deployment: Deployment
    folder: Path

    def verify(self, *sources: str, more_trust: str = "") -> Verified:
        """Run it; without sources, from the system's choice, with both families."""
        hosts, authority = self.folder / "hosts", self.folder / "root.crt"
        domain = self.deployment.settings["edge"]["domain"]
        hosts.write_text(f"{SERVER} {domain}\n{SERVER_6} {domain}\n")
        authority.write_text(ca_of(self.deployment.caddy()) + more_trust)
        stack = self.deployment.stack
        command = [sys.executable, "-m", "ops.verify", stack.name, "--ca", str(authority)]
        done = subprocess.run(
            [
                *("nsenter", f"--net={self.deployment.rig.network.world.path}", *with_hosts(hosts)),
                *(*command, *(["--from", *sources] if sources else [])),
            ],
            env=os.environ | dict(stack.automation.workspace.env_vars),
            cwd=ROOT,
            capture_output=True,
            text=True,
            timeout=SECONDS,
        )
        print(done.stdout, done.stderr, sep="\n")
        handed_out = self.deployment.outputs["shipper_credentials"].values()
        secrets = [ADMIN.password, *(password for one in handed_out for password in one.values())]
        assert not [one for one in secrets if one in done.stdout + done.stderr]
        return Verified(done.returncode, done.stdout, _lines(done.stdout))


def _lines(table: str) -> list[tuple[str, str]]:
    """Each line's check, target and result, from the columns."""
    if not table:
        return []
    head, *lines = table.splitlines()
    target, result = head.index("target"), head.index("result")
    return [
        (f"{line[:target].strip()} {line[target:result].strip()}", line[result:])
        for line in lines
        if len(line) > result
    ]
