"""Whether the real Alloy is there to be tried."""

from __future__ import annotations

import pytest

from local.cache import Refusals
from local.images import Images
from rig.docker_engine import image_tar
from rig.stack import local_settings

IMAGE = local_settings()["images"]["alloy"]


def alloy_is_available() -> bool:
    """Whether its image is. If not, it is because its registry was asked and refused it."""
    if image_tar(IMAGE).exists():
        return True
    if not Images(Refusals(), load=False).was_refused(IMAGE):
        pytest.fail(f"{IMAGE} is not in the cache: run `make install` once")
    return False
