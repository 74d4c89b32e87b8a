"""Users' Docker Engines, for the tests: built from pinned Go modules, each program once.

docker-init is Debian's in every engine, from the docker.io package, which is engine 20.10 too.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from local import cache, go, say, system
from local.paths import cache as cache_folder
from rig.paths import GO


@dataclass(frozen=True)
class _Build:
    """Programs from one Go module."""

    folder: str  # in rig/go
    targets: tuple[str, ...]
    seconds: float
    ldflags: str = ""
    tags: str = ""
    # Whether they are partly C.
    cgo: bool = False

    @property
    def made(self) -> Path:
        return cache_folder() / "bin" / self.folder


# By moby's releases/versions.yaml, the newest tag of its main module precedes 29.8.1.
_MOBY_VERSION = "29.8.1-beta.24"
_DOCKER_28_VERSION = "28.5.2"

_MOBY = _Build(
    "moby",
    ("github.com/moby/moby/v2/cmd/dockerd", "github.com/moby/moby/v2/cmd/docker-proxy"),
    seconds=600,
    ldflags=f"-X github.com/moby/moby/v2/dockerversion.Version={_MOBY_VERSION}",
)
_DOCKER_28 = _Build(
    "docker-28",
    ("github.com/docker/docker/cmd/dockerd", "github.com/docker/docker/cmd/docker-proxy"),
    seconds=500,
    ldflags=f"-X github.com/docker/docker/dockerversion.Version={_DOCKER_28_VERSION}",
)
_CONTAINERD = _Build(
    "containerd",
    (
        "github.com/containerd/containerd/v2/cmd/containerd",
        "github.com/containerd/containerd/v2/cmd/containerd-shim-runc-v2",
    ),
    seconds=250,
)
# 29 needs namespaces that Debian 12's runc doesn't know.
_RUNC = _Build("runc", ("github.com/opencontainers/runc",), seconds=75, tags="seccomp", cgo=True)

_ENGINES = {"28": (_DOCKER_28, _CONTAINERD, _RUNC), "29": (_MOBY, _CONTAINERD, _RUNC)}
NAMES = tuple(_ENGINES)


def folders(engine: str) -> list[Path]:
    """The folders of an engine's programs, for the front of a PATH. KeyError if it isn't built here."""
    return [build.made for build in _ENGINES[engine]]


def ensure(engine: str) -> None:
    """Build an engine's missing programs. KeyError if the engine isn't built here."""
    for build in _ENGINES[engine]:
        key = cache.key_of(GO / build.folder, build.ldflags)
        if cache.is_whole(build.made, key):
            continue
        if build.cgo:
            _ensure_c_compiler()
        with cache.new_folder(build.made, key) as made:
            go.build(
                GO / build.folder,
                list(build.targets),
                made,
                usual=build.seconds,
                ldflags=build.ldflags,
                tags=build.tags,
                cgo=build.cgo,
            )


def _ensure_c_compiler() -> None:
    """Install gcc and libseccomp's headers, to build runc."""
    has_library = say.capture(["pkg-config", "--exists", "libseccomp"]).returncode == 0
    if not (has_library and say.have("gcc")):
        packages = ["gcc", "libc6-dev", "libseccomp-dev", "pkg-config"]
        system.install_packages(
            packages, "to build runc, which the tests' Docker Engine starts containers with"
        )
