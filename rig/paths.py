"""The test equipment's own paths."""

from __future__ import annotations

from local.paths import ROOT

# The Go modules of the tests' programs, and of Loki if its image is refused.
GO = ROOT / "rig" / "go"
