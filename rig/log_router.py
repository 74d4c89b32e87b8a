"""The real plugin of Grafana's for Fluent Bit, without Fluent Bit around it."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from rig.namespaces import Namespace
from rig.processes import with_hosts
from rig.programs import fluent_bit_plugin

Record = Mapping[str, Any]


@dataclass(frozen=True)
class Ran:
    """The result: the plugin's parsed options, and its log."""

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
    """Give the plugin its options, and records to ship; in a namespace, with its own hosts file."""
    command = [str(_program())]
    if hosts is not None:
        command = [*with_hosts(hosts), *command]
    if namespace is not None:
        command = ["nsenter", f"--net={namespace.path}", *command]
    done = _run(command, {"options": dict(options), "records": list(records)})
    return Ran(done.returncode, json.loads(done.stdout or "{}"), done.stderr)


@contextmanager
def running_plugin(
    options: Mapping[str, str], records: Sequence[Record], pause_seconds: float, log: Path
) -> Iterator[None]:
    """The plugin as it ships the records, one after each pause; it stops at the block's end."""
    order = {"options": dict(options), "records": list(records), "pause": round(pause_seconds * 1e9)}
    with log.open("w") as said:
        process = subprocess.Popen(
            [str(_program())], stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=said, text=True
        )
        assert process.stdin is not None
        process.stdin.write(json.dumps(order))
        process.stdin.flush()
        try:
            yield
        finally:
            process.stdin.close()
            process.wait(timeout=120)


def last_try_seconds(options: Mapping[str, str], seeds: int) -> tuple[float, float]:
    """The earliest and the latest begin of a batch's last try, over this number of seeds.

    By the plugin's own backoff, in seconds after the first try.
    """
    done = _run([str(_program())], {"options": dict(options), "seeds": seeds})
    found = json.loads(done.stdout)
    return found["shortest"] / 1e9, found["longest"] / 1e9


def _program() -> Path:
    program = fluent_bit_plugin.program()
    if not program.exists():
        # A missing program fails the test: nothing would be proven.
        pytest.fail(f"{program.name} is missing: run `make install` once")
    return program


def _run(command: Sequence[str], order: Mapping[str, Any]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, input=json.dumps(order), capture_output=True, text=True, timeout=120)
