"""Where the equipment has its own things."""

from __future__ import annotations

from local.paths import ROOT

# The Go modules that programs of the tests, and Loki where its image is refused, are built from.
GO = ROOT / "rig" / "go"
