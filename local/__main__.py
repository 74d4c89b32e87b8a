"""`python3 -m local <command>`: see the Makefile for what a person calls."""

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
    "up": ("the local stack, from nothing to a line read back", local_stack.up),
    "preview": ("what up would change", local_stack.preview),
    "down": ("remove the local stack", local_stack.down),
    "venv": ("only the virtualenv", _venv),
    "env": ("the environment of the local stack, as shell lines", local_stack.print_environment),
    "lock": ("requirements.txt and requirements-dev.txt from pyproject.toml", _lock),
}

if __name__ == "__main__":
    sys.exit(commands.run("local", __doc__, COMMANDS))
