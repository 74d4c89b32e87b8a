"""The changes in the next preview: resources whose registration has changed.

Each line of a golden file is a resource, with a hash of its whole registration with Pulumi's engine: its
parent, its inputs, its dynamic provider's code, its protection. A changed line is a resource that the next
preview of every such stack shows, and that docs/upgrade.md has to explain. A new or missing line is a created
or deleted resource.
"""

from __future__ import annotations

import json

import pytest

from local.paths import ROOT
from tests.support.golden import assert_golden
from tests.support.registered import fingerprints, registered


@pytest.mark.parametrize("stack", ["local", "stage", "prod"])
def test_a_preview_shows_what_is_agreed(stack: str, monkeypatch: pytest.MonkeyPatch) -> None:
    # `make test` sets the local stack's variables, which the other stacks refuse.
    for variable in ("PULUMI_BACKEND_URL", "PULUMI_CONFIG_PASSPHRASE_FILE"):
        monkeypatch.delenv(variable, raising=False)
    found = fingerprints(registered(ROOT, stack))
    assert_golden(f"resources_{stack}.json", json.dumps(found, indent=0) + "\n")
