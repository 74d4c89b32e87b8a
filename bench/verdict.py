"""A benchmark's report."""

from __future__ import annotations

from rig.figures import TARGETS, record


def verdict(figure: str, value: float, cases: int, versus: str) -> bool:
    """Record and print one figure; whether it met its target."""
    target = TARGETS[figure]
    record(figure, value, target.unit, cases, versus)
    print(f"{figure}: {value:g} {target.unit}, target {target}: {target.verdict(value)}")
    return target.met_by(value)
