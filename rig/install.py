"""Installs everything that the tests need and that is missing."""

from __future__ import annotations

from pathlib import Path

from local import cache, install, system, venv
from rig.programs import alloy_syntax, engines, fluent_bit_plugin, loki_canary, openssh, pebble

# The engine of `make test`, and of most users.
ENGINE = "29"


def for_tests(plugins: Path | None) -> None:
    """Install what `make test` needs, which includes what `make up` needs."""
    system.check_machine()
    system.ensure_programs(system.TEST_PROGRAMS, "the tests need them")
    system.ensure_programs({"dockerd": "docker.io"}, "the tests start their own Docker Engine")
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
    """Build every Docker Engine of `make soak SUITE=engines` that `for_tests` doesn't install."""
    with cache.lock():
        for name in engines.NAMES:
            engines.ensure(name)
