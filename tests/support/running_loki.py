"""The real Loki with the stack's configuration, on this machine's loopback and in its own folder."""

from __future__ import annotations

import json
import os
import subprocess
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from components.loki.component import loki_environment
from components.loki.config import DATA, render_loki_config
from components.loki.settings import LokiSettings
from rig.processes import die_with_parent, wait_for
from tests.support.memory_limit import MemoryLimit
from tests.support.running_caddy import free_port

READY_SECONDS = 60.0


@dataclass(frozen=True)
class RunningLoki:
    """The test's own Loki."""

    port: int
    process: subprocess.Popen[bytes]

    def ask(
        self, method: str, path: str, body: bytes | None = None, headers: Mapping[str, str] | None = None
    ) -> tuple[int, str]:
        """An answer's status and text."""
        url = f"http://127.0.0.1:{self.port}{path}"
        request = urllib.request.Request(url, body, dict(headers or {}), method=method)
        try:
            with urllib.request.urlopen(request, timeout=60) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as refused:
            return refused.code, refused.read().decode()

    def lines_of(self, job: str) -> int:
        """The number of this job's lines of the last hour."""
        asked = urllib.parse.urlencode({"query": f'sum(count_over_time({{job="{job}"}}[1h]))'})
        status, text = self.ask("GET", f"/loki/api/v1/query?{asked}")
        assert status == 200, text
        result = json.loads(text)["data"]["result"]
        return int(result[0]["value"][1]) if result else 0


@contextmanager
def running_loki(
    program: str,
    folder: Path,
    instance: LokiSettings,
    memory: MemoryLimit | None = None,
    *,
    oldest_seconds: int = 0,
) -> Iterator[RunningLoki]:
    """The program, once it accepts pushes and queries, with its container's memory limit.

    It accepts a shipper's lines of this age in seconds.
    """
    rendered = render_loki_config(instance, oldest_seconds=oldest_seconds)
    config = json.loads(rendered.replace(f'"{DATA}', f'"{folder}'))
    port, grpc = free_port(), free_port()
    config["server"] |= {
        "http_listen_address": "127.0.0.1",
        "http_listen_port": port,
        "grpc_listen_port": grpc,
    }
    # It waits for no others, and finds its scheduler without a ring: otherwise a start takes 16 s.
    config["ingester"]["lifecycler"] = {"min_ready_duration": "0s"}
    config["frontend"] = config["frontend_worker"] = {"scheduler_address": f"127.0.0.1:{grpc}"}
    path = folder / "config.yaml"
    path.write_text(json.dumps(config))
    environment = os.environ | dict(one.split("=", 1) for one in loki_environment(instance))

    def begin() -> None:
        die_with_parent()
        if memory is not None:
            memory.enter()

    with (folder / "log").open("w") as log:
        process = subprocess.Popen(
            [program, f"-config.file={path}"], stdout=log, stderr=log, env=environment, preexec_fn=begin
        )
    made = RunningLoki(port, process)
    try:
        wait_for("Loki is ready", lambda: _is_ready(made), READY_SECONDS)
        yield made
    finally:
        process.kill()
        process.wait(timeout=30)


def _is_ready(loki: RunningLoki) -> bool:
    assert loki.process.poll() is None, "Loki has ended"
    try:
        return loki.ask("GET", "/ready")[0] == 200
    except OSError:
        return False
