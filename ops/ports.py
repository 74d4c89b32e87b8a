"""`make ports`: the port policy's rows, as `ufw status numbered` prints them, with their counters.

The rows are those in force on the Docker host, which may differ from the settings.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from components.docker_hosts.containers import Host
from components.docker_hosts.settings import CampusSettings
from components.live.docker_host import LiveError, client, find_container, read_by_script
from components.port_policy.component import GUARD
from components.stack import settings_file
from components.stack.settings import parse_part
from components.values.area import Area
from components.values.errors import SettingsError


class _Campus(Area):
    """The area of the settings that says where the guard is."""

    campus: CampusSettings


def counted_rows(stack: str, folder: Path = settings_file.ROOT) -> str:
    """The rows of a stack's Docker host; a LiveError or a SettingsError says why there are none."""
    host = _host(stack, folder)
    with client(host.docker_host) as engine:
        guard = find_container(engine, host.named(GUARD))
        ran = guard and read_by_script(guard, "port-guard ports")
    if ran is None:
        raise LiveError(f"{host.named(GUARD)} doesn't run at {host.docker_host}: bring the stack up first")
    if ran.status != 0:
        raise LiveError(f"{host.named(GUARD)}: {ran.errors.strip()}")
    return ran.output


def _host(stack: str, folder: Path) -> Host:
    campus = parse_part(_Campus, settings_file.read(stack, folder).areas).campus
    return Host.of(campus)


def main() -> int:
    """Print the rows; 1 and one line if that fails."""
    parser = argparse.ArgumentParser(prog="make ports", description=__doc__)
    parser.add_argument("stack", help="such as local, stage or prod")
    try:
        print(counted_rows(parser.parse_args().stack), end="")
    except (LiveError, SettingsError) as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
