"""A task of ECS' as its sidecar sees it: what ECS gives a container, and a played metadata endpoint.

The endpoint answers as the ECS developer guide shows it (task metadata endpoint version 4). It doesn't know
containers that start or end, statistics that aren't there yet, its limit of 40 requests a second, and cgroup
v2's fields, which have no `cache` among the memory's.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any

from rig.emulator import Emulator
from rig.namespaces import Namespace

TASK = "158d1c8083dd49d6b527399fd6414f5c"
ADDRESS = ("127.0.0.1", 51679)
URI = f"http://{ADDRESS[0]}:{ADDRESS[1]}/v4/0206b271"
_ACCOUNT = "arn:aws:ecs:ap-northeast-2:123456789012"
# What each container has used, in nanoseconds and bytes.
CPU_NANOSECONDS, MEMORY, CACHE, RECEIVED, READ = 2_500_000_000, 96 << 20, 32 << 20, 84_000, 4096


@dataclass(frozen=True)
class Task:
    """A task of a registered definition."""

    definition: Mapping[str, Any]
    launch: str

    def container(self, name: str) -> Mapping[str, Any]:
        """The definition of one of its containers."""
        [found] = [one for one in self.definition["containerDefinitions"] if one["name"] == name]
        return found

    def environment(self, name: str, emulator: Emulator) -> dict[str, str]:
        """A container's variables as ECS fills them, with the secrets' values."""
        container, ssm = self.container(name), emulator.client("ssm")
        plain = {one["name"]: one["value"] for one in container.get("environment", [])}
        secret = {
            one["name"]: ssm.get_parameter(
                Name=one["valueFrom"].partition(":parameter/")[2], WithDecryption=True
            )["Parameter"]["Value"]
            for one in container.get("secrets", [])
        }
        return {**plain, **secret, "ECS_CONTAINER_METADATA_URI_V4": URI}

    def answer(self, path: str) -> object:
        """The metadata endpoint's answer."""
        if path.endswith("/task/stats"):
            return {one["name"]: _stats(one["name"]) for one in self.definition["containerDefinitions"]}
        containers = [_metadata(one) for one in self.definition["containerDefinitions"]]
        if not path.endswith("/task"):
            return next(one for one in containers if one["Name"] == "collector")
        family, revision = self.definition["family"], self.definition["revision"]
        disk = {"EphemeralStorageMetrics": {"Utilized": 261, "Reserved": 20496}}
        return {
            "Cluster": f"{_ACCOUNT}:cluster/judge",
            "TaskARN": f"{_ACCOUNT}:task/judge/{TASK}",
            "Family": family,
            "Revision": str(revision),
            "ServiceName": "a-name-of-its-own",
            "DesiredStatus": "RUNNING",
            "KnownStatus": "RUNNING",
            "Limits": {
                "CPU": int(self.definition["cpu"]) / 1024,
                "Memory": int(self.definition["memory"]),
            },
            "PullStartedAt": "2026-12-01T00:43:06.202617438Z",
            "PullStoppedAt": "2026-12-01T00:43:06.31288465Z",
            "AvailabilityZone": "ap-northeast-2a",
            "LaunchType": self.launch.upper(),
            "Containers": containers,
            **(disk if self.launch == "fargate" else {}),
        }


def registered_task(arn: str, emulator: Emulator) -> Task:
    """A task of a definition that the stack has registered."""
    found = emulator.client("ecs").describe_task_definition(taskDefinition=arn)["taskDefinition"]
    [launch] = found["requiresCompatibilities"]
    return Task(found, launch.lower())


def _metadata(container: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "DockerId": container["name"],
        "Name": container["name"],
        "DockerName": f"ecs-{container['name']}-9cfdb0a6e6a0",
        "Image": container["image"],
        "ImageID": f"sha256:{'d6' * 32}",
        "Labels": {},
        "DesiredStatus": "RUNNING",
        "KnownStatus": "RUNNING",
        "Limits": {"CPU": container.get("cpu", 2), "Memory": container.get("memory", 0)},
        "CreatedAt": "2026-12-01T00:43:08.620912337Z",
        "StartedAt": "2026-12-01T00:43:09.062559351Z",
        "Type": "NORMAL",
        "LogDriver": container["logConfiguration"]["logDriver"],
        "ContainerARN": f"{_ACCOUNT}:container/judge/{TASK}/0206b271",
    }


def _stats(name: str) -> dict[str, Any]:
    now = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    network = dict.fromkeys(("rx_packets", "rx_errors", "rx_dropped", "tx_packets", "tx_errors"), 0)
    return {
        "read": now,
        "preread": now,
        "id": name,
        "name": f"/ecs-{name}-9cfdb0a6e6a0",
        "blkio_stats": {
            "io_service_bytes_recursive": [{"major": 202, "minor": 26368, "op": "Read", "value": READ}]
        },
        "cpu_stats": {
            "cpu_usage": {"total_usage": CPU_NANOSECONDS, "percpu_usage": [CPU_NANOSECONDS]},
            "system_cpu_usage": 9_393_210_000_000,
            "online_cpus": 2,
        },
        "precpu_stats": {"cpu_usage": {"total_usage": CPU_NANOSECONDS}, "online_cpus": 2},
        "memory_stats": {"usage": MEMORY, "max_usage": MEMORY, "stats": {"cache": CACHE}, "limit": 512 << 20},
        "networks": {"eth0": {**network, "rx_bytes": RECEIVED, "tx_bytes": 84, "tx_dropped": 0}},
        "network_rate_stats": {"rx_bytes_per_sec": 0, "tx_bytes_per_sec": 0},
    }


@contextmanager
def metadata_endpoint(task: Task, namespace: Namespace) -> Iterator[None]:
    """The task's metadata endpoint, on the loopback of a namespace."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = json.dumps(task.answer(self.path)).encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

    quiet = type("Quiet", (Handler,), {"log_message": lambda *_: None})
    with namespace.entered():
        server = ThreadingHTTPServer(ADDRESS, quiet)
    Thread(target=server.serve_forever, args=[0.02], daemon=True).start()
    try:
        yield
    finally:
        server.shutdown()
        server.server_close()
