"""The stack with Prometheus, and Grafana's image or a fake in its place."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from rig.deployment import Deployment, deployed
from rig.emulator import Emulator
from rig.kept_state import WHOLE
from rig.live_grafana import make_played_image
from rig.rig import Rig
from rig.stack import local_settings, merged

PROMETHEUS = {
    "prometheus": {"route": "/metrics", "allow": ["nat"], "accounts": [{"user": "aws"}]},
    "images": {"prometheus": local_settings()["images"]["prometheus"]},
    "campus": {"logsTo": None},
}


@pytest.fixture(scope="package")
def deployment(rig: Rig, emulator: Emulator) -> Iterator[Deployment]:
    """The stack with Prometheus."""
    make_played_image(rig)
    with deployed(rig, emulator, merged(WHOLE, PROMETHEUS)) as made:
        yield made
