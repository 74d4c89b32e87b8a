"""The team's docker compose set-up of early 2024 in the rig's Docker, and the documented migration."""

from __future__ import annotations

import io
import json
import tarfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from docker import DockerClient
from docker.models.containers import Container

from rig.deployment import Deployment
from rig.namespaces import NAT
from rig.processes import wait_for
from rig.pusher import answers_ready
from tests.support.guide import blocks

# The old Lokis' containers, and their published ports.
LOKIS = {"loki-aws": 3100, "loki-test": 3199}
CERTIFICATE = "/data/caddy/certificates/local/{domain}/{domain}.crt"
CADDYFILE = """\
{domain} {{
    tls internal
    handle /lokiaws/* {{
        @blocked not remote_ip {nat}
        respond @blocked "Forbidden" 403
        uri strip_prefix /lokiaws
        reverse_proxy 127.0.0.1:3100
    }}
    handle /lokitest/* {{
        uri strip_prefix /lokitest
        reverse_proxy 127.0.0.1:3199
    }}
    respond "Grafana"
}}
"""
# Loki 2.9.0's configuration in its image, plus what 3.7.8 needs for such an old schema.
LOKI_CONFIG = {
    "auth_enabled": False,
    "server": {"http_listen_port": 3100, "grpc_listen_port": 9096},
    "common": {
        "instance_addr": "127.0.0.1",
        "path_prefix": "/loki",
        "storage": {"filesystem": {"chunks_directory": "/loki/chunks", "rules_directory": "/loki/rules"}},
        "replication_factor": 1,
        "ring": {"kvstore": {"store": "inmemory"}},
    },
    "schema_config": {
        "configs": [
            {
                "from": "2020-10-24",
                "store": "boltdb-shipper",
                "object_store": "filesystem",
                "schema": "v11",
                "index": {"prefix": "index_", "period": "24h"},
            }
        ]
    },
    "limits_config": {"allow_structured_metadata": False},
    "analytics": {"reporting_enabled": False},
}


@contextmanager
def old_setup(deployment: Deployment) -> Iterator[None]:
    """Caddy and Lokis like the team's, with all data in their containers; removed at the end."""
    client = deployment.rig.engine.client()
    made: list[Container] = []
    try:
        images = deployment.settings["images"]
        for name, port in LOKIS.items():
            made.append(
                _started(
                    client,
                    name,
                    images["loki"],
                    {"/etc/loki/local-config.yaml": json.dumps(LOKI_CONFIG)},
                    ports={"3100/tcp": port},
                )
            )
        caddyfile = CADDYFILE.format(domain=deployment.settings["edge"]["domain"], nat=NAT)
        made.append(
            _started(
                client, "caddy", images["caddy"], {"/etc/caddy/Caddyfile": caddyfile}, network_mode="host"
            )
        )
        campus = deployment.rig.network.campus
        for port in LOKIS.values():
            where = ("127.0.0.1", port)
            wait_for(
                f"the old Loki on {port} is ready", lambda where=where: answers_ready(campus, where), 60.0
            )
        serves = ["test", "-s", CERTIFICATE.format(domain=deployment.settings["edge"]["domain"])]
        wait_for("the old Caddy has its certificate", lambda: made[-1].exec_run(serves).exit_code == 0, 30.0)
        yield
    finally:
        for container in made:
            container.remove(force=True, v=True)
        client.close()


def _started(
    client: DockerClient, name: str, image: str, files: Mapping[str, str], **options: Any
) -> Container:
    container = client.containers.create(image, name=name, restart_policy={"Name": "always"}, **options)
    for path, text in files.items():
        container.put_archive("/", _tar(path, text.encode()))
    container.start()
    return container


def _tar(path: str, content: bytes) -> bytes:
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as archive:
        entry = tarfile.TarInfo(path.lstrip("/"))
        entry.size, entry.mode = len(content), 0o644
        archive.addfile(entry, io.BytesIO(content))
    return packed.getvalue()


class Guide:
    """docs/migrate.md, whose blocks for the server are run there, word for word."""

    def __init__(self, deployment: Deployment) -> None:
        self._deployment = deployment
        self._blocks = blocks("migrate.md", "sh")

    @property
    def headings(self) -> list[str]:
        """The headings with a block to run."""
        return list(self._blocks)

    def follow(self, heading: str) -> None:
        """Run a heading's block on the campus server; an AssertionError with its errors if it fails."""
        rig = self._deployment.rig
        variables = {
            "DOCKER_HOST": rig.engine.url,
            "OLD": " ".join(["caddy", *LOKIS]),
            "LOKIS": " ".join(LOKIS),
            "CADDY": self._deployment.settings["images"]["caddy"],
        }
        settings = [f"{name}={value}" for name, value in variables.items()]
        [block] = self._blocks[heading]
        command = ["bash", "-e", "-u", "-o", "pipefail", "-c", block]
        done = rig.network.campus.run("env", *settings, *command, check=False)
        assert done.returncode == 0, f"{heading}: {done.stderr}"
