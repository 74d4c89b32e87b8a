"""The stack's alarm filters, without CloudWatch."""

from __future__ import annotations

import re

from components.ecs.loss_signs import Alarm, pattern


def counted(alarm: Alarm, log: str) -> list[str]:
    """The lines that an alarm's filter counts: CloudWatch's expressions are a subset of Python's."""
    expression = pattern(alarm).strip("%")
    return [line for line in log.splitlines() if re.search(expression, line)]
