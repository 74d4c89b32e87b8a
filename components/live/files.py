"""LiveFiles: files of a running program, validated, applied, and put back if it refuses them."""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import pulumi
from pulumi import dynamic
from pulumi.output import Unknown

from components.live.docker_host import (
    HostFile,
    LiveError,
    check_path,
    client,
    find_container,
    put_files,
    read_file,
    run_script,
    sha256,
)
from components.live.programs import (
    NOT_READY,
    PROGRAMS,
    Program,
    readable,
    render_apply_script,
    render_read_script,
)

if TYPE_CHECKING:
    from docker.models.containers import Container

# How long a container may take until its program answers: Caddy takes one second, a Docker Engine
# that has just started some more.
READY_SECONDS = 60.0
POLL_SECONDS = 0.25

# What a change of makes an update; the container's id too: a new one may run with another file.
_COMPARED = ("docker_host", "container_name", "container_id", "program", "directory", "closed_files")

Props = dict[str, Any]


def content_sha256(files: Mapping[str, str]) -> str:
    """The hash that stands for these files: of one file its own, as `sha256sum` prints it."""
    return _combined({path: sha256(text.encode()) for path, text in files.items()})


def _combined(hashes: Mapping[str, str]) -> str:
    if len(hashes) == 1:
        return next(iter(hashes.values()))
    lines = [f"{digest}  {path}\n" for path, digest in sorted(hashes.items())]
    return sha256("".join(lines).encode())


class LiveFilesProvider(dynamic.ResourceProvider):
    """Creates, changes, reads and closes the files. Its module path and name are in the state."""

    def diff(self, _id: str, _olds: Props, _news: Props) -> dynamic.DiffResult:
        """Changed by hash; replaced only when the set of names changes. The unknown is a change."""
        files = _news.get("files")
        if not isinstance(files, dict):
            return dynamic.DiffResult(changes=True)
        if set(files) != set(_olds["files"]):
            return dynamic.DiffResult(changes=True, replaces=["files"], delete_before_replace=False)
        changed = (
            any(isinstance(text, Unknown) for text in files.values())
            or not _olds.get("applied")
            or _olds.get("content_sha256") != content_sha256(files)
            or any(_differs(_olds.get(key), _news.get(key)) for key in _COMPARED)
        )
        return dynamic.DiffResult(changes=changed)

    def create(self, props: Props) -> dynamic.CreateResult:
        """Bring the files in place as a new owner; all stays as it was if the program refuses."""
        owner = secrets.token_hex(8)
        return dynamic.CreateResult(owner, _write(owner, props))

    def update(self, _id: str, _olds: Props, _news: Props) -> dynamic.UpdateResult:
        """Bring the new content in place; all stays as it was if the program refuses."""
        return dynamic.UpdateResult(_write(_id, _news))

    def read(self, id_: str, props: Props) -> dynamic.ReadResult:
        """What lies on the disk and whether it is what runs; missing where the container is."""
        with client(props["docker_host"]) as engine:
            container = find_container(engine, props["container_name"])
            if container is None:
                return dynamic.ReadResult("", {})
            ran = run_script(
                container,
                render_read_script(_program(props)),
                props["directory"],
                *sorted(props["files"]),
            )
        if ran is None:
            return dynamic.ReadResult(id_, props | {"applied": False})
        if ran.status != 0:
            raise LiveError(f"{props['container_name']}: {readable(ran.errors, '')}")
        lines = ran.output.splitlines()
        hashes = {path: digest for digest, _, path in (line.partition("  ") for line in lines) if path}
        found = _combined(hashes) if set(hashes) == set(props["files"]) else "missing"
        return dynamic.ReadResult(
            id_, props | {"content_sha256": found, "applied": lines[-1:] == ["applied"]}
        )

    def delete(self, _id: str, _props: Props) -> None:
        """Leave the closed files, without those that another resource has written since.

        The program is told if it runs; a container that is gone needs nothing.
        """
        with client(_props["docker_host"]) as engine:
            # By name: the id may be that of a container before, and the volume outlived it.
            container = find_container(engine, _props["container_name"])
            if container is None:
                return
            if container.status == "running" and _release(container, _id, _props):
                return
            _close_stopped(container, _id, _props)


