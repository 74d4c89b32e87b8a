"""LiveFiles: files of a running program, validated, applied, and restored if it refuses them."""

from __future__ import annotations

import datetime
import re
import secrets
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any, TypeVar

import pulumi
from pulumi import dynamic
from pulumi.output import Unknown

from components.live.confirmation import Confirmation, reaches
from components.live.docker_host import (
    ConnectionLostError,
    HostFile,
    LiveError,
    Ran,
    UnreachableError,
    client,
    find_container,
    put_files,
    read_by_script,
    read_file,
    run_script,
    sha256,
)
from components.live.file_checks import file_problem
from components.live.program_errors import errors_in, readable, reasons_in
from components.live.programs import (
    NOT_CONFIRMED,
    NOT_READY,
    NOT_RESTORED,
    NOT_STAGED,
    ON_TRIAL,
    PROGRAMS,
    Program,
    render_apply_script,
    render_end_script,
    render_read_script,
)
from components.live.provider import LiveProvider

if TYPE_CHECKING:
    from docker.models.containers import Container

# How long a program may take to answer: Caddy takes one second, and longer if the Docker Engine has just
# started.
READY_SECONDS = 60.0
# How long a container may be stopped: `docker restart` starts it again within a second.
ENDED_SECONDS = 5.0
POLL_SECONDS = 0.25
LOG_LINES = 20
# A shell's status is higher if a signal ended the command (POSIX, "Exit Status for Commands").
KILLED = 128

# A change of these is an update; also of the container's id, as a new container may run with another file.
_COMPARED = ("docker_host", "container_name", "container_id", "program", "directory", "closed_files")

Props = dict[str, Any]
_Result = TypeVar("_Result")


def content_sha256(files: Mapping[str, str]) -> str:
    """One hash for these files; for a single file its own, as `sha256sum` prints it."""
    return _combined({path: sha256(text.encode()) for path, text in files.items()})


def _combined(hashes: Mapping[str, str]) -> str:
    if len(hashes) == 1:
        return next(iter(hashes.values()))
    lines = [f"{digest}  {path}\n" for path, digest in sorted(hashes.items())]
    return sha256("".join(lines).encode())


