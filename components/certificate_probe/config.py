# pyright: strict
"""The blackbox exporter's configuration: one TLS handshake with our own site. Pure: values in, text out.

JSON is YAML, and needs none of YAML's quoting rules.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass

from components.docker_hosts.settings import GATEWAY_PLACE, CampusSettings
from components.edge.settings import EdgeSettings
from components.port_policy.rules import Rule, shut_out

# The name of its container, and of Prometheus' job.
ROLE = "certificate-probe"
# The exporter's default; its container's address follows from it.
PORT = 9115
# The exporter's word for a way to probe.
MODULE = "site"


@dataclass(frozen=True, kw_only=True)
class Probed:
    """The site as the probe reaches it, and the probe as Prometheus does."""

    domain: str
    # Caddy is on the host's network, so it is at the private network's gateway.
    site: str
    site_port: int
    # The probe's address.
    probe: str


def probed(campus: CampusSettings, edge: EdgeSettings) -> Probed:
    """The site of these settings."""
    return Probed(
        domain=edge.domain,
        site=campus.private_address(GATEWAY_PLACE),
        site_port=edge.https_port,
        probe=campus.private_address(PORT),
    )


def render_probe_config(domain: str) -> str:
    """The configuration file."""
    # An expired certificate, and one of Caddy's own authority, have an end to tell, too. Nothing is sent
    # over the connection.
    tls = {"server_name": domain, "insecure_skip_verify": True}
    modules = {MODULE: {"prober": "tcp", "tcp": {"tls": True, "tls_config": tls}}}
    return json.dumps({"modules": modules}, indent=2) + "\n"


def probe_rules(to: Probed, rules: Sequence[Rule]) -> list[Rule]:
    """The rule that lets the probe reach Caddy where the settings' own rules let only some in."""
    source = f"{to.probe}/32"
    if shut_out(rules, to.site_port, "tcp", source) is None:
        return []
    return [
        Rule(
            action="allow",
            protocol="tcp",
            first_port=to.site_port,
            last_port=to.site_port,
            sources=(source,),
            comment="the certificate's probe",
        )
    ]
