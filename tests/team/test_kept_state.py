"""A preview of a state that an earlier version left shows what docs/upgrade.md lists, and nothing else.

When docs/upgrade.md gets a new section, keep the state of the version before it (`python -m rig.kept_state`),
and list what the section does.
"""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from rig.emulator import Emulator
from rig.kept_state import KeptState, imported
from rig.rig import Rig

pytestmark = pytest.mark.docker

# With five logs for each route, and 1 GiB for each Loki (dd2b291, issue 19).
KEPT = KeptState.read(Path(__file__).with_name("kept_state.json.gz"))
LISTED = {
    "campus-edge-caddyfile": "update",
    "campus-edge-first-caddyfile": "update",
    "campus-loki-aws-container": "replace",
    "campus-loki-aws-config-files": "update",
    "campus-loki-test-container": "replace",
    "campus-loki-test-config-files": "update",
    "campus-grafana-provisioned": "update",
    "campus-grafana-dashboards": "update",
}


def test_a_preview_shows_what_the_upgrade_lists(rig: Rig, emulator: Emulator) -> None:
    with imported(KEPT, rig, emulator) as stack:
        steps = json.loads(stack.run("preview", "--json"))["steps"]
    # Of AWS there is a fake here, whose provider isn't the real one.
    shown = {
        urn.rpartition("::")[2]: op
        for urn, op in ((step["urn"], step["op"]) for step in steps)
        if op not in ("same", "create-replacement", "delete-replaced") and "$aws:" not in urn
    }
    assert shown == LISTED
