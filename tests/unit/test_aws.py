"""The AWS half's pure parts: subnets, FireLens options, container definitions, policies."""

from __future__ import annotations

import ipaddress

import pytest

from components.aws.container_definitions import (
    container_definitions,
    execution_policy,
    firelens_options,
    output_name,
)
from components.aws.egress import subnet_cidrs
from components.settings import Service

SERVICE = Service.model_validate(
    {
        "cpuUnits": 512,
        "memoryMib": 512,
        "containers": {"app": {"image": "nginx:1.29.4", "port": 80, "memoryMib": 256}},
    }
)


@pytest.mark.parametrize(
    ("image", "name"),
    [
        ("grafana/fluent-bit-plugin-loki:1.6.1-amd64", "loki"),
        ("grafana/fluent-bit-plugin-loki:2.0.0-amd64", "loki"),
        ("grafana/fluent-bit-plugin-loki:2.1.0", "grafana-loki"),
        ("grafana/fluent-bit-plugin-loki:2.9.3-amd64", "grafana-loki"),
        ("grafana/fluent-bit-plugin-loki:3.5", "grafana-loki"),
    ],
)
def test_the_output_is_named_as_the_image_registers_it(image: str, name: str) -> None:
    assert output_name(image) == name


def test_no_label_makes_a_stream_per_container() -> None:
    options = firelens_options(image=SERVICE.log_router_image, url="https://x/push", service="client-api")
    keys = options["LabelKeys"].split(",")
    assert not {"container_name", "container_id", "ecs_task_definition", "ecs_task_arn"} & set(keys)
    assert all(key == key.strip() for key in keys)  # the plugin does not trim them


def test_every_app_container_ships_through_the_router() -> None:
    router, app = container_definitions(
        service_name="client-api",
        service=SERVICE,
        push_url="https://x/lokiaws/loki/api/v1/push",
        log_group="/ecs/client-api/log-router",
        region="ap-northeast-2",
    )
    assert router["firelensConfiguration"]["type"] == "fluentbit"
    assert router["essential"] is True
    assert router["logConfiguration"]["logDriver"] == "awslogs"
    assert app["logConfiguration"]["logDriver"] == "awsfirelens"
    assert app["logConfiguration"]["options"]["Url"] == "https://x/lokiaws/loki/api/v1/push"
    assert app["dependsOn"] == [{"containerName": router["name"], "condition": "START"}]


def test_the_execution_role_reaches_one_log_group_only() -> None:
    arn = "arn:aws:logs:ap-northeast-2:1:log-group:/ecs/x"
    (statement,) = execution_policy(arn)["Statement"]
    assert statement["Resource"] == f"{arn}:*"


@pytest.mark.parametrize(("vpc", "zones"), [("10.0.0.0/16", 2), ("10.0.0.0/16", 4), ("10.1.0.0/20", 6)])
def test_subnets_do_not_overlap_and_lie_in_the_vpc(vpc: str, zones: int) -> None:
    public, private = subnet_cidrs(vpc, zones)
    networks = [ipaddress.IPv4Network(cidr) for cidr in public + private]
    assert len(networks) == 2 * zones
    assert all(network.subnet_of(ipaddress.IPv4Network(vpc)) for network in networks)
    assert not any(a.overlaps(b) for a in networks for b in networks if a is not b)


def test_the_teams_public_subnets() -> None:
    assert subnet_cidrs("10.0.0.0/16", 2)[0] == ["10.0.90.0/24", "10.0.91.0/24"]
