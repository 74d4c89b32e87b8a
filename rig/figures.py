"""The project's figures: suites record measurements, `python -m rig.figures` judges them.

Each line of build/figures.<target>.jsonl is one measurement. A figure that was measured more
than once is judged by its last line; the targets are in TARGETS. A figure without a target is only shown.
"""

from __future__ import annotations

import json
import os
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

ROOT = Path(__file__).resolve().parent.parent
SOURCES = ("test", "bench", "soak")


@dataclass(frozen=True)
class Target:
    """The bound of a figure: at most, at least or exactly so much, or none."""

    how: Literal["<=", ">=", "=", "any"]
    bound: float
    unit: str

    def met_by(self, value: float) -> bool:
        """Whether a measured value is good enough."""
        if self.how == "any":
            return True
        if self.how == "<=":
            return value <= self.bound
        if self.how == ">=":
            return value >= self.bound
        return value == self.bound

    def verdict(self, value: float) -> str:
        """The verdict on a measured value."""
        if self.how == "any":
            return "shown"
        return "met" if self.met_by(value) else "MISSED"

    def __str__(self) -> str:
        return "none" if self.how == "any" else f"{self.how} {self.bound:g}"


def shown(unit: str) -> Target:
    """For a figure without a target: it is only shown, and its reader judges it."""
    return Target("any", 0, unit)


NOTHING = Target("=", 0, "")
TARGETS: dict[str, Target] = {
    "preview_ratio": Target("<=", 1.5, "x"),
    "up_ratio": Target("<=", 2, "x"),
    "services_preview_ratio": Target("<=", 1.2, "x"),
    "allowlist_enforced_seconds": Target("<=", 1.0, "s"),
    "gate_throughput_ratio": Target(">=", 0.9, "x"),
    "metrics_gate_ratio": Target(">=", 0.9, "x"),
    "metrics_day_query_seconds": shown("s"),
    "metrics_day_query_ratio": shown("x"),
    "prometheus_mib_per_100k_series": shown("MiB"),
    "reader_page_ratio": shown("x"),
    "reader_all_ratio": shown("x"),
    "gate_bypasses": NOTHING,
    "gate_wrong_refusals": NOTHING,
    "reload_failed_requests": NOTHING,
    "reload_lines_missing": NOTHING,
    "flood_slowdown": Target("<=", 1.1, "x"),
    "bad_configs_applied": NOTHING,
    "policy_differences": NOTHING,
    "swap_leaks": NOTHING,
    "lockouts_recovered": Target("=", 100, "%"),
    "nat_change_refused": NOTHING,
    "nat_change_lines_missing": NOTHING,
    "loki_kill_lines_missing": NOTHING,
    "replica_kill_lines_missing": NOTHING,
    "prometheus_kill_samples_missing": NOTHING,
    "caddy_kill_samples_missing": NOTHING,
    "canary_missing": NOTHING,
    "secret_leaks": NOTHING,
    "kill_points_converged": Target("=", 100, "%"),
    "kill_points_of_much_converged": Target("=", 100, "%"),
    "first_up_kill_points_converged": Target("=", 100, "%"),
    # A push's interruption during the migration from docker compose (docs/migrate.md).
    "migration_interruption_seconds": Target("<=", 60, "s"),
    "loki_lines_per_second": shown("lines/s"),
    "loki_streams_slowdown": shown("x"),
    "loki_resident_mib": shown("MiB"),
    "loki_day_query_seconds": shown("s"),
}


@dataclass(frozen=True)
class Measured:
    """One measurement: a line of a figures file."""

    figure: str
    value: float
    unit: str
    cases: int
    versus: str


def folder() -> Path:
    """Where the figures files are."""
    return ROOT / "build"


def record(figure: str, value: float, unit: str, cases: int, versus: str) -> None:
    """Append a measurement to the file of the running make target; only known figures."""
    if figure not in TARGETS:
        raise ValueError(f"{figure}: no such figure; give it a target in rig/figures.py")
    source = os.environ.get("CAMPUS_MONITOR_TARGET", "test")
    if source not in SOURCES:
        raise ValueError(f"CAMPUS_MONITOR_TARGET must be one of {', '.join(SOURCES)}, not {source!r}")
    folder().mkdir(exist_ok=True)
    line = json.dumps({"figure": figure, "value": value, "unit": unit, "cases": cases, "versus": versus})
    with (folder() / f"figures.{source}.jsonl").open("a") as file:
        file.write(line + "\n")


def read(source: str) -> dict[str, Measured]:
    """The last measurement of each figure in one target's file; none if there is no file."""
    path = folder() / f"figures.{source}.jsonl"
    lines = path.read_text().splitlines() if path.exists() else []
    measured = [Measured(**json.loads(line)) for line in lines]
    return {one.figure: one for one in measured}


def table() -> tuple[list[tuple[str, ...]], bool]:
    """The rows of the printed table, and whether every measured figure met its target."""
    rows: list[tuple[str, ...]] = [
        ("figure", "target", "value", "unit", "cases", "from", "verdict", "versus")
    ]
    good = True
    by_source = {source: read(source) for source in SOURCES}
    for figure, target in TARGETS.items():
        found = [(source, by_source[source][figure]) for source in SOURCES
                 if figure in by_source[source]]  # fmt: skip
        if not found:
            rows.append((figure, str(target), "-", target.unit, "-", "-", "not run", ""))
        for source, one in found:
            good = good and target.met_by(one.value)
            value, verdict = f"{one.value:g}", target.verdict(one.value)
            rows.append((figure, str(target), value, one.unit, str(one.cases), source, verdict, one.versus))
    return rows, good


def main() -> int:
    """Print the table; 1 if a figure misses its target."""
    rows, good = table()
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    for row in rows:
        cells = (cell.ljust(width) for cell, width in zip(row, widths, strict=True))
        print("  ".join(cells).rstrip())
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
