"""Fixtures of Loki's suites."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from rig.deployment import Deployment, deployed
from rig.emulator import Emulator
from rig.object_store import ObjectStore, running_object_store
from rig.rig import Rig


@pytest.fixture(scope="package")
def store(rig: Rig) -> Iterator[ObjectStore]:
    """The replicas' shared bucket."""
    with running_object_store(rig) as made:
        yield made


def on_the_bucket(store: ObjectStore) -> dict[str, Any]:
    """A Loki's settings with three replicas that share the bucket."""
    return {"storage": "s3", "s3": store.settings, "replicas": 3}


# Per module: another module deploys on more hosts.
@pytest.fixture(scope="module")
def replicated(rig: Rig, emulator: Emulator, store: ObjectStore) -> Iterator[Deployment]:
    """The stack with three replicas of one Loki, deployed once per file."""
    with deployed(rig, emulator, {"loki": {"instances": {"aws": on_the_bucket(store)}}}) as made:
        yield made
