"""Renders the IAM policies of the tasks' roles, as narrow as the task definition is. Pure."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from components.settings import LOG_ROUTER, Service

_VERSION = "2012-10-17"
_ECR_IMAGE = re.compile(
    r"(?P<account>\d{12})\.dkr\.ecr\.(?P<region>[a-z0-9-]+)\.amazonaws\.com(\.cn)?/(?P<name>[^:@]+)[:@]"
)


def ecs_tasks_trust(account_id: str) -> dict[str, Any]:
    """Lets ECS take a role for tasks of this account, and nobody else.

    Without the account, somebody else's ECS could be asked to take it (the ECS developer guide, "Task IAM
    role", on the confused deputy).
    """
    statement = {
        "Effect": "Allow",
        "Action": "sts:AssumeRole",
        "Principal": {"Service": "ecs-tasks.amazonaws.com"},
        "Condition": {"StringEquals": {"aws:SourceAccount": account_id}},
    }
    return {"Version": _VERSION, "Statement": [statement]}


def execution_policy(
    *, service: Service, log_group_arn: str, push_parameter_arns: Sequence[str]
) -> dict[str, Any]:
    """What ECS itself may do to start the task: what its definitions name, and nothing else.

    `push_parameter_arns` are all forms of all accounts that a revision of it may name, the former one too.
    """
    secrets = [arn for container in service.containers.values() for arn in container.secrets.values()]
    parameters = [*(arn for arn in secrets if ":ssm:" in arn), *push_parameter_arns]
    # Behind the name: JSON key, version stage and version id; the permission is for the secret.
    kept = [":".join(arn.split(":")[:7]) for arn in secrets if ":secretsmanager:" in arn]
    statements = [
        # The log router's own streams: their names end in the task's id.
        _allow(["logs:CreateLogStream", "logs:PutLogEvents"], [f"{log_group_arn}:log-stream:{LOG_ROUTER}/*"]),
        *_some("ssm:GetParameters", parameters),
        *_some("secretsmanager:GetSecretValue", kept),
        *_pull(service),
        *_read_config(service),
    ]
    return {"Version": _VERSION, "Statement": statements}


def _allow(actions: Sequence[str], resources: Sequence[str]) -> dict[str, Any]:
    return {"Effect": "Allow", "Action": sorted(actions), "Resource": sorted(set(resources))}


def _some(action: str, resources: Sequence[str]) -> list[dict[str, Any]]:
    return [_allow([action], resources)] if resources else []


def _pull(service: Service) -> list[dict[str, Any]]:
    """For images in ECR: the layers of those repositories, and a login.

    The login is the one permission without a resource: IAM knows none for it (service authorization
    reference, Amazon ECR). It opens no repository.
    """
    images = [service.log_router.image_name, *(one.image for one in service.containers.values())]
    found = [match for image in images if (match := _ECR_IMAGE.match(image))]
    if not found:
        return []
    repositories = [f"arn:aws:ecr:{one['region']}:{one['account']}:repository/{one['name']}" for one in found]
    layers = ["ecr:BatchCheckLayerAvailability", "ecr:BatchGetImage", "ecr:GetDownloadUrlForLayer"]
    return [_allow(layers, repositories), _allow(["ecr:GetAuthorizationToken"], ["*"])]


def _read_config(service: Service) -> list[dict[str, Any]]:
    config = service.log_router.config
    if config is None or config.type != "s3":
        return []
    bucket = config.value.partition("/")[0]
    return [_allow(["s3:GetObject"], [config.value]), _allow(["s3:GetBucketLocation"], [bucket])]
