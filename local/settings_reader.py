"""Run by the virtualenv's Python: Pulumi.local.yaml on stdin, what it says as JSON on stdout.

With --check, the program's own check of the settings comes first: so a mistake is found before
anything is installed, started or made.
"""

from __future__ import annotations

import json
import sys
from typing import Any

import yaml

NAMESPACE = "campus-monitor:"


def main() -> int:
    """1, with one line per mistake, if the file or its settings are wrong."""
    try:
        document = yaml.safe_load(sys.stdin)
    except yaml.YAMLError as error:
        print("Pulumi.local.yaml is not YAML:", " ".join(str(error).split()), file=sys.stderr)
        return 1
    problems = _problems(document) if "--check" in sys.argv else []
    for problem in problems:
        print(problem, file=sys.stderr)
    print(json.dumps(document, default=str))
    return 1 if problems else 0


def _problems(document: Any) -> list[str]:
    from components.stack.settings import parse
    from components.values.errors import SettingsError

    config = document.get("config") if isinstance(document, dict) else None
    if not isinstance(config, dict):
        return []  # the caller's own check says so
    own = {k.removeprefix(NAMESPACE): v for k, v in config.items() if k.startswith(NAMESPACE)}
    try:
        parse(own)
    except SettingsError as error:
        return error.problems
    return []


if __name__ == "__main__":
    sys.exit(main())
