"""Files of a running container: validated by its own program, applied, confirmed, rolled back.

Create and update send the new files beside the live ones and run one script in the container. The
script, alone under a lock, has the program validate a copy of the live directory with the new files in
it, renames them into place, has the program apply them, and confirms that what runs is what lies there.
Whatever fails, the old files are put back and applied, and the update fails with the program's own words.
"""

from __future__ import annotations

import hashlib
import re
import time
import uuid
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import pulumi
from pulumi import ResourceOptions
from pulumi.dynamic import (
    CreateResult,
    DiffResult,
    ReadResult,
    Resource,
    ResourceProvider,
    UpdateResult,
)

from components.live.docker_host import ArchiveFile, archive, client
from components.live.programs import PROGRAMS, Program

if TYPE_CHECKING:
    from docker import DockerClient

# A container that is just being started gets this long until its program takes changes.
_READY_SECONDS = 60
_POLL_SECONDS = 0.2

# Exit codes of the script.
_REFUSED = 64
_ROLLED_BACK = 65

_CHANGE_SCRIPT = """
set -eu
live=$1 staging=$2
exec 9>"$live/.lock"
flock 9
trap 'rm -rf "$staging"' EXIT
mkdir -p "$staging/new" "$staging/candidate" "$staging/kept"
: >>"$staging/remove"
for entry in "$live"/*; do
    if [ -e "$entry" ]; then cp -a "$entry" "$staging/candidate/"; fi
done
cp -a "$staging/new/." "$staging/candidate/"
while read -r path; do rm -f "$staging/candidate/$path"; done <"$staging/remove"

dir=$staging/candidate
if ! {{ {validate}; }} >"$staging/said" 2>&1; then
    cat "$staging/said" >&2
    exit {refused}
fi

(cd "$staging/new" && find . -type f) >"$staging/changed"
cat "$staging/remove" >>"$staging/changed"
while read -r path; do
    if [ -e "$live/$path" ]; then
        mkdir -p "$(dirname "$staging/kept/$path")"
        cp -a "$live/$path" "$staging/kept/$path"
    fi
done <"$staging/changed"

swap() {{
    while read -r path; do
        if [ -e "$1/$path" ]; then
            mkdir -p "$(dirname "$live/$path")"
            mv -f "$1/$path" "$live/$path"
        else
            rm -f "$live/$path"
        fi
    done <"$staging/changed"
}}
dir=$live
mark() {{
    {{ {running}; }} | sha256sum >"$live/.applied-next"
    mv -f "$live/.applied-next" "$live/.applied"
}}

swap "$staging/candidate"
if {{ {{ {apply}; }} && {{ {confirm}; }}; }} >"$staging/said" 2>&1; then
    mark
    exit 0
fi
cat "$staging/said" >&2
swap "$staging/kept"
if {{ {apply}; }} >"$staging/said" 2>&1; then
    mark
else
    echo "putting the old files back failed too:" >&2
    cat "$staging/said" >&2
fi
exit {rolled_back}
"""

_OBSERVE_SCRIPT = """
set -eu
live=$1
shift
dir=$live
exec 9>"$live/.lock"
flock 9
for path in "$@"; do
    if [ -f "$live/$path" ]; then sha256sum "$live/$path"; else echo absent; fi
done
cat "$live/.applied" 2>/dev/null || echo never
{{ {running}; }} 2>/dev/null | sha256sum
"""


class LiveFilesError(Exception):
    """A program refused its files, or could not be asked. The text holds the program's own words."""


class LiveFilesProvider(ResourceProvider):
    """See the module. Stateless: the state holds a reference to this class and no copy of it."""

    def create(self, props: dict[str, Any]) -> CreateResult:
        """Puts the files in and applies them."""
        _change(props, props["files"], remove=())
        return CreateResult(uuid.uuid4().hex, _outputs(props))

    def diff(self, _id: str, olds: dict[str, Any], news: dict[str, Any]) -> DiffResult:
        """Changed with the files, the container, or a hand edit that a refresh saw.

        Other file names are another resource, made before this one is deleted. Whatever is not known
        yet counts as changed and never as another resource: a container that is being replaced must
        not have its files deleted.
        """
        paths = _paths(news)
        renamed = paths is not None and paths != olds.get("paths")
        changed = (
            renamed
            or _content_sha256(news) != olds.get("content_sha256")
            or olds.get("applied") is not True
            or any(
                olds.get(key) != news.get(key)
                for key in ("docker_host", "container_name", "container_id", "directory", "closed_files")
            )
        )
        return DiffResult(changes=changed, replaces=["files"] if renamed else [], delete_before_replace=False)

    def update(self, _id: str, _olds: dict[str, Any], news: dict[str, Any]) -> UpdateResult:
        """Puts the files in and applies them."""
        _change(news, news["files"], remove=())
        return UpdateResult(_outputs(news))

    def read(self, id_: str, props: dict[str, Any]) -> ReadResult:
        """What lies in the container and whether it is what runs; `applied` is false if not."""
        outputs = dict(props)
        with client(props["docker_host"]) as connection:
            container = _running_container(connection, props["container_name"])
            if container is None:
                return ReadResult(id_, {**outputs, "applied": False})
            program = PROGRAMS[props["program"]]
            script = _OBSERVE_SCRIPT.format(running=program.running)
            code, text = _execute(container, script, [props["directory"], *props["paths"]])
        lines = [line.split()[0] for line in text.splitlines() if line.strip()]
        if code != 0 or len(lines) != len(props["paths"]) + 2:
            return ReadResult(id_, {**outputs, "applied": False})
        *hashes, marked, running = lines
        outputs["content_sha256"] = _digest(dict(zip(props["paths"], hashes, strict=True)))
        outputs["applied"] = marked == running
        return ReadResult(id_, outputs)

    def delete(self, _id: str, props: dict[str, Any]) -> None:
        """Leaves the closed files. A container that is gone or stopped serves nothing: done."""
        with client(props["docker_host"]) as connection:
            if _running_container(connection, props["container_name"]) is None:
                return
        closed: dict[str, str] = props["closed_files"]
        _change(props, closed, remove=[path for path in props["paths"] if path not in closed])


