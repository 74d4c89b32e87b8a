"""The guard's setting makes closing listeners hand over waiting connections: Caddy's reloads reset none."""

from __future__ import annotations

import pytest

from rig.handover import WAITING, handed_over
from rig.live_guard import LiveGuard
from rig.processes import wait_for
from tests.policy.site import Site

pytestmark = pytest.mark.docker

SETTING = "net.ipv4.tcp_migrate_req"
FILE = f"/proc/sys/{SETTING.replace('.', '/')}"
# Only for a dead guard: a working guard looks every five seconds.
SECONDS = 60.0


def setting(site: Site) -> str:
    return site.campus.run("cat", FILE).stdout.strip()


def turned_on(site: Site, guard: LiveGuard) -> None:
    """Turn the setting off, and return when the guard has turned it on again."""
    before = guard.log().count(SETTING)
    turn_off(site)
    wait_for("the guard sets it", lambda: setting(site) == "1", SECONDS)
    wait_for("the guard says so", lambda: guard.log().count(SETTING) > before, SECONDS)


def test_a_closing_listener_hands_over_its_waiting_connections(site: Site, guard: LiveGuard) -> None:
    turned_on(site, guard)
    assert handed_over(site.campus) == WAITING


def test_without_it_they_are_reset(site: Site) -> None:
    turn_off(site)
    assert handed_over(site.campus) < WAITING


def test_the_setting_is_turned_on_again(site: Site, guard: LiveGuard) -> None:
    turned_on(site, guard)
    turned_on(site, guard)


def turn_off(site: Site) -> None:
    site.campus.run("sh", "-c", f"echo 0 >{FILE}")
