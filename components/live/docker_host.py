"""A connection to the campus server's Docker Engine, for what Pulumi's Docker provider can't do."""

from __future__ import annotations

import io
import socket
import tarfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from components.settings import PROJECT, SettingsError

if TYPE_CHECKING:
    from docker import DockerClient

# A slow `ssh://` host answers within seconds; one that hangs must not hold an update for ever.
_TIMEOUT_SECONDS = 60


@contextmanager
def client(docker_host: str) -> Iterator[DockerClient]:
    """A client of the engine at `docker_host` (`unix://…` or `ssh://…`), closed at the end."""
    # Imported where it is used: a preview without changes does without it, and starts sooner.
    import docker

    connection = docker.DockerClient(base_url=docker_host, timeout=_TIMEOUT_SECONDS)
    try:
        yield connection
    finally:
        connection.close()


def require_reachable(docker_host: str) -> None:
    """Raises SettingsError if `docker_host` is a socket on this machine that nobody answers at.

    A host behind `ssh://` is not asked: a preview touches no host.
    """
    if not docker_host.startswith("unix://"):
        return
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
        try:
            connection.connect(docker_host.removeprefix("unix://"))
        except OSError as error:
            raise SettingsError(
                [
                    f"{PROJECT}:campus.dockerHost: Docker does not answer there "
                    f"({error.strerror or error}); start Docker, or name another host; "
                    f"received {docker_host!r}"
                ]
            ) from None


@dataclass(frozen=True, kw_only=True)
class ArchiveFile:
    """A file as it is sent to a container: bytes, owner and mode."""

    content: bytes
    uid: int = 0
    gid: int = 0
    mode: int = 0o644


def archive(files: Mapping[str, ArchiveFile]) -> bytes:
    """A tar archive of `files`, as the engine's archive call takes it; folders are made."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        for path, file in sorted(files.items()):
            entry = tarfile.TarInfo(path)
            entry.size, entry.uid, entry.gid, entry.mode = len(file.content), file.uid, file.gid, file.mode
            tar.addfile(entry, io.BytesIO(file.content))
    return buffer.getvalue()


def extract(stream: Any) -> dict[str, bytes]:
    """The regular files of a tar archive that the engine sends, by path."""
    buffer = io.BytesIO(b"".join(stream))
    files: dict[str, bytes] = {}
    with tarfile.open(fileobj=buffer, mode="r") as tar:
        for entry in tar.getmembers():
            content = tar.extractfile(entry) if entry.isfile() else None
            if content is not None:
                files[entry.name] = content.read()
    return files
