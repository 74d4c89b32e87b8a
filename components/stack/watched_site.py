# pyright: strict
"""Checks of the settings for the watch: AWS' checkers have to reach Grafana. Pure.

Each raises a ValueError whose text begins with the wrong key, below `campus-monitor:`.
"""

from __future__ import annotations

from components.aws.partitions import partition_of
from components.aws.settings import AwsSettings
from components.aws.watch_settings import WATCH_REGION
from components.edge.settings import EdgeSettings
from components.grafana.settings import GrafanaSettings
from components.port_policy.rules import lets_in
from components.port_policy.settings import PortPolicySettings


def check_watch(
    edge: EdgeSettings, grafana: GrafanaSettings, aws: AwsSettings, policy: PortPolicySettings
) -> None:
    """The site is public, Grafana answers there, and AWS' checkers may connect."""
    if edge.tls == "internal":
        raise ValueError(
            "edge.tls: acme or acme-staging with watch.mails, since AWS only checks public sites, "
            f"received {edge.tls!r}"
        )
    if not grafana.enabled:
        raise ValueError(
            "grafana.enabled: true with watch.mails, since AWS checks whether Grafana answers, received False"
        )
    if partition_of(aws.region) != partition_of(WATCH_REGION):
        raise ValueError(
            f"aws.region: a region in {WATCH_REGION}'s partition with watch.mails, since the watch is there, "
            f"received {aws.region!r}"
        )
    if policy.namespace == "host":
        _check_open(edge.https_port, policy)


def _check_open(port: int, policy: PortPolicySettings) -> None:
    """AWS' checkers have many addresses, which change; for a name all are IPv4 (Route 53's guide)."""
    rules = policy.plain_rules
    if lets_in(rules, port, "tcp", families=["ip"]) != "anybody":
        named = [list(one.sources) for one in rules if one.is_for(port, "tcp") and one.action != "deny"]
        raise ValueError(
            f"portPolicy.rules: a rule that lets anybody in to edge.httpsPort ({port}/tcp) with watch.mails, "
            f"since AWS' checkers have many addresses, received `from` {named}"
        )
