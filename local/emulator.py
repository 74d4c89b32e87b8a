"""The AWS emulator (moto's server) of the local stack, on a loopback port."""

from __future__ import annotations

import urllib.error
import urllib.request
from urllib.parse import urlsplit

from local import processes, say, system
from local.paths import VENV
from local.say import Problem

NAME = "moto"
KEY = "campus-monitor:aws.emulator"
START_SECONDS = 60


def address(url: str) -> tuple[str, int]:
    """Host and port of the emulator's URL, as the settings let it pass; a Problem if they have none."""
    parts = urlsplit(url)
    if parts.hostname is None or parts.port is None:
        raise Problem(f"{KEY} is {url!r}: give it a loopback URL such as http://127.0.0.1:15000")
    return parts.hostname, parts.port


def check_port(url: str) -> None:
    """A Problem if another program has the emulator's port."""
    host, port = address(url)
    if processes.pid_of(NAME) is None and not system.port_is_free(port, host):
        raise system.port_taken(port, KEY)


def ensure(url: str) -> bool:
    """Have the emulator running; True if it has just been started and so is empty."""
    host, port = address(url)
    if processes.pid_of(NAME) is not None:
        if _answers(url):
            return False
        processes.stop(NAME)
    say.step(f"starting the AWS emulator at {url}")
    processes.start(NAME, [VENV / "bin" / "python", "-m", "local.emulated_aws", host, str(port)])
    processes.wait_for_start(NAME, lambda: _answers(url), START_SECONDS)
    return True


def _answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(f"{url}/moto-api/data.json", timeout=5):
            return True
    except (OSError, urllib.error.URLError):
        return False
