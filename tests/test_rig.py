"""The rig itself: a published port is reached from the world, and nothing is left behind."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from rig.failure_logs import last_words
from rig.namespaces import NAT, NAT_6, SERVER, SERVER_6
from rig.probe import can_connect
from rig.processes import die_with_parent, wait_for
from rig.rig import Rig
from rig.run import CGROUPS, FOLDER_PREFIX, NAMESPACES, Run, clear_dead_runs
from rig.stack import ROOT, local_settings

pytestmark = pytest.mark.docker

# Makes a rig with a container, prints its name, and follows its argument.
SESSION = """
import sys, time
from rig.rig import end_in_order_on_signals, running_rig
end_in_order_on_signals()
with running_rig() as rig:
    rig.engine.load(sys.argv[2])
    client = rig.engine.client()
    client.containers.run(sys.argv[2], ["caddy", "respond", "--listen", ":8080"], detach=True)
    client.close()
    print(rig.run.name, flush=True)
    if sys.argv[1] == "fail":
        raise RuntimeError("on purpose")
    while True:
        time.sleep(1)  # `signal.pause()` misses a signal that comes just before it
"""


def caddy_image() -> str:
    return local_settings()["images"]["caddy"]


def as_a_shells_background_job() -> None:
    """Ignore interrupts, as in a shell's background job."""
    die_with_parent()
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def start_session(what: str) -> tuple[subprocess.Popen[str], Run]:
    """A process with its own rig, in which a container runs."""
    process = subprocess.Popen(
        [sys.executable, "-c", SESSION, what, caddy_image()],
        cwd=ROOT,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=as_a_shells_background_job,
    )
    assert process.stdout is not None
    name = process.stdout.readline().strip()
    assert name, f"the session ended before it had a rig: {process.communicate()[1]}"
    return process, Run(name)


def traces(run: Run) -> list[str]:
    """Everything on this machine with the run's name."""
    mounts = Path("/proc/self/mountinfo").read_text().splitlines()
    processes = [(path.name, _words(path)) for path in Path("/proc").glob("[0-9]*")]
    return [
        *(str(path) for path in NAMESPACES.glob(f"{run.name}-*")),
        *(str(path) for path in (*CGROUPS.glob(run.name), *CGROUPS.glob(f"*/{run.name}"))),
        *(str(path) for path in Path(tempfile.gettempdir()).glob(f"{FOLDER_PREFIX}{run.name}")),
        *(line for line in mounts if run.name in line),
        *(f"{pid}: {words}" for pid, words in processes if run.name in words),
    ]


def _words(process: Path) -> str:
    """A process's command and cgroups: the run's name is in one of them."""
    try:
        command = (process / "cmdline").read_text(errors="replace").replace("\0", " ")
        return command + (process / "cgroup").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return ""


def test_a_published_port_is_reached_from_the_world(rig: Rig) -> None:
    rig.engine.load(caddy_image())
    client = rig.engine.client()
    container = client.containers.run(
        caddy_image(),
        ["caddy", "respond", "--listen", ":8080"],
        detach=True,
        ports={"8080/tcp": 8080},
    )
    try:
        for source, server in ((NAT, SERVER), (NAT_6, SERVER_6)):
            wait_for(
                f"port 8080 of {server} answers {source}",
                lambda source=source, server=server: can_connect(rig.network.world, source, (server, 8080)),
                20.0,
            )
        assert not can_connect(rig.network.world, NAT, (SERVER, 8081))
        assert client.info()["Driver"] == "overlay2"
    finally:
        container.remove(force=True, v=True)
        client.close()


def test_containers_last_lines_can_be_shown(rig: Rig) -> None:
    rig.engine.load(caddy_image())
    client = rig.engine.client()
    container = client.containers.run(
        caddy_image(), ["sh", "-c", "echo the first; seq 39; echo the last"], name="talker", detach=True
    )
    try:
        container.wait()
        said = dict(last_words())["last 40 lines of container talker (exited)"].splitlines()
        assert (said[0], said[-1]) == ("1", "the last")
    finally:
        container.remove()
        client.close()


@pytest.mark.parametrize("how", ["fail", "terminate", "interrupt"])
def test_a_session_that_ends_badly_leaves_nothing(how: str) -> None:
    process, run = start_session(how)
    if how == "terminate":
        process.terminate()
    if how == "interrupt":
        process.send_signal(signal.SIGINT)
    assert process.wait(timeout=60) != 0
    assert traces(run) == []


@pytest.fixture
def own_temporary_folder(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A temporary folder for this session alone, with a short path, as sockets need."""
    with tempfile.TemporaryDirectory(prefix="cm-") as folder:
        monkeypatch.setenv("TMPDIR", folder)
        monkeypatch.setattr(tempfile, "tempdir", folder)
        yield


@pytest.mark.usefixtures("own_temporary_folder")
def test_what_a_killed_session_left_is_cleared_by_the_next() -> None:
    process, run = start_session("wait")
    other, alive = start_session("wait")
    try:
        assert clear_dead_runs() == [], "a run that is alive was cleared"
        process.kill()
        process.wait(timeout=60)
        assert traces(run) != []
        assert clear_dead_runs() == [run.name]
        assert traces(run) == []
        assert traces(alive) != [], "a run that is alive was cleared"
    finally:
        for one in (process, other):
            one.terminate()
            one.wait(timeout=60)
    assert traces(alive) == []
