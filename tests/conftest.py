"""Fixtures that several suites share."""

from __future__ import annotations

from collections.abc import Iterator

import hypothesis
import pytest
from hypothesis import HealthCheck

from tests.rig.emulator import Emulator, running_emulator
from tests.rig.engines import chosen
from tests.rig.rig import Rig, end_in_order_on_signals, running_rig


def pytest_configure(config: pytest.Config) -> None:
    """Name the markers, and let a terminated session clear up, and generated cases take their time."""
    config.addinivalue_line("markers", "docker: needs root and a Docker Engine's programs")
    config.addinivalue_line("markers", "soak: takes long, and is left to `make soak`")
    config.addinivalue_line("markers", "programs: needs nft, or a program out of an image of the stack")
    end_in_order_on_signals()
    try:
        chosen()
    except ValueError as error:
        raise pytest.UsageError(str(error)) from None
    # A busy machine is slow: how long a generated case takes is nobody's mistake.
    slow = [HealthCheck.too_slow]
    hypothesis.settings.register_profile("patient", deadline=None, suppress_health_check=slow)
    hypothesis.settings.load_profile("patient")


def pytest_report_header() -> str:
    """Which Docker Engine the rigs run."""
    return f"Docker Engine: {chosen().name}"


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
