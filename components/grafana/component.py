"""Grafana on campus: reached only through Caddy, with provisioning and secrets in files."""

from __future__ import annotations

import hmac
from collections.abc import Sequence
from dataclasses import dataclass

import pulumi
import pulumi_docker as docker

from components.docker_hosts.containers import (
    BEHIND_THE_GATE_CPU_SHARES,
    MIB,
    Host,
    container_options,
    data_volume,
    hardened,
    mounted,
    volume,
)
from components.grafana.heartbeat import BUT_HEARTBEAT, HEARTBEAT_FILE, HeartbeatTopic, render_heartbeat
from components.grafana.provisioning import (
    ALERT_RULES_FILE,
    CONTACTS_FILE,
    DATASOURCES_FILE,
    NOTHING,
    OVERVIEW_UID,
    PIPELINE_UID,
    PLUGINS_FILE,
    PROVIDER_FILE,
    HostLogs,
    LokiSource,
    MetricsSource,
    render_contacts,
    render_datasources,
    render_provider,
)
from components.grafana.settings import GrafanaSettings, Smtp
from components.live.container_facts import (
    ADMIN_PASSWORD_FILE,
    GRAFANA_PORT,
    GRAFANA_SECRETS,
    GRAFANA_UID,
    OWN_QUERIES,
    PASSWORD_MARK,
)
from components.live.files import LiveFiles
from components.live.password_hash import GeneratedPassword
from components.live.volume_files import VolumeFile, VolumeFiles

# One volume for provisioning files and dashboards.
LIVE = "/etc/grafana/live"
PROVISIONING = f"{LIVE}/provisioning"
DASHBOARDS = f"{LIVE}/dashboards"
STOP_SECONDS = 30


@dataclass(frozen=True, kw_only=True)
class Heartbeats:
    """Whether Grafana sends a heartbeat, and where to (secret)."""

    topic: pulumi.Output[HeartbeatTopic] | None


@dataclass(frozen=True, kw_only=True)
class GrafanaArgs:
    """The arguments of `Grafana`."""

    host: Host
    image_id: pulumi.Input[str]
    network_name: pulumi.Input[str]
    # Its fixed address on that network.
    address: str
    root_url: str
    sources: Sequence[LokiSource]
    # None without Prometheus.
    metrics: MetricsSource | None
    # None if they aren't shipped.
    host_logs: HostLogs | None
    settings: GrafanaSettings
    # None if AWS doesn't watch the site: then there is no file for it.
    heartbeat: Heartbeats | None = None


