"""Shell scripts killed at one of their steps, like an interrupted update."""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

# The number of steps that are tried before checking whether there are more.
BATCH = 16

NEVER = 1_000_000

# The shell expands PS4 before every simple command that it traces, in subshells too, so no step is missed.
# The trace itself is discarded.
_PRELUDE = """\
exec 8>&2 2>/dev/null
: >{counter}
step() {{
    printf . >>{counter}
    # No program is started for this, which comes before every command.
    read -r dots <{counter} || :
    [ ${{#dots}} -lt {kill_at} ] || kill -9 $$
}}
PS4='$(step)+ '
set -x
"""


def killed_at(step: int, script: str, counter: str) -> str:
    """The script, killed before its `step`-th command (from 1); it may write the file `counter`.

    With NEVER it runs to its end, and the file then has a byte per command: a pipeline's commands count
    concurrently, and appending loses none. Its errors can't be read.
    """
    return _PRELUDE.format(counter=counter, kill_at=step) + script


def steps_tried(killed_before: Callable[[int], bool], every: int = 1) -> int:
    """Kill a script before its steps, several at once, until none is left; at most how many it had.

    `killed_before` kills it before this step (from 1), and returns whether it had one. `every` is the
    distance between two tried steps.
    """
    reached, killed = 0, [True]
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        while all(killed):
            steps = range(reached + 1, reached + 1 + BATCH * every, every)
            killed = list(pool.map(killed_before, steps))
            reached += len(steps) * every
    return reached
