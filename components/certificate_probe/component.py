"""The certificate's probe: Prometheus' blackbox exporter, which asks our own site for its certificate."""

from __future__ import annotations

from dataclasses import dataclass

import pulumi
import pulumi_docker as docker

from components.certificate_probe.config import ROLE, Probed, render_probe_config
from components.docker_hosts.containers import (
    Host,
    config_label,
    container_options,
    hardened,
    mounted,
    volume,
)
from components.live.volume_files import VolumeFile, VolumeFiles

CONFIG_DIRECTORY = "/etc/certificate-probe"
CONFIG_FILE = "config.yml"
# `nobody`, here and in the image.
PROBE_UID = 65534
# The rig's exporter, which is older, had 18 MiB resident after five minutes, 13 of them its own program.
MEMORY_MIB = 64


@dataclass(frozen=True, kw_only=True)
class CertificateProbeArgs:
    """The arguments of `CertificateProbe`."""

    host: Host
    image_id: pulumi.Input[str]
    network_name: pulumi.Input[str]
    probed: Probed


class CertificateProbe(pulumi.ComponentResource):
    """Tells Prometheus, each time that it asks, until when the site's certificate is valid."""

    def __init__(
        self, name: str, args: CertificateProbeArgs, opts: pulumi.ResourceOptions | None = None
    ) -> None:
        super().__init__("campus-monitor:campus:CertificateProbe", name, None, opts)
        text = render_probe_config(args.probed.domain)
        config = volume(f"{name}-config", args.host, f"{ROLE}-config", self)
        files = VolumeFiles(
            f"{name}-config-files",
            docker_host=args.host.docker_host,
            volume_name=config.name,
            image=args.image_id,
            files={CONFIG_FILE: VolumeFile(content=text, uid=PROBE_UID, mode=0o400)},
            opts=pulumi.ResourceOptions(parent=self),
        )
        docker.Container(
            f"{name}-container",
            name=args.host.named(ROLE),
            image=args.image_id,
            command=[f"--config.file={CONFIG_DIRECTORY}/{CONFIG_FILE}", "--log.format=json"],
            user=str(PROBE_UID),
            networks_advanced=[
                docker.ContainerNetworksAdvancedArgs(name=args.network_name, ipv4_address=args.probed.probe)
            ],
            volumes=[mounted(config, CONFIG_DIRECTORY, read_only=True)],
            **hardened(MEMORY_MIB),
            # The exporter reads its configuration only once.
            labels=[config_label({}, text)],
            opts=container_options(self, [files]),
        )
        self.register_outputs({})
