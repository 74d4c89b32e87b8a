"""The suites that depend on the Docker Engine, once on every engine that users have."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree

import pytest

from rig.engines import ENGINES, VARIABLE
from rig.stack import ROOT

pytestmark = [pytest.mark.docker, pytest.mark.soak, pytest.mark.timeout(3 * 3600)]

SUITES = (
    # End to end.
    "tests/test_end_to_end.py",
    "tests/edge/test_replacement.py",
    # The port policy.
    "tests/policy",
    "tests/test_port_guard.py",
    "tests/edge/test_hardening.py",
    "tests/test_live_files.py",
    "tests/shipper",
)
# The processes that share an engine's suites, as in `make test`.
PROCESSES = 4


@pytest.mark.parametrize("engine", ENGINES)
def test_the_suites_are_green_on_an_engine(engine: str, tmp_path: Path) -> None:
    report = tmp_path / "report.xml"
    options = ["-m", "not soak", f"--numprocesses={PROCESSES}", "--no-loadscope-reorder", "--verbose"]
    child = subprocess.run(
        [sys.executable, "-m", "pytest", *options, f"--junitxml={report}", *SUITES],
        cwd=ROOT,
        # With the counts of `make test` on each engine.
        env=os.environ | {VARIABLE: engine, "CAMPUS_MONITOR_TARGET": "test"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    print(child.stdout)
    assert f"Docker Engine: {engine}\n" in child.stdout
    assert child.returncode == 0
    files = passed(report)
    assert [suite for suite in SUITES if not any(one.startswith(module_of(suite)) for one in files)] == []


def module_of(path: str) -> str:
    """The module name of a test file or a folder."""
    return path.removesuffix(".py").replace("/", ".")


def passed(report: Path) -> set[str]:
    """The modules with a passed test."""
    cases = ElementTree.parse(report).getroot().iter("testcase")
    return {case.attrib["classname"] for case in cases if all(child.tag != "skipped" for child in case)}
