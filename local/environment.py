"""The environment of the local stack: for our own commands, and as a file to source."""

from __future__ import annotations

import os
import shlex
from dataclasses import dataclass
from pathlib import Path

from local import cache
from local.paths import ENV_FILE, PASSPHRASE, STATE, VENV
from local.paths import cache as cache_folder


@dataclass(frozen=True)
class Environment:
    """The variables by which pulumi finds its programs and the local stack's state."""

    path: tuple[Path, ...]

    def variables(self) -> dict[str, str]:
        """Everything but PATH."""
        return {
            "PULUMI_BACKEND_URL": backend_url(STATE),
            "PULUMI_CONFIG_PASSPHRASE_FILE": str(PASSPHRASE),
            "PULUMI_SKIP_UPDATE_CHECK": "true",
        }

    def of_process(self) -> dict[str, str]:
        """This process's environment with ours on top."""
        inherited = os.environ.get("PATH", os.defpath).split(os.pathsep)
        first = [str(folder) for folder in self.path]
        rest = [part for part in inherited if part and part not in first]
        path = os.pathsep.join([*first, *rest])
        return os.environ | {**self.variables(), "PATH": path}

    def file_text(self) -> str:
        """The lines of .local/env."""
        first = os.pathsep.join(shlex.quote(str(folder)) for folder in self.path)
        lines = [f'export PATH={first}:"$PATH"']
        lines += [f"export {name}={shlex.quote(value)}" for name, value in self.variables().items()]
        return "\n".join(lines) + "\n"

    def write(self) -> None:
        """Write .local/env."""
        with cache.new_file(ENV_FILE) as made:
            made.write_text(self.file_text())


def backend_url(folder: Path) -> str:
    """The URL of Pulumi's state, as files in a folder.

    Without metadata files: they are written in place, so a killed Pulumi leaves them empty and can't read
    the state any more (gocloud.dev, blob/fileblob).
    """
    return f"{folder.as_uri()}?metadata=skip"


def make(pulumi_folder: Path, plugins: tuple[Path, ...]) -> Environment:
    """The environment with this pulumi and the folders of these plugins (none: Pulumi's own).

    The virtualenv comes first: a language host built from modules ignores `runtime.options`.
    """
    folders = [VENV / "bin", *plugins, pulumi_folder]
    tools = cache_folder() / "bin" / "loki-3.7.8"
    return Environment((*folders, *([tools] if tools.is_dir() else [])))
