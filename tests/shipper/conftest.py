"""The stack with Grafana and the campus server's own log shipper, or images in their places."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from rig.deployment import Deployment, deployed
from rig.emulator import Emulator
from rig.idle_alloy import make_idle_image
from rig.kept_state import WHOLE
from rig.live_grafana import make_played_image
from rig.rig import Rig
from rig.stack import merged
from tests.shipper.alloy import IMAGE, alloy_is_available

# The network of the shipper that pushes as from another host. The stack's own may not be on an allowlist.
OUTSIDE = "172.28.77.0/24"


@pytest.fixture(scope="package")
def deployment(rig: Rig, emulator: Emulator) -> Iterator[Deployment]:
    """The stack, whose own logs go to its Loki `test`."""
    if alloy_is_available():
        rig.engine.load(IMAGE)
    else:
        make_idle_image(rig, IMAGE)
    make_played_image(rig)
    allowed = {"loki": {"instances": {"test": {"allow": ["nat", OUTSIDE], "allowWide": True}}}}
    with deployed(rig, emulator, merged(WHOLE, allowed)) as made:
        yield made
