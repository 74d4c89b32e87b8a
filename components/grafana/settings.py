# pyright: strict
"""Grafana's settings: its password, its mail server, and the recipients of its alerts. Pure."""

from __future__ import annotations

import re
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, Field, SecretStr, model_validator

from components.values.area import Area
from components.values.durations import Duration
from components.values.networks import Port
from components.values.texts import HostName, MailAddress, ShortName, checked_password
from components.values.value_rule import ValueRule

MIN_ADMIN_PASSWORD = 16
MAX_OWN_RULES = 20
# The source of a rule that asks Prometheus.
PROMETHEUS_SOURCE = "prometheus"

_ADMIN = ValueRule(f"a password that the internet may try has at least {MIN_ADMIN_PASSWORD} characters")
_PASSWORD = ValueRule("a password is one line of text, without white space around it")
_FEW = ValueRule(f"at most {MAX_OWN_RULES} rules")
_WEBHOOK = ValueRule("the webhook's whole URL is needed, https://…")


def _admin_password(value: SecretStr) -> SecretStr:
    # Grafana counts wrong logins per address and not per user (grafana/component.py), so that a short
    # password could be guessed from many addresses.
    if len(checked_password(value).get_secret_value()) < MIN_ADMIN_PASSWORD:
        raise ValueError(_ADMIN.words)
    return _as_grafana_reads(value)


def _as_grafana_reads(value: SecretStr) -> SecretStr:
    """The password, if Grafana reads it unchanged from a file; a ValueError otherwise."""
    text = value.get_secret_value()
    # The image strips white space from a file's end, and a value ends with its line. Grafana expands
    # variables in the value (its documentation, "Variable expansion").
    if not text or text != text.strip() or not text.isprintable():
        raise ValueError(_PASSWORD.words)
    if re.search(r"\$(__\w+)?\{", text):
        raise ValueError(
            "a password has no `${` in it, nor `$__name{`: Grafana would look for a variable there"
        )
    return value


def _webhook_url(value: SecretStr) -> SecretStr:
    # No dollar sign: Grafana would expand a variable there.
    if not re.fullmatch(r"https://[a-z0-9.-]+/[A-Za-z0-9._~/?=&%:+-]+", value.get_secret_value()):
        raise ValueError(_WEBHOOK.words)
    return value


AdminPassword = Annotated[SecretStr, AfterValidator(_admin_password), _ADMIN]
MailPassword = Annotated[SecretStr, AfterValidator(_as_grafana_reads), _PASSWORD]
WebhookUrl = Annotated[SecretStr, AfterValidator(_webhook_url), _WEBHOOK]
Query = Annotated[str, ValueRule("a query has 1 to 4000 characters", r"\s*\S[\s\S]{0,3999}")]
Summary = Annotated[
    str,
    ValueRule(
        "a summary is a line of 1 to 500 characters without `$`, where Grafana would look for a variable",
        r"[^$\x00-\x1f]{1,500}",
    ),
]


class Smtp(Area):
    """The mail server that Grafana sends through, always encrypted: STARTTLS, or TLS at once on port 465."""

    host: HostName
    """The mail server has this host name."""
    port: Port = 587
    """The mail server listens on this port: with TLS from the start on 465, with STARTTLS on any other."""
    from_address: MailAddress
    """Mail comes from this address."""
    user: str | None = Field(default=None, min_length=1)
    """Grafana logs in to the mail server as this user."""
    password: MailPassword | None = None
    """Grafana logs in to the mail server with this password."""

    @model_validator(mode="after")
    def _check(self) -> Self:
        if (self.user is None) != (self.password is None):
            missing = "user" if self.user is None else "password"
            raise ValueError(f"{missing}: user and password are needed together, received None")
        return self


class AlertsTo(Area):
    """The recipients of Grafana's alerts. A webhook's URL is a secret: it lets anybody post there."""

    mail: tuple[MailAddress, ...] = ()
    """Alerts go to these mail addresses."""
    discord: WebhookUrl | None = None
    """Alerts go to the Discord channel with this webhook URL."""
    slack: WebhookUrl | None = None
    """Alerts go to the Slack channel with this webhook URL."""


class AlertRule(Area):
    """An alert rule of your own: it rings for each series that its query finds."""

    query: Query
    """The query, with the comparison in it: PromQL, such as `up == 0`, or LogQL that counts lines, such as
    `sum(count_over_time({service="client-api"} |= "OutOfMemory" [5m])) > 0`."""
    source: ShortName = PROMETHEUS_SOURCE
    """The query is asked of `prometheus`, or of this Loki in `loki.instances`."""
    for_: Duration = Field(default="5m", alias="for")
    """The query has to find a series for so long."""
    severity: Literal["critical", "warning"] = "warning"
    """The alert has this label `severity`."""
    summary: Summary
    """The message; `{{ .Labels.NAME }}` is a label, `{{ .Values.value.Value }}` the value."""


def _few(rules: dict[str, AlertRule]) -> dict[str, AlertRule]:
    if len(rules) > MAX_OWN_RULES:
        raise ValueError(_FEW.words)
    return rules


AlertRules = Annotated[dict[ShortName, AlertRule], AfterValidator(_few), _FEW]


class GrafanaSettings(Area):
    """Grafana, reached through Caddy only."""

    enabled: bool = True
    """The stack runs Grafana."""
    admin_password: AdminPassword | None = None
    """Grafana's user `admin` first logs in with this password; by default, the stack generates one."""
    # It needs some 240 MiB when idle (reported for 13.2.3 with one bundled plugin).
    memory_bytes: int = Field(default=512 << 20, ge=256 << 20)
    """Docker kills Grafana above this many bytes of memory."""
    smtp: Smtp | None = None
    """Grafana sends mail through this server."""
    # None leaves the notification policies to Grafana's users; an empty area removes ours.
    alerts_to: AlertsTo | None = None
    """Grafana's alerts notify these recipients."""
    # None leaves out the rules' placeholders, too; an empty area pauses rules that were once there.
    alert_rules: AlertRules | None = None
    """Your own alert rules, by name ([more](grafana.md#rules-of-your-own))."""

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.alerts_to is not None and self.alerts_to.mail and self.smtp is None:
            raise ValueError("smtp: a mail server is needed for alertsTo.mail, received None")
        return self
