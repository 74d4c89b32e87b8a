# pyright: strict
"""Renders the IAM policies of the tasks' roles, as narrow as the task definition. Pure."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from components.aws.documents import VERSION, allow
from components.aws.partitions import partition_of
from components.ecs.settings import COLLECTOR, LOG_ROUTER, ServiceSettings

# By IPv4 (`dkr.ecr`) or by both (`dkr-ecr`), with FIPS or without, under the suffix of the partition
# (Amazon ECR user guide, "Amazon ECR private registry").
_ECR_IMAGE = re.compile(
    r"(?P<account>\d{12})\.dkr[.-]ecr(-fips)?\.(?P<region>[a-z0-9-]+)\.[a-z0-9.-]+/(?P<name>[^:@]+)[:@]"
)


def ecs_tasks_trust(account_id: str) -> dict[str, Any]:
    """Lets only ECS assume a role, for tasks of this account.

    Without the account, another account's ECS could be made to assume it (the ECS developer guide, "Task IAM
    role", on the confused deputy).
    """
    statement = {
        "Effect": "Allow",
        "Action": "sts:AssumeRole",
        "Principal": {"Service": "ecs-tasks.amazonaws.com"},
        "Condition": {"StringEquals": {"aws:SourceAccount": account_id}},
    }
    return {"Version": VERSION, "Statement": [statement]}


def execution_policy(
    *,
    service: ServiceSettings,
    log_group_arn: str,
    push_parameter_arns: Sequence[str],
    push_key_arn: str | None = None,
    metrics_log_group_arn: str | None = None,
) -> dict[str, Any]:
    """What ECS may do to start the task: use what its definitions name, and nothing else.

    `push_parameter_arns` are all accounts in all forms that any revision may name; `push_key_arn` is the
    customer's key that encrypts them, if there is one.
    """
    # The sidecars' own streams, whose names end in the task's id.
    streams = [f"{log_group_arn}:log-stream:{LOG_ROUTER}/*"]
    if metrics_log_group_arn is not None:
        streams.append(f"{metrics_log_group_arn}:log-stream:{COLLECTOR}/*")
    own, kept = _secrets(service)
    parameters = [*own, *push_parameter_arns]
    statements = [
        allow(["logs:CreateLogStream", "logs:PutLogEvents"], streams),
        *_some("ssm:GetParameters", parameters),
        *_some("secretsmanager:GetSecretValue", kept),
        *_decrypt_own(service),
        *_decrypt([push_key_arn], "PARAMETER_ARN", push_parameter_arns),
        *_pull(service),
        *_read_config(service),
    ]
    return {"Version": VERSION, "Statement": statements}


def _some(action: str, resources: Sequence[str]) -> list[dict[str, Any]]:
    return [allow([action], resources)] if resources else []


def _secrets(service: ServiceSettings) -> tuple[list[str], list[str]]:
    """The parameters and the secrets that the containers' definitions name.

    Of a secret only the ARN, without JSON key, version stage and version id.
    """
    named = [arn for container in service.containers.values() for arn in container.secrets.values()]
    return (
        [arn for arn in named if ":ssm:" in arn],
        [":".join(arn.split(":")[:7]) for arn in named if ":secretsmanager:" in arn],
    )


def _decrypt_own(service: ServiceSettings) -> list[dict[str, Any]]:
    """Decrypt what the definition names, with the customer's own keys.

    Each AWS service gives KMS the encrypted object's ARN as encryption context, under a name of its own (AWS
    KMS developer guide, "Encryption context", on Parameter Store, Secrets Manager and S3).
    """
    keys, config = service.kms_key_arns, service.log_router.config
    parameters, secrets = _secrets(service)
    objects = [config.value, config.value.partition("/")[0]] if config and config.type == "s3" else []
    return [
        *_decrypt(keys, "PARAMETER_ARN", parameters),
        *_decrypt(keys, "SecretARN", secrets),
        *_decrypt(keys, "aws:s3:arn", objects),
    ]


def _decrypt(keys: Sequence[str | None], context: str, arns: Sequence[str]) -> list[dict[str, Any]]:
    known, about = [key for key in keys if key], sorted(set(arns))
    if not known or not about:
        return []
    condition = {"StringEquals": {f"kms:EncryptionContext:{context}": about}}
    return [allow(["kms:Decrypt"], known) | {"Condition": condition}]


def _pull(service: ServiceSettings) -> list[dict[str, Any]]:
    """Pull images from ECR: the layers of their repositories, and a login.

    The login is the only permission without a resource: IAM has none for it (service authorization
    reference, Amazon ECR). It gives access to no repository.
    """
    images = [service.log_router.image_name, *(one.image for one in service.containers.values())]
    if service.metrics is not None:
        images.append(service.metrics.image)
    found = [match for image in images if (match := _ECR_IMAGE.match(image))]
    if not found:
        return []
    repositories = [
        f"arn:{partition_of(one['region']).name}:ecr:{one['region']}:{one['account']}:repository/{one['name']}"
        for one in found
    ]
    layers = ["ecr:BatchCheckLayerAvailability", "ecr:BatchGetImage", "ecr:GetDownloadUrlForLayer"]
    return [allow(layers, repositories), allow(["ecr:GetAuthorizationToken"], ["*"])]


def _read_config(service: ServiceSettings) -> list[dict[str, Any]]:
    config = service.log_router.config
    if config is None or config.type != "s3":
        return []
    bucket = config.value.partition("/")[0]
    return [allow(["s3:GetObject"], [config.value]), allow(["s3:GetBucketLocation"], [bucket])]
