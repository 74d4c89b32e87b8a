"""The files of an image, as a tar that `docker import` takes: the same bytes give the same tar."""

from __future__ import annotations

import io
import tarfile
from pathlib import Path
from types import TracebackType

# What `setcap cap_net_bind_service=+ep` writes: version 2 with the effective bit, then the set.
NET_BIND_SERVICE = b"\1\0\0\2" + b"\0\4\0\0" + b"\0\0\0\0" * 3


class RootFiles:
    """A tar being written; folders above a file have to be added before it."""

    def __init__(self, path: Path) -> None:
        self._tar = tarfile.open(path, "w", format=tarfile.PAX_FORMAT)  # noqa: SIM115

    def __enter__(self) -> RootFiles:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._tar.close()

    def folder(self, *paths: str, mode: int = 0o755, owner: int = 0) -> None:
        """Add empty folders."""
        for path in paths:
            self._tar.addfile(_member(path, tarfile.DIRTYPE, mode, owner))

    def text(self, path: str, content: str, *, mode: int = 0o644, owner: int = 0) -> None:
        """Add a file with this text."""
        member = _member(path, tarfile.REGTYPE, mode, owner)
        data = content.encode()
        member.size = len(data)
        self._tar.addfile(member, io.BytesIO(data))

    def program(self, path: str, source: Path, *, capability: bytes | None = None) -> None:
        """Add a program, if wanted with a file capability."""
        member = _member(path, tarfile.REGTYPE, 0o755, 0)
        member.size = source.stat().st_size
        if capability is not None:
            member.pax_headers = {"SCHILY.xattr.security.capability": capability.decode("ascii")}
        with source.open("rb") as file:
            self._tar.addfile(member, file)

    def link(self, path: str, target: str) -> None:
        """Add a symbolic link."""
        member = _member(path, tarfile.SYMTYPE, 0o777, 0)
        member.linkname = target
        self._tar.addfile(member)


def _member(path: str, kind: bytes, mode: int, owner: int) -> tarfile.TarInfo:
    member = tarfile.TarInfo(path.lstrip("/"))
    member.type, member.mode = kind, mode
    member.uid = member.gid = owner
    return member
