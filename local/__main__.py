"""`python3 -m local <command>`: people call it by the Makefile."""

from __future__ import annotations

import sys
from pathlib import Path

from local import commands, local_stack, system, venv


def _venv(_: Path | None) -> int:
    system.check_machine()
    venv.ensure()
    return 0


def _lock(_: Path | None) -> int:
    venv.compile_locks()
    return 0


COMMANDS: dict[str, tuple[str, commands.Command]] = {
    "up": ("bring the local stack up and show that it works", local_stack.up),
    "preview": ("show what up would change", local_stack.preview),
    "down": ("remove the local stack", local_stack.down),
    "venv": ("install the virtualenv only", _venv),
    "env": ("print the environment of the local stack, as shell lines", local_stack.print_environment),
    "lock": ("make requirements.txt and requirements-dev.txt from pyproject.toml", _lock),
}

if __name__ == "__main__":
    sys.exit(commands.run("local", __doc__, COMMANDS))
