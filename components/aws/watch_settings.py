# pyright: strict
"""The watch's settings: AWS checks the site from outside, and waits for Grafana's heartbeat. Pure."""

from __future__ import annotations

from typing import Self

from pydantic import model_validator

from components.values.area import Area
from components.values.texts import MailAddress

# Route 53 reports its health checks to CloudWatch here alone (its developer guide, "Monitoring health checks
# using CloudWatch"), and an alarm's topic has to be in the alarm's region.
WATCH_REGION = "us-east-1"
# Grafana's page about itself. It needs no login, and answers 503 without its database.
WATCHED_PATH = "/api/health"


class WatchSettings(Area):
    """AWS checks the site from outside, and mails the team when it is down."""

    mails: tuple[MailAddress, ...] = ()
    """AWS mails these addresses when the site is down and when it is back, once each has confirmed AWS' first
    mail; without any, AWS doesn't check the site."""
    heartbeat: bool = True
    """Grafana notifies AWS at least every two minutes, which mails when that stays away; [before you remove
    `mails`](aws.md#who-watches-the-campus-server), set this to false and update."""

    @model_validator(mode="after")
    def _check(self) -> Self:
        twice = sorted({mail for mail in self.mails if self.mails.count(mail) > 1})
        if twice:
            raise ValueError(f"mails: each address once, received {twice[0]!r} twice")
        return self

    @property
    def is_on(self) -> bool:
        """Whether AWS watches the site."""
        return bool(self.mails)

    @property
    def hears_grafana(self) -> bool:
        """Whether AWS waits for Grafana's heartbeat."""
        return self.is_on and self.heartbeat
