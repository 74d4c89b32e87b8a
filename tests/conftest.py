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

# Imported only when used: moto and boto3 load slowly, and most tests need neither.
if TYPE_CHECKING:
    from rig.emulator import Emulator

# Files that share a rig and a stack run in one process, one after the other; all other files run in parallel.
# The longest come first, so that the last ones are short.
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
    """Register the markers, let a terminated session clean up, and give generated cases enough time."""
    config.addinivalue_line("markers", "docker: needs root and a Docker Engine's programs")
    config.addinivalue_line("markers", "soak: takes long, and runs only in `make soak`")
    config.addinivalue_line("markers", "alone: needs the whole machine for its load")
    config.addinivalue_line("markers", "programs: needs nft, or a program from an image of the stack")
    end_in_order_on_signals()
    config.pluginmanager.register(NamesFailures(config))
    # Set before gRPC is loaded: otherwise its fork handlers kill one in a hundred of the children that are
    # started while it runs, before they execute their program.
    os.environ["GRPC_ENABLE_FORK_SUPPORT"] = "0"
    try:
        chosen()
    except ValueError as error:
        raise pytest.UsageError(str(error)) from None
    # No deadline: on a busy machine a generated case may be slow.
    slow = [HealthCheck.too_slow]
    hypothesis.settings.register_profile("patient", deadline=None, suppress_health_check=slow)
    hypothesis.settings.load_profile("patient")


class NamesFailures:
    """Names a test when it fails: its output comes only at the end, many minutes later."""

    def __init__(self, config: pytest.Config) -> None:
        self._plugins = config.pluginmanager

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Print the failed test's name; an xdist process has no terminal, and prints nothing."""
        terminal = self._plugins.get_plugin("terminalreporter")
        if report.failed and terminal is not None:
            terminal.write_line(f"\nFAILED {report.nodeid} ({report.when})")


def pytest_report_header() -> str:
    """Name the rigs' Docker Engine."""
    return f"Docker Engine: {chosen().name}"


class ByGroup(LoadScopeScheduling):
    """Gives each process one group of tests after the other, in the order of collection."""

    def _split_scope(self, nodeid: str) -> str:
        return group_of(nodeid)[1]


def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> ByGroup:
    """Keep tests with a shared fixture in one process.

    pytest-xdist 3.8's own groups do nothing under pytest 9.2.
    """
    return ByGroup(config, log)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put the longest groups first."""
    items.sort(key=lambda item: group_of(item.nodeid)[0])


def pytest_collection_finish() -> None:
    """Exempt permanent objects from garbage collection, which saves a fifth of the time."""
    gc.collect()
    gc.freeze()


def group_of(nodeid: str) -> tuple[int, str]:
    """The rank and the name of a test's group: `GROUPS` first, then each file."""
    file = nodeid.partition("::")[0].removeprefix("tests/")
    for place, beginnings in enumerate(GROUPS):
        if file.startswith(beginnings):
            return place, beginnings[0]
    return len(GROUPS), file


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Show the containers' logs with a failed test."""
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
