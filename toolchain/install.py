"""Everything that the local stack and the tests need, each thing only if it is missing."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from toolchain import (
    cache,
    docker,
    environment,
    fluent_bit_plugin,
    images,
    loki_canary,
    processes,
    pulumi_cli,
    pulumi_plugins,
    say,
    settings,
    system,
    venv,
)
from toolchain.paths import cache as cache_folder

GRAFANA = "grafana"


@dataclass(frozen=True)
class Installed:
    """What there is now."""

    environment: environment.Environment
    grafana: bool  # whether its image can be had


def for_stack(local: settings.LocalSettings, plugins: Path | None) -> Installed:
    """What `make up` needs; Docker answers already."""
    return _install(local, plugins, load=True)


def for_tests(plugins: Path | None) -> Installed:
    """What `make test` needs."""
    system.check_machine()
    system.ensure_programs(system.TEST_PROGRAMS, "the tests need them")
    system.ensure_programs({"dockerd": "docker.io"}, "the tests start a Docker Engine of their own")
    venv.ensure()
    installed = _for_rig(plugins)
    with cache.lock():
        fluent_bit_plugin.ensure()
        loki_canary.ensure()
    return installed


def _for_rig(plugins: Path | None) -> Installed:
    """What the stack needs, in the cache alone. Docker is needed only to fill it: who starts it ends it."""
    local = settings.read()
    docker.use(local.docker_host)
    if _cache_is_full(local):
        return _install(local, plugins, load=False)
    ours_before = processes.pid_of("dockerd") is not None
    system.ensure_docker()
    try:
        return _install(local, plugins, load=False)
    finally:
        if not ours_before and processes.stop("dockerd"):
            say.note("stopped the Docker that was started for this")


def _install(local: settings.LocalSettings, plugins: Path | None, *, load: bool) -> Installed:
    with cache.lock():
        cache.remove(cache_folder() / "tmp")  # of one that was killed
        refusals = cache.Refusals()
        _announce(local, refusals)
        pulumi = pulumi_cli.ensure(refusals)
        plugin_folder = pulumi_plugins.ensure(pulumi, plugins, refusals)
        makers = images.Images(refusals, load=load)
        for image in needed_images(local):
            makers.ensure(image)
        grafana = local.images.get(GRAFANA)
        has_grafana = grafana is not None and makers.try_pull(grafana)
        if not has_grafana:
            say.note(f"{grafana} can't be had here: the stack runs without Grafana")
    made = environment.make(pulumi, plugin_folder)
    made.write()
    return Installed(made, has_grafana)


def needed_images(local: settings.LocalSettings) -> list[str]:
    """The images that must be there, the base of our own builds first."""
    named = [image for name, image in sorted(local.images.items()) if name != GRAFANA]
    return list(dict.fromkeys([images.BASE, *named, images.PROBE]))


def _cache_is_full(local: settings.LocalSettings) -> bool:
    """Whether no image has to be pulled or made; one that was refused of late counts as had."""
    refusals = cache.Refusals()
    makers = images.Images(refusals, load=False)
    grafana = local.images.get(GRAFANA)
    return all(makers.ready(image) for image in needed_images(local)) and (
        grafana is None or makers.ready(grafana) or makers.was_refused(grafana)
    )


def _announce(local: settings.LocalSettings, refusals: cache.Refusals) -> None:
    """Say at the start what is missing, so that nobody wonders how much is left."""
    makers = images.Images(refusals, load=False)
    missing = [] if pulumi_cli.find() else [f"Pulumi {pulumi_cli.VERSION}"]
    missing += [image for image in needed_images(local) if not makers.ready(image)]
    if missing:
        say.step(f"to get, make or check again, in this order: {', '.join(missing)}")
