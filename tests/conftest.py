"""Fixtures that several suites share."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.rig.emulator import Emulator, running_emulator
from tests.rig.rig import Rig, end_in_order_on_sigterm, running_rig


def pytest_configure(config: pytest.Config) -> None:
    """Name the markers, and let a terminated session clear up like an interrupted one."""
    config.addinivalue_line("markers", "docker: needs root and a Docker Engine's programs")
    config.addinivalue_line("markers", "programs: needs nft, or a program out of an image of the stack")
    end_in_order_on_sigterm()


@pytest.fixture(scope="session")
def rig() -> Iterator[Rig]:
    """The campus server with its own Docker Engine, and the world around it."""
    with running_rig() as made:
        yield made


@pytest.fixture(scope="session")
def emulator() -> Iterator[Emulator]:
    """The AWS emulator."""
    with running_emulator() as made:
        yield made
