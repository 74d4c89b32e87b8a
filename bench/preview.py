"""The stack's no-change preview and up, compared with an empty program's.

`python -m bench.preview` deploys the stack into the test rig, then runs it and the empty programs in turns,
so that a busy machine slows all alike, and records the median ratio of the rounds.

An empty program that "imports the same SDKs" imports the SDK modules that the stack uses: `import pulumi_aws`
alone loads almost nothing, since its modules load on first use. The ratio to such a program is printed, too
(docs/decisions/0005).
"""

from __future__ import annotations

import re
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from rig.deployment import load_images, settings_for
from rig.emulator import running_emulator
from rig.figures import TARGETS, record
from rig.rig import end_in_order_on_signals, running_rig
from rig.stack import ROOT, Stack, running_stack, write_project

ROUNDS = 7
BARE = "import pulumi\nimport pulumi_aws\nimport pulumi_docker\n"
AWS_MODULES = re.compile(r"\baws\.([a-z0-9]+)\.[A-Z]")
COMMANDS = {
    "preview_ratio": ("preview", "--expect-no-changes"),
    "up_ratio": ("up", "--yes", "--skip-preview", "--expect-no-changes"),
}
VERSUS = "an empty program importing the same SDKs"


@dataclass(frozen=True)
class Round:
    """The seconds of one command for each program, run one right after the other."""

    bare: float
    empty: float
    ours: float


def measure(
    bare: Stack, empty: Stack, ours: Stack, command: tuple[str, ...], rounds: int = ROUNDS
) -> list[Round]:
    """Run the command in all stacks in turns: a warm-up, and then each round."""
    for stack in (bare, empty, ours):
        stack.run(*command)
    return [
        Round(
            bare=_seconds(bare, command),
            empty=_seconds(empty, command),
            ours=_seconds(ours, command),
        )
        for _ in range(rounds)
    ]


def _seconds(stack: Stack, command: tuple[str, ...]) -> float:
    start = time.perf_counter()
    stack.run(*command)
    return time.perf_counter() - start


@contextmanager
def _empty_stack(program: str) -> Iterator[Stack]:
    """A stack of a program without resources, in the project's own runtime."""
    with tempfile.TemporaryDirectory(prefix="campus-monitor-empty-") as folder:
        write_project(Path(folder), ROOT, {"name": "empty", "main": ".", "config": {}})
        (Path(folder) / "__main__.py").write_text(program)
        with running_stack({}, root=Path(folder)) as stack:
            stack.up()
            yield stack


def same_modules() -> str:
    """Lines that load the pulumi_aws modules of the stack's components."""
    sources = (ROOT / "components").rglob("*.py")
    names = {name for source in sources for name in AWS_MODULES.findall(source.read_text())}
    return "".join(f"from pulumi_aws.{name} import *\n" for name in sorted(names))


def _report(figure: str, rounds: list[Round]) -> bool:
    """Print and record one figure; whether it met its target."""
    ratio = round(statistics.median(one.ours / one.empty for one in rounds), 3)
    to_bare = statistics.median(one.ours / one.bare for one in rounds)
    ours, empty, bare = (
        statistics.median(getattr(one, name) for one in rounds) for name in ("ours", "empty", "bare")
    )
    record(figure, ratio, "x", len(rounds), VERSUS)
    met = TARGETS[figure].met_by(ratio)
    print(f"{figure}: {ratio:g}, target {TARGETS[figure]}: {'met' if met else 'MISSED'}")
    print(f"  medians of {len(rounds)} rounds: {ours:.2f} s, empty program {empty:.2f} s")
    print(f"  empty program that loads no module of pulumi_aws: {bare:.2f} s, ratio {to_bare:.3g}")
    return met


def main() -> int:
    """Measure and record both ratios; 1 if one misses its target."""
    end_in_order_on_signals()
    with (
        running_rig() as rig,
        running_emulator() as emulator,
        _empty_stack(BARE) as bare,
        _empty_stack(BARE + same_modules()) as empty,
    ):
        settings = settings_for(rig, emulator)
        load_images(rig, settings)
        with running_stack(settings) as ours:
            ours.up()
            met = [
                _report(figure, measure(bare, empty, ours, command)) for figure, command in COMMANDS.items()
            ]
    return 0 if all(met) else 1


if __name__ == "__main__":
    sys.exit(main())
