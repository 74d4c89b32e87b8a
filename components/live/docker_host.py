"""The Docker Engine of the campus host: a connection, files in and out, one script in a container.

The Docker SDK is imported where it is used: a preview without a change never needs it.
"""

from __future__ import annotations

import hashlib
import io
import logging
import posixpath
import re
import secrets
import tarfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any

from components.live import ssh_connect

if TYPE_CHECKING:
    from docker import DockerClient
    from docker.models.containers import Container

# A validation of Caddy's asks nobody on the network; an ssh connection may be slow.
REQUEST_SECONDS = 120
# The engine loses what a script printed less than once in a thousand times.
READS = 5
# Longer chains are loops (path_resolution(7): Linux itself follows 40).
MAX_LINKS = 40
HELPER_LABEL = "campus-monitor.helper"
# One asks the engine for its files, each within REQUEST_SECONDS, and is gone.
HELPER_SECONDS = 600
# Where a helper container sees its volume; no image has it, so that nothing is copied from there.
HELPER_MOUNT = "/campus-monitor-files"

# A relative path in plain characters; no part of it begins with a dot, those are our own.
_PATH = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.:@+-]*(/[A-Za-z0-9_][A-Za-z0-9_.:@+-]*)*")

# How paramiko says that the server hung up before it had greeted (its Transport._check_banner).
NOT_GREETED = "Error reading SSH protocol banner"

# What becomes of an ssh connection, our own errors tell; paramiko alone would print it with a traceback.
logging.getLogger("paramiko").addHandler(logging.NullHandler())


class LiveError(Exception):
    """Something live can't be brought to its wanted state: one line, or a program's own words."""


class UnreachableError(LiveError):
    """The Docker Engine can't be reached."""


class ConnectionLostError(UnreachableError):
    """The Docker Engine can't be reached any more."""


@dataclass(frozen=True, kw_only=True)
class HostFile:
    """A file on the Docker host with its owner and mode."""

    content: bytes
    uid: int = 0
    gid: int = 0
    mode: int = 0o600


@dataclass(frozen=True, kw_only=True)
class Ran:
    """What a script in a container printed, and how it ended."""

    status: int
    output: str
    errors: str
    # Whether that is all that it printed.
    is_whole: bool = True


@contextmanager
def client(docker_host: str) -> Iterator[DockerClient]:
    """A connection to the engine, closed at the end. The engine's own errors become LiveErrors."""
    from docker.errors import DockerException
    from paramiko.ssh_exception import SSHException

    try:
        made = _connected(docker_host)
    except Exception as error:  # paramiko, requests and the SDK each have errors of their own
        raise UnreachableError(
            f"no Docker Engine answers at {docker_host} "
            f"({type(error).__name__}: {error}): start Docker there, or check the ssh login"
        ) from None
    try:
        yield made
    except DockerException as error:
        raise LiveError(f"Docker at {docker_host}: {error}") from None
    except (OSError, EOFError, SSHException) as error:  # an OSError from requests, too
        raise ConnectionLostError(
            f"the connection to Docker at {docker_host} broke ({type(error).__name__}: {error})"
        ) from None
    finally:
        with suppress(OSError, EOFError, SSHException):  # one that is broken can't be closed in order
            made.close()


def _connected(docker_host: str) -> DockerClient:
    """A client of the engine; tried again where an SSH server has no room for another login yet."""
    import docker
    from paramiko.ssh_exception import SSHException

    deadline = time.monotonic() + ssh_connect.SECONDS
    while True:
        try:
            # Over ssh the SDK's own client: it refuses a host that known_hosts doesn't name.
            return docker.DockerClient(docker_host, timeout=REQUEST_SECONDS, use_ssh_client=False)
        except SSHException as error:
            if not str(error).startswith(NOT_GREETED) or time.monotonic() > deadline:
                raise
        time.sleep(ssh_connect.pause())


def find_container(engine: DockerClient, name: str) -> Container | None:
    """The container of that name or id, None where there is none."""
    from docker.errors import NotFound

    try:
        return engine.containers.get(name)
    except NotFound:
        return None


def volume_exists(engine: DockerClient, name: str) -> bool:
    """Whether the engine has that volume."""
    from docker.errors import NotFound

    try:
        engine.volumes.get(name)
    except NotFound:
        return False
    return True


def run_script(container: Container, script: str, *arguments: str) -> Ran | None:
    """Run a `sh` script in a container; None where the container doesn't run.

    Arguments show in the host's process list: never a secret. On a busy host the engine now and then loses
    what a script printed (moby/moby#27289), with the right status: such a run isn't whole.
    """
    from docker.errors import APIError

    try:
        ended = container.exec_run(["sh", "-c", _MARKED, script, *arguments], demux=True)
    except APIError as error:
        if error.status_code == 409:  # Docker Engine API, POST /containers/{id}/exec
            return None
        raise
    if ended.exit_code is None:
        return None
    output, errors = (_text(part) for part in ended.output)
    return Ran(
        status=ended.exit_code,
        output=output.removesuffix(_MARK),
        errors=errors.removesuffix(_MARK),
        is_whole=output.endswith(_MARK) and errors.endswith(_MARK),
    )


