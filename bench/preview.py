"""How much slower a no-change preview and up of the stack are than those of an empty program.

`python -m bench.preview` deploys the stack into the test rig, then runs both programs in turn,
so that a busy machine slows both alike, and records the median ratio of the pairs.
"""

from __future__ import annotations

import statistics
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.figures import TARGETS, record
from tests.rig.deployment import load_images, settings_for
from tests.rig.emulator import running_emulator
from tests.rig.rig import end_in_order_on_sigterm, running_rig
from tests.rig.stack import ROOT, Stack, running_stack, write_project

PAIRS = 7
EMPTY_PROGRAM = "import pulumi\nimport pulumi_aws\nimport pulumi_docker\n"
COMMANDS = {
    "preview_ratio": ("preview", "--expect-no-changes"),
    "up_ratio": ("up", "--yes", "--skip-preview", "--expect-no-changes"),
}
VERSUS = "an empty program importing the same SDKs"


@dataclass(frozen=True)
class Pair:
    """The seconds that one command took: of the stack, and of the empty program just before."""

    ours: float
    empty: float

    @property
    def ratio(self) -> float:
        return self.ours / self.empty


def measure(ours: Stack, empty: Stack, command: tuple[str, ...]) -> list[Pair]:
    """Run the command in both stacks by turns, once unmeasured and then for each pair."""
    for stack in (empty, ours):
        stack.run(*command)
    pairs: list[Pair] = []
    for _ in range(PAIRS):
        empty_seconds = _seconds(empty, command)
        pairs.append(Pair(ours=_seconds(ours, command), empty=empty_seconds))
    return pairs


def _seconds(stack: Stack, command: tuple[str, ...]) -> float:
    start = time.perf_counter()
    stack.run(*command)
    return time.perf_counter() - start


@contextmanager
def _empty_stack() -> Iterator[Stack]:
    """A stack of a program that only imports the SDKs, in the project's own runtime."""
    with tempfile.TemporaryDirectory(prefix="campus-monitor-empty-") as folder:
        write_project(Path(folder), ROOT, {"name": "empty", "main": ".", "config": {}})
        (Path(folder) / "__main__.py").write_text(EMPTY_PROGRAM)
        with running_stack({}, root=Path(folder)) as stack:
            stack.up()
            yield stack


def _report(figure: str, pairs: list[Pair]) -> bool:
    """Print and record one figure; whether it met its target."""
    ratio = round(statistics.median(pair.ratio for pair in pairs), 3)
    ours = statistics.median(pair.ours for pair in pairs)
    empty = statistics.median(pair.empty for pair in pairs)
    record(figure, ratio, "x", len(pairs), VERSUS)
    target = TARGETS[figure]
    met = target.met_by(ratio)
    print(
        f"{figure}: {ratio:g} (target {target}, {'met' if met else 'MISSED'}); medians"
        f" {ours:.2f} s and {empty:.2f} s of {len(pairs)} pairs"
    )
    return met


def main() -> int:
    """Measure and record both ratios; 1 if one misses its target."""
    end_in_order_on_sigterm()
    with running_rig() as rig, running_emulator() as emulator, _empty_stack() as empty:
        settings = settings_for(rig, emulator)
        load_images(rig, settings)
        with running_stack(settings) as ours:
            ours.up()
            met = [_report(figure, measure(ours, empty, command)) for figure, command in COMMANDS.items()]
    return 0 if all(met) else 1


if __name__ == "__main__":
    sys.exit(main())
