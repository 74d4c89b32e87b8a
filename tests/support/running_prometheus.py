"""The real Prometheus with the stack's configuration, on this machine's loopback and in its own folder."""

from __future__ import annotations

import json
import re
import subprocess
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from components.certificate_probe.config import Probed
from components.prometheus.config import DATA, prometheus_command, render_prometheus_config
from components.prometheus.settings import PrometheusSettings
from rig.processes import die_with_parent, wait_for
from tests.support.memory_limit import MemoryLimit
from tests.support.running_caddy import free_port

READY_SECONDS = 60.0
# No site to probe.
NOBODY = Probed(domain="campus.example.org", site="127.0.0.1", site_port=9, probe="127.0.0.1")


@dataclass(frozen=True)
class RunningPrometheus:
    """The test's own Prometheus."""

    port: int
    process: subprocess.Popen[bytes]

    def get(self, path: str) -> Any:
        """An answer's JSON."""
        with urllib.request.urlopen(f"http://127.0.0.1:{self.port}{path}", timeout=60) as answer:
            return json.loads(answer.read())

    def value(self, query: str) -> float | None:
        """The value that an instant query finds first; None if it finds nothing."""
        found = self.get(f"/api/v1/query?{urlencode({'query': query})}")["data"]["result"]
        return float(found[0]["value"][1]) if found else None

    def next_collection_bytes(self) -> int:
        """The heap at which Go collects garbage next, by which the gate decides."""
        with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/metrics", timeout=60) as answer:
            page = answer.read().decode()
        [found] = re.findall(r"^go_memstats_next_gc_bytes (\S+)$", page, re.MULTILINE)
        return int(float(found))

    def is_running(self) -> bool:
        """Whether it is still there."""
        return self.process.poll() is None


def prometheus_settings(**changes: Any) -> PrometheusSettings:
    """Prometheus' settings."""
    given = {"route": "/metrics", "allow": ["nat"], "natWithoutPassword": True}
    return PrometheusSettings.model_validate({**given, **changes})


@contextmanager
def running_prometheus(
    program: str, folder: Path, settings: PrometheusSettings, memory: MemoryLimit
) -> Iterator[RunningPrometheus]:
    """The program, once it is ready, with its container's memory limit."""
    own = settings.model_copy(update={"port": free_port()})
    config = folder / "prometheus.yml"
    config.write_text(render_prometheus_config(own, "127.0.0.1:9", (), NOBODY))
    command = [
        part.replace(f"={DATA}", f"={folder / 'data'}").replace("0.0.0.0", "127.0.0.1")
        for part in prometheus_command(own, str(config))
    ]

    def begin() -> None:
        die_with_parent()
        memory.enter()

    with (folder / "log").open("w") as log:
        process = subprocess.Popen([program, *command], stdout=log, stderr=log, preexec_fn=begin)
    made = RunningPrometheus(own.port, process)
    try:
        wait_for("Prometheus is ready", lambda: _is_ready(made), READY_SECONDS)
        yield made
    finally:
        process.terminate()
        process.wait(timeout=30)


def _is_ready(prometheus: RunningPrometheus) -> bool:
    assert prometheus.is_running(), "Prometheus has ended"
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{prometheus.port}/-/ready", timeout=10) as answer:
            return answer.status == 200
    except OSError:
        return False
