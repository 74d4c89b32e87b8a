"""A Docker host in Pulumi: its provider, its images and its networks."""

from __future__ import annotations

import ipaddress
from collections.abc import Sequence
from dataclasses import dataclass

import pulumi
import pulumi_docker as docker

from components.docker_hosts.containers import Host
from components.live.ssh_connect import SSH_OPTS


@dataclass(frozen=True, kw_only=True)
class DockerHost:
    """A Docker host with its provider, and the component that owns its resources."""

    # The prefix of its resources' Pulumi names.
    name: str
    host: Host
    provider: docker.Provider
    parent: pulumi.Resource

    @property
    def own(self) -> pulumi.ResourceOptions:
        """Options of the owner's resources there."""
        return pulumi.ResourceOptions(parent=self.parent, provider=self.provider)

    @property
    def part(self) -> pulumi.ResourceOptions:
        """Options of components there: their children inherit the provider."""
        return pulumi.ResourceOptions(parent=self.parent, providers=[self.provider])

    def image_id(self, role: str, image: str) -> pulumi.Output[str]:
        """The id of an image, which changes with its content; a name doesn't."""
        return docker.RemoteImage(
            f"{self.name}-{role}-image", name=image, keep_locally=True, opts=self.own
        ).image_id

    def open_network(self, role: str) -> pulumi.Output[str]:
        """The name of a network for a container that only reaches others, outside."""
        return docker.Network(f"{self.name}-network", name=self.host.named(role), opts=self.own).name

    def private_network(
        self, role: str, cidr: str, after: Sequence[pulumi.Resource] = ()
    ) -> pulumi.Output[str]:
        """The name of a network for containers of the host, each with a fixed address."""
        network = ipaddress.ip_network(cidr)
        return docker.Network(
            f"{self.name}-{role}",
            name=self.host.named(role),
            driver="bridge",
            ipam_configs=[
                docker.NetworkIpamConfigArgs(subnet=str(network), gateway=str(network.network_address + 1))
            ],
            opts=pulumi.ResourceOptions.merge(self.own, pulumi.ResourceOptions(depends_on=[*after])),
        ).name


def docker_host(name: str, host: Host, parent: pulumi.Resource) -> DockerHost:
    """The host with its own provider, owned by a component."""
    provider = docker_provider(name, host, pulumi.ResourceOptions(parent=parent))
    return DockerHost(name=name, host=host, provider=provider, parent=parent)


def docker_provider(name: str, host: Host, opts: pulumi.ResourceOptions | None) -> docker.Provider:
    """Docker's provider for one host. Over SSH it logs in once per resource, in parallel."""
    over_ssh = host.docker_host.startswith("ssh://")
    return docker.Provider(
        f"{name}-docker", host=host.docker_host, ssh_opts=list(SSH_OPTS) if over_ssh else None, opts=opts
    )
