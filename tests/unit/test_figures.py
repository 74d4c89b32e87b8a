"""The figures: every recorded measurement is judged or shown."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from rig import figures


@pytest.fixture(autouse=True)
def build(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder for the figures files."""
    monkeypatch.setattr(figures, "folder", lambda: tmp_path / "build")
    monkeypatch.setenv("CAMPUS_MONITOR_TARGET", "bench")
    return tmp_path / "build"


def test_a_measurement_is_one_json_line_of_the_running_target(build: Path) -> None:
    figures.record("preview_ratio", 1.25, "x", 5, "an empty program")
    figures.record("up_ratio", 1.5, "x", 5, "an empty program")
    lines = (build / "figures.bench.jsonl").read_text().splitlines()
    assert [json.loads(line) for line in lines] == [
        {"figure": name, "value": value, "unit": "x", "cases": 5, "versus": "an empty program"}
        for name, value in (("preview_ratio", 1.25), ("up_ratio", 1.5))
    ]


@pytest.mark.parametrize(
    ("figure", "value", "verdict", "code"),
    [
        ("preview_ratio", 1.5, "met", 0),
        ("preview_ratio", 1.51, "MISSED", 1),
        ("gate_throughput_ratio", 0.9, "met", 0),
        ("gate_throughput_ratio", 0.89, "MISSED", 1),
        ("gate_bypasses", 0, "met", 0),
        ("gate_bypasses", 1, "MISSED", 1),
        ("lockouts_recovered", 99.9, "MISSED", 1),
        # A figure without a target.
        ("loki_resident_mib", 9999, "shown", 0),
    ],
)
def test_the_table_judges_each_figure(
    figure: str, value: float, verdict: str, code: int, capsys: pytest.CaptureFixture[str]
) -> None:
    figures.record(figure, value, "x", 3, "something")
    assert figures.main() == code
    [row] = [line for line in capsys.readouterr().out.splitlines() if line.startswith(figure)]
    assert verdict in row


def test_a_figure_that_was_not_measured_is_shown_as_not_run(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert figures.main() == 0
    rows = capsys.readouterr().out.splitlines()[1:]
    assert len(rows) == len(figures.TARGETS)
    assert all("not run" in row for row in rows)


def test_the_last_measurement_of_a_target_counts_and_each_target_is_shown(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    figures.record("gate_bypasses", 4, "", 20, "the oracle")
    figures.record("gate_bypasses", 0, "", 20, "the oracle")
    monkeypatch.setenv("CAMPUS_MONITOR_TARGET", "soak")
    figures.record("gate_bypasses", 1, "", 100, "the oracle")
    assert figures.main() == 1
    rows = [line for line in capsys.readouterr().out.splitlines() if "gate_bypasses" in line]
    assert [("bench" in row, "MISSED" in row) for row in rows] == [(True, False), (False, True)]


@pytest.mark.parametrize(("figure", "target"), [("speed", "bench"), ("up_ratio", "elsewhere")])
def test_an_unknown_figure_or_target_is_refused(
    figure: str, target: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CAMPUS_MONITOR_TARGET", target)
    with pytest.raises(ValueError, match=r"no such figure|CAMPUS_MONITOR_TARGET must be"):
        figures.record(figure, 1, "x", 1, "nothing")
