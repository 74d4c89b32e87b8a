"""Shared fixtures of the AWS half's suites."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from rig.deployment import Deployment, deployed, docker_contents
from rig.emulator import Emulator
from rig.namespaces import LATER_NAT, NAT
from rig.probe import Login
from rig.rig import Rig
from rig.stack import Settings

ZONE_A, ZONE_B, ZONE_C = (f"ap-northeast-2{letter}" for letter in "abc")


def network(
    addresses: dict[str, str], *, nat_per_zone: bool = True, zones: list[str] | None = None
) -> Settings:
    """Egress settings: a NAT gateway with its address per zone."""
    return {
        "create": {
            "zones": zones or list(addresses),
            "natPerZone": nat_per_zone,
            "addresses": list(addresses.values()),
            "retainAddresses": False,
        }
    }


APP = {"image": "nginx:1.29.4", "port": 80, "memoryMib": 128}
DATABASE_SECRET = "arn:aws:secretsmanager:ap-northeast-2:123456789012:secret:db-AbCdEf:password::"
TOPIC = "arn:aws:sns:ap-northeast-2:123456789012:operators"

# The team's three services: on EC2 with Grafana's plugin, on Fargate with Fluent Bit's own output, on ARM.
# The route asks for a password on top of the address, as in stage and prod.
START: Settings = {
    "egress": network({ZONE_A: NAT, ZONE_C: LATER_NAT}),
    "loki": {"instances": {"aws": {"accounts": [{"user": "shipper"}], "natWithoutPassword": False}}},
    "services": {
        "client-api": {
            "logRouter": {"output": "grafana"},
            "containers": {"app": APP | {"secrets": {"DB_PASSWORD": DATABASE_SECRET}}},
        },
        "admin-api": {
            "launch": "fargate",
            "cpuUnits": 256,
            "memoryMib": 512,
            "ingress": [{"action": "allow", "port": 80, "from": ["10.0.0.0/16"], "comment": "balancer"}],
            "containers": {
                "app": APP | {"environment": {"LOG_LEVEL": "info", "PORT": "80"}},
                "worker": {"image": "app:1", "memoryMib": 64, "essential": False},
            },
        },
        "iris": {
            "architecture": "arm64",
            "cpuUnits": 1024,
            "memoryMib": 1024,
            "labels": {"team": "judge"},
            # Grafana's own image is only built for amd64.
            "logRouter": {"output": "grafana", "image": "team/fluent-bit-plugin-loki:3.7.8-arm64"},
            "containers": {"app": APP},
        },
    },
    "aws": {"alarmTopicArn": TOPIC},
}


@pytest.fixture(scope="package")
def stack(rig: Rig, emulator: Emulator) -> Iterator[Deployment]:
    """The stack with two NAT gateways, for all suites of this folder: a test restores what it changes.

    At the end `pulumi destroy` has to leave nothing.
    """
    before = docker_contents(rig), emulator.contents()
    with deployed(rig, emulator, START) as made:
        yield made
    assert (docker_contents(rig), emulator.contents()) == before


@pytest.fixture(scope="module")
def put_back_at_the_end(stack: Deployment) -> Iterator[None]:
    """For a file whose tests each deploy their own settings and don't restore them."""
    with put_back(stack):
        yield


@contextmanager
def put_back(stack: Deployment) -> Iterator[None]:
    """Restore the stack's settings after the block."""
    try:
        yield
    finally:
        stack.stack.configure(stack.settings)
        stack.up("--refresh")


def login_of(stack: Deployment) -> Login:
    """The account of the services' route."""
    [(user, password)] = stack.outputs["shipper_credentials"]["aws"].items()
    return Login(user, password)
