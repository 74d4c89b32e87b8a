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

# Before there was a reader (1f055bb, issue 19).
KEPT = KeptState.read(Path(__file__).with_name("kept_state.json.gz"))
LISTED = {
    "campus-readers-network": "create",
    "campus-reader": "create",
    "campus-reader-config": "create",
    "campus-reader-files": "create",
    "campus-reader-container": "create",
    "campus-loki-aws-container": "replace",
    "campus-edge-container": "replace",
    "campus-grafana-container": "replace",
    "campus-log-shipper-container": "replace",
    "campus-log-shipper-files": "update",
    "campus-port-policy-policy": "update",
    "campus-edge-caddyfile": "update",
    "nat-ap-northeast-2a-fragment": "update",
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
