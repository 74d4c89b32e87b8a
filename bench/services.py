"""A no-change preview with 100 services, compared with as many trivial resources.

`python -m bench.services` deploys both to the emulator, then previews them in turns, so that a busy machine
slows both alike, and records the median ratio of the rounds. It needs no Docker: the program registers only
the services. A trivial resource is an empty log group, from the same plugin but without rendering.
"""

from __future__ import annotations

import statistics
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from bench.preview import same_modules
from bench.verdict import verdict
from rig.emulator import Emulator, running_emulator
from rig.rig import end_in_order_on_signals
from rig.stack import ROOT, Settings, Stack, local_settings, merged, running_stack, write_project

FIGURE = "services_preview_ratio"
SERVICES = 100
# With 3, one run gave 1.22 and the next 1.17.
ROUNDS = 9
COMMAND = ("preview", "--expect-no-changes")
# The beginning of both programs: the same settings, the same modules of the SDK.
COMMON = """
import atexit, gc, sys
sys.path.insert(0, {root!r})
import pulumi
import pulumi_aws as sdk
from pulumi import ResourceOptions
from components.stack.load import load
from components.aws.provider import aws_provider
from components.stack.services import Services, ServicesArgs

gc.disable()
atexit.register(gc.freeze)
settings = load()
aws = ResourceOptions(providers=[aws_provider(settings.aws)])
"""
OURS = """
urls = {key: f"https://campus.localhost/{key}" for key in settings.loki.instances}
Services("services", ServicesArgs(settings=settings, push_urls=urls, passwords={}, vpc_id=None), aws)
"""
TRIVIAL = """
class Group(pulumi.ComponentResource):
    def __init__(self, name, opts):
        super().__init__("bench:index:Group", name, None, opts)

parent = Group("trivial", aws)
for number in range({count}):
    sdk.cloudwatch.LogGroup(f"trivial-{{number}}", opts=ResourceOptions(parent=parent))
"""


def settings_for(emulator: Emulator) -> Settings:
    """The local settings with a hundred services, each with two containers."""
    local = local_settings()
    [one] = local["services"].values()
    worker = {"image": "app:1", "memoryMib": 64}
    service = merged(one, {"containers": {"worker": worker}})
    services = {f"service-{number}": service for number in range(SERVICES)}
    return merged(local, {"aws": {"emulator": emulator.url}}) | {"services": services}


@contextmanager
def _stack(program: str, emulator: Emulator) -> Iterator[Stack]:
    """A deployed stack of this program with those settings."""
    with tempfile.TemporaryDirectory(prefix="campus-monitor-services-") as folder:
        write_project(Path(folder), ROOT, {"main": "."})
        (Path(folder) / "__main__.py").write_text(COMMON.format(root=str(ROOT)) + same_modules() + program)
        with running_stack(settings_for(emulator), root=Path(folder)) as stack:
            stack.up()
            yield stack


def resources(stack: Stack) -> int:
    """The number of a stack's resources, including components, which the engine registers too."""
    state = stack.automation.export_stack().deployment or {}
    return sum(one["type"].startswith(("aws:", "campus-monitor:")) for one in state["resources"])


def _seconds(stack: Stack) -> float:
    start = time.perf_counter()
    stack.run(*COMMAND)
    return time.perf_counter() - start


def main() -> int:
    """Measure and record the ratio; 1 if it misses its target."""
    end_in_order_on_signals()
    with running_emulator() as emulator, _stack(OURS, emulator) as ours:
        count = resources(ours)
        with _stack(TRIVIAL.format(count=count), emulator) as trivial:
            rounds = [(_seconds(ours), _seconds(trivial)) for _ in range(ROUNDS + 1)][1:]
    ratio = round(statistics.median(one / other for one, other in rounds), 3)
    one, other = (statistics.median(times) for times in zip(*rounds, strict=True))
    met = verdict(FIGURE, ratio, ROUNDS, f"{SERVICES} services, {count} resources, as many empty log groups")
    print(f"  medians of {ROUNDS} rounds: {one:.2f} s, trivial {other:.2f} s")
    return 0 if met else 1


if __name__ == "__main__":
    sys.exit(main())
