"""`python3 -m rig <command>`: people call it by the Makefile."""

from __future__ import annotations

import sys
from pathlib import Path

from local import commands
from rig import install
from rig.programs import actionlint


def _install(plugins: Path | None) -> int:
    install.for_tests(plugins)
    return 0


def _engines(_: Path | None) -> int:
    install.all_engines()
    return 0


def _actionlint(_: Path | None) -> int:
    return actionlint.run()


COMMANDS: dict[str, tuple[str, commands.Command]] = {
    "install": ("install everything that up and the tests need", _install),
    "engines": ("build the Docker Engines that only `make soak SUITE=engines` runs", _engines),
    "actionlint": ("check the workflows", _actionlint),
}

if __name__ == "__main__":
    sys.exit(commands.run("rig", __doc__, COMMANDS))
