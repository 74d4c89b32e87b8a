"""Everything that the local stack needs, each thing only if it is missing."""

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

# Images that nobody can make here, and that all else runs without.
GRAFANA, ALLOY = "grafana", "alloy"


@dataclass(frozen=True)
class Installed:
    """What there is now."""

    environment: environment.Environment
    grafana: bool  # whether its image can be had


def for_stack(local: settings.LocalSettings, plugins: Path | None) -> Installed:
    """What `make up` needs; Docker answers already."""
    return _install(local, plugins, load=True)


def into_cache(plugins: Path | None) -> None:
    """What the tests' stacks need: in the cache alone, beside .local/env.

    Docker is needed only to fill it: who starts it ends it.
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
        cache.remove(cache_folder() / "tmp")  # of one that was killed
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
    """Have an image that all else runs without; False, saying so, where it can't be had."""
    image = local.images.get(name)
    had = image is not None and makers.try_pull(image)
    if not had:
        say.note(f"{image} can't be had here: {without}")
    return had


def needed_images(local: settings.LocalSettings) -> list[str]:
    """The images that must be there, the base of our own builds first."""
    named = [image for name, image in sorted(local.images.items()) if name not in (GRAFANA, ALLOY)]
    return list(dict.fromkeys([images.BASE, *named, images.PROBE]))


def _cache_is_full(local: settings.LocalSettings) -> bool:
    """Whether no image has to be pulled or made; one that was refused of late counts as had."""
    refusals = cache.Refusals()
    makers = images.Images(refusals, load=False)
    optional = [local.images[name] for name in (GRAFANA, ALLOY) if name in local.images]
    return all(makers.ready(image) for image in needed_images(local)) and all(
        makers.ready(image) or makers.refused_lately(image) for image in optional
    )


def _announce(local: settings.LocalSettings, refusals: cache.Refusals) -> None:
    """Say at the start what is missing, so that nobody wonders how much is left."""
    makers = images.Images(refusals, load=False)
    missing = [] if pulumi_cli.find() else [f"Pulumi {pulumi_cli.VERSION}"]
    missing += [image for image in needed_images(local) if not makers.ready(image)]
    if missing:
        say.step(f"to get, make or check again, in this order: {', '.join(missing)}")
