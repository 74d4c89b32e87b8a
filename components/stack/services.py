"""All ECS services whose logs and metrics are shipped, with their shared resources."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import pulumi
import pulumi_aws as aws
from pulumi import ResourceOptions

from components.aws.documents import canonical
from components.ecs.component import ShippedService, ShippedServiceArgs
from components.ecs.firelens import OUTPUTS
from components.ecs.policies import ecs_tasks_trust
from components.ecs.push_access import PushAccess, PushAccessArgs, PushSecret
from components.ecs.settings import ServiceSettings
from components.ecs.task_security_group import TaskSecurityGroup, TaskSecurityGroupArgs
from components.prometheus.settings import ROLE as PROMETHEUS
from components.stack.settings import Settings


@dataclass(frozen=True, kw_only=True)
class ServicesArgs:
    """The arguments of `Services`."""

    settings: Settings
    push_urls: pulumi.Input[Mapping[str, str]]
    # The URL for pushes by OTLP, if services have metrics.
    metrics_url: pulumi.Input[str] | None = None
    # Per backend and user; secret.
    passwords: Mapping[str, Mapping[str, pulumi.Input[str]]]
    # The network of Fargate's tasks; the settings require it if there are any.
    vpc_id: pulumi.Input[str] | None


class Services(pulumi.ComponentResource):
    """The services by name. It depends on the edge: an account exists before anything pushes with it."""

    task_definition_arns: dict[str, pulumi.Output[str]]
    """Per service, the current revision."""
    task_security_group_ids: dict[str, pulumi.Output[str]]
    """Per service on Fargate, the group for its tasks."""

    def __init__(self, name: str, args: ServicesArgs, opts: ResourceOptions | None = None) -> None:
        super().__init__("campus-monitor:aws:Services", name, None, opts)
        settings, child = args.settings, ResourceOptions(parent=self)
        account = aws.get_caller_identity_output(opts=pulumi.InvokeOutputOptions(parent=self)).account_id
        trust = account.apply(lambda account_id: canonical(ecs_tasks_trust(account_id)))
        access = PushAccess(
            f"{name}-push",
            PushAccessArgs(
                secrets=push_secrets(settings),
                push_urls=args.push_urls,
                passwords=args.passwords,
                trust=trust,
                key_arn=settings.aws.kms_key_arn,
            ),
            child,
        )
        urls = pulumi.Output.from_input(args.push_urls)
        self.task_definition_arns = {
            key: ShippedService(
                key,
                ShippedServiceArgs(
                    service=service,
                    push_url=urls[service.loki],
                    secret=push_secret(settings, service),
                    access=access,
                    trust=trust,
                    region=settings.aws.region,
                    alarm_topic_arn=settings.aws.alarm_topic_arn,
                    keeps_metadata=settings.loki.instances[service.loki].keeps_structured_metadata,
                    push_key_arn=settings.aws.kms_key_arn,
                    metrics_url=args.metrics_url,
                    metrics_secret=metrics_secret(settings, service),
                ),
                child,
            ).task_definition_arn
            for key, service in settings.services.items()
        }
        self.task_security_group_ids = {
            key: TaskSecurityGroup(
                key, TaskSecurityGroupArgs(vpc_id=args.vpc_id, ingress=service.ingress), child
            ).group_id
            for key, service in settings.services.items()
            if service.launch == "fargate" and args.vpc_id is not None
        }
        self.register_outputs(
            {
                "task_definition_arns": self.task_definition_arns,
                "task_security_group_ids": self.task_security_group_ids,
            }
        )


def push_secrets(settings: Settings) -> list[PushSecret]:
    """Every account of the backends that services push to, in every form that a sidecar of theirs may need.

    Not only the accounts in use: until ECS gets the next revision, it starts tasks of the former one, with
    that one's account and output.
    """
    of_lines = [
        PushSecret(loki, account.user, output)
        for loki in sorted({service.loki for service in settings.services.values()})
        for output in sorted(OUTPUTS)
        for account in settings.loki.instances[loki].accounts
    ]
    metrics = settings.prometheus
    if metrics is None or not any(service.metrics for service in settings.services.values()):
        return of_lines
    return of_lines + [PushSecret(PROMETHEUS, account.user, "collector") for account in metrics.accounts]


def push_secret(settings: Settings, service: ServiceSettings) -> PushSecret | None:
    """The secret for a service's pushes; None if its route needs no password."""
    accounts = settings.loki.instances[service.loki].accounts
    if not accounts:
        return None
    return PushSecret(service.loki, service.account or accounts[0].user, service.log_router.output)


def metrics_secret(settings: Settings, service: ServiceSettings) -> PushSecret | None:
    """The secret for the pushes of a service's metrics; None without metrics, or if the route needs none."""
    if settings.prometheus is None or service.metrics is None or not settings.prometheus.accounts:
        return None
    user = service.metrics.account or settings.prometheus.accounts[0].user
    return PushSecret(PROMETHEUS, user, "collector")
