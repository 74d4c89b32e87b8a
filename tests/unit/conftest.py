"""Shared fixtures of unit tests."""

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
    """The fake engine."""
    with running_engine() as made:
        yield made


@pytest.fixture(scope="session")
def usual() -> Engine:
    """The fake engine after the unchanged small stack was built on it; read-only."""
    with running_engine() as made:
        build()
    return made
