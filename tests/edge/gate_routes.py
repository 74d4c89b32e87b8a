"""The configurations for the gate's suite: the deployed one, and one with more kinds of routes."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

import bcrypt

from components.edge.caddyfile import GuardedRoute, render_caddyfile
from components.edge.settings import EdgeSettings
from components.live.container_facts import GRAFANA_PORT
from components.loki.push_paths import pushes
from components.prometheus.push_paths import pushes as prometheus_pushes
from components.prometheus.settings import PrometheusSettings
from rig.deployment import Deployment
from rig.edge_files import EdgeFiles
from rig.namespaces import CAMPUS_CLIENT, LATER_NAT, NAT, NAT_6, STRANGER_6
from tests.edge.gate_oracle import OTLP, OTLP_METRICS, REMOTE_WRITE, Door, Policy
from tests.support.loki import loki_instance

CAMPUS = "198.51.100.0/24"
ACCOUNTS = {"admin-1": "Correct:horse battery", "admin-2": "gr\N{LATIN SMALL LETTER U WITH DIAERESIS}n"}
PROMETHEUS = PrometheusSettings.model_validate({"route": "/metrics", "allow": ["nat"], "accounts": []})
# bcrypt's lowest cost, for thousands of passwords.
CHEAP = 4


def deployed_policy(deployment: Deployment) -> Policy:
    """The rig's settings: one NAT address, and an account on the second route."""
    login = deployment.login()
    return Policy(
        deployment.settings["edge"]["domain"],
        (
            Door(prefix="/lokiaws", loki="aws", allowed=(NAT,)),
            Door(prefix="/lokitest", loki="test", allowed=(NAT,), accounts={login.user: login.password}),
        ),
    )


def many_routes_policy(deployment: Deployment) -> Policy:
    """The policy of `many_routes`: addresses of both families, single ones and ranges, and none at all."""
    return Policy(
        deployment.settings["edge"]["domain"],
        (
            Door(prefix="/lokiaws", loki="aws", allowed=(NAT, NAT_6)),
            Door(prefix="/lokitest", loki="test", allowed=(NAT, NAT_6, CAMPUS), accounts=ACCOUNTS),
            Door(prefix="/lokisix", loki="aws", allowed=(STRANGER_6, CAMPUS_CLIENT)),
            Door(prefix="/loki", loki="test", allowed=(LATER_NAT,)),
            Door(prefix="/loki-none", loki="aws", allowed=()),
            Door(prefix="/lokiotlp", loki="test", allowed=(NAT, NAT_6), accounts=ACCOUNTS, path=OTLP),
            Door(prefix="/lokiotlp", loki="test", allowed=(NAT, NAT_6), accounts=ACCOUNTS),
            # Prometheus' route, with a Loki behind it.
            Door(prefix="/metrics", loki="test", allowed=(NAT, NAT_6), accounts=ACCOUNTS, path=REMOTE_WRITE),
            Door(
                prefix="/metrics",
                loki="test",
                allowed=(NAT, NAT_6),
                accounts=ACCOUNTS,
                path=OTLP_METRICS,
                is_plain=True,
            ),
        ),
    )


@contextmanager
def many_routes(deployment: Deployment, files: EdgeFiles) -> Iterator[str]:
    """Serve more kinds of routes during the block; yields their Caddyfile."""
    text = many_routes_caddyfile(deployment)
    # The deployment allows NAT itself.
    files.allow(NAT_6)
    try:
        files.apply(text)
        yield text
    finally:
        files.put_back()


def many_routes_caddyfile(deployment: Deployment) -> str:
    """The Caddyfile of `many_routes`."""
    settings = deployment.settings
    site = EdgeSettings(
        domain=settings["edge"]["domain"],
        tls="internal",
        email=None,
        http_port=settings["edge"]["httpPort"],
        https_port=settings["edge"]["httpsPort"],
    )
    aws, test = (f"loki-{name}:{settings['loki']['instances'][name]['port']}" for name in ("aws", "test"))
    accounts = tuple(
        (user, bcrypt.hashpw(password.encode(), bcrypt.gensalt(CHEAP)).decode())
        for user, password in ACCOUNTS.items()
    )
    own, with_otlp = (pushes(loki_instance(otlp=otlp)) for otlp in (False, True))
    routes = [
        GuardedRoute(name="aws", prefix="/lokiaws", upstream=aws, pushes=own, allow_nat=True),
        GuardedRoute(
            name="test",
            prefix="/lokitest",
            upstream=test,
            pushes=own,
            allow_nat=True,
            cidrs=(CAMPUS,),
            accounts=accounts,
        ),
        GuardedRoute(
            name="six",
            prefix="/lokisix",
            upstream=aws,
            pushes=own,
            cidrs=(f"{STRANGER_6}/128", f"{CAMPUS_CLIENT}/32"),
        ),
        GuardedRoute(name="short", prefix="/loki", upstream=test, pushes=own, cidrs=(f"{LATER_NAT}/32",)),
        GuardedRoute(name="none", prefix="/loki-none", upstream=aws, pushes=own),
        GuardedRoute(
            name="otlp",
            prefix="/lokiotlp",
            upstream=test,
            pushes=with_otlp,
            allow_nat=True,
            accounts=accounts,
        ),
        GuardedRoute(
            name="prometheus",
            prefix="/metrics",
            upstream=test,
            # A Loki has no number of Go's memory.
            pushes=replace(prometheus_pushes(PROMETHEUS), only_while=None),
            allow_nat=True,
            accounts=accounts,
        ),
    ]
    grafana = f"grafana:{GRAFANA_PORT}" if settings["grafana"]["enabled"] else None
    return render_caddyfile(site, routes, grafana, [], is_measured=False)
