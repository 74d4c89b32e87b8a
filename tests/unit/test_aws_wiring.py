"""The AWS half's wiring, with a fake engine: its requests to AWS."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Sequence
from typing import Any

import pulumi
import pytest

from components.aws.documents import canonical
from components.ecs.collector import LOGIN_VARIABLE, basic_authorization
from components.ecs.component import ShippedService, ShippedServiceArgs
from components.ecs.firelens import OutputKind
from components.ecs.loss_signs import COLLECTOR_ALARM, Alarm, pattern
from components.ecs.policies import ecs_tasks_trust
from components.ecs.push_access import PushAccess, PushAccessArgs, PushSecret
from components.ecs.settings import GroupIngress, ServiceSettings
from components.ecs.task_security_group import TaskSecurityGroup, TaskSecurityGroupArgs
from components.stack.services import Services, ServicesArgs, metrics_secret, push_secret, push_secrets
from components.stack.settings import parse
from rig.stack import settings_of
from tests.support.ecs_services import METRICS_URL, URL, service
from tests.support.fake_engine import ACCOUNT, Engine, known, plain, running_engine

GROUP = "sg-0123456789abcdef0"
SOURCES = ["10.0.0.0/16", "2001:db8::/32", GROUP]
INGRESS = GroupIngress.model_validate({"action": "allow", "port": 80, "from": SOURCES})


def test_a_security_group_has_its_rules_beside_it_and_none_inside(engine: Engine) -> None:
    group_id = known(
        lambda: TaskSecurityGroup("app", TaskSecurityGroupArgs(vpc_id="vpc-1", ingress=[INGRESS])).group_id
    )
    assert group_id == "app-tasks-id"
    # On top of the service's eight, without components: the group, the egress rule, and each ingress rule.
    assert len(engine.registered["app"]) == 1 + 1 + 3
    group = engine.made["app-tasks"].inputs
    assert group["vpcId"] == "vpc-1"
    assert not {"ingress", "egress"} & set(group)
    rules = {
        name: one for name, one in engine.made.items() if "securityGroup" in one.typ and "Rule" in one.typ
    }
    assert {
        name: (one.typ.rsplit(":", 1)[1], one.inputs.get("cidrIpv4"), one.inputs.get("cidrIpv6"))
        for name, one in rules.items()
    } == {
        "app-out-443-0.0.0.0/0": ("SecurityGroupEgressRule", "0.0.0.0/0", None),
        "app-in-80-10.0.0.0/16": ("SecurityGroupIngressRule", "10.0.0.0/16", None),
        "app-in-80-2001.db8../32": ("SecurityGroupIngressRule", None, "2001:db8::/32"),
        f"app-in-80-{GROUP}": ("SecurityGroupIngressRule", None, None),
    }
    assert rules[f"app-in-80-{GROUP}"].inputs["referencedSecurityGroupId"] == GROUP
    for name, one in rules.items():
        port = 443 if "-out-" in name else 80
        wanted = {"securityGroupId": group_id, "ipProtocol": "tcp", "fromPort": port, "toPort": port}
        assert wanted.items() <= one.inputs.items()


PASSWORD = "p@ss word/€"


def shipped(
    service: ServiceSettings,
    *,
    secret: PushSecret | None = None,
    others: Sequence[PushSecret] = (),
    topic: str | None = None,
) -> pulumi.Output[Any]:
    """A service and its shared resources."""
    access = PushAccess(
        "push",
        PushAccessArgs(
            secrets=[*([secret] if secret else []), *others],
            push_urls={"aws": URL, "test": URL},
            passwords={key: {"admin": pulumi.Output.secret(PASSWORD)} for key in ("aws", "test")},
            trust="the trust",
        ),
    )
    return ShippedService(
        "app",
        ShippedServiceArgs(
            service=service,
            push_url=URL,
            secret=secret,
            access=access,
            trust="the trust",
            region="ap-northeast-2",
            alarm_topic_arn=topic,
            keeps_metadata=True,
        ),
    ).task_definition_arn


@pytest.mark.parametrize("output", ["grafana", "fluent-bit"])
@pytest.mark.parametrize("changes", [{}, {"launch": "fargate", "memoryMib": 1024}])
def test_a_service_is_at_most_eight_resources(engine: Engine, output: str, changes: dict[str, Any]) -> None:
    secret = PushSecret("aws", "admin", output)  # type: ignore[arg-type]
    known(lambda: shipped(service(logRouter={"output": output}, **changes), secret=secret))
    assert len(engine.registered["app"]) == 8


@pytest.mark.parametrize("output", ["grafana", "fluent-bit"])
def test_a_lost_line_and_a_refused_push_ring_an_alarm(engine: Engine, output: OutputKind) -> None:
    topic = "arn:aws:sns:ap-northeast-2:123456789012:operators"
    known(lambda: shipped(service(logRouter={"output": output, "logRetentionDays": 30}), topic=topic))
    made = {(one.typ.rsplit(":", 1)[1], one.name): one.inputs for one in engine.registered["app"]}
    alarms: tuple[Alarm, ...] = ("lines-lost", "pushes-refused")
    for sign in alarms:
        counted, alarm = made["LogMetricFilter", f"app-{sign}"], made["MetricAlarm", f"app-{sign}"]
        # The same for both outputs: tasks with the former output run on for a while.
        assert counted["pattern"] == pattern(sign)
        assert counted["logGroupName"] == made["LogGroup", "app-log-router"]["name"]
        metric = counted["metricTransformation"]
        assert (alarm["metricName"], alarm["namespace"]) == (metric["name"], metric["namespace"])
        assert (alarm["comparisonOperator"], alarm["threshold"]) == ("GreaterThanThreshold", 0)
        assert alarm["treatMissingData"] == "notBreaching"
        assert alarm["alarmActions"] == alarm["okActions"] == [topic]
    assert made["LogGroup", "app-log-router"]["retentionInDays"] == 30


@pytest.mark.parametrize("stack", ["stage", "prod"])
def test_what_two_stacks_in_one_account_make_has_names_of_its_own(stack: str) -> None:
    with running_engine(stack=stack) as engine:
        known(lambda: shipped(service()))
        made = {one.typ.rsplit(":", 1)[1]: one.inputs for one in engine.registered["app"]}
    assert made["TaskDefinition"]["family"] == f"app-{stack}"
    assert made["LogGroup"]["name"] == f"/ecs/app-{stack}/log-router"
    assert made["LogMetricFilter"]["metricTransformation"]["name"].startswith(f"app-{stack}-")


def test_without_a_topic_the_alarms_notify_nobody(engine: Engine) -> None:
    known(lambda: shipped(service()))
    alarms = [one.inputs for one in engine.registered["app"] if one.typ.endswith("MetricAlarm")]
    assert len(alarms) == 2
    assert not any("alarmActions" in one for one in alarms)


@pytest.mark.parametrize(
    ("output", "value"),
    [
        (
            "grafana",
            "https://admin:p%40ss%20word%2F%E2%82%AC@grafana.codedang.com/lokiaws/loki/api/v1/push",
        ),
        ("fluent-bit", PASSWORD),
    ],
)
def test_a_password_reaches_ssm_as_its_output_takes_it_and_nothing_else(
    engine: Engine, output: str, value: str
) -> None:
    secret = PushSecret("aws", "admin", output)  # type: ignore[arg-type]
    known(lambda: shipped(service(logRouter={"output": output}), secret=secret))
    [parameter] = [one for one in engine.registered["push"] if one.typ.endswith("Parameter")]
    assert parameter.inputs["type"] == "SecureString"
    assert plain(parameter.inputs["value"]) == value
    for one in engine.registered["app"]:
        assert PASSWORD not in str(one.inputs)
        assert "p%40ss" not in str(one.inputs)


KEY = "arn:aws:kms:ap-northeast-2:123456789012:key/01234567-89ab-cdef-0123-456789abcdef"


@pytest.mark.parametrize("key", [None, KEY])
def test_the_accounts_passwords_are_under_the_customers_key_and_can_be_read(
    engine: Engine, key: str | None
) -> None:
    tree = settings_of("prod")
    tree["aws"] |= {"kmsKeyArn": key} if key else {}
    settings = parse(tree)
    passwords = {name: defaultdict(lambda: "a password") for name in settings.loki.instances}
    args = ServicesArgs(
        settings=settings, push_urls=dict.fromkeys(passwords, URL), passwords=passwords, vpc_id=None
    )
    known(lambda: pulumi.Output.all(**Services("services", args).task_definition_arns))
    made = [one for parts in engine.registered.values() for one in parts]
    parameters = [one for one in made if one.typ.endswith("/parameter:Parameter")]
    # In each output's form.
    assert [one.inputs.get("keyId") for one in parameters] == [key, key]
    [policy] = [one.inputs["policy"] for one in made if one.typ.endswith("/rolePolicy:RolePolicy")]
    assert ("kms:Decrypt" in policy) == (key is not None)
    arns = ",".join(f'"arn:{name}"' for name in sorted(one.name for one in parameters))
    assert (f'"kms:EncryptionContext:PARAMETER_ARN":[{arns}]' in policy) == (key is not None)


def test_a_service_without_its_own_role_gets_the_role_without_permissions(engine: Engine) -> None:
    known(lambda: shipped(service()))
    [role] = [one for one in engine.registered["push"] if one.typ.endswith("Role")]
    [definition] = [one for one in engine.registered["app"] if one.typ.endswith("TaskDefinition")]
    assert definition.inputs["taskRoleArn"] == f"arn:{role.name}"
    policies = [
        one for parts in engine.registered.values() for one in parts if one.typ.endswith("RolePolicy")
    ]
    assert [(one.inputs["role"], one.inputs["name"]) for one in policies] == [
        ("app-execution-id", "execution")
    ]


def test_every_role_is_for_tasks_of_the_account_that_the_stack_is_in(engine: Engine) -> None:
    settings = parse(settings_of("prod"))
    passwords = {name: defaultdict(str) for name in settings.loki.instances}
    args = ServicesArgs(
        settings=settings, push_urls=dict.fromkeys(passwords, URL), passwords=passwords, vpc_id=None
    )
    known(lambda: pulumi.Output.all(**Services("services", args).task_definition_arns))
    made = [one for parts in engine.registered.values() for one in parts]
    trusts = [one.inputs["assumeRolePolicy"] for one in made if one.typ.endswith("/role:Role")]
    assert trusts == [canonical(ecs_tasks_trust(ACCOUNT))] * 2


def test_a_former_revision_still_finds_its_secret(engine: Engine) -> None:
    """Until the service gets the next revision, ECS starts its tasks with the former account and output."""
    asked = PushSecret("aws", "admin", "fluent-bit")
    former = [PushSecret("aws", "admin", "grafana"), PushSecret("test", "admin", "grafana")]
    known(lambda: shipped(service(), secret=asked, others=former))
    [policy] = [one for one in engine.registered["app"] if one.typ.endswith("RolePolicy")]
    [readable] = [
        one["Resource"]
        for one in json.loads(policy.inputs["policy"])["Statement"]
        if one["Action"] == ["ssm:GetParameters"]
    ]
    assert len(readable) == 2
    assert [name.count("aws-admin") for name in readable] == [1, 1]


def test_a_role_of_the_services_own_is_taken(engine: Engine) -> None:
    own = "arn:aws:iam::123456789012:role/app"
    known(lambda: shipped(service(taskRoleArn=own)))
    [definition] = [one for one in engine.registered["app"] if one.typ.endswith("TaskDefinition")]
    assert definition.inputs["taskRoleArn"] == own


METRICS = PushSecret("prometheus", "aws", "collector")


def with_metrics(engine: Engine, *, enabled: bool = True) -> dict[tuple[str, str], dict[str, Any]]:
    """The inputs of what a service with metrics is made of, by type and name."""
    access = PushAccess(
        "push",
        PushAccessArgs(
            secrets=[METRICS, PushSecret("prometheus", "other", "collector")],
            push_urls={"aws": URL},
            passwords={"prometheus": {name: pulumi.Output.secret(PASSWORD) for name in ("aws", "other")}},
            trust="the trust",
        ),
    )
    args = ShippedServiceArgs(
        service=service(memoryMib=1024, metrics={"enabled": enabled}),
        push_url=URL,
        secret=None,
        access=access,
        trust="the trust",
        region="ap-northeast-2",
        alarm_topic_arn=None,
        keeps_metadata=True,
        metrics_url=METRICS_URL,
        metrics_secret=METRICS,
    )
    known(lambda: ShippedService("app", args).task_definition_arn)
    made = [one for parts in engine.registered.values() for one in parts]
    return {(one.typ.rsplit(":", 1)[1], one.name): one.inputs for one in made}


def test_metrics_are_three_resources_more_and_their_alarm_counts_the_collectors_lines(engine: Engine) -> None:
    made = with_metrics(engine)
    assert len(engine.registered["app"]) == 11
    counted, alarm = (made[kind, f"app-{COLLECTOR_ALARM}"] for kind in ("LogMetricFilter", "MetricAlarm"))
    assert counted["pattern"] == pattern(COLLECTOR_ALARM)
    assert counted["logGroupName"] == made["LogGroup", "app-collector"]["name"]
    assert alarm["metricName"] == counted["metricTransformation"]["name"]
    assert alarm["alarmDescription"].startswith("The collector of app-")


def test_the_metrics_login_is_in_ssm_and_nowhere_else(engine: Engine) -> None:
    made = with_metrics(engine)
    value = basic_authorization("aws", PASSWORD)
    assert plain(made["Parameter", "push-prometheus-aws-authorization"]["value"]) == value
    definition = made["TaskDefinition", "app"]
    [collector] = [
        one for one in json.loads(definition["containerDefinitions"]) if one["name"] == "collector"
    ]
    arn = "arn:push-prometheus-aws-authorization"
    assert collector["secrets"] == [{"name": LOGIN_VARIABLE, "valueFrom": arn}]
    # All accounts: a former revision has the former one.
    assert made["RolePolicy", "app-execution"]["policy"].count("arn:push-prometheus") == 2
    for one in engine.registered["app"]:
        assert PASSWORD not in str(one.inputs)
        assert value.removeprefix("Basic ") not in str(one.inputs)


def test_switched_off_a_former_revision_still_finds_its_secret_and_its_log_group(engine: Engine) -> None:
    made = with_metrics(engine, enabled=False)
    assert "collector" not in made["TaskDefinition", "app"]["containerDefinitions"]
    assert ("LogGroup", "app-collector") in made
    policy = made["RolePolicy", "app-execution"]["policy"]
    assert policy.count("arn:push-prometheus") == 2
    assert "log-stream:collector/*" in policy


def test_the_logins_are_for_stacks_with_services_that_have_metrics() -> None:
    tree = settings_of("local")
    assert not [one for one in push_secrets(parse(tree)) if one.program == "collector"]
    tree["services"]["client-api"]["metrics"] = {"enabled": True}
    settings = parse(tree)
    [secret] = [one for one in push_secrets(settings) if one.program == "collector"]
    assert metrics_secret(settings, settings.services["client-api"]) == secret
    assert secret == PushSecret("prometheus", "admin", "collector")


def test_the_secrets_of_every_listed_account_are_kept() -> None:
    tree = settings_of("local")
    tree["loki"]["instances"]["aws"]["accounts"] = [{"user": "one"}, {"user": "two"}]
    tree["loki"]["instances"]["aws"]["natWithoutPassword"] = False
    tree["services"]["admin-api"] = tree["services"]["client-api"] | {
        "account": "two",
        "memoryMib": 1024,
        "logRouter": {"output": "grafana"},
    }
    settings = parse(tree)
    assert push_secrets(settings) == [
        PushSecret("aws", user, output) for output in ("fluent-bit", "grafana") for user in ("one", "two")
    ]
    asked = {name: push_secret(settings, one) for name, one in settings.services.items()}
    assert asked == {
        "client-api": PushSecret("aws", "one", "fluent-bit"),
        "admin-api": PushSecret("aws", "two", "grafana"),
    }
    assert push_secrets(parse(settings_of("local"))) == []
