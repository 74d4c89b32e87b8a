"""A proxy of a Docker engine's socket for one client: Caddy, with exact paths only."""

from __future__ import annotations

import pulumi
import pulumi_docker as docker

from components.docker_hosts.containers import Host, mounted
from components.docker_hosts.docker_reader import ENGINE_SOCKET, SOCKET_DIRECTORY, render_docker_reader
from components.docker_hosts.static_caddy import StaticCaddyArgs, static_caddy

DIRECTORY = "/etc/docker-reader"


def engine_reader(
    name: str,
    host: Host,
    role: str,
    reading: str,
    caddy_image_id: pulumi.Input[str],
    socket: docker.Volume,
    parent: pulumi.Resource,
) -> docker.Container:
    """The proxy's container, with its own socket in the volume `socket`; `reading` as in the renderer."""
    proxy = StaticCaddyArgs(
        container=name,
        host=host,
        role=role,
        image_id=caddy_image_id,
        directory=DIRECTORY,
        caddyfile=render_docker_reader(reading),
        volumes=[
            mounted(socket, SOCKET_DIRECTORY),
            docker.ContainerVolumeArgs(
                host_path=_engine_socket(host.docker_host), container_path=ENGINE_SOCKET
            ),
        ],
    )
    return static_caddy(name, proxy, parent, network_mode="none")


def _engine_socket(docker_host: str) -> str:
    """The path of the engine's socket on its host."""
    scheme, _, path = docker_host.partition("://")
    return path if scheme == "unix" else "/var/run/docker.sock"
