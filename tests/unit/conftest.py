"""Fixtures that several files of unit tests share."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.support.fake_engine import Engine, build, running_engine
from tests.support.programs import program_of_image


@pytest.fixture(scope="session")
def loki(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The real Loki."""
    return program_of_image("loki", "usr/bin/loki", tmp_path_factory.mktemp("loki"))


@pytest.fixture
def engine() -> Iterator[Engine]:
    """The fake of Pulumi's engine."""
    with running_engine() as made:
        yield made


@pytest.fixture(scope="session")
def usual() -> Engine:
    """The fake after the small stack was built on it as it stands: to look at, not to build on."""
    with running_engine() as made:
        build()
    return made
