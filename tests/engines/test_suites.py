"""What a Docker Engine can spoil, on every engine that users have: the suites themselves, once for each."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree

import pytest

from tests.rig.engines import ENGINES, VARIABLE
from tests.rig.stack import ROOT

pytestmark = [pytest.mark.docker, pytest.mark.soak, pytest.mark.timeout(3 * 3600)]

SUITES = {
    "end to end": ["tests/test_end_to_end.py", "tests/edge/test_replacement.py"],
    "port policy": ["tests/policy", "tests/test_port_guard.py"],
    "hardening": ["tests/edge/test_hardening.py"],
    "LiveFiles": ["tests/test_live_files.py"],
    "shippers": ["tests/shipper"],
}


@pytest.mark.parametrize("suite", SUITES)
@pytest.mark.parametrize("engine", ENGINES)
def test_a_suite_is_green_on_an_engine(engine: str, suite: str, tmp_path: Path) -> None:
    report = tmp_path / "report.xml"
    child = subprocess.run(
        [sys.executable, "-m", "pytest", "-m", "not soak", f"--junitxml={report}", *SUITES[suite]],
        cwd=ROOT,
        # The counts of `make test`: on each of so many engines.
        env=os.environ | {VARIABLE: engine, "CAMPUS_MONITOR_TARGET": "test"},
        capture_output=True,
        text=True,
    )
    print(child.stdout, child.stderr)
    assert f"Docker Engine: {engine}\n" in child.stdout
    assert child.returncode == 0
    assert passed(report) > 0


def passed(report: Path) -> int:
    """How many tests of a report passed."""
    cases = ElementTree.parse(report).getroot().iter("testcase")
    return sum(all(child.tag != "skipped" for child in case) for case in cases)
