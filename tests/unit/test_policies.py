"""The tasks' roles have only the permissions that the definition needs."""

from __future__ import annotations

import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from components.ecs.policies import ecs_tasks_trust, execution_policy
from components.ecs.settings import ServiceSettings
from tests.support.ecs_services import PARAMETER, SECRET, service, services, some_services

GROUP = "arn:aws:logs:ap-northeast-2:123456789012:log-group:/ecs/client-api/log-router"
ECR = "123456789012.dkr.ecr.ap-northeast-2.amazonaws.com/team/app:1"
# IAM has no resource for it (service authorization reference, Amazon ECR).
WITHOUT_RESOURCE = {"ecr:GetAuthorizationToken"}


KEY = "arn:aws:kms:ap-northeast-2:123456789012:key/01234567-89ab-cdef-0123-456789abcdef"
OTHER_KEY = "arn:aws:kms:ap-northeast-2:123456789012:key/mrk-0123456789abcdef0123456789abcdef"


def decrypted(of: ServiceSettings, *parameters: str, key: str | None = None) -> list[Any]:
    """The keys and encryption contexts for decryption."""
    policy = execution_policy(
        service=of, log_group_arn=GROUP, push_parameter_arns=parameters, push_key_arn=key
    )
    statements = [one for one in policy["Statement"] if one["Action"] == ["kms:Decrypt"]]
    for one in statements:
        assert list(one["Condition"]) == ["StringEquals"]
    return [(one["Resource"], one["Condition"]["StringEquals"]) for one in statements]


def allowed(of: ServiceSettings, *parameters: str) -> dict[str, list[str]]:
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
    """The resources that are wider than one thing; a log group's streams are its sidecar's own."""
    streams = re.compile(r"arn:aws:logs:[^*]*:log-group:[^*:]+/([a-z-]+):log-stream:\1/\*")
    return [one for one in resources if "*" in one and not streams.fullmatch(one)]


@some_services
@given(service=services, parameters=st.sampled_from([[], [PARAMETER]]))
def test_no_policy_has_a_wildcard_resource(service: ServiceSettings, parameters: list[str]) -> None:
    for action, resources in allowed(service, *parameters).items():
        assert resources
        assert wide(resources) == [], action


@some_services
@given(service=services)
def test_every_secret_that_the_definition_names_can_be_read_and_no_other(service: ServiceSettings) -> None:
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


def test_a_collector_writes_its_own_streams_and_its_image_can_be_pulled() -> None:
    of = service(memoryMib=1024, metrics={"enabled": True, "image": ECR})
    group = GROUP.replace("log-router", "collector")
    policy = execution_policy(
        service=of, log_group_arn=GROUP, push_parameter_arns=[PARAMETER], metrics_log_group_arn=group
    )
    [writes] = [one for one in policy["Statement"] if "logs:PutLogEvents" in one["Action"]]
    assert set(writes["Resource"]) == {
        f"{GROUP}:log-stream:log-router/*",
        f"{group}:log-stream:collector/*",
    }
    assert wide(writes["Resource"]) == []
    assert allowed(of)["ecr:BatchGetImage"] == ["arn:aws:ecr:ap-northeast-2:123456789012:repository/team/app"]


def test_images_in_ecr_can_be_pulled_from_their_repositories_alone() -> None:
    found = allowed(service(containers={"app": {"image": ECR, "memoryMib": 64}}))
    repository = ["arn:aws:ecr:ap-northeast-2:123456789012:repository/team/app"]
    pull = {"ecr:BatchCheckLayerAvailability", "ecr:BatchGetImage", "ecr:GetDownloadUrlForLayer"}
    assert {action: found[action] for action in pull} == dict.fromkeys(pull, repository)
    assert {action for action, resources in found.items() if wide(resources)} == WITHOUT_RESOURCE


@pytest.mark.parametrize(
    ("host", "repository"),
    [
        ("123456789012.dkr.ecr.cn-north-1.amazonaws.com.cn", "arn:aws-cn:ecr:cn-north-1"),
        ("123456789012.dkr.ecr.us-gov-west-1.amazonaws.com", "arn:aws-us-gov:ecr:us-gov-west-1"),
        ("123456789012.dkr.ecr-fips.us-gov-west-1.amazonaws.com", "arn:aws-us-gov:ecr:us-gov-west-1"),
        ("123456789012.dkr.ecr-fips.us-east-1.amazonaws.com", "arn:aws:ecr:us-east-1"),
        ("123456789012.dkr-ecr.ap-northeast-2.on.aws", "arn:aws:ecr:ap-northeast-2"),
        ("123456789012.dkr-ecr-fips.us-east-1.on.aws", "arn:aws:ecr:us-east-1"),
        ("123456789012.dkr-ecr.cn-north-1.on.amazonwebservices.com.cn", "arn:aws-cn:ecr:cn-north-1"),
    ],
)
def test_every_name_of_a_registry_gets_the_permission_in_its_partition(host: str, repository: str) -> None:
    image = f"{host}/team/app:1"
    found = allowed(service(containers={"app": {"image": image, "memoryMib": 64}}))
    assert found["ecr:BatchGetImage"] == [f"{repository}:123456789012:repository/team/app"]


def test_another_registry_gets_no_permission() -> None:
    images = ("public.ecr.aws/nginx/nginx:1", "ghcr.io/team/app:1", "nginx:1.29.4")
    for image in images:
        assert not [
            one
            for one in allowed(service(containers={"app": {"image": image, "memoryMib": 64}}))
            if one.startswith("ecr:")
        ]


def test_own_keys_decrypt_what_the_definition_names_and_nothing_else() -> None:
    secrets = {"URL": PARAMETER, "PASSWORD": f"{SECRET}:password::", "USER": f"{SECRET}:user::"}
    app = {"image": "app:1", "memoryMib": 64, "secrets": secrets}
    found = decrypted(service(containers={"app": app}, kmsKeyArns=[KEY, OTHER_KEY]))
    assert found == [
        ([KEY, OTHER_KEY], {"kms:EncryptionContext:PARAMETER_ARN": [PARAMETER]}),
        ([KEY, OTHER_KEY], {"kms:EncryptionContext:SecretARN": [SECRET]}),
    ]


def test_an_own_key_decrypts_a_configuration_in_s3() -> None:
    config = {"type": "s3", "value": "arn:aws:s3:::bucket/routers/own.conf"}
    found = decrypted(service(logRouter={"config": config}, kmsKeyArns=[KEY]))
    # With a bucket key the context is the bucket's ARN.
    both = ["arn:aws:s3:::bucket", config["value"]]
    assert found == [([KEY], {"kms:EncryptionContext:aws:s3:arn": both})]


def test_the_key_of_the_stacks_own_parameter_is_for_that_one_alone() -> None:
    app = {"image": "app:1", "memoryMib": 64, "secrets": {"URL": f"{PARAMETER}-other"}}
    own = service(containers={"app": app}, kmsKeyArns=[OTHER_KEY])
    assert decrypted(own, PARAMETER, key=KEY) == [
        ([OTHER_KEY], {"kms:EncryptionContext:PARAMETER_ARN": [f"{PARAMETER}-other"]}),
        ([KEY], {"kms:EncryptionContext:PARAMETER_ARN": [PARAMETER]}),
    ]
    # A route without a password has no parameter to decrypt.
    assert decrypted(service(), key=KEY) == []


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
