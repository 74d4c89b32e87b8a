"""Whether a file's content fits its name, checked before a host is contacted."""

from __future__ import annotations

import json
import re
from pathlib import PurePosixPath
from typing import Any

from components.live.docker_host import LiveError, check_path


def file_problem(path: str, text: Any) -> str | None:
    """What is wrong with a file; None if nothing is, or if its text isn't known yet."""
    try:
        check_path(path)
        if isinstance(text, str):
            text.encode()
            _parse(path, text)
    except LiveError as error:
        return str(error)
    except UnicodeEncodeError:
        return f"{path}: the file is not UTF-8 text"
    return None


def _parse(path: str, text: str) -> None:
    """Raise a LiveError for a file whose content doesn't fit its name: a program may silently skip it."""
    suffix = PurePosixPath(path).suffix
    if suffix not in (".json", ".yaml", ".yml"):
        return
    try:
        json.loads(text)
    except ValueError as error:
        if suffix == ".json":
            raise LiveError(f"{path}: the file is not JSON ({error})") from None
        problem = _yaml_problem(text)
        if problem:
            raise LiveError(f"{path}: the file is not YAML ({problem})") from None


def _yaml_problem(text: str) -> str | None:
    """What is wrong with a YAML file, and where, without its text, which may be secret."""
    # Imported only here: ours is JSON, which is YAML too.
    import yaml

    try:
        yaml.safe_load(text)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        where = f" in line {mark.line + 1}, column {mark.column + 1}" if mark else ""
        return re.sub(r"'[^']*'", "'…'", f"{error.problem}") + where
    except yaml.YAMLError as error:
        return type(error).__name__
    return None
