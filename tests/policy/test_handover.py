"""The guard has the host's listeners hand over whom they leave waiting: no reload of Caddy resets anybody."""

from __future__ import annotations

import pytest

from rig.handover import WAITING, handed_over
from rig.live_guard import LiveGuard
from rig.processes import wait_for
from tests.policy.site import Site

pytestmark = pytest.mark.docker

SETTING = "net.ipv4.tcp_migrate_req"
FILE = f"/proc/sys/{SETTING.replace('.', '/')}"
# Only for a guard that does nothing: it looks every five seconds.
SECONDS = 60.0


def setting(site: Site) -> str:
    return site.campus.run("cat", FILE).stdout.strip()


def turned_on(site: Site, guard: LiveGuard) -> None:
    """Turn it off, which an earlier guard may have turned on, and return when the guard has turned it on."""
    before = guard.log().count(SETTING)
    turn_off(site)
    wait_for("the guard sets it", lambda: setting(site) == "1", SECONDS)
    wait_for("the guard says so", lambda: guard.log().count(SETTING) > before, SECONDS)


def test_a_closing_listener_hands_over_whom_it_leaves_waiting(site: Site, guard: LiveGuard) -> None:
    turned_on(site, guard)
    assert handed_over(site.campus) == WAITING


def test_without_it_they_are_reset(site: Site) -> None:
    turn_off(site)
    assert handed_over(site.campus) < WAITING


def test_what_somebody_turns_off_is_turned_on_again(site: Site, guard: LiveGuard) -> None:
    turned_on(site, guard)
    turned_on(site, guard)


def turn_off(site: Site) -> None:
    site.campus.run("sh", "-c", f"echo 0 >{FILE}")
