"""An agent on a Docker host: it reads the engine through a proxy of its own, and pushes what it finds."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

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
from components.docker_hosts.push_destination import PASSWORD_FILE, Destination
from components.live.volume_files import VolumeFile, VolumeFiles


@dataclass(frozen=True, kw_only=True)
class AgentArgs:
    """The arguments of an agent's component."""

    host: Host
    # The host's label in what the agent pushes.
    label: str
    image_id: pulumi.Input[str]
    caddy_image_id: pulumi.Input[str]
    network_name: pulumi.Input[str]
    # Its fixed address on that network, if it has one.
    address: str | None = None
    push_url: pulumi.Input[str]
    user: str | None = None
    password: pulumi.Input[str] | None = None


@dataclass(frozen=True, kw_only=True)
class AgentProgram:
    """What an agent runs. It reads its configuration once, and the password whenever that changes."""

    # Of its container, before the host's label.
    role: str
    # A regular expression of the engine's paths that it reads (docker_reader.py).
    reading: str
    uid: int
    # Its configuration's folder and file.
    directory: str
    config_file: str
    render: Callable[[Destination], str]
    memory_mib: int
    stop_seconds: int


@dataclass(frozen=True, kw_only=True)
class AgentParts:
    """An agent's container, but for what only its program has."""

    role: str
    socket: docker.Volume
    # Its configuration, and the proxy's socket.
    volumes: list[docker.ContainerVolumeArgs]
    options: dict[str, Any]


def agent_parts(name: str, args: AgentArgs, program: AgentProgram, parent: pulumi.Resource) -> AgentParts:
    """The proxy, the configuration and the password, and the options of the container that uses them."""
    role = f"{program.role}-{args.label}"
    socket = volume(f"{name}-socket", args.host, f"{role}-socket", parent)
    reader = engine_reader(
        f"{name}-reader", args.host, f"{role}-reader", program.reading, args.caddy_image_id, socket, parent
    )
    config = pulumi.Output.from_input(args.push_url).apply(
        lambda url: program.render(Destination(url=url, user=args.user))
    )
    contents: dict[str, pulumi.Input[str]] = {program.config_file: config}
    if args.password is not None:
        contents[PASSWORD_FILE] = args.password
    config_volume = volume(f"{name}-config", args.host, f"{role}-config", parent)
    delivered = VolumeFiles(
        f"{name}-files",
        docker_host=args.host.docker_host,
        volume_name=config_volume.name,
        image=args.image_id,
        files={
            path: VolumeFile(content=content, uid=program.uid, mode=0o400)
            for path, content in contents.items()
        },
        opts=pulumi.ResourceOptions(parent=parent),
    )
    options: dict[str, Any] = {
        "name": args.host.named(role),
        "image": args.image_id,
        "user": str(program.uid),
        "networks_advanced": [
            docker.ContainerNetworksAdvancedArgs(name=args.network_name, ipv4_address=args.address)
        ],
        **hardened(program.memory_mib),
        "labels": [config_label({}, config)],
        "stop_timeout": program.stop_seconds,
        "destroy_grace_seconds": program.stop_seconds,
        "opts": container_options(parent, [delivered, reader]),
    }
    volumes = [
        mounted(config_volume, program.directory, read_only=True),
        mounted(socket, SOCKET_DIRECTORY, read_only=True),
    ]
    return AgentParts(role=role, socket=socket, volumes=volumes, options=options)
