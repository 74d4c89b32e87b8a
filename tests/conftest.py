"""Fixtures that several suites share."""

from __future__ import annotations

import gc
import os
from collections.abc import Generator, Iterator
from typing import TYPE_CHECKING

import hypothesis
import pytest
from hypothesis import HealthCheck
from xdist.remote import Producer
from xdist.scheduler import LoadScopeScheduling

from rig.engines import chosen
from rig.failure_logs import last_words
from rig.rig import Rig, end_in_order_on_signals, running_rig

# Imported where it is used: moto and boto3 take long, and most tests need neither.
if TYPE_CHECKING:
    from rig.emulator import Emulator

# What shares a rig and a stack runs in one process, one after the other; anything else a file at a time,
# beside all others. Those that take longest begin: who begins last should be done soon.
GROUPS = (
    ("edge/test_interrupted.py", "edge/test_rotation.py"),
    ("policy/",),
    (
        "edge/test_gate.py",
        "edge/test_flood.py",
        "edge/test_hardening.py",
        "edge/test_connections.py",
        "edge/test_loki_restarts.py",
    ),
    ("edge/test_acme.py", "edge/test_replacement.py", "edge/test_renewal.py"),
    ("aws/test_address_changes.py",),
    ("aws/",),
    ("team/test_environments.py",),
    ("team/test_secrets.py",),
    ("test_live_files.py",),
    ("loki/test_replicas.py",),
    ("test_grafana_stack.py",),
    ("shipper/",),
    ("plugins/",),
)


def pytest_configure(config: pytest.Config) -> None:
    """Name the markers, and let a terminated session clear up, and generated cases take their time."""
    config.addinivalue_line("markers", "docker: needs root and a Docker Engine's programs")
    config.addinivalue_line("markers", "soak: takes long, and is left to `make soak`")
    config.addinivalue_line("markers", "alone: loads the machine so much that it wants it to itself")
    config.addinivalue_line("markers", "programs: needs nft, or a program out of an image of the stack")
    end_in_order_on_signals()
    config.pluginmanager.register(NamesFailures(config))
    # Before anybody loads gRPC: otherwise its fork handlers end one in a hundred of the children that are
    # started while it runs, before it is the program that it should be.
    os.environ["GRPC_ENABLE_FORK_SUPPORT"] = "0"
    try:
        chosen()
    except ValueError as error:
        raise pytest.UsageError(str(error)) from None
    # A busy machine is slow: how long a generated case takes is nobody's mistake.
    slow = [HealthCheck.too_slow]
    hypothesis.settings.register_profile("patient", deadline=None, suppress_health_check=slow)
    hypothesis.settings.load_profile("patient")


class NamesFailures:
    """Names a test when it fails: what it said comes at the end, many minutes later."""

    def __init__(self, config: pytest.Config) -> None:
        self._plugins = config.pluginmanager

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Print the failed test's name; a process of xdist's has no terminal, and prints nothing."""
        terminal = self._plugins.get_plugin("terminalreporter")
        if report.failed and terminal is not None:
            terminal.write_line(f"\nFAILED {report.nodeid} ({report.when})")


def pytest_report_header() -> str:
    """Which Docker Engine the rigs run."""
    return f"Docker Engine: {chosen().name}"


class ByGroup(LoadScopeScheduling):
    """Gives each process one group of tests after the other, in the order in which they were collected."""

    def _split_scope(self, nodeid: str) -> str:
        return group_of(nodeid)[1]


def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> ByGroup:
    """Keep together what shares something when several processes share the tests.

    pytest-xdist 3.8's own groups do nothing under pytest 9.2.
    """
    return ByGroup(config, log)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with what takes longest."""
    items.sort(key=lambda item: group_of(item.nodeid)[0])


def pytest_collection_finish() -> None:
    """Have the garbage collector leave alone what stays until the end: that is a fifth of the time."""
    gc.collect()
    gc.freeze()


def group_of(nodeid: str) -> tuple[int, str]:
    """The place and the name of a test's group: by `GROUPS`, and after those each file."""
    file = nodeid.partition("::")[0].removeprefix("tests/")
    for place, beginnings in enumerate(GROUPS):
        if file.startswith(beginnings):
            return place, beginnings[0]
    return len(GROUPS), file


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Show with a test that fails what the containers said."""
    report = yield
    if report.failed:
        report.sections.extend(last_words())
    return report


@pytest.fixture(scope="session")
def rig() -> Iterator[Rig]:
    """The campus server with its own Docker Engine, and the world around it."""
    with running_rig() as made:
        yield made


@pytest.fixture(scope="session")
def emulator() -> Iterator[Emulator]:
    """The AWS emulator."""
    from rig.emulator import running_emulator

    with running_emulator() as made:
        yield made
