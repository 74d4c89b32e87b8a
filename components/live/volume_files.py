"""First files and secrets, put into a volume before the container that serves them starts."""

from __future__ import annotations

import hashlib
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
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

from components.live.docker_host import ArchiveFile, archive, client, extract

if TYPE_CHECKING:
    from docker import DockerClient

# Where the helper container sees the volume; it is never started, so nothing else sees it.
_TARGET = "/volume"
_HELPER_LABEL = "campus-monitor.volume-files"


@dataclass(frozen=True, kw_only=True)
class VolumeFile:
    """A file of a volume: content, owner and mode."""

    content: pulumi.Input[str]
    uid: int = 0
    gid: int = 0
    mode: int = 0o644


class VolumeFilesProvider(ResourceProvider):
    """Writes through a container that is made, never started, and removed. Stateless."""

    def create(self, props: dict[str, Any]) -> CreateResult:
        """Writes the files; with `only_if_absent`, those that aren't there."""
        with client(props["docker_host"]) as connection:
            _write(connection, props)
        return CreateResult(uuid.uuid4().hex, _outputs(props))

    def diff(self, _id: str, olds: dict[str, Any], news: dict[str, Any]) -> DiffResult:
        """Changed with the files; another volume is another resource."""
        moved = any(olds.get(key) != news.get(key) for key in ("docker_host", "volume_name"))
        changed = moved or _content_sha256(news) != olds.get("content_sha256")
        return DiffResult(
            changes=changed, replaces=["volume_name"] if moved else [], delete_before_replace=False
        )

    def update(self, _id: str, _olds: dict[str, Any], news: dict[str, Any]) -> UpdateResult:
        """Writes the files anew."""
        with client(news["docker_host"]) as connection:
            _write(connection, news)
        return UpdateResult(_outputs(news))

    def read(self, id_: str, props: dict[str, Any]) -> ReadResult:
        """What lies in the volume; without the volume, nothing."""
        import docker.errors

        with client(props["docker_host"]) as connection:
            try:
                connection.volumes.get(props["volume_name"])
            except docker.errors.NotFound:
                return ReadResult("", {})
            with _helper(connection, props) as helper:
                found = {path: _read(helper, path) for path in props["owners"]}
        intact = all(content is not None for content in found.values())
        outputs = dict(props)
        if not props["only_if_absent"] or not intact:
            # A file that is written only once may change later; a missing one is written again.
            outputs["content_sha256"] = _digest(found, props["owners"], props["only_if_absent"])
        return ReadResult(id_, outputs)


def _write(connection: DockerClient, props: dict[str, Any]) -> None:
    with _helper(connection, props) as helper:
        wanted = {
            path: ArchiveFile(content=text.encode(), **_owner(props["owners"][path]))
            for path, text in props["files"].items()
            if not (props["only_if_absent"] and _read(helper, path) is not None)
        }
        if wanted:
            helper.put_archive(_TARGET, archive(wanted))


@contextmanager
def _helper(connection: DockerClient, props: dict[str, Any]) -> Iterator[Any]:
    helper = connection.containers.create(
        props["image"],
        # Never run; an image without a command of its own needs one to be made from.
        command=["none"],
        volumes={props["volume_name"]: {"bind": _TARGET, "mode": "rw"}},
        labels={_HELPER_LABEL: props["volume_name"]},
        network_mode="none",
    )
    try:
        yield helper
    finally:
        helper.remove(force=True)


def _read(helper: Any, path: str) -> str | None:
    import docker.errors

    try:
        stream, _ = helper.get_archive(f"{_TARGET}/{path}")
    except docker.errors.NotFound:
        return None
    return next(iter(extract(stream).values())).decode(errors="replace")


def _owner(text: str) -> dict[str, int]:
    uid, gid, mode = text.split(":")
    return {"uid": int(uid), "gid": int(gid), "mode": int(mode, 8)}


def _digest(files: Mapping[str, str | None], owners: Mapping[str, str], only_if_absent: bool) -> str:
    digest = hashlib.sha256()
    for path in sorted(owners):
        text = files.get(path)
        found = "absent" if text is None else hashlib.sha256(text.encode()).hexdigest()
        digest.update(f"{path} {owners[path]} {found}\n".encode())
    return digest.hexdigest() if not only_if_absent else f"once-{digest.hexdigest()}"


def _content_sha256(props: dict[str, Any]) -> str | None:
    files = props.get("files")
    if not isinstance(files, dict) or not all(isinstance(text, str) for text in files.values()):
        return None  # not known yet
    return _digest(files, props["owners"], props["only_if_absent"])


def _outputs(props: dict[str, Any]) -> dict[str, Any]:
    kept = ("docker_host", "volume_name", "image", "owners", "only_if_absent")
    return {**{key: props[key] for key in kept}, "content_sha256": _content_sha256(props)}


class VolumeFiles(Resource):
    """Files in a volume, there before the container that depends on this resource starts.

    With `only_if_absent` a file that is there already is left as it is: a replaced container starts
    with its last good one. Deleting the resource leaves the files to the volume.
    """

    content_sha256: pulumi.Output[str]
    """Hash over paths, owners, modes and contents."""

    def __init__(
        self,
        name: str,
        *,
        docker_host: str,
        volume_name: pulumi.Input[str],
        image: pulumi.Input[str],
        files: Mapping[str, VolumeFile],
        only_if_absent: bool = False,
        opts: ResourceOptions | None = None,
    ) -> None:
        props = {
            "docker_host": docker_host,
            "volume_name": volume_name,
            "image": image,
            "files": pulumi.Output.secret({path: file.content for path, file in files.items()}),
            "owners": {path: f"{file.uid}:{file.gid}:{file.mode:o}" for path, file in files.items()},
            "only_if_absent": only_if_absent,
            "content_sha256": None,
        }
        super().__init__(VolumeFilesProvider(), name, props, opts)
