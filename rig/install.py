"""Everything that the tests need, each thing only if it is missing."""

from __future__ import annotations

from pathlib import Path

from local import cache, install, system, venv
from rig.programs import alloy_syntax, engines, fluent_bit_plugin, loki_canary, openssh, pebble

# What `make test` runs on, and most users have.
ENGINE = "29"


def for_tests(plugins: Path | None) -> None:
    """What `make test` needs; what `make up` needs is a part of it."""
    system.check_machine()
    system.ensure_programs(system.TEST_PROGRAMS, "the tests need them")
    system.ensure_programs({"dockerd": "docker.io"}, "the tests start a Docker Engine of their own")
    venv.ensure()
    install.into_cache(plugins)
    with cache.lock():
        fluent_bit_plugin.ensure()
        loki_canary.ensure()
        pebble.ensure()
        openssh.ensure()
        alloy_syntax.ensure()
        engines.ensure(ENGINE)


def all_engines() -> None:
    """Every Docker Engine that `make soak SUITE=engines` runs, beside what `for_tests` gets."""
    with cache.lock():
        for name in engines.NAMES:
            engines.ensure(name)
