"""The whole rig: network and Docker Engine of the campus server, and their removal."""

from __future__ import annotations

import signal
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from types import FrameType

from rig.docker_engine import DockerEngine
from rig.namespaces import Network, make_network
from rig.run import Run, opened_run


@dataclass(frozen=True)
class Rig:
    """A campus server with its Docker Engine, and the world around it."""

    run: Run
    network: Network
    engine: DockerEngine


# The rigs of this process, so that a failing test can show their containers' logs.
running: list[Rig] = []


@contextmanager
def running_rig(docker_options: Sequence[str] = ()) -> Iterator[Rig]:
    """A rig for the duration of the block; nothing of it is left, however the block ends."""
    with opened_run() as run:
        network = make_network(run)
        engine = DockerEngine.start(run, network.campus, docker_options)
        rig = Rig(run, network, engine)
        running.append(rig)
        try:
            yield rig
        finally:
            running.remove(rig)
            engine.stop()


def end_in_order_on_signals() -> None:
    """Make SIGTERM unwind the program like Ctrl-C, so that every `finally` runs, and handle Ctrl-C itself.

    A shell lets its background jobs ignore SIGINT, and their children inherit that, plugins too: Pulumi then
    waits 5 s for each plugin before it kills it.
    """

    def interrupt(number: int, frame: FrameType | None) -> None:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)  # once is enough: clean-up may take a while
        raise KeyboardInterrupt(f"signal {number}")

    signal.signal(signal.SIGTERM, interrupt)
    signal.signal(signal.SIGINT, signal.default_int_handler)