class LiveFiles(dynamic.Resource, module="live", name="LiveFiles"):
    """Files below one directory of a running container, applied without a restart.

    Several LiveFiles may share a container and a directory, each with files of its own. A refused
    change leaves files and program as they were and fails with the program's own words.
    """

    content_sha256: pulumi.Output[str]
    """The hash of the files: of a single file its own, else of the list that `sha256sum` prints."""
    applied: pulumi.Output[bool]
    """Whether the program runs with what was last applied through such a resource."""

    def __init__(
        self,
        name: str,
        *,
        docker_host: str,
        container_name: pulumi.Input[str],
        container_id: pulumi.Input[str],
        program: str,
        directory: str,
        files: pulumi.Input[Mapping[str, pulumi.Input[str]]],
        closed_files: Mapping[str, str],
        opts: pulumi.ResourceOptions | None = None,
    ) -> None:
        """Keep `files` (by path below `directory`) applied; `closed_files` is what destroy leaves."""
        if program not in PROGRAMS:
            raise LiveError(f"{program!r}: one of {', '.join(sorted(PROGRAMS))} is needed")
        props = {
            "docker_host": docker_host,
            "container_name": container_name,
            "container_id": container_id,
            "program": program,
            "directory": directory,
            "files": pulumi.Output.secret(files),
            "closed_files": dict(closed_files),
            "content_sha256": None,
            "applied": None,
        }
        secret = pulumi.ResourceOptions(additional_secret_outputs=["files"])
        merged = pulumi.ResourceOptions.merge(opts, secret)
        super().__init__(LiveFilesProvider(), name, props, merged)


def _differs(old: Any, new: Any) -> bool:
    return isinstance(new, Unknown) or old != new


def _program(props: Props) -> Program:
    return PROGRAMS[props["program"]]


def _write(owner: str, props: Props) -> Props:
    """Bring the files in place, waiting for the program; gives back the resource's outputs."""
    files: dict[str, str] = props["files"]
    for path in files:
        check_path(path)
    with client(props["docker_host"]) as engine:

        def attempt() -> str | None:
            container = find_container(engine, props["container_name"])
            if container is None:
                return "there is no such container"
            return _apply(container, owner, "write", props, files, sorted(files))

        _until_ready(props["container_name"], attempt)
    return props | {"content_sha256": content_sha256(files), "applied": True}


def _until_ready(name: str, attempt: Callable[[], str | None]) -> None:
    """Repeat an attempt until it says nothing; after READY_SECONDS, raise what it says."""
    deadline = time.monotonic() + READY_SECONDS
    while (obstacle := attempt()) is not None:
        if time.monotonic() > deadline:
            raise LiveError(
                f"{name}: {obstacle}, even after {READY_SECONDS:.0f} s; "
                f"see `docker logs {name}`, then run the update again"
            )
        time.sleep(POLL_SECONDS)


def _release(container: Container, owner: str, props: Props) -> bool:
    """Close a running container's files; False if it has stopped meanwhile."""
    closed: dict[str, str] = props["closed_files"]
    paths = sorted({*props["files"], *closed})
    outcome: list[bool] = []

    def attempt() -> str | None:
        obstacle = _apply(container, owner, "release", props, closed, paths)
        container.reload()
        if obstacle is not None and container.status != "running":
            outcome.append(False)
            return None
        return obstacle

    _until_ready(props["container_name"], attempt)
    return not outcome


def _apply(
    container: Container, owner: str, action: str, props: Props, files: Mapping[str, str], paths: list[str]
) -> str | None:
    """One try: stage the bytes and run the script. Returns what isn't ready, None when done."""
    if container.status != "running":
        return f"the container isn't running ({container.status})"
    directory: str = props["directory"]
    # The same work has the same name: what a killed run left is overwritten, and then removed.
    staging = f".staging-{sha256(f'{action} {owner} {sorted(files.items())}'.encode())[:16]}"
    staged = {f"{staging}/new/{path}": HostFile(content=text.encode()) for path, text in files.items()}
    # Without files the archive still makes the staging directory.
    put_files(container, directory, staged or {f"{staging}/none": HostFile(content=b"")})
    script = render_apply_script(_program(props))
    ran = run_script(container, script, directory, staging, owner, action, *paths)
    if ran is None:
        return "the container stopped"
    if ran.status == NOT_READY:
        return f"{props['program']} doesn't answer"
    if ran.status != 0:
        raise LiveError(
            f"{props['container_name']}: {props['program']} refused the files, "
            f"and those from before are in place:\n{readable(ran.errors, staging)}"
        )
    return None


def _close_stopped(container: Container, owner: str, props: Props) -> None:
    """Close the files of a container that doesn't run, so that it starts closed, if it ever does.

    Without a running shell nothing can be removed: a file that should go is left empty.
    """
    closed: dict[str, str] = props["closed_files"]
    left: dict[str, HostFile] = {}
    for path in {*props["files"], *closed}:
        last = read_file(container, f"{props['directory']}/.owners/{path}")
        if last is None or last.content.decode().strip() == owner:
            left[path] = HostFile(content=closed.get(path, "").encode())
    if left:
        put_files(container, props["directory"], left)
