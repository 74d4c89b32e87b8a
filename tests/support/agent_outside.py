"""One of the stack's agents as on another host: it pushes through the gate, with a password and over TLS."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager

from docker.models.containers import Container
from docker.types import IPAMConfig, IPAMPool, Mount

from components.docker_hosts.docker_reader import SOCKET_DIRECTORY
from components.live.volume_files import VolumeFilesProvider
from rig.deployment import Deployment
from rig.namespaces import SERVER
from rig.probe import ca_of


@contextmanager
def agent_outside(
    deployment: Deployment,
    agent: Container,
    files: Mapping[str, str],
    folder: str,
    subnet: str,
    more: Sequence[Mount] = (),
) -> Iterator[None]:
    """Run another of the campus server's agent, with these files in its folder, on a network of its own.

    It trusts the gate's certificate, and reads the engine through that agent's proxy.
    """
    found = agent.attrs
    image, uid = found["Config"]["Image"], found["Config"]["User"]
    own = {"uid": int(uid), "gid": 0, "mode": 0o400}
    with closing(deployment.rig.engine.client()) as engine:
        config = engine.volumes.create()
        outside = engine.networks.create("outside", ipam=IPAMConfig(pool_configs=[IPAMPool(subnet=subnet)]))
        props = {
            "docker_host": deployment.rig.engine.url,
            "volume_name": config.name,
            "image": image,
            "files": {
                path: {"content": text, **own}
                for path, text in {**files, "ca.crt": ca_of(deployment.caddy())}.items()
            },
        }
        VolumeFilesProvider().create(props)
        made = engine.containers.run(
            image,
            found["Config"]["Cmd"],
            detach=True,
            user=uid,
            network=outside.name,
            extra_hosts={deployment.settings["edge"]["domain"]: SERVER},
            environment={"SSL_CERT_FILE": f"{folder}/ca.crt"},
            mounts=[
                Mount(folder, str(config.name), read_only=True),
                Mount(SOCKET_DIRECTORY, volume_at(agent, SOCKET_DIRECTORY), read_only=True),
                *more,
            ],
        )
        try:
            yield
        finally:
            print(made.logs().decode())
            made.remove(force=True, v=True)
            config.remove()
            outside.remove()


def volume_at(container: Container, path: str) -> str:
    """The name of the volume that a container has there."""
    [name] = [one["Name"] for one in container.attrs["Mounts"] if one["Destination"] == path]
    return name
