"""Caddy with a Caddyfile of its own, which it reads only once."""

from __future__ import annotations

from collections.abc import Sequence
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
from components.live.volume_files import VolumeFile, VolumeFiles

CADDYFILE = "Caddyfile"
MEMORY_MIB = 128


@dataclass(frozen=True, kw_only=True)
class StaticCaddyArgs:
    """The arguments of `static_caddy`."""

    # The container's name in the state; the others begin with `static_caddy`'s own.
    container: str
    host: Host
    role: str
    image_id: pulumi.Input[str]
    # The folder of the Caddyfile in the container.
    directory: str
    caddyfile: str
    volumes: Sequence[docker.ContainerVolumeArgs] = ()


def static_caddy(
    name: str, args: StaticCaddyArgs, parent: pulumi.Resource, **options: Any
) -> docker.Container:
    """The container, with `options` of its own. Another Caddyfile makes another container."""
    config = volume(f"{name}-config", args.host, f"{args.role}-config", parent)
    files = VolumeFiles(
        f"{name}-files",
        docker_host=args.host.docker_host,
        volume_name=config.name,
        image=args.image_id,
        files={CADDYFILE: VolumeFile(content=args.caddyfile)},
        opts=pulumi.ResourceOptions(parent=parent),
    )
    return docker.Container(
        args.container,
        name=args.host.named(args.role),
        image=args.image_id,
        command=["caddy", "run", "--config", f"{args.directory}/{CADDYFILE}", "--adapter", "caddyfile"],
        volumes=[mounted(config, args.directory, read_only=True), *args.volumes],
        # Caddy cleans up certificates here, even if it has none.
        tmpfs={"/data": "rw,noexec,nosuid,nodev,size=1m"},
        # For ports below 1024; also, the image's Caddy binary doesn't start without it.
        **hardened(MEMORY_MIB, "CAP_NET_BIND_SERVICE"),
        labels=[config_label({}, args.caddyfile)],
        opts=container_options(parent, [files]),
        **options,
    )
