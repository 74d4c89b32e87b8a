"""A program's commands for people: a Problem is one line and exit code 1."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

from local import say

# Its argument is the folder with plugins that a person named.
Command = Callable[[Path | None], int]


def run(program: str, about: str | None, commands: Mapping[str, tuple[str, Command]]) -> int:
    """Run the command that the arguments name; each has one line of help."""
    parser = argparse.ArgumentParser(prog=program, description=about)
    chosen = parser.add_subparsers(dest="command", required=True)
    for name, (text, _) in commands.items():
        one = chosen.add_parser(name, help=text)
        one.add_argument("--plugins", default="", help="a folder with Pulumi plugins to use")
    arguments = parser.parse_args()
    plugins = Path(arguments.plugins).absolute() if arguments.plugins else None
    return ended(lambda: commands[arguments.command][1](plugins))


def ended(command: Callable[[], int]) -> int:
    """The command's exit code; 1 and one line for a Problem."""
    try:
        return command()
    except say.Problem as problem:
        sys.stdout.flush()
        print(f"{say.ERROR} {problem}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("\ninterrupted; the same command continues from here", file=sys.stderr)
        return 130
