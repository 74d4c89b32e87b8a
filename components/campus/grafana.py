"""Grafana on campus: reached through Caddy only, provisioned by files, secrets by files."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

import pulumi
import pulumi_docker as docker

from components.campus.containers import (
    LOG_DRIVER,
    LOG_OPTS,
    MIB,
    RESTART,
    SECURITY_OPTS,
    Host,
    capabilities,
    container_options,
    data_volume,
    mounted,
    volume,
)
from components.campus.dashboards import LokiSource, render_datasources
from components.live.password_hash import GeneratedPassword
from components.live.volume_files import VolumeFile, VolumeFiles
from components.settings import GRAFANA_PORT

# Grafana's own uid in its image; its group there is root's.
GRAFANA_UID = 472
PROVISIONING = "/etc/grafana/provisioning"
SECRETS = "/run/secrets/grafana"
STOP_SECONDS = 30


@dataclass(frozen=True, kw_only=True)
class GrafanaArgs:
    """What Grafana needs to know."""

    host: Host
    image_id: pulumi.Input[str]
    network_name: pulumi.Input[str]
    # Its fixed address on the private network.
    address: str
    root_url: str
    sources: Sequence[LokiSource]
    memory_bytes: int
    # Generated where none is given. Read by Grafana on its first start only.
    admin_password: pulumi.Input[str] | None = None


class Grafana(pulumi.ComponentResource):
    """Grafana with one data source per Loki. No sign-up, nobody anonymous."""

    address: pulumi.Output[str]
    """host:port on the private network."""
    container_id: pulumi.Output[str]
    """The container's id."""
    admin_password: pulumi.Output[str]
    """The first password of the user admin (secret)."""

    def __init__(self, name: str, args: GrafanaArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("campus-monitor:campus:Grafana", name, None, opts)
        child = pulumi.ResourceOptions(parent=self)
        secret_key = GeneratedPassword(f"{name}-secret-key", opts=child).value
        if args.admin_password is None:
            self.admin_password = GeneratedPassword(f"{name}-admin-password", opts=child).value
        else:
            self.admin_password = pulumi.Output.secret(args.admin_password)
        data = data_volume(f"{name}-data", args.host, "grafana-data", self)
        provisioning = volume(f"{name}-provisioning", args.host, "grafana-provisioning", self)
        secrets = volume(f"{name}-secrets", args.host, "grafana-secrets", self)
        datasources = render_datasources(args.sources)
        provisioned = VolumeFiles(
            f"{name}-provisioning-files",
            docker_host=args.host.docker_host,
            volume_name=provisioning.name,
            image=args.image_id,
            files={"datasources/loki.yaml": _own(datasources)},
            opts=child,
        )
        secret_files = VolumeFiles(
            f"{name}-secret-files",
            docker_host=args.host.docker_host,
            volume_name=secrets.name,
            image=args.image_id,
            files={
                "admin-password": _own(self.admin_password),
                "secret-key": _own(secret_key),
            },
            opts=child,
        )
        container = docker.Container(
            f"{name}-container",
            name=args.host.named("grafana"),
            image=args.image_id,
            user=str(GRAFANA_UID),
            restart=RESTART,
            networks_advanced=[
                docker.ContainerNetworksAdvancedArgs(name=args.network_name, ipv4_address=args.address)
            ],
            envs=_environment(args.root_url),
            volumes=[
                mounted(data, "/var/lib/grafana"),
                mounted(provisioning, PROVISIONING, read_only=True),
                mounted(secrets, SECRETS, read_only=True),
            ],
            read_only=True,
            tmpfs={"/tmp": "rw,noexec,nosuid,nodev,size=64m"},
            capabilities=capabilities(),
            security_opts=SECURITY_OPTS,
            memory=args.memory_bytes // MIB,
            memory_swap=args.memory_bytes // MIB,
            log_driver=LOG_DRIVER,
            log_opts=LOG_OPTS,
            # Grafana reads its data sources at its start.
            labels=[
                docker.ContainerLabelArgs(
                    label="campus-monitor.config-sha256",
                    value=hashlib.sha256(datasources.encode()).hexdigest(),
                )
            ],
            stop_timeout=STOP_SECONDS,
            destroy_grace_seconds=STOP_SECONDS,
            opts=container_options(self, [provisioned, secret_files]),
        )
        self.address = pulumi.Output.from_input(f"{args.address}:{GRAFANA_PORT}")
        self.container_id = container.id
        self.register_outputs({"address": self.address, "container_id": self.container_id})


def _own(content: pulumi.Input[str]) -> VolumeFile:
    return VolumeFile(content=content, uid=GRAFANA_UID, mode=0o400)


def _environment(root_url: str) -> list[str]:
    """Settings that anybody may read: `docker inspect` shows them."""
    return [
        f"GF_SERVER_ROOT_URL={root_url}/",
        f"GF_SERVER_HTTP_PORT={GRAFANA_PORT}",
        f"GF_PATHS_PROVISIONING={PROVISIONING}",
        f"GF_SECURITY_ADMIN_PASSWORD__FILE={SECRETS}/admin-password",
        f"GF_SECURITY_SECRET_KEY__FILE={SECRETS}/secret-key",
        "GF_SECURITY_COOKIE_SECURE=true",
        "GF_SECURITY_DISABLE_GRAVATAR=true",
        "GF_AUTH_ANONYMOUS_ENABLED=false",
        "GF_USERS_ALLOW_SIGN_UP=false",
        # Metrics would be open to everybody who reaches Grafana.
        "GF_METRICS_ENABLED=false",
        "GF_ANALYTICS_REPORTING_ENABLED=false",
        "GF_ANALYTICS_CHECK_FOR_UPDATES=false",
        "GF_ANALYTICS_CHECK_FOR_PLUGIN_UPDATES=false",
        "GF_PLUGINS_PREINSTALL_DISABLED=true",
        "GF_LOG_MODE=console",
    ]