class LiveFilesProvider(LiveProvider):
    """Creates, changes, reads and closes the files. Its module path and name are in the state."""

    def diff(self, _id: str, _olds: Props, _news: Props) -> dynamic.DiffResult:
        """Compare by hash; replace only if the set of names changes. An unknown value is a change."""
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

    def check(self, _olds: Props, news: Props) -> dynamic.CheckResult:
        """Refuse, already in the preview, a path that isn't plain and a file with wrong content."""
        files = news.get("files")
        known = files if isinstance(files, dict) else {}
        problems = [problem for item in known.items() if (problem := file_problem(*item)) is not None]
        # Without the property's name: next to a name, Pulumi prints the value.
        return dynamic.CheckResult(news, [dynamic.CheckFailure("", problem) for problem in problems])

    def create(self, props: Props) -> dynamic.CreateResult:
        """Apply the files for a new owner; nothing changes if the program refuses them."""
        owner = secrets.token_hex(8)
        return dynamic.CreateResult(owner, _write(owner, props))

    def update(self, _id: str, _olds: Props, _news: Props) -> dynamic.UpdateResult:
        """Apply the new content; nothing changes if the program refuses it."""
        return dynamic.UpdateResult(_write(_id, _news))

    def read(self, id_: str, props: Props) -> dynamic.ReadResult:
        """The files on the disk, and whether the program runs with them; missing without the container."""
        with client(props["docker_host"]) as engine:
            container = find_container(engine, props["container_name"])
            if container is None:
                return dynamic.ReadResult("", {})
            ran = read_by_script(
                container,
                render_read_script(_program(props)),
                props["directory"],
                *sorted(props["files"]),
            )
        if ran is None:
            return dynamic.ReadResult(id_, props | {"applied": False})
        if ran.status != 0:
            raise LiveError(f"{props['container_name']}: {readable(ran.errors)}")
        lines = ran.output.splitlines()
        hashes = {path: digest for digest, _, path in (line.partition("  ") for line in lines) if path}
        found = _combined(hashes) if set(hashes) == set(props["files"]) else "missing"
        return dynamic.ReadResult(
            id_, props | {"content_sha256": found, "applied": lines[-1:] == ["applied"]}
        )

    def delete(self, _id: str, _props: Props) -> None:
        """Leave the closed files, except those that another resource has written since.

        A running program reloads; a container that is gone needs nothing.
        """
        with client(_props["docker_host"]) as engine:
            # By name: the id may be a former container's, whose volume still exists.
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
    """The hash of the files: a single file's own, else that of the list that `sha256sum` prints."""
    applied: pulumi.Output[bool]
    """Whether the program runs with the files in the directory, these and all others."""

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
        confirmation: Confirmation | None = None,
        opts: pulumi.ResourceOptions | None = None,
    ) -> None:
        """Keep `files` (by path below `directory`) applied; `closed_files` is what destroy leaves.

        With a `confirmation`, new files are on trial until they are confirmed.
        """
        if program not in PROGRAMS:
            raise LiveError(f"{program!r}: one of {', '.join(sorted(PROGRAMS))} is needed")
        if confirmation is not None and PROGRAMS[program].trial is None:
            raise LiveError(f"{program}: it can't run with files for a trial")
        props = {
            "docker_host": docker_host,
            "container_name": container_name,
            "container_id": container_id,
            "program": program,
            "directory": directory,
            "files": pulumi.Output.secret(files),
            "closed_files": dict(closed_files),
            # Not compared: it only affects how a change is made.
            "confirmation": None if confirmation is None else asdict(confirmation),
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
    """Apply the files, waiting for the program; returns the resource's outputs."""
    files: dict[str, str] = props["files"]
    for path, text in files.items():
        problem = file_problem(path, text)
        if problem:
            raise LiveError(problem)
    confirmation = Confirmation(**props["confirmation"]) if props.get("confirmation") else None
    lost: str | None = None
    try:
        staging = _bring_in(owner, props, confirmation)
    except ConnectionLostError as error:
        if confirmation is None:
            raise
        # The new files themselves may have cut the connection; they may be on trial now.
        staging, lost = _staging_name([]), str(error)
    if confirmation is not None:
        _end_trial(props, confirmation, staging, lost or reaches(confirmation))
    return props | {"content_sha256": content_sha256(files), "applied": True}


def _bring_in(owner: str, props: Props, confirmation: Confirmation | None) -> str:
    """Apply the files, or put them on trial if a confirmation is wanted; returns the staging's name."""
    files: dict[str, str] = props["files"]
    seconds = 0 if confirmation is None else int(confirmation.seconds)
    with client(props["docker_host"]) as engine:

        def attempt() -> _Obstacle | str:
            container = find_container(engine, props["container_name"])
            if container is None:
                return _Obstacle("there is no such container")
            return _apply(container, owner, "write", props, files, sorted(files), seconds)

        return _until_ready(props["container_name"], _program(props).patience, attempt)


def _end_trial(props: Props, confirmation: Confirmation, staging: str, problem: str | None) -> None:
    """Keep the files unless there is a problem; a LiveError if the former files are in force again.

    The new connection to the Docker Engine is part of the confirmation.
    """
    name = props["container_name"]
    ran = _over_a_new_connection(props, confirmation, staging, "drop" if problem else "keep")
    if ran.status == 0 and problem is None:
        return
    if ran.status not in (0, NOT_CONFIRMED):
        raise LiveError(f"{name}: the trial of the new files could not be ended:\n{readable(ran.errors)}")
    why = problem or "no new connection was made in time"
    raise LiveError(
        f"{name}: the new files were not confirmed within {confirmation.seconds:.0f} s; "
        f"those from before are in force again: {why}\n{_program(props).unconfirmed}"
    )


def _over_a_new_connection(props: Props, confirmation: Confirmation, staging: str, verdict: str) -> Ran:
    """Run the script that ends a trial, over a new connection."""
    name = props["container_name"]
    script = render_end_script(_program(props))
    give_up = time.monotonic() + confirmation.seconds + READY_SECONDS
    while True:
        try:
            with client(props["docker_host"]) as engine:
                container = find_container(engine, name)
                ran = container and run_script(container, script, props["directory"], staging, verdict)
            if ran is not None and ran.status <= KILLED:
                return ran
            problem = f"{name}: the container doesn't run"
        except UnreachableError as error:
            problem = str(error)
        if time.monotonic() > give_up:
            raise LiveError(
                f"{problem}; {name} goes back to the former files by itself, "
                f"{confirmation.seconds:.0f} s after they were applied"
            )
        time.sleep(POLL_SECONDS)


@dataclass(frozen=True)
class _Obstacle:
    """Why the files can't be applied now. The same obstacle may last `patience` seconds."""

    what: str
    patience: float = READY_SECONDS
    # Since when, in Docker's words: an obstacle that came back is a new one.
    since: str = ""
    container: Container | None = field(default=None, compare=False)


def _until_ready(name: str, patience: int, attempt: Callable[[], _Obstacle | _Result]) -> _Result:
    """Repeat an attempt until it succeeds; raise an obstacle that lasts too long."""
    started = time.monotonic()
    limit = READY_SECONDS * patience
    seen, since = None, started
    while isinstance(obstacle := attempt(), _Obstacle):
        now = time.monotonic()
        if obstacle != seen:
            seen, since = obstacle, now
        if now - since > obstacle.patience or now - started > limit:
            raise LiveError(
                f"{name}: {obstacle.what}, even after {now - started:.0f} s; "
                f"see `docker logs {name}`, then run the update again{_last_words(obstacle.container)}"
            )
        time.sleep(POLL_SECONDS)
    return obstacle


def _last_words(container: Container | None) -> str:
    """The errors at the end of a container's log, to append to a message."""
    if container is None:
        return ""
    log: bytes = container.logs(tail=LOG_LINES)
    errors = errors_in(log.decode(errors="replace"))
    return f". Its last words:\n{errors}" if errors else ""


def _release(container: Container, owner: str, props: Props) -> bool:
    """Close a running container's files; False if it has stopped meanwhile."""
    closed: dict[str, str] = props["closed_files"]
    paths = sorted({*props["files"], *closed})

    def attempt() -> _Obstacle | bool:
        outcome = _apply(container, owner, "release", props, closed, paths)
        container.reload()
        if isinstance(outcome, _Obstacle):
            return outcome if container.status == "running" else False
        return True

    return _until_ready(props["container_name"], _program(props).patience, attempt)


def _apply(
    container: Container,
    owner: str,
    action: str,
    props: Props,
    files: Mapping[str, str],
    paths: list[str],
    seconds: int = 0,
) -> _Obstacle | str:
    """Try once: stage the files and run the script. Returns an obstacle, or the staging's name."""
    if container.status != "running":
        return _not_running(container)
    program = _program(props)
    staging = _stage(container, props["directory"], files, paths, program.uid)
    script = render_apply_script(program)
    began = container.client.info()["SystemTime"] if program.reasons_in_log and container.client else ""
    ran = run_script(container, script, props["directory"], staging, owner, action, str(seconds), *paths)
    if ran is None:
        return _Obstacle("the container stopped")
    if ran.status == NOT_READY:
        patience = READY_SECONDS * program.patience
        return _Obstacle(f"{props['program']} doesn't answer", patience, container=container)
    if ran.status == NOT_STAGED:
        return _Obstacle("another run changes the same files")
    if ran.status > KILLED:
        # As if the container had ended in the middle: the files in place are whole and stay in use.
        return _Obstacle(f"applying the files was killed (status {ran.status})", ENDED_SECONDS)
    if ran.status not in (0, ON_TRIAL):
        after = ", but could not be applied again" if ran.status == NOT_RESTORED else ""
        raise LiveError(
            f"{props['container_name']}: the new files were not applied; "
            f"those from before are in place{after}:\n{readable(ran.errors)}{_said(container, began)}"
        )
    return staging


def _said(container: Container, began: str) -> str:
    """The errors that the program has logged since `began`, by its host's clock, to append to a message."""
    if not began:
        return ""
    since = datetime.datetime.fromisoformat(re.sub(r"\.\d+", "", began)).timestamp()
    log: bytes = container.logs(since=since)
    reasons = reasons_in(log.decode(errors="replace"))
    return f"\nIts log says:\n{reasons}" if reasons else ""


def _not_running(container: Container) -> _Obstacle:
    state = container.attrs["State"]
    what = f"the container isn't running ({container.status})"
    if container.status in ("exited", "dead"):
        # Docker says `restarting` of a container that it will start again.
        return _Obstacle(what, ENDED_SECONDS, state["FinishedAt"], container)
    return _Obstacle(what, container=container)


def _stage(container: Container, directory: str, files: Mapping[str, str], paths: list[str], uid: int) -> str:
    """Put the files beside those in use; returns the name of their folder, which is this try's own."""
    staging = _staging_name(paths)
    staged = {f"new/{path}": HostFile(content=text.encode(), uid=uid) for path, text in files.items()}
    # The last entry by name: if it is there, all others are.
    staged["whole"] = HostFile(content=b"", uid=uid)
    try:
        put_files(container, directory, {f"{staging}/{path}": file for path, file in staged.items()})
    except Exception:  # such as a full disk
        run_script(container, 'rm -rf "$1"', f"{directory}/{staging}")
        raise
    return staging


def _staging_name(paths: list[str]) -> str:
    # The same paths give the same prefix, so that the next run removes what a killed run left.
    return f".staging-{sha256(repr(paths).encode())[:16]}-{secrets.token_hex(8)}"


def _close_stopped(container: Container, owner: str, props: Props) -> None:
    """Close the files of a stopped container, so that it starts closed.

    Without a running shell nothing can be removed: a file that should go is left empty.
    """
    closed: dict[str, str] = props["closed_files"]
    for path in sorted({*props["files"], *closed}):
        last = read_file(container, f"{props['directory']}/.live/.owners/{path}")
        there = PurePosixPath(props["directory"], path)
        if last is not None and last.content.decode().strip() != owner:
            continue
        file = HostFile(content=closed.get(path, "").encode(), uid=_program(props).uid)
        if read_file(container, str(there)) is not None:
            # In the folder itself: an archive would replace a link in the path.
            put_files(container, str(there.parent), {there.name: file})
        elif path in closed:
            put_files(container, props["directory"], {path: file})
