"""Archives from Pulumi's site, checked against the repository's checksums."""

from __future__ import annotations

import hashlib
import shutil
import urllib.request
from pathlib import Path

from local import say
from local.paths import ROOT
from local.say import Problem

# As sha256sum writes it: a line for each archive.
CHECKSUMS = ROOT / "local" / "checksums.txt"
CONNECT_SECONDS = 5

# Lines that CHECKSUMS lacks, for the archives that this process has downloaded.
unpinned: list[str] = []


def fetch(url: str, into: Path) -> None:
    """Download an archive to a file.

    OSError if the site can't be reached, a Problem if the archive's checksum differs. An archive that
    CHECKSUMS doesn't list is accepted, and its line is printed.
    """
    name = url.rpartition("/")[2]
    with urllib.request.urlopen(url, timeout=CONNECT_SECONDS) as answer, into.open("wb") as file:
        shutil.copyfileobj(answer, file)
    with into.open("rb") as file:
        found = hashlib.file_digest(file, "sha256").hexdigest()
    known = _known().get(name)
    if known is None:
        unpinned.append(f"{found}  {name}")
        say.note(f"not pinned yet; add to local/{CHECKSUMS.name}: {unpinned[-1]}")
    elif known != found:
        into.unlink()
        raise Problem(
            f"{name} doesn't match local/{CHECKSUMS.name}: expected sha256 {known}, got {found}. "
            "Nothing of it was run: find out why first"
        )


def _known() -> dict[str, str]:
    lines = CHECKSUMS.read_text().splitlines() if CHECKSUMS.exists() else []
    return {name: digest for digest, _, name in (line.partition("  ") for line in lines)}
