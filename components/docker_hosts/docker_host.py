"""A Docker host as Pulumi reaches it: its provider, and the images and the network that are there."""

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
    """A Docker host with its provider, and the component that owns what is made there."""

    # What Pulumi's names of its resources begin with.
    name: str
    host: Host
    provider: docker.Provider
    parent: pulumi.Resource

    @property
    def own(self) -> pulumi.ResourceOptions:
        """Options of the owner's own resources there."""
        return pulumi.ResourceOptions(parent=self.parent, provider=self.provider)

    @property
    def part(self) -> pulumi.ResourceOptions:
        """Options of components there: their children have the provider from them."""
        return pulumi.ResourceOptions(parent=self.parent, providers=[self.provider])

    def image_id(self, role: str, image: str) -> pulumi.Output[str]:
        """The id of an image: it changes with the content, as a name doesn't."""
        return docker.RemoteImage(
            f"{self.name}-{role}-image", name=image, keep_locally=True, opts=self.own
        ).image_id

    def private_network(
        self, role: str, cidr: str, after: Sequence[pulumi.Resource] = ()
    ) -> pulumi.Output[str]:
        """The name of a network between containers of the host; each has a fixed address in it."""
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
    """The host with a provider of its own, all of it a component's."""
    provider = docker_provider(name, host, pulumi.ResourceOptions(parent=parent))
    return DockerHost(name=name, host=host, provider=provider, parent=parent)


def docker_provider(name: str, host: Host, opts: pulumi.ResourceOptions | None) -> docker.Provider:
    """Docker's provider for one host. Over SSH it logs in for each resource that it works on at once."""
    over_ssh = host.docker_host.startswith("ssh://")
    return docker.Provider(
        f"{name}-docker", host=host.docker_host, ssh_opts=list(SSH_OPTS) if over_ssh else None, opts=opts
    )
