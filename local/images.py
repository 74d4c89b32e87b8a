"""The stack's images: pulled, built or made here, each also kept as a tar in the cache."""

from __future__ import annotations

import json
import re
import time
from dataclasses import asdict, dataclass
from pathlib import Path

from local import cache, docker, say
from local.paths import ROOT
from local.paths import cache as cache_folder
from local.say import Problem
from rig.stand_ins import stand_in_images

PROBE = "campus-monitor/probe:dev"
BASE = "debian:bookworm-slim"
OWN = re.compile(r"campus-monitor/([a-z-]+):dev")
PULL_SECONDS = 1800
# Docker's words if the registry answers and has no such image.
ABSENT = ("manifest unknown", "manifest for", "repository does not exist", "invalid reference")


@dataclass(frozen=True)
class Stamp:
    """What a tar in the cache was made from, and its image's id."""

    key: str
    id: str
    origin: str  # "pull", "build" or "stand-in"


class Images:
    """Puts images into the cache and, with `load`, into the Docker Engine."""

    def __init__(self, refusals: cache.Refusals, *, load: bool) -> None:
        self._refusals = refusals
        self._load = load

    def ready(self, image: str) -> bool:
        """Whether the cache has the image as it would be made now; asks no registry."""
        stamp = read_stamp(image)
        return stamp is not None and tar_of(image).exists() and self._is_current(image, stamp)

    def refused_lately(self, image: str) -> bool:
        """Whether the image's registry refused it within the last hours."""
        return self._refusals.remembers(_route(image))

    def was_refused(self, image: str) -> bool:
        """Whether the image's registry refused it when `make install` last asked, however long ago."""
        return self._refusals.was_refused(_route(image))

    def ensure(self, image: str) -> None:
        """Have the image; a Problem if it isn't available."""
        if self.ready(image):
            if self._load:
                self._load_tar(image)
            return
        own = OWN.fullmatch(image)
        if own:
            self._build(image, ROOT / "images" / own[1])
        elif not self._pull(image):
            self._stand_in(image)

    def try_pull(self, image: str) -> bool:
        """Have an image that can't be made here; False if its registry refuses it."""
        if self.ready(image):
            if self._load:
                self._load_tar(image)
            return True
        return self._pull(image)

    def _is_current(self, image: str, stamp: Stamp) -> bool:
        if stamp.origin == "build":
            context = ROOT / "images" / OWN.fullmatch(image)[1]  # type: ignore[index]
            return self.ready(BASE) and stamp.key == _build_key(context)
        if stamp.origin == "stand-in":
            recipe = stand_in_images.STAND_INS.get(image)
            known = recipe is not None and stamp.key == recipe.key()
            return known and self.refused_lately(image)
        return stamp.key == image

    def _load_tar(self, image: str) -> None:
        stamp = read_stamp(image)
        if stamp is None or docker.image_id(image) == stamp.id:
            return
        say.note(f"loading {image} from the cache")
        docker.must("load", "--quiet", "--input", tar_of(image), seconds=600)

    def _pull(self, image: str) -> bool:
        """Pull, or use what the engine already has; False, with a note, if it is refused."""
        if docker.image_id(image) and stand_in_images.LABEL not in docker.image_labels(image):
            _save(image, image, "pull")
            return True
        if self.refused_lately(image):
            return False
        say.step(f"pulling {image} (usually 10 s)")
        began = time.monotonic()
        done = docker.run("pull", "--quiet", image, seconds=PULL_SECONDS)
        words = say.last_line(done.stderr).removeprefix("Error response from daemon: ")
        if done.returncode == 0:
            self._refusals.forget(_route(image))
            _save(image, image, "pull")
            say.note(f"pulled in {say.duration(time.monotonic() - began)}")
            return True
        if any(known in words for known in ABSENT):
            raise Problem(
                f"there is no image {image} ({words[:120]}): fix campus-monitor:images in Pulumi.local.yaml"
            )
        self._refusals.remember(_route(image))
        say.note(f"refused ({words[:160]})")
        return False

    def _stand_in(self, image: str) -> None:
        recipe = stand_in_images.STAND_INS.get(image)
        if recipe is None:
            self._refusals.forget(_route(image))
            raise Problem(
                f"image {image} can't be pulled and can't be made here: let Docker reach its "
                f"registry, or name one of {', '.join(stand_in_images.STAND_INS)} in "
                "campus-monitor:images of Pulumi.local.yaml"
            )
        stamp = read_stamp(image)
        if stamp is not None and stamp.key == recipe.key() and tar_of(image).exists():
            if self._load:
                self._load_tar(image)
            return
        stand_in_images.make(image)
        _save(image, recipe.key(), "stand-in")

    def _build(self, image: str, context: Path) -> None:
        if not (context / "Dockerfile").exists():
            raise Problem(f"image {image}: {context.relative_to(ROOT)}/Dockerfile is missing")
        self.ensure(BASE)
        if docker.image_id(BASE) is None:
            self._load_tar(BASE)
        say.step(f"building {image} (usually 30 s)")
        done = docker.run("build", "--tag", image, context, seconds=900)
        if done.returncode != 0:
            raise Problem(f"docker build of {image} failed: {say.last_line(done.stderr)}")
        _save(image, _build_key(context), "build")


def tar_of(image: str) -> Path:
    """The path of an image in the cache."""
    return cache_folder() / "images" / f"{re.sub('[/:@]', '_', image)}.tar"


def read_stamp(image: str) -> Stamp | None:
    """The stamp of an image's tar in the cache; None if there is none."""
    try:
        return Stamp(**json.loads(_stamp_path(image).read_text()))
    except (OSError, ValueError, TypeError):
        return None


def _stamp_path(image: str) -> Path:
    return tar_of(image).with_suffix(".json")


def _save(image: str, key: str, origin: str) -> None:
    """Keep the image as a tar; the stamp is written last, so that it never describes half a tar."""
    found = docker.image_id(image)
    if found is None:
        raise Problem(f"Docker has no image {image} although it has just been made: try again")
    _stamp_path(image).unlink(missing_ok=True)
    with cache.new_file(tar_of(image)) as made:
        docker.must("save", "--output", made, image, seconds=600)
    with cache.new_file(_stamp_path(image)) as made:
        made.write_text(json.dumps(asdict(Stamp(key, found, origin))))


def _build_key(context: Path) -> str:
    base = read_stamp(BASE)
    return cache.key_of(context, base.id if base else "")


def _route(image: str) -> str:
    return f"docker pull {image}"
