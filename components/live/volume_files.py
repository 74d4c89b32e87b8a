"""VolumeFiles: first files and secrets, put into a volume before its container starts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import pulumi
from pulumi import dynamic
from pulumi.output import Unknown

from components.live.docker_host import (
    HELPER_MOUNT,
    HostFile,
    LiveError,
    check_path,
    client,
    put_files,
    read_file,
    sha256,
    volume_exists,
    volume_helper,
)
from components.live.provider import LiveProvider

Props = dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class VolumeFile:
    """One file: its content, owner and mode."""

    content: pulumi.Input[str]
    uid: int = 0
    gid: int = 0
    mode: int = 0o644


class VolumeFilesProvider(LiveProvider):
    """Writes and reads the files. Its module path and name are in the state."""

    def diff(self, _id: str, _olds: Props, _news: Props) -> dynamic.DiffResult:
        """Another volume is a replacement, other files are an update, an unknown value is a change."""
        # The old volume goes or stays with its own resource: nothing is lost by writing the new one.
        for key in ("docker_host", "volume_name"):
            if not isinstance(_news.get(key), Unknown) and _olds.get(key) != _news.get(key):
                return dynamic.DiffResult(changes=True, replaces=[key], delete_before_replace=False)
        unknown = _has_unknown(_news)
        changed = unknown or any(_olds.get(key) != _news.get(key) for key in ("image", "only_if_absent"))
        return dynamic.DiffResult(changes=changed or _olds.get("content_sha256") != _combined(_wanted(_news)))

    def create(self, props: Props) -> dynamic.CreateResult:
        """Write the files."""
        return dynamic.CreateResult("volume-files", _write(props))

    def update(self, _id: str, _olds: Props, _news: Props) -> dynamic.UpdateResult:
        """Write the files; a file that is no longer named stays in the volume."""
        return dynamic.UpdateResult(_write(_news))

    def read(self, id_: str, props: Props) -> dynamic.ReadResult:
        """The files in the volume; for files that are written only if absent, whether they exist."""
        wanted = _wanted(props)
        with client(props["docker_host"]) as engine:
            if not volume_exists(engine, props["volume_name"]):
                return dynamic.ReadResult("", {})
            with volume_helper(engine, props["volume_name"], props["image"]) as helper:
                found = {path: read_file(helper, f"{HELPER_MOUNT}/{path}") for path in wanted}
        there = {path: file for path, file in found.items() if file is not None}
        if props.get("only_if_absent") and set(there) == set(wanted):
            there = wanted
        return dynamic.ReadResult(id_, props | {"content_sha256": _combined(there)})

    def delete(self, _id: str, _props: Props) -> None:
        """Do nothing: the volume goes or stays with its own resource."""


class VolumeFiles(dynamic.Resource, module="live", name="VolumeFiles"):
    """Files in a volume, written before any container runs."""

    content_sha256: pulumi.Output[str]
    """A hash of the files with their owners and modes; secret, as short contents can be guessed."""

    def __init__(
        self,
        name: str,
        *,
        docker_host: str,
        volume_name: pulumi.Input[str],
        image: pulumi.Input[str],
        files: Mapping[str, VolumeFile],
        only_if_absent: bool = False,
        opts: pulumi.ResourceOptions | None = None,
    ) -> None:
        """Keep `files` (by path) in the volume; `image` is any image that the engine has.

        With `only_if_absent` an existing file isn't changed.
        """
        props = {
            "docker_host": docker_host,
            "volume_name": volume_name,
            "image": image,
            "files": pulumi.Output.secret({check_path(path): vars(file) for path, file in files.items()}),
            "only_if_absent": only_if_absent,
            "content_sha256": None,
        }
        secret = pulumi.ResourceOptions(additional_secret_outputs=["files", "content_sha256"])
        merged = pulumi.ResourceOptions.merge(opts, secret)
        super().__init__(VolumeFilesProvider(), name, props, merged)


def _has_unknown(value: Any) -> bool:
    if isinstance(value, dict):
        return any(_has_unknown(inner) for inner in value.values())
    return isinstance(value, Unknown)


def _wanted(props: Props) -> dict[str, HostFile]:
    """The files that the properties describe; their numbers arrive as floats."""
    if _has_unknown(props.get("files")):
        return {}
    return {
        path: HostFile(
            content=file["content"].encode(),
            uid=int(file["uid"]),
            gid=int(file["gid"]),
            mode=int(file["mode"]),
        )
        for path, file in props["files"].items()
    }


def _combined(files: Mapping[str, HostFile]) -> str:
    lines = [
        f"{sha256(file.content)} {file.uid}:{file.gid} {file.mode:o} {path}\n"
        for path, file in sorted(files.items())
    ]
    return sha256("".join(lines).encode())


def _purpose(props: Props) -> str:
    return " ".join(sorted(props["files"]))


def _write(props: Props) -> Props:
    wanted = _wanted(props)
    volume = props["volume_name"]
    with client(props["docker_host"]) as engine:
        if not volume_exists(engine, volume):
            raise LiveError(f"{volume}: there is no such volume; run the update with --refresh")
        with volume_helper(engine, volume, props["image"], _purpose(props)) as helper:
            missing = wanted
            if props.get("only_if_absent"):
                missing = {
                    path: file
                    for path, file in wanted.items()
                    if read_file(helper, f"{HELPER_MOUNT}/{path}") is None
                }
            if missing:
                put_files(helper, HELPER_MOUNT, missing)
    return props | {"content_sha256": _combined(wanted)}
