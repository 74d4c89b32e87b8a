# pyright: strict
"""Documents for AWS: JSON, and statements of IAM policies. Pure."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

# The version of the policy language (IAM user guide, "Version").
VERSION = "2012-10-17"


def canonical(document: object) -> str:
    """Canonical JSON: the same content is the same text."""
    return json.dumps(document, sort_keys=True, separators=(",", ":"))


def allow(actions: Sequence[str], resources: Sequence[str]) -> dict[str, Any]:
    """A statement that allows these actions on these resources."""
    return {"Effect": "Allow", "Action": sorted(actions), "Resource": sorted(set(resources))}