def _change(props: dict[str, Any], files: Mapping[str, str], *, remove: Sequence[str]) -> None:
    program = PROGRAMS[props["program"]]
    staging = f".staging-{uuid.uuid4().hex}"
    sent = {f"{staging}/new/{path}": ArchiveFile(content=text.encode()) for path, text in files.items()}
    removed = "".join(f"{path}\n" for path in remove)
    sent[f"{staging}/remove"] = ArchiveFile(content=removed.encode())
    directory = props["directory"]
    with client(props["docker_host"]) as connection:
        container = _wait_until_ready(connection, props["container_name"], program)
        container.put_archive(directory, archive(sent))
        script = _CHANGE_SCRIPT.format(
            validate=program.validate,
            apply=program.apply,
            confirm=program.confirm,
            running=program.running,
            refused=_REFUSED,
            rolled_back=_ROLLED_BACK,
        )
        code, text = _execute(container, script, [directory, f"{directory}/{staging}"])
    if code != 0:
        raise LiveFilesError(_explain(props, code, text))


def _explain(props: dict[str, Any], code: int, text: str) -> str:
    outcome = {
        _REFUSED: "refused the new files, nothing was changed",
        _ROLLED_BACK: "failed to apply the new files, the old ones were put back",
    }.get(code, f"could not be changed (exit code {code})")
    # Caddy tells of every step in its log; what went wrong stands above that level.
    words = "\n".join(line for line in redact(text).splitlines() if '"level":"info"' not in line)
    return f"{props['program']} in container {props['container_name']} {outcome}:\n{words.strip()}"


def redact(text: str) -> str:
    """`text` without password hashes: a program's message may quote a line of its file."""
    return re.sub(r"\$2[abxy]?\$\d\d\$[./A-Za-z0-9]*", "[password hash]", text)


def _running_container(connection: DockerClient, name: str) -> Any | None:
    import docker.errors

    try:
        container = connection.containers.get(name)
    except docker.errors.NotFound:
        return None
    return container if container.status == "running" else None


def _wait_until_ready(connection: DockerClient, name: str, program: Program) -> Any:
    deadline = time.monotonic() + _READY_SECONDS
    while time.monotonic() < deadline:
        container = _running_container(connection, name)
        if container is not None and _execute(container, program.ready, [])[0] == 0:
            return container
        time.sleep(_POLL_SECONDS)
    raise LiveFilesError(
        f"container {name} did not take changes within {_READY_SECONDS} s; see `docker logs {name}`"
    )


def _execute(container: Any, script: str, arguments: Sequence[str]) -> tuple[int, str]:
    import docker.errors

    try:
        result = container.exec_run(["sh", "-c", script, "live-files", *arguments])
    except docker.errors.APIError as error:
        # The container stopped in between (409), or there is none any more (404).
        return -1, error.explanation or str(error)
    return result.exit_code, result.output.decode(errors="replace")


def _paths(props: dict[str, Any]) -> list[str] | None:
    files = props.get("files")
    return sorted(files) if isinstance(files, dict) else None


def _content_sha256(props: dict[str, Any]) -> str | None:
    files = props.get("files")
    if not isinstance(files, dict) or not all(isinstance(text, str) for text in files.values()):
        return None  # not known yet
    return _digest({path: hashlib.sha256(text.encode()).hexdigest() for path, text in files.items()})


def _digest(hashes: Mapping[str, str]) -> str:
    lines = "".join(f"{path} {hashes[path]}\n" for path in sorted(hashes))
    return hashlib.sha256(lines.encode()).hexdigest()


def _outputs(props: dict[str, Any]) -> dict[str, Any]:
    kept = ("docker_host", "container_name", "container_id", "program", "directory", "closed_files")
    return {
        **{key: props[key] for key in kept},
        "paths": _paths(props),
        "content_sha256": _content_sha256(props),
        "applied": True,
    }


class LiveFiles(Resource):
    """Files in a directory of a running container, kept as its running configuration.

    The directory lies on a volume. Several resources may share it, each with files of its own. Deleting
    the resource leaves `closed_files` there and removes its others; a container's replacement never
    deletes it.
    """

    content_sha256: pulumi.Output[str]
    """Hash over the files' paths and contents."""
    applied: pulumi.Output[bool]
    """Whether what runs is what was last applied here; false after a hand edit, once refreshed."""

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
        opts: ResourceOptions | None = None,
    ) -> None:
        props = {
            "docker_host": docker_host,
            "container_name": container_name,
            "container_id": container_id,
            "program": program,
            "directory": directory,
            "files": pulumi.Output.secret(files),
            "closed_files": dict(closed_files),
            "paths": None,
            "content_sha256": None,
            "applied": None,
        }
        super().__init__(LiveFilesProvider(), name, props, opts)
