"""Renders an ECS task's container definitions: the team's containers and the FireLens log router.

Sources: the ECS API reference (ContainerDefinition, FirelensConfiguration) and the source of Grafana's
Fluent Bit plugin (clients/cmd/fluent-bit).
"""

from __future__ import annotations

import re
from typing import Any

from components.settings import AppContainer, Service

LOG_ROUTER = "log-router"


def output_name(image: str) -> str:
    """The Fluent Bit output's name in an image of Grafana's plugin.

    It registers itself as `loki` up to 2.0 and as `grafana-loki` from 2.1 on, after Fluent Bit got an
    output of its own named `loki`. A tag without a version counts as current.
    """
    match = re.search(r":(\d+)\.(\d+)", image)
    old = match is not None and (int(match[1]), int(match[2])) < (2, 1)
    return "loki" if old else "grafana-loki"


def firelens_options(*, image: str, url: str, service: str) -> dict[str, str]:
    """Options of the app containers' `awsfirelens` log driver.

    Labels are few and fixed: on EC2 `container_name` ends in random hex and `ecs_task_definition`
    carries the revision, either of which would make a Loki stream per container.
    """
    return {
        "Name": output_name(image),
        "Url": url,
        "Labels": f'{{job="firelens",service="{service}"}}',
        "LabelKeys": "source,ecs_cluster",
        "RemoveKeys": "container_id,ecs_task_arn",
        "LineFormat": "key_value",
    }


def container_definitions(
    *, service_name: str, service: Service, push_url: str, log_group: str, region: str
) -> list[dict[str, Any]]:
    """The task's containers as the ECS API takes them, the log router first, then by name."""
    options = firelens_options(image=service.log_router_image, url=push_url, service=service_name)
    apps = [
        _app_container(name, container, service, options)
        for name, container in sorted(service.containers.items())
    ]
    return [_log_router(service, log_group, region), *apps]


def _log_router(service: Service, log_group: str, region: str) -> dict[str, Any]:
    return {
        "name": LOG_ROUTER,
        "image": service.log_router_image,
        "essential": True,
        "user": "0",
        "memoryReservation": service.log_router_memory_mib,
        "firelensConfiguration": {
            "type": "fluentbit",
            "options": {"enable-ecs-log-metadata": "true"},
        },
        "logConfiguration": {
            "logDriver": "awslogs",
            "options": {
                "awslogs-group": log_group,
                "awslogs-region": region,
                "awslogs-stream-prefix": LOG_ROUTER,
            },
        },
    }


def _app_container(
    name: str, container: AppContainer, service: Service, options: dict[str, str]
) -> dict[str, Any]:
    # With bridge networking host port 0 lets ECS pick a free one; with awsvpc both are the same.
    host_port = 0 if service.launch == "ec2" else container.port
    return {
        "name": name,
        "image": container.image,
        "essential": True,
        "memory": container.memory_mib,
        "portMappings": [{"containerPort": container.port, "hostPort": host_port, "protocol": "tcp"}],
        "environment": [
            {"name": key, "value": value} for key, value in sorted(container.environment.items())
        ],
        "dependsOn": [{"containerName": LOG_ROUTER, "condition": "START"}],
        "logConfiguration": {"logDriver": "awsfirelens", "options": options},
    }


def execution_policy(log_group_arn: str) -> dict[str, Any]:
    """What ECS itself may do for the task: write the log router's own log, and nothing else."""
    return {
        "Version": "2012-10-17",
        "Statement": [
            {
                "Effect": "Allow",
                "Action": ["logs:CreateLogStream", "logs:PutLogEvents"],
                "Resource": f"{log_group_arn}:*",
            }
        ],
    }


def ecs_tasks_trust() -> dict[str, Any]:
    """Lets ECS tasks, and nobody else, take a role."""
    return {
        "Version": "2012-10-17",
        "Statement": [
            {
                "Effect": "Allow",
                "Action": "sts:AssumeRole",
                "Principal": {"Service": "ecs-tasks.amazonaws.com"},
            }
        ],
    }
