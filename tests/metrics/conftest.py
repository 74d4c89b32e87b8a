"""The stack with its host's metrics and its services', and Grafana's image or a fake in its place."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from components.prometheus.settings import PORT
from rig.deployment import Deployment, deployed, on_readers_network
from rig.emulator import Emulator
from rig.inside import inside
from rig.kept_state import WHOLE
from rig.live_grafana import make_played_image
from rig.probe import Client, Login
from rig.rig import Rig
from rig.stack import local_settings, merged

# The network of a collector that pushes as from another host. The stack's own may not be on an allowlist.
OUTSIDE = "172.28.78.0/24"
PROMETHEUS = {
    "prometheus": local_settings()["prometheus"] | {"allow": ["nat", OUTSIDE], "allowWide": True},
    "hostMetrics": local_settings()["hostMetrics"],
    "campus": {"logsTo": None},
    "services": {
        "client-api": {"metrics": {"enabled": True}},
        "judge-api": {
            "launch": "fargate",
            "cpuUnits": 256,
            "memoryMib": 512,
            "containers": {"app": {"image": "nginx:1.29.4", "port": 80, "memoryMib": 128}},
            "metrics": {"enabled": True},
        },
    },
}
# By launch type.
SERVICES = {"ec2": "client-api", "fargate": "judge-api"}


@pytest.fixture(scope="package")
def deployment(rig: Rig, emulator: Emulator) -> Iterator[Deployment]:
    """The stack with Prometheus, its host's metrics and its services'."""
    make_played_image(rig)
    with deployed(rig, emulator, merged(WHOLE, PROMETHEUS)) as made:
        yield made


@pytest.fixture(scope="package")
def login(deployment: Deployment) -> Login:
    """The account of the route for metrics."""
    return Login("admin", deployment.outputs["shipper_credentials"]["prometheus"]["admin"])


@pytest.fixture(scope="package")
def grafana(deployment: Deployment) -> Iterator[Client]:
    """A client inside Grafana's container, which asks the reader."""
    with inside(deployment.container("grafana")) as namespace:
        server = (on_readers_network("reader"), PORT)
        yield Client(namespace, on_readers_network("grafana"), server, "prometheus", None)