class Grafana(pulumi.ComponentResource):
    """Grafana with one data source per Loki, dashboards and alert rules. No sign-up, no anonymous access.

    Changes of these don't restart it: it polls the dashboards, and its admin API reloads the rest.
    """

    admin_password: pulumi.Output[str]
    """The first password of the user admin (secret)."""

    def __init__(self, name: str, args: GrafanaArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("campus-monitor:campus:Grafana", name, None, opts)
        child = pulumi.ResourceOptions(parent=self)
        settings = args.settings
        secret_key = GeneratedPassword(f"{name}-secret-key", opts=child).value
        if settings.admin_password is None:
            self.admin_password = GeneratedPassword(f"{name}-admin-password", opts=child).value
        else:
            self.admin_password = pulumi.Output.secret(settings.admin_password.get_secret_value())
        data = data_volume(f"{name}-data", args.host, "grafana-data", self)
        live = volume(f"{name}-provisioning", args.host, "grafana-provisioning", self)
        secrets = volume(f"{name}-secrets", args.host, "grafana-secrets", self)
        smtp_password = _smtp_password(settings.smtp)
        first = self._first_files(name, args, live)
        secret_files = self._secret_files(name, args, secrets, secret_key, smtp_password)
        container = self._container(
            name,
            args,
            [
                mounted(data, "/var/lib/grafana"),
                mounted(live, LIVE),
                mounted(secrets, GRAFANA_SECRETS, read_only=True),
            ],
            _labels(smtp_password, secret_key),
            [first, secret_files],
        )
        self._live_files(name, args, container, secret_files, _keyed(secret_key, self.admin_password))
        self._dashboards(name, args, container)
        address = pulumi.Output.from_input(f"{args.address}:{GRAFANA_PORT}")
        # Unused, but in every stack's state.
        self.register_outputs({"address": address, "container_id": container.id})

    def _first_files(self, name: str, args: GrafanaArgs, live: docker.Volume) -> VolumeFiles:
        return VolumeFiles(
            f"{name}-first-files",
            docker_host=args.host.docker_host,
            volume_name=live.name,
            image=args.image_id,
            files={
                # Grafana doesn't start with invalid alert rules, so these come when it runs. It logs an error
                # about a missing directory.
                f"provisioning/{PROVIDER_FILE}": _own(render_provider(DASHBOARDS)),
                **{f"provisioning/{path}": _own(NOTHING) for path in _AT_FIRST_EMPTY},
                "dashboards/README": _own(_README),
            },
            only_if_absent=True,
            opts=pulumi.ResourceOptions(parent=self),
        )

    def _secret_files(
        self,
        name: str,
        args: GrafanaArgs,
        secrets: docker.Volume,
        secret_key: pulumi.Output[str],
        smtp_password: pulumi.Output[str] | None,
    ) -> VolumeFiles:
        return VolumeFiles(
            f"{name}-secret-files",
            docker_host=args.host.docker_host,
            volume_name=secrets.name,
            image=args.image_id,
            files={
                ADMIN_PASSWORD_FILE: _own(self.admin_password),
                "secret-key": _own(secret_key),
                **({} if smtp_password is None else {"smtp-password": _own(smtp_password)}),
            },
            opts=pulumi.ResourceOptions(parent=self),
        )

    def _container(
        self,
        name: str,
        args: GrafanaArgs,
        volumes: list[docker.ContainerVolumeArgs],
        labels: list[docker.ContainerLabelArgs],
        after: list[pulumi.Resource],
    ) -> docker.Container:
        return docker.Container(
            f"{name}-container",
            name=args.host.named("grafana"),
            image=args.image_id,
            user=str(GRAFANA_UID),
            networks_advanced=[
                docker.ContainerNetworksAdvancedArgs(name=args.network_name, ipv4_address=args.address)
            ],
            envs=_environment(args.root_url, args.settings.smtp, args.metrics),
            volumes=volumes,
            tmpfs={"/tmp": "rw,noexec,nosuid,nodev,size=64m"},
            **hardened(args.settings.memory_bytes // MIB),
            cpu_shares=BEHIND_THE_GATE_CPU_SHARES,
            labels=labels,
            stop_timeout=STOP_SECONDS,
            destroy_grace_seconds=STOP_SECONDS,
            opts=container_options(self, after),
        )

    def _live_files(
        self,
        name: str,
        args: GrafanaArgs,
        container: docker.Container,
        secret_files: VolumeFiles,
        password_mark: pulumi.Output[str],
    ) -> None:
        # Not at the top, so that a stack without Grafana doesn't load the SDK.
        from components.grafana.alert_rules import render_alert_rules
        from components.grafana.own_rules import render_queries

        contacts, own = render_contacts(args.settings.alerts_to), args.settings.alert_rules
        lokis = {one.name: one for one in args.sources}
        LiveFiles(
            f"{name}-provisioned",
            docker_host=args.host.docker_host,
            container_name=container.name,
            container_id=container.id,
            program="grafana",
            directory=PROVISIONING,
            files={
                PROVIDER_FILE: render_provider(DASHBOARDS),
                DATASOURCES_FILE: render_datasources(args.sources, args.metrics),
                ALERT_RULES_FILE: render_alert_rules(args.sources, args.host_logs, args.metrics, own),
                CONTACTS_FILE: pulumi.Output.secret(contacts),
                PLUGINS_FILE: NOTHING,
                **({OWN_QUERIES: render_queries(own, lokis, args.metrics)} if own else {}),
                **_heartbeat_file(args.heartbeat),
                # A changed password reaches Grafana with a reload (components/live/programs.py).
                PASSWORD_MARK: password_mark.apply(lambda mark: f"{mark}\n"),
            },
            closed_files={},
            # The reload needs the new password's file.
            opts=pulumi.ResourceOptions(parent=self, depends_on=[secret_files]),
        )

    def _dashboards(self, name: str, args: GrafanaArgs, container: docker.Container) -> None:
        """Separate, since they need no password."""
        # Not at the top, so that a stack without Grafana doesn't load the SDK.
        from components.grafana.dashboards import render_dashboards

        LiveFiles(
            f"{name}-dashboards",
            docker_host=args.host.docker_host,
            container_name=container.name,
            container_id=container.id,
            program="grafana-dashboards",
            directory=DASHBOARDS,
            files=render_dashboards(
                args.sources,
                args.host_logs,
                args.metrics,
                shown_alerts="" if args.heartbeat is None else BUT_HEARTBEAT,
            ),
            closed_files={},
            opts=pulumi.ResourceOptions(parent=self),
        )


_AT_FIRST_EMPTY = (DATASOURCES_FILE, ALERT_RULES_FILE, CONTACTS_FILE, PLUGINS_FILE)
_README = "What lies here is written by the stack: see docs/grafana.md in its repository.\n"


def _heartbeat_file(heartbeats: Heartbeats | None) -> dict[str, pulumi.Input[str]]:
    if heartbeats is None:
        return {}
    if heartbeats.topic is None:
        return {HEARTBEAT_FILE: render_heartbeat(None)}
    # Secret, as the topic is.
    return {HEARTBEAT_FILE: heartbeats.topic.apply(render_heartbeat)}


def _smtp_password(smtp: Smtp | None) -> pulumi.Output[str] | None:
    if smtp is None or smtp.password is None:
        return None
    return pulumi.Output.secret(smtp.password.get_secret_value())


def _labels(
    smtp_password: pulumi.Output[str] | None, secret_key: pulumi.Output[str]
) -> list[docker.ContainerLabelArgs]:
    """A label that changes with the mail server's password, which needs a new container."""
    if smtp_password is None:
        return []
    mark = pulumi.Output.unsecret(_keyed(secret_key, smtp_password))
    return [docker.ContainerLabelArgs(label="campus-monitor.smtp-password-hmac", value=mark)]


def _keyed(key: pulumi.Output[str], password: pulumi.Output[str]) -> pulumi.Output[str]:
    """A mark that changes with a password, keyed so that the password can't be guessed from it."""
    return pulumi.Output.all(key, password).apply(
        lambda known: hmac.new(known[0].encode(), known[1].encode(), "sha256").hexdigest()
    )


def _own(content: pulumi.Input[str]) -> VolumeFile:
    return VolumeFile(content=content, uid=GRAFANA_UID, mode=0o400)


# Access to Grafana, and users' rights.
_DOORS = (
    "GF_SECURITY_COOKIE_SECURE=true",
    "GF_SECURITY_CONTENT_SECURITY_POLICY=true",
    # A lock per user would let anybody lock out `admin` with a wrong login a minute, and so every update of
    # Grafana's files. A lock per address hits only the guesser: Caddy passes the address, and updates come
    # from inside the container.
    "GF_SECURITY_DISABLE_USERNAME_LOGIN_PROTECTION=true",
    "GF_SECURITY_DISABLE_IP_ADDRESS_LOGIN_PROTECTION=false",
    "GF_AUTH_ANONYMOUS_ENABLED=false",
    "GF_USERS_ALLOW_SIGN_UP=false",
    # Any user could publish lines to anybody with the link, or on another server.
    "GF_SNAPSHOTS_ENABLED=false",
    "GF_SNAPSHOTS_EXTERNAL_ENABLED=false",
    "GF_PUBLIC_DASHBOARDS_ENABLED=false",
    # With a stolen admin session one could run programs on the Lokis' host.
    "GF_PLUGINS_PLUGIN_ADMIN_ENABLED=false",
)
# For each failed request, a stranger's too, it would log the whole path and the Referer, which may contain a
# secret, and a line for each failed login.
_LOG_FILTERS = "GF_LOG_FILTERS=context:error authn.service:error"
# No requests or reports to others, and no compression, which Caddy does.
_QUIET = (
    "GF_SERVER_ENABLE_GZIP=false",
    "GF_SECURITY_DISABLE_GRAVATAR=true",
    "GF_ANALYTICS_REPORTING_ENABLED=false",
    "GF_ANALYTICS_CHECK_FOR_UPDATES=false",
    "GF_ANALYTICS_CHECK_FOR_PLUGIN_UPDATES=false",
    "GF_ANALYTICS_FEEDBACK_LINKS_ENABLED=false",
    "GF_NEWS_NEWS_FEED_ENABLED=false",
    "GF_CLOUD_MIGRATION_ENABLED=false",
    "GF_PLUGINS_PREINSTALL_DISABLED=true",
    "GF_PLUGINS_PUBLIC_KEY_RETRIEVAL_DISABLED=true",
)


def _environment(root_url: str, smtp: Smtp | None, metrics: MetricsSource | None) -> list[str]:
    """Settings without secrets, as `docker inspect` shows them."""
    has_overview = metrics is not None and metrics.hosts
    return [
        f"GF_SERVER_ROOT_URL={root_url}/",
        f"GF_SERVER_HTTP_PORT={GRAFANA_PORT}",
        f"GF_PATHS_PROVISIONING={PROVISIONING}",
        f"GF_SECURITY_ADMIN_PASSWORD__FILE={GRAFANA_SECRETS}/{ADMIN_PASSWORD_FILE}",
        f"GF_SECURITY_SECRET_KEY__FILE={GRAFANA_SECRETS}/secret-key",
        # The newer secrets manager's own key; its default is public.
        f"GF_SECRETS_MANAGER_ENCRYPTION_SECRET_KEY_V1_SECRET_KEY__FILE={GRAFANA_SECRETS}/secret-key",
        *_DOORS,
        # Metrics need no login: Caddy hides them from outside.
        f"GF_METRICS_ENABLED={str(metrics is not None).lower()}",
        _LOG_FILTERS,
        *_QUIET,
        f"GF_USERS_HOME_PAGE=/d/{OVERVIEW_UID if has_overview else PIPELINE_UID}",
        "GF_LOG_MODE=console",
        *_smtp_environment(smtp),
    ]


def _smtp_environment(smtp: Smtp | None) -> list[str]:
    if smtp is None:
        return []
    login = [f"GF_SMTP_USER={smtp.user}", f"GF_SMTP_PASSWORD__FILE={GRAFANA_SECRETS}/smtp-password"]
    return [
        "GF_SMTP_ENABLED=true",
        f"GF_SMTP_HOST={smtp.host}:{smtp.port}",
        f"GF_SMTP_FROM_ADDRESS={smtp.from_address}",
        # It doesn't apply to a port with TLS from the start.
        "GF_SMTP_STARTTLS_POLICY=MandatoryStartTLS",
        *(login if smtp.password is not None else []),
    ]
