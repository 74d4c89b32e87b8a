"""Fixtures of the edge's suites."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from rig.deployment import Deployment, deployed
from rig.emulator import Emulator
from rig.rig import Rig


@pytest.fixture(scope="package")
def edge(rig: Rig, emulator: Emulator) -> Iterator[Deployment]:
    """The stack, deployed for all suites of this folder: tests undo their changes."""
    with deployed(rig, emulator) as made:
        yield made
