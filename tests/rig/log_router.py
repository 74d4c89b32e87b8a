"""Grafana's Fluent Bit plugin, the real one, without Fluent Bit around it."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.rig.namespaces import Namespace
from toolchain import fluent_bit_plugin

Record = Mapping[str, Any]


@dataclass(frozen=True)
class Ran:
    """What became of it: what the plugin made of its options, and what it said."""

    status: int
    parsed: dict[str, Any]
    log: str


def run_plugin(
    options: Mapping[str, str],
    records: Sequence[Record] = (),
    *,
    namespace: Namespace | None = None,
    hosts: Path | None = None,
) -> Ran:
    """Give the plugin its options, and records to ship; in a namespace, with a hosts file of its own."""
    program = fluent_bit_plugin.program()
    if not program.exists():
        # A missing one is a failure: what it would show stays unproved.
        pytest.fail(f"{program.name} is missing: run `make install` once")
    command = [str(program)]
    if hosts is not None:
        inside = 'mount --bind "$0" /etc/hosts && exec "$1"'
        command = ["unshare", "--mount", "sh", "-c", inside, str(hosts), *command]
    if namespace is not None:
        command = ["nsenter", f"--net={namespace.path}", *command]
    done = subprocess.run(
        command,
        input=json.dumps({"options": dict(options), "records": list(records)}),
        capture_output=True,
        text=True,
        timeout=120,
    )
    return Ran(done.returncode, json.loads(done.stdout or "{}"), done.stderr)
