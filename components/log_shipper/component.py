"""A Docker host's container logs to one Loki: Grafana Alloy, and a proxy that lets it only read logs."""

from __future__ import annotations

import pulumi
import pulumi_docker as docker

from components.docker_hosts.agent import AgentArgs, AgentProgram, agent_parts
from components.docker_hosts.containers import mounted, volume
from components.log_shipper.alloy_config import ALLOY_UID, CONFIG_FILE, DIRECTORY, render_alloy_config
from components.log_shipper.settings import ALLOY_PORT

DATA = "/var/lib/alloy/data"
# Docker's API reference: SystemPing, NetworkList, ContainerList, ContainerInspect, ContainerLogs.
READING = "_ping|networks|containers/json|containers/[0-9a-f]+/(json|logs)"
# Alloy has buffers of 2 MiB per container and a queue of 10. It passes the limit to Go's collector itself.
MEMORY_MIB = 512
_COMMAND = [
    "run",
    f"{DIRECTORY}/{CONFIG_FILE}",
    f"--storage.path={DATA}",
    # Only itself: its page shows the whole configuration.
    f"--server.http.listen-addr=127.0.0.1:{ALLOY_PORT}",
    "--server.http.enable-pprof=false",
    "--server.http.disable-support-bundle=true",
    "--disable-reporting",
]
# Alloy takes up to 15 s to send what it has read (its source, loki.write's drain_timeout).
STOP_SECONDS = 60


class DockerShipper(pulumi.ComponentResource):
    """Ships the output of every container of one Docker host. Its positions are on a volume."""

    def __init__(self, name: str, args: AgentArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("campus-monitor:campus:DockerShipper", name, None, opts)
        program = AgentProgram(
            role="log-shipper",
            reading=READING,
            uid=ALLOY_UID,
            directory=DIRECTORY,
            config_file=CONFIG_FILE,
            render=lambda destination: render_alloy_config(args.label, destination),
            memory_mib=MEMORY_MIB,
            stop_seconds=STOP_SECONDS,
        )
        parts = agent_parts(name, args, program, self)
        data = volume(f"{name}-data", args.host, f"{parts.role}-data", self)
        container = docker.Container(
            f"{name}-container",
            command=_COMMAND,
            volumes=[mounted(data, DATA), *parts.volumes],
            tmpfs={"/tmp": "rw,noexec,nosuid,nodev,size=16m"},
            **parts.options,
        )
        # Unused, but in every stack's state.
        self.register_outputs({"container_id": container.id})
