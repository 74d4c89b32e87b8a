"""`make up`, `make preview` and `make down`."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from local import (
    cache,
    docker,
    emulator,
    environment,
    install,
    local_world,
    processes,
    pulumi,
    pulumi_cli,
    pulumi_plugins,
    say,
    settings,
    stack_file,
    system,
    venv,
)
from local.paths import LOCAL, ROOT
from local.paths import cache as cache_folder
from local.say import Problem

GRAFANA_KEY = "campus-monitor:grafana.enabled"


def up(plugins: Path | None) -> int:
    """Bring the local stack up, from any state, and show that it works."""
    began = time.monotonic()
    local = _checked()
    installed = install.for_stack(local, plugins)
    stack = pulumi.LocalStack(installed.environment)
    had_state = pulumi.has_state()
    pulumi.ensure_passphrase()
    emulator.ensure(local.place.emulator)
    _select(stack, local, installed.grafana, fresh=not had_state)
    stack.unlock()
    say.step("pulumi up (stack local)")
    # Only a refresh sees what happened to the stack since: a container removed by hand, an emulator
    # that was restarted and has forgotten everything.
    refresh = ["--refresh"] if had_state else []
    if stack.shown("up", "--yes", "--skip-preview", *refresh) != 0:
        raise Problem("pulumi up failed, see above: fix it and `make up` again, or `make down` to clear up")
    return _show(local, stack, installed, began)


def preview(plugins: Path | None) -> int:
    """Show what `make up` would change."""
    if not pulumi.has_state():
        raise Problem("there is no local stack to compare with: `make up` makes it")
    local = _checked()
    installed = install.for_stack(local, plugins)
    emulator.ensure(local.place.emulator)
    return pulumi.LocalStack(installed.environment).shown("preview")


def down(plugins: Path | None) -> int:
    """Remove everything that `make up` made, except the cache."""
    system.check_machine()
    if not venv.python().exists():
        venv.ensure()
    place = settings.place()
    docker.use(place.docker_host)
    had_state = pulumi.has_state()
    if had_state:
        system.ensure_docker()
        _destroy(place, plugins)
    if docker.answers():
        local_world.clean_up()
        _sweep(place.name_prefix)
    stack_file.take_back()
    for name in (emulator.NAME, "dockerd"):
        if processes.stop(name):
            say.note(f"stopped {name}")
    cache.remove(LOCAL)
    say.step("the local stack is gone")
    say.note(f"kept for the next time: {cache_folder()}, Docker's images, .venv")
    return 0


def _checked() -> settings.LocalSettings:
    """The settings, after the checks of everything that a person has to fix."""
    system.check_machine()
    venv.ensure()
    local = settings.read()
    docker.use(local.place.docker_host)
    emulator.check_port(local.place.emulator)
    _check_edge_ports(local)
    system.ensure_docker()
    _check_names(local)
    return local


def _check_edge_ports(local: settings.LocalSettings) -> None:
    """A Problem if another program has a port of Caddy's. Without Docker no Caddy runs."""
    if docker.is_running(f"{local.place.name_prefix}caddy"):
        return
    ports = {"httpPort": local.place.http_port, "httpsPort": local.place.https_port}
    for name, port in ports.items():
        if not system.port_is_free(port):
            raise system.port_taken(port, f"campus-monitor:edge.{name}")


def _check_names(local: settings.LocalSettings) -> None:
    """A Problem if there are containers of ours that this work tree doesn't know."""
    strangers = [] if pulumi.has_state() else docker.names("container", local.place.name_prefix)
    if strangers:
        raise Problem(
            f"there is already a container {strangers[0]}, from another work tree or a lost state: "
            "`make down` there, or `make down` here, which removes it by its name"
        )


def _select(stack: pulumi.LocalStack, local: settings.LocalSettings, grafana: bool, *, fresh: bool) -> None:
    """Select the stack; what that writes into Pulumi.local.yaml is recorded, to be undone."""
    stack_file.keep_before()
    if fresh:
        stack_file.remove_salt()
    stack.select()
    stack_file.keep_after()
    if not grafana and local.grafana_enabled:
        stack.set(GRAFANA_KEY, "false")
        stack_file.keep_after(grafana_off=True)
    elif grafana and stack_file.we_turned_grafana_off():
        stack.set(GRAFANA_KEY, "true")
        stack_file.keep_after(grafana_off=False)


def _show(
    local: settings.LocalSettings,
    stack: pulumi.LocalStack,
    installed: install.Installed,
    began: float,
) -> int:
    say.step("make verify: lines pass the gate, a stranger doesn't")
    # As a command: ops may import local, and not the other way round.
    verified = subprocess.run([sys.executable, "-m", "ops.verify", pulumi.STACK], cwd=ROOT, check=False)
    if verified.returncode != 0:
        raise Problem(
            "the stack is up, but not proven to work as it should: "
            f"see `docker logs {local.place.name_prefix}caddy`"
        )
    say.step(f"the local stack is up, after {say.duration(time.monotonic() - began)}")
    for name, url in _urls(local, stack.outputs(), grafana=installed.grafana):
        say.note(f"{name:<14} {url}")
    say.note("next: make preview, make down, or: source .local/env && pulumi preview -s local")
    return 0


def _urls(local: settings.LocalSettings, outputs: dict[str, Any], *, grafana: bool) -> list[tuple[str, str]]:
    urls = [("Grafana", str(outputs.get("grafana_url")))] if grafana else []
    urls += [(f"push {name}", url) for name, url in sorted((outputs.get("loki_push_urls") or {}).items())]
    return [*urls, *((f"{name}, inside", url) for name, url in sorted(local.backends.items()))]


def _destroy(place: settings.Place, plugins: Path | None) -> None:
    """Destroy by pulumi as far as possible; the sweep afterwards removes the rest."""
    folder = pulumi_cli.find()
    if folder is None:
        say.note("pulumi is gone from the cache: removing the stack's things without it")
        return
    with cache.lock():
        made = environment.make(folder, pulumi_plugins.ensure(folder, plugins, cache.Refusals()))
    stack = pulumi.LocalStack(made)
    stack.unlock()
    emulator.ensure(place.emulator)
    say.step("pulumi destroy (stack local)")
    if stack.shown("destroy", "--yes", "--skip-preview", "--refresh") != 0:
        say.note("pulumi destroy failed, see above: removing the rest without it")
    stack.remove()


def _sweep(prefix: str) -> None:
    """Remove what has the stack's name prefix and isn't in the state."""
    for kind, remove in (
        ("container", ("rm", "--force", "--volumes")),
        ("network", ("network", "rm")),
        ("volume", ("volume", "rm", "--force")),
    ):
        for name in docker.names(kind, prefix):
            done = docker.run(*remove, name)
            if done.returncode != 0:
                raise Problem(f"{kind} {name} can't be removed: {say.last_line(done.stderr)}")
            say.note(f"removed the {kind} {name}, which was not in pulumi's state")


def print_environment(plugins: Path | None) -> int:
    """Print the lines of .local/env for what is installed now."""
    folder = pulumi_cli.find()
    if folder is None:
        raise Problem("pulumi isn't installed yet: `make up` or `make test` installs it")
    with cache.lock():
        made = environment.make(folder, pulumi_plugins.ensure(folder, plugins, cache.Refusals()))
    made.write()
    print(made.file_text(), end="")
    return 0
