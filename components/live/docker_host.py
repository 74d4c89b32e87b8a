"""The Docker Engine of the campus host: a connection, files in and out, scripts in a container.

The Docker SDK is imported only when used: a preview without a change doesn't need it.
"""

from __future__ import annotations

import hashlib
import io
import logging
import posixpath
import re
import secrets
import tarfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any

from components.live import ssh_connect

if TYPE_CHECKING:
    from docker import DockerClient
    from docker.models.containers import Container

# Caddy validates without the network; an ssh connection may be slow.
REQUEST_SECONDS = 120
# The engine loses a script's output less than once in a thousand times.
READS = 5
# Longer chains are loops (path_resolution(7): Linux itself follows 40).
MAX_LINKS = 40
HELPER_LABEL = "campus-monitor.helper"
# A helper lives for a few requests to the engine, each within REQUEST_SECONDS.
HELPER_SECONDS = 600
# The helper's mount point; no image has this path, so nothing is copied from there.
HELPER_MOUNT = "/campus-monitor-files"

# A relative path in plain characters; names with a leading dot are our own.
_PATH = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.:@+-]*(/[A-Za-z0-9_][A-Za-z0-9_.:@+-]*)*")

# paramiko's words if the server hung up before it greeted (its Transport._check_banner).
NOT_GREETED = "Error reading SSH protocol banner"

# Our own errors report failed ssh connections; paramiko would also print a traceback.
logging.getLogger("paramiko").addHandler(logging.NullHandler())


class LiveError(Exception):
    """Something live can't reach its wanted state: one line, or a program's own words."""


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
    # Whether this is all of its output.
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
    except (OSError, EOFError, SSHException) as error:  # requests raises an OSError, too
        raise ConnectionLostError(
            f"the connection to Docker at {docker_host} broke ({type(error).__name__}: {error})"
        ) from None
    finally:
        with suppress(OSError, EOFError, SSHException):  # a broken connection can't be closed properly
            made.close()


def _connected(docker_host: str) -> DockerClient:
    """A client of the engine; tries again while an SSH server has no room for another login."""
    import docker
    from paramiko.ssh_exception import SSHException

    turned_away = SSHException(NOT_GREETED)
    for _ in ssh_connect.tries(ssh_connect.SECONDS):
        try:
            # Over ssh the SDK's own client refuses a host that isn't in known_hosts.
            return docker.DockerClient(docker_host, timeout=REQUEST_SECONDS, use_ssh_client=False)
        except SSHException as error:
            if not str(error).startswith(NOT_GREETED):
                raise
            turned_away = error
    raise turned_away


def find_container(engine: DockerClient, name: str) -> Container | None:
    """The container of that name or id; None if there is none."""
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
    """Run a `sh` script in a container; None if the container doesn't run.

    Arguments show in the host's process list: never pass a secret. On a busy host the engine sometimes loses
    a script's output (moby/moby#27289), with the right status: then the result isn't whole.
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
    """Run a script that changes nothing, again until its output is whole.

    Raises LiveError if the engine loses the output again and again.
    """
    for _ in range(READS):
        ran = run_script(container, script, *arguments)
        if ran is None or ran.is_whole:
            return ran
    raise LiveError(f"{container.name}: {READS} times the Docker Engine lost a script's output: try again")


# The end of both of a script's outputs.
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
    """A file in the container; None if there is none. The container needn't run."""
    from docker.errors import NotFound

    for _ in range(MAX_LINKS):
        try:
            chunks, _ = container.get_archive(path)
        except NotFound:
            return None
        with tarfile.open(fileobj=io.BytesIO(b"".join(chunks))) as archive:
            member = archive.next()
            if member is not None and member.issym():
                # Docker follows links in a path, but not its last part.
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

    With a purpose it may write. Pulumi's lock lets only one run do so at a time: an older helper with the
    same purpose was left by a killed run, and is removed. Without a purpose it only reads, maybe beside
    other readers: a search for drift takes no lock.
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
    """Remove the volume's helpers that are too old to be in use, by the engine's own clock."""
    from docker.errors import APIError

    listed = engine.api.containers(all=True, filters={"label": f"{HELPER_LABEL}={volume}"})
    created = {one["Id"]: one["Created"] for one in listed}
    for left, since in created.items():
        if since < created[made.id] - HELPER_SECONDS:
            with suppress(APIError):  # another run removed it
                engine.api.remove_container(left, force=True)


def check_path(path: str) -> str:
    """The path, if it is relative and plain; else a LiveError."""
    if not _PATH.fullmatch(path):
        raise LiveError(f"{path!r}: a relative path of [A-Za-z0-9_.:@+-] is needed, without leading dots")
    return path


def sha256(content: bytes) -> str:
    """The SHA-256 of some bytes, in hex."""
    return hashlib.sha256(content).hexdigest()


def _tar(files: Mapping[str, HostFile]) -> bytes:
    # A folder has the owner of a file in it.
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
            # Our own folders hold staged files.
            entry.type, entry.mode = tarfile.DIRTYPE, 0o700 if folder.startswith(".") else 0o755
            archive.addfile(entry)
        for path, file in sorted(files.items()):
            entry = tarfile.TarInfo(path)
            entry.size, entry.mode, entry.uid, entry.gid = len(file.content), file.mode, file.uid, file.gid
            archive.addfile(entry, io.BytesIO(file.content))
    return made.getvalue()
