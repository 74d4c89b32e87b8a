"""A Docker host's container logs to one Loki: Grafana Alloy, and a proxy that lets it only read logs."""

from __future__ import annotations

from dataclasses import dataclass

import pulumi
import pulumi_docker as docker

from components.docker_hosts.containers import (
    Host,
    config_label,
    container_options,
    hardened,
    mounted,
    volume,
)
from components.docker_hosts.docker_reader import SOCKET_DIRECTORY
from components.docker_hosts.engine_reader import engine_reader
from components.live.volume_files import VolumeFile, VolumeFiles
from components.log_shipper.alloy_config import (
    ALLOY_UID,
    CONFIG_FILE,
    DIRECTORY,
    PASSWORD_FILE,
    Destination,
    render_alloy_config,
)
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


@dataclass(frozen=True, kw_only=True)
class DockerShipperArgs:
    """The arguments of `DockerShipper`."""

    host: Host
    # The label `host` of its lines.
    label: str
    alloy_image_id: pulumi.Input[str]
    caddy_image_id: pulumi.Input[str]
    network_name: pulumi.Input[str]
    # Its fixed address on that network, if it has one.
    address: str | None = None
    push_url: pulumi.Input[str]
    user: str | None = None
    password: pulumi.Input[str] | None = None


class DockerShipper(pulumi.ComponentResource):
    """Ships the output of every container of one Docker host. Its positions are on a volume."""

    def __init__(
        self, name: str, args: DockerShipperArgs, opts: pulumi.ResourceOptions | None = None
    ) -> None:
        super().__init__("campus-monitor:campus:DockerShipper", name, None, opts)
        role = f"log-shipper-{args.label}"
        socket = volume(f"{name}-socket", args.host, f"{role}-socket", self)
        reader = engine_reader(
            f"{name}-reader", args.host, f"{role}-reader", READING, args.caddy_image_id, socket, self
        )
        config = pulumi.Output.from_input(args.push_url).apply(
            lambda url: render_alloy_config(args.label, Destination(url=url, user=args.user))
        )
        files: dict[str, VolumeFile] = {CONFIG_FILE: _own(config)}
        if args.password is not None:
            # Alloy reads it for every push, so a new password needs no new container.
            files[PASSWORD_FILE] = _own(args.password)
        config_volume = volume(f"{name}-config", args.host, f"{role}-config", self)
        delivered = VolumeFiles(
            f"{name}-files",
            docker_host=args.host.docker_host,
            volume_name=config_volume.name,
            image=args.alloy_image_id,
            files=files,
            opts=pulumi.ResourceOptions(parent=self),
        )
        container = docker.Container(
            f"{name}-container",
            name=args.host.named(role),
            image=args.alloy_image_id,
            command=_COMMAND,
            user=str(ALLOY_UID),
            networks_advanced=[
                docker.ContainerNetworksAdvancedArgs(name=args.network_name, ipv4_address=args.address)
            ],
            volumes=[
                mounted(volume(f"{name}-data", args.host, f"{role}-data", self), DATA),
                mounted(config_volume, DIRECTORY, read_only=True),
                mounted(socket, SOCKET_DIRECTORY, read_only=True),
            ],
            tmpfs={"/tmp": "rw,noexec,nosuid,nodev,size=16m"},
            **hardened(MEMORY_MIB),
            # Alloy reads its configuration only once.
            labels=[config_label({}, config)],
            stop_timeout=STOP_SECONDS,
            destroy_grace_seconds=STOP_SECONDS,
            opts=container_options(self, [delivered, reader]),
        )
        # Unused, but in every stack's state.
        self.register_outputs({"container_id": container.id})


def _own(content: pulumi.Input[str]) -> VolumeFile:
    return VolumeFile(content=content, uid=ALLOY_UID, mode=0o400)