def read_by_script(container: Container, script: str, *arguments: str) -> Ran | None:
    """The same of a script that changes nothing, run again until all that it printed is here.

    Raises LiveError if the engine loses that again and again.
    """
    for _ in range(READS):
        ran = run_script(container, script, *arguments)
        if ran is None or ran.is_whole:
            return ran
    raise LiveError(f"{container.name}: {READS} times the Docker Engine lost what was printed: try again")


# What a script prints ends with this, on both of its outputs.
_MARK = "\n-- end --\n"
_MARKED = f"""sh -c "$0" sh "$@"
status=$?
printf %s '{_MARK}'
printf %s '{_MARK}' >&2
exit $status"""


def _text(printed: Any) -> str:
    return (printed or b"").decode(errors="replace")


def put_files(container: Container, directory: str, files: Mapping[str, HostFile]) -> None:
    """Write files, by their paths below `directory`; the container needn't run."""
    container.put_archive(directory, _tar(files))


def read_file(container: Container, path: str) -> HostFile | None:
    """A file in the container, None where there is none; the container needn't run."""
    from docker.errors import NotFound

    for _ in range(MAX_LINKS):
        try:
            chunks, _ = container.get_archive(path)
        except NotFound:
            return None
        with tarfile.open(fileobj=io.BytesIO(b"".join(chunks))) as archive:
            member = archive.next()
            if member is not None and member.issym():
                # Docker follows links on the way to a name, and none at its end.
                path = posixpath.join(posixpath.dirname(path), member.linkname)
                continue
            content = archive.extractfile(member) if member else None
            if member is None or content is None:
                return None
            return HostFile(content=content.read(), uid=member.uid, gid=member.gid, mode=member.mode & 0o7777)
    return None


@contextmanager
def volume_helper(
    engine: DockerClient, volume: str, image: str, purpose: str | None = None
) -> Iterator[Container]:
    """A container that never runs and has the volume at HELPER_MOUNT; removed at the end.

    With a purpose it may write: Pulumi's lock lets one run do so at a time, so that a helper of the same
    purpose was left by a killed run, and is removed. Without one it looks, beside whoever else does: a
    search for drift takes no lock.
    """
    mark = secrets.token_hex(8) if purpose is None else sha256(f"{volume} {purpose}".encode())[:16]
    name = f"campus-monitor-files-{mark}"
    left = find_container(engine, name)
    if left is not None:
        left.remove(force=True)
    options: dict[str, Any] = {
        "command": ["/never-started"],
        "labels": {HELPER_LABEL: volume},
        "network_mode": "none",
        "volumes": {volume: {"bind": HELPER_MOUNT, "mode": "rw"}},
    }
    made = engine.containers.create(image, name=name, **options)
    try:
        _remove_left(engine, volume, made)
        yield made
    finally:
        made.remove(force=True)


def _remove_left(engine: DockerClient, volume: str, made: Container) -> None:
    """Remove the volume's helpers that are too old to be at work, by the engine's own clock."""
    from docker.errors import APIError

    listed = engine.api.containers(all=True, filters={"label": f"{HELPER_LABEL}={volume}"})
    created = {one["Id"]: one["Created"] for one in listed}
    for left, since in created.items():
        if since < created[made.id] - HELPER_SECONDS:
            with suppress(APIError):  # somebody else removes it, too
                engine.api.remove_container(left, force=True)


def check_path(path: str) -> str:
    """The path itself, if it is relative and plain; a LiveError otherwise."""
    if not _PATH.fullmatch(path):
        raise LiveError(f"{path!r}: a relative path of [A-Za-z0-9_.:@+-] is needed, without leading dots")
    return path


def sha256(content: bytes) -> str:
    """The SHA-256 of some bytes, in hex."""
    return hashlib.sha256(content).hexdigest()


def _tar(files: Mapping[str, HostFile]) -> bytes:
    # A folder belongs to whom a file in it belongs.
    folders = {
        str(parent): file
        for path, file in files.items()
        for parent in PurePosixPath(path).parents
        if str(parent) != "."
    }
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode="w") as archive:
        for folder, owned in sorted(folders.items(), key=lambda item: item[0]):
            entry = tarfile.TarInfo(folder)
            entry.uid, entry.gid = owned.uid, owned.gid
            # Our own folders hold what isn't in its place yet.
            entry.type, entry.mode = tarfile.DIRTYPE, 0o700 if folder.startswith(".") else 0o755
            archive.addfile(entry)
        for path, file in sorted(files.items()):
            entry = tarfile.TarInfo(path)
            entry.size, entry.mode, entry.uid, entry.gid = len(file.content), file.mode, file.uid, file.gid
            archive.addfile(entry, io.BytesIO(file.content))
    return made.getvalue()
