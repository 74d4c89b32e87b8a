"""The tasks' roles may do what the definition names, and nothing else."""

from __future__ import annotations

import re
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from components.aws.policies import ecs_tasks_trust, execution_policy
from components.settings import Service
from tests.support.ecs_services import PARAMETER, SECRET, service, services, some_services

GROUP = "arn:aws:logs:ap-northeast-2:123456789012:log-group:/ecs/client-api/log-router"
ECR = "123456789012.dkr.ecr.ap-northeast-2.amazonaws.com/team/app:1"
# IAM knows no resource for it (service authorization reference, Amazon ECR).
WITHOUT_RESOURCE = {"ecr:GetAuthorizationToken"}


def allowed(of: Service, *parameters: str) -> dict[str, list[str]]:
    """The resources by action."""
    policy = execution_policy(service=of, log_group_arn=GROUP, push_parameter_arns=parameters)
    found: dict[str, list[str]] = {}
    for statement in policy["Statement"]:
        assert statement["Effect"] == "Allow"
        assert set(statement) == {"Effect", "Action", "Resource"}
        for action in statement["Action"]:
            assert action not in found
            assert "*" not in action
            found[action] = statement["Resource"]
    return found


def wide(resources: list[str]) -> list[str]:
    """Those that are wider than one thing; the streams of a log group are the log router's own."""
    streams = re.compile(r"arn:aws:logs:[^*]*:log-group:[^*:]+:log-stream:log-router/\*")
    return [one for one in resources if "*" in one and not streams.fullmatch(one)]


@some_services
@given(service=services, parameters=st.sampled_from([[], [PARAMETER]]))
def test_no_policy_has_a_wildcard_resource(service: Service, parameters: list[str]) -> None:
    for action, resources in allowed(service, *parameters).items():
        assert resources
        assert wide(resources) == [], action


@some_services
@given(service=services)
def test_every_secret_that_the_definition_names_can_be_read_and_no_other(service: Service) -> None:
    found = allowed(service, PARAMETER)
    named = {arn for one in service.containers.values() for arn in one.secrets.values()}
    assert set(found["ssm:GetParameters"]) == {PARAMETER, *(arn for arn in named if ":ssm:" in arn)}
    kept = {SECRET for arn in named if ":secretsmanager:" in arn}
    assert set(found.get("secretsmanager:GetSecretValue", [])) == kept


def test_a_service_without_secrets_reads_none() -> None:
    assert allowed(service()) == {
        "logs:CreateLogStream": [f"{GROUP}:log-stream:log-router/*"],
        "logs:PutLogEvents": [f"{GROUP}:log-stream:log-router/*"],
    }


def test_images_in_ecr_can_be_pulled_from_their_repositories_alone() -> None:
    found = allowed(service(containers={"app": {"image": ECR, "memoryMib": 64}}))
    repository = ["arn:aws:ecr:ap-northeast-2:123456789012:repository/team/app"]
    pull = {"ecr:BatchCheckLayerAvailability", "ecr:BatchGetImage", "ecr:GetDownloadUrlForLayer"}
    assert {action: found[action] for action in pull} == dict.fromkeys(pull, repository)
    assert {action for action, resources in found.items() if wide(resources)} == WITHOUT_RESOURCE


def test_a_configuration_in_s3_can_be_read_and_nothing_else_there() -> None:
    config = {"type": "s3", "value": "arn:aws:s3:::bucket/routers/own.conf"}
    found = allowed(service(logRouter={"config": config}))
    assert found["s3:GetObject"] == ["arn:aws:s3:::bucket/routers/own.conf"]
    assert found["s3:GetBucketLocation"] == ["arn:aws:s3:::bucket"]


def test_only_ecs_tasks_of_this_account_may_take_a_role() -> None:
    [statement] = ecs_tasks_trust("123456789012")["Statement"]
    wanted: dict[str, Any] = {"Service": "ecs-tasks.amazonaws.com"}
    assert (statement["Principal"], statement["Action"]) == (wanted, "sts:AssumeRole")
    assert statement["Condition"] == {"StringEquals": {"aws:SourceAccount": "123456789012"}}
