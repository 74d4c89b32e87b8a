"""The live directory of a fake program on this machine, and the scripts that change it."""

from __future__ import annotations

import os
import secrets
import subprocess
from dataclasses import replace
from glob import glob
from pathlib import Path

from components.live.programs import (
    ON_TRIAL,
    Program,
    render_apply_script,
    render_end_script,
    render_read_script,
)
from tests.support.kill_points import killed_at

# A program with one file, whose running configuration is a file too.
STUB = Program(
    ready='test -e "$dir/../ready"',
    wanted='if grep -q invalid "$dir/a"; then echo "Error: $dir/a: invalid" >&2; exit 1; fi; cat "$dir/a"',
    apply='if grep -q refused "$dir/a"; then echo "Error: refused" >&2; exit 1; fi; '
    'top=${dir%/.tree-*}; sed s/misread/other/ "$dir/a" >"$top/../running"',
    running='cat "$dir/../running"',
)

# The same with a trial: the file `trial` exists during it. `over` below lets it end by itself.
TRIED = replace(
    STUB,
    ready=f'{STUB.ready} && [ ! -e "$dir/../trial" ]',
    apply=f'{STUB.apply} && rm -f "${{dir%/live*}}/trial"',
    trial=f'at=${{dir%/live/*}}/trial; echo "$seconds" >"$at"; ({STUB.apply}) || {{ rm "$at"; exit 1; }}',
    confirm='rm "$dir/../trial"',
)


class Live:
    """The live directory of a fake program on this machine."""

    def __init__(self, folder: Path, like: Live | None = None) -> None:
        """A new folder: empty, or a copy of another one."""
        self.folder = folder
        self.directory = folder / "live"
        if like is not None:
            subprocess.run(["cp", "--archive", like.folder, folder], check=True)
            return
        self.directory.mkdir(parents=True)
        (folder / "ready").touch()

    def apply(
        self,
        files: dict[str, str],
        *paths: str,
        owner: str = "me",
        action: str = "write",
        seconds: int = 0,
        kill_at: int | None = None,
        program: Program = STUB,
    ) -> subprocess.CompletedProcess[str]:
        """Stage files and run the script that applies them."""
        staging = self.stage(files)
        script = render_apply_script(program)
        if kill_at is not None:
            script = killed_at(kill_at, script, str(self.folder / "steps"))
        return self.run(script, staging, owner, action, str(seconds), *(paths or files))

    def begin(self, text: str) -> str:
        """Put a text for `a` on trial; the name for `end`."""
        staging = self.stage({"a": text})
        script = render_apply_script(TRIED)
        done = self.run(script, staging, "me", "write", "7", "a")
        assert done.returncode == ON_TRIAL, done.stderr
        return staging

    def end(self, staging: str, verdict: str, kill_at: int | None = None) -> int:
        """End a trial; the script's status."""
        script = render_end_script(TRIED)
        if kill_at is not None:
            script = killed_at(kill_at, script, str(self.folder / "steps"))
        return self.run(script, staging, verdict).returncode

    def over(self) -> None:
        """Let the trial end by itself, like the program."""
        (self.folder / "running").write_text(self.files()["a"])
        (self.folder / "trial").unlink(missing_ok=True)

    def stage(self, files: dict[str, str], work: str = "work") -> str:
        """Stage new files; the name of their folder."""
        staging = self.directory / f".staging-{work}-{secrets.token_hex(8)}"
        staging.mkdir()
        for path, text in files.items():
            (staging / "new" / path).parent.mkdir(parents=True, exist_ok=True)
            (staging / "new" / path).write_text(text)
        (staging / "whole").touch()
        return staging.name

    def read(self, *paths: str) -> list[str]:
        """The output of the reading script."""
        return self.run(render_read_script(STUB), *paths).stdout.splitlines()

    def files(self) -> dict[str, str]:
        """The directory's files for the program."""
        found = glob("**/*", root_dir=self.directory, recursive=True)
        return {
            name: (self.directory / name).read_text() for name in found if (self.directory / name).is_file()
        }

    def leftovers(self) -> list[str]:
        """Our files there, except the lock, the link and the one tree that it points to."""
        known = {".lock", ".live", os.readlink(self.directory / ".live")}
        names = {path.name for path in self.directory.glob(".*")} - known
        broken = {path.name for path in self.directory.iterdir() if not path.exists()}
        return sorted(names | broken)

    def running(self) -> str:
        """The running configuration."""
        return (self.folder / "running").read_text()

    def run(self, script: str, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run a script on the directory."""
        command = ["sh", "-c", script, "sh", str(self.directory), *arguments]
        return subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)
