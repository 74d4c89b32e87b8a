"""`python3 -m local <command>`: see the Makefile for what a person calls."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from pathlib import Path

from local import install, local_stack, say, system, venv
from ops import doctor
from rig.programs import actionlint


def _install(plugins: Path | None) -> int:
    install.for_tests(plugins)
    return 0


def _engines(_: Path | None) -> int:
    install.all_engines()
    return 0


def _venv(_: Path | None) -> int:
    system.check_machine()
    venv.ensure()
    return 0


def _actionlint(_: Path | None) -> int:
    return actionlint.run()


def _lock(_: Path | None) -> int:
    venv.compile_locks()
    return 0


COMMANDS: dict[str, tuple[str, Callable[[Path | None], int]]] = {
    "up": ("the local stack, from nothing to a line read back", local_stack.up),
    "preview": ("what up would change", local_stack.preview),
    "down": ("remove the local stack", local_stack.down),
    "install": ("everything that up and the tests need", _install),
    "engines": ("the Docker Engines that only `make soak SUITE=engines` runs", _engines),
    "venv": ("only the virtualenv", _venv),
    "actionlint": ("check the workflows", _actionlint),
    "env": ("the environment of the local stack, as shell lines", local_stack.print_environment),
    "lock": ("requirements.txt and requirements-dev.txt from pyproject.toml", _lock),
}


def main() -> int:
    """Run a command; a Problem is one line and exit code 1."""
    parser = argparse.ArgumentParser(prog="local", description=__doc__)
    chosen = parser.add_subparsers(dest="command", required=True)
    for name, (text, _) in COMMANDS.items():
        one = chosen.add_parser(name, help=text)
        one.add_argument("--plugins", default="", help="a folder with Pulumi plugins to use")
    chosen.add_parser("doctor", help="what is missing on this machine").add_argument(
        "--stack", default="local"
    )
    arguments = parser.parse_args()
    try:
        if arguments.command == "doctor":
            return doctor.run(arguments.stack)
        plugins = Path(arguments.plugins).absolute() if arguments.plugins else None
        return COMMANDS[arguments.command][1](plugins)
    except say.Problem as problem:
        sys.stdout.flush()
        print(f"{say.ERROR} {problem}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("\ninterrupted; the same command goes on where this one was", file=sys.stderr)
        return 130


if __name__ == "__main__":
    sys.exit(main())
