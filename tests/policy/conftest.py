"""Shared fixtures of the port policy's suites."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from rig.live_guard import LiveGuard, live_guard
from rig.rig import running_rig
from tests.policy.differences import Differences
from tests.policy.site import Site, site_in


@pytest.fixture(scope="package")
def site() -> Iterator[Site]:
    """The suites' own campus server: they restart its Docker and cut it off."""
    with running_rig() as rig, site_in(rig) as made:
        yield made


@pytest.fixture(scope="package")
def differences(site: Site) -> Differences:
    """The site's behaviour without a policy, to compare with its behaviour under one."""
    return Differences(site)


@pytest.fixture
def guard(site: Site, differences: Differences) -> Iterator[LiveGuard]:
    """The guard of the host, with its first policy."""
    del differences  # the behaviour without a policy has to be recorded before a policy is loaded
    with live_guard(site.rig, guards_host=True) as made:
        yield made


@pytest.fixture
def no_guard(site: Site, differences: Differences) -> Iterator[None]:
    """No guard, which would repair a broken policy."""
    del differences
    yield
    site.campus.run("nft", "delete", "table", "inet", "campus_policy")
