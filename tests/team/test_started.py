"""The watcher of started programs reports missed ones."""

from __future__ import annotations

import subprocess
import sys
from threading import Event

import pytest

from tests.team import started
from tests.team.started import Started, watching_starts

pytestmark = pytest.mark.docker


def test_started_programs_are_seen() -> None:
    seen = Started()
    with watching_starts(seen):
        process = subprocess.Popen(
            [sys.executable, "-c", "input(print('started', flush=True))", "an-argument"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env={"A_VARIABLE": "a-value"},
        )
        assert process.stdout is not None
        process.stdout.readline()
    process.communicate(b"\n")
    assert any(b"an-argument" in one for one in seen.arguments)
    assert b"A_VARIABLE=a-value" in seen.variables


def test_starts_that_were_missed_are_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    """On a machine that starts programs faster than the watcher reads them."""
    enough = Event()
    monkeypatch.setattr(Started, "look_at", lambda *_: enough.wait())
    monkeypatch.setattr(started, "_RECEIVED_BYTES", 1)

    def start_many() -> None:
        with watching_starts(Started()):
            for _ in range(20):
                subprocess.run(["true"], check=True)
            enough.set()

    with pytest.raises(OSError, match="No buffer space available"):
        start_many()
