"""What the next preview changes: whatever is registered in another way than before.

Each line of a golden file is a resource, with a hash of all that Pulumi's engine is told of it: its parent,
its inputs, its dynamic provider's code, what protects it. A changed line is a resource that the next preview
of every such stack shows, and docs/upgrade.md has to tell of it. A new or missing line is one made or gone.
"""

from __future__ import annotations

import json

import pytest

from local.paths import ROOT
from tests.support.golden import assert_golden
from tests.support.registered import fingerprints, registered


@pytest.mark.parametrize("stack", ["local", "stage", "prod"])
def test_a_preview_shows_what_is_agreed(stack: str, monkeypatch: pytest.MonkeyPatch) -> None:
    # The local stack's, in which `make test` runs: the others refuse them.
    for variable in ("PULUMI_BACKEND_URL", "PULUMI_CONFIG_PASSPHRASE_FILE"):
        monkeypatch.delenv(variable, raising=False)
    found = fingerprints(registered(ROOT, stack))
    assert_golden(f"resources_{stack}.json", json.dumps(found, indent=0) + "\n")
