"""Type tokens are in every state: a changed token replaces its resources."""

from __future__ import annotations

import ast
import re
from pathlib import Path

COMPONENTS = Path(__file__).resolve().parents[2] / "components"

FROZEN = {
    "campus-monitor:aws:EgressAddresses",
    "campus-monitor:aws:EgressNetwork",
    "campus-monitor:aws:Heartbeat",
    "campus-monitor:aws:NatInstances",
    "campus-monitor:aws:PushAccess",
    "campus-monitor:aws:Services",
    "campus-monitor:aws:ShippedService",
    "campus-monitor:aws:TaskSecurityGroup",
    "campus-monitor:aws:Watch",
    "campus-monitor:campus:AllowedAddress",
    "campus-monitor:campus:CampusServer",
    "campus-monitor:campus:CertificateProbe",
    "campus-monitor:campus:DockerShipper",
    "campus-monitor:campus:DockerShippers",
    "campus-monitor:campus:Edge",
    "campus-monitor:campus:Grafana",
    "campus-monitor:campus:HostMetrics",
    "campus-monitor:campus:LokiInstance",
    "campus-monitor:campus:OtherHost",
    "campus-monitor:campus:OtherHostsMetrics",
    "campus-monitor:campus:PortPolicy",
    "campus-monitor:campus:Prometheus",
    "campus-monitor:campus:Reader",
}


def test_the_type_tokens_are_frozen() -> None:
    found = [
        node.value
        for path in sorted(COMPONENTS.rglob("*.py"))
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Constant)
        and isinstance(node.value, str)
        and re.fullmatch(r"campus-monitor:\w+:[A-Z]\w*", node.value)
    ]
    assert sorted(found) == sorted(FROZEN)
