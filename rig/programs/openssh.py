"""Debian's SSH server, for the tests: only its files. Installed, it would start to serve this machine."""

from __future__ import annotations

from pathlib import Path

from local import cache
from local.paths import cache as cache_folder
from rig.stand_ins import debian

# Of sshd's libraries, a Debian machine may lack only libwrap: the client needs the rest too.
PACKAGES = ("libwrap0", "openssh-server")
RECIPE = "1"


def ensure() -> None:
    """Unpack it if it is missing."""
    if not cache.is_whole(_folder(), _key()):
        with cache.new_folder(_folder(), _key()) as made:
            debian.unpack_packages(
                list(PACKAGES),
                made / "files",
                "the tests need Debian's SSH server, and this machine has no apt to get it: use Debian",
            )


def sshd() -> Path:
    """The program, which has to be called by its absolute path; `libraries` is for its LD_LIBRARY_PATH."""
    return _folder() / "files" / "usr" / "sbin" / "sshd"


def libraries() -> str:
    """The folder of its libraries."""
    return ":".join(map(str, sorted((_folder() / "files" / "usr" / "lib").glob("*-linux-gnu"))))


def _folder() -> Path:
    return cache_folder() / "bin" / "openssh-server"


def _key() -> str:
    return cache.key_of(RECIPE, debian.SUITE, *PACKAGES)
