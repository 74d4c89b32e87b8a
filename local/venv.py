"""uv, and the project's virtualenv from the hash-pinned locks."""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path

from local import cache, say, system
from local.paths import ROOT, VENV
from local.paths import cache as cache_folder
from local.say import Problem

LOCKS = ROOT / "local" / "locks"
REQUIREMENTS = ROOT / "requirements-dev.txt"


def ensure() -> None:
    """Have the virtualenv exactly as the lock says."""
    key = cache.key_of(REQUIREMENTS, sys.version, str(VENV), "bytecode")
    if cache.is_whole(VENV, key) and python().exists():
        return
    say.step("making the virtualenv .venv from requirements-dev.txt (usually 30 s)")
    uv = ensure_uv()
    environment = _uv_environment()
    (VENV / cache.KEY_FILE).unlink(missing_ok=True)
    for command in (
        [uv, "venv", "--quiet", "--allow-existing", "--python", sys.executable, VENV],
        # Compiled once here: a preview loads thousands of the AWS SDK's modules.
        [
            uv,
            "pip",
            "sync",
            "--quiet",
            "--require-hashes",
            "--compile-bytecode",
            "--python",
            python(),
            REQUIREMENTS,
        ],
    ):
        done = say.capture(command, env=environment, cwd=ROOT, seconds=1800)
        if done.returncode != 0:
            raise Problem(f"the virtualenv can't be made: {' '.join(done.stderr.split())[:400]}")
    (VENV / cache.KEY_FILE).write_text(key)


def python() -> Path:
    """The virtualenv's interpreter."""
    return VENV / "bin" / "python"


def ensure_uv() -> Path:
    """uv: from PATH, else from the package index, pinned by hash."""
    found = shutil.which("uv")
    return Path(found) if found else own_venv("uv") / "bin" / "uv"


def own_venv(name: str) -> Path:
    """A virtualenv in the cache with the packages of local/locks/<name>.txt."""
    folder = cache_folder() / name
    key = cache.key_of(LOCKS / f"{name}.txt", sys.version, str(folder))
    if not cache.is_whole(folder, key):
        _ensure_venv_module()
        cache.remove(folder)
        done = say.capture([sys.executable, "-m", "venv", folder], seconds=300)
        if done.returncode != 0:
            raise Problem(f"python3 -m venv failed: {say.last_line(done.stdout + done.stderr)}")
        pip_install(name, Path(folder, "bin", "python"))
        (folder / cache.KEY_FILE).write_text(key)
    return folder


def _ensure_venv_module() -> None:
    """Debian has `ensurepip` in a separate package."""
    if say.capture([sys.executable, "-c", "import ensurepip"]).returncode != 0:
        system.install_packages(["python3-venv"], "python3 can't make virtualenvs")


def pip_install(lock: str, interpreter: Path, *options: str | Path) -> None:
    """Install the packages of local/locks/<lock>.txt with that interpreter's pip."""
    done = say.capture(
        [interpreter, "-m", "pip", "install", "--quiet", "--disable-pip-version-check",
         "--require-hashes", "--no-deps", *options, "-r", LOCKS / f"{lock}.txt"],
        seconds=900,
    )  # fmt: skip
    if done.returncode != 0:
        raise Problem(f"pip can't install {lock}: {say.last_line(done.stderr)}")


def _uv_environment() -> dict[str, str]:
    """uv doesn't read pip's settings: give it the same index."""
    environment = dict(os.environ)
    if "UV_DEFAULT_INDEX" not in environment and "UV_INDEX_URL" not in environment:
        own = say.capture([sys.executable, "-m", "pip", "config", "get", "global.index-url"])
        if own.returncode == 0 and own.stdout.strip():
            environment["UV_DEFAULT_INDEX"] = own.stdout.strip()
    return environment


def compile_locks() -> None:
    """Make requirements.txt and requirements-dev.txt again, with hashes and without host names."""
    uv = ensure_uv()
    options = [
        *("--universal", "--quiet", "--python-version", "3.11", "--generate-hashes"),
        *("--no-emit-index-url", "--no-emit-find-links", "--no-annotate"),
        *("--custom-compile-command", "make lock", "pyproject.toml"),
    ]
    for more in (
        ["--output-file", "requirements.txt"],
        ["--group", "dev", "--constraint", "requirements.txt",
         "--output-file", "requirements-dev.txt"],
    ):  # fmt: skip
        done = say.capture(
            [uv, "pip", "compile", *options, *more], env=_uv_environment(), cwd=ROOT, seconds=600
        )
        if done.returncode != 0:
            raise Problem(f"uv pip compile failed: {' '.join(done.stderr.split())[:400]}")
