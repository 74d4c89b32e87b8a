"""Installs everything that the local stack needs and that is missing."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from local import (
    cache,
    docker,
    environment,
    images,
    processes,
    pulumi_cli,
    pulumi_plugins,
    say,
    settings,
    system,
)
from local.paths import cache as cache_folder

# Optional images, which can't be made here.
GRAFANA, ALLOY = "grafana", "alloy"


@dataclass(frozen=True)
class Installed:
    """What is installed."""

    environment: environment.Environment
    grafana: bool  # whether its image is available


def for_stack(local: settings.LocalSettings, plugins: Path | None) -> Installed:
    """Install what `make up` needs; Docker answers already."""
    return _install(local, plugins, load=True)


def into_cache(plugins: Path | None) -> None:
    """Install what the tests' stacks need: .local/env, and the rest in the cache alone.

    Docker is needed only to fill the cache: if it is started for that, it is stopped afterwards.
    """
    local = settings.read()
    docker.use(local.place.docker_host)
    if _cache_is_full(local):
        _install(local, plugins, load=False)
        return
    ours_before = processes.pid_of("dockerd") is not None
    system.ensure_docker()
    try:
        _install(local, plugins, load=False)
    finally:
        if not ours_before and processes.stop("dockerd"):
            say.note("stopped the Docker that was started for this")


def _install(local: settings.LocalSettings, plugins: Path | None, *, load: bool) -> Installed:
    with cache.lock():
        cache.remove(cache_folder() / "tmp")  # left by a killed process
        refusals = cache.Refusals()
        _announce(local, refusals)
        pulumi = pulumi_cli.ensure(refusals)
        plugin_folders = pulumi_plugins.ensure(pulumi, plugins, refusals)
        makers = images.Images(refusals, load=load)
        for image in needed_images(local):
            makers.ensure(image)
        has_grafana = _try_pull(makers, local, GRAFANA, "the stack runs without Grafana")
        if not load:
            _try_pull(makers, local, ALLOY, "the tests run no Alloy")
    made = environment.make(pulumi, plugin_folders)
    made.write()
    return Installed(made, has_grafana)


def _try_pull(makers: images.Images, local: settings.LocalSettings, name: str, without: str) -> bool:
    """Have an optional image; False, with a note, if it isn't available."""
    image = local.images.get(name)
    had = image is not None and makers.try_pull(image)
    if not had:
        say.note(f"{image} isn't available here: {without}")
    return had


def needed_images(local: settings.LocalSettings) -> list[str]:
    """The images that are required, the base of our own builds first."""
    named = [image for name, image in sorted(local.images.items()) if name not in (GRAFANA, ALLOY)]
    return list(dict.fromkeys([images.BASE, *named, images.PROBE]))


def _cache_is_full(local: settings.LocalSettings) -> bool:
    """Whether no image has to be pulled or made; a recent refusal counts as done."""
    refusals = cache.Refusals()
    makers = images.Images(refusals, load=False)
    optional = [local.images[name] for name in (GRAFANA, ALLOY) if name in local.images]
    return all(makers.ready(image) for image in needed_images(local)) and all(
        makers.ready(image) or makers.refused_lately(image) for image in optional
    )


def _announce(local: settings.LocalSettings, refusals: cache.Refusals) -> None:
    """Say at the start what is missing."""
    makers = images.Images(refusals, load=False)
    missing = [] if pulumi_cli.find() else [f"Pulumi {pulumi_cli.VERSION}"]
    missing += [image for image in needed_images(local) if not makers.ready(image)]
    if missing:
        say.step(f"to get, make or check, in this order: {', '.join(missing)}")
