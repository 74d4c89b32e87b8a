"""Starts the fake plugin: `python -I rig/plugins/__main__.py aws`."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from rig.plugins.provider import Provider
from rig.plugins.server import serve


def _provider(name: str) -> Provider:
    if name == "aws":
        from rig.plugins.aws_things.provider import AwsProvider

        return AwsProvider()
    raise SystemExit(f"no fake plugin {name!r}: there is only aws")


if __name__ == "__main__":
    serve(_provider(sys.argv[1] if len(sys.argv) > 1 else ""))
