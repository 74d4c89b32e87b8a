"""An ECS service whose logs are shipped to campus: its task definition, role, and alarms."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pulumi
import pulumi_aws as aws
from pulumi import ResourceOptions

from components.aws.documents import canonical
from components.ecs.collector import MetricsTarget
from components.ecs.container_definitions import (
    MetricsParts,
    PushTarget,
    container_definitions,
    task_volumes,
)
from components.ecs.loss_signs import COLLECTOR_ALARM, Alarm, pattern
from components.ecs.policies import execution_policy
from components.ecs.push_access import PushAccess, PushSecret
from components.ecs.settings import COLLECTOR, LOG_ROUTER, ServiceSettings

METRICS_NAMESPACE = "campus-monitor"


@dataclass(frozen=True, kw_only=True)
class ShippedServiceArgs:
    """What `ShippedService` is made from."""

    service: ServiceSettings
    push_url: pulumi.Input[str]
    # None if the route asks for no password.
    secret: PushSecret | None
    access: PushAccess
    # The trust policy of its role.
    trust: pulumi.Input[str]
    region: str
    alarm_topic_arn: str | None
    # Whether its Loki stores structured metadata.
    keeps_metadata: bool
    # The customer's KMS key for the password parameters, if there is one.
    push_key_arn: str | None = None
    # Where the collector pushes, if the service has metrics; its secret is None if the route has no accounts.
    metrics_url: pulumi.Input[str] | None = None
    metrics_secret: PushSecret | None = None


class ShippedService(pulumi.ComponentResource):
    """The task definition of one service with its sidecars, and the alarms for lost lines and samples.

    Eight resources: log group, two metric filters, two alarms, role, policy, task definition. With metrics
    another log group, metric filter and alarm.
    """

    task_definition_arn: pulumi.Output[str]
    """The current revision's ARN."""

    def __init__(self, name: str, args: ShippedServiceArgs, opts: ResourceOptions | None = None) -> None:
        super().__init__("campus-monitor:aws:ShippedService", name, None, opts)
        self._name, self._args = name, args
        # Two stacks in one account and region may both have a service with this name.
        self._family = f"{name}-{pulumi.get_stack()}"
        self._child = ResourceOptions(parent=self)
        log_group = self._log_group(LOG_ROUTER)
        router = "The log router of {}"
        self._alarm(log_group, "lines-lost", f"{router} lost lines: see docs/shipping.md")
        refused = f"{router} was refused (401: password, 403: address): see docs/shipping.md"
        self._alarm(log_group, "pushes-refused", refused)
        metrics_group = None
        if args.service.metrics is not None:
            metrics_group = self._log_group(COLLECTOR)
            lost = "The collector of {} lost samples: see docs/metrics.md"
            self._alarm(metrics_group, COLLECTOR_ALARM, lost)
        definition = self._definition(log_group, metrics_group)
        self.task_definition_arn = definition.arn
        self.register_outputs({"task_definition_arn": self.task_definition_arn})

    def _log_group(self, sidecar: str) -> aws.cloudwatch.LogGroup:
        return aws.cloudwatch.LogGroup(
            f"{self._name}-{sidecar}",
            name=f"/ecs/{self._family}/{sidecar}",
            retention_in_days=self._args.service.log_router.log_retention_days,
            opts=self._child,
        )

    def _alarm(self, log_group: aws.cloudwatch.LogGroup, alarm: Alarm, description: str) -> None:
        """Count the sidecar's lines with the alarm's signs; the first line rings it."""
        resource, metric = f"{self._name}-{alarm}", f"{self._family}-{alarm}"
        aws.cloudwatch.LogMetricFilter(
            resource,
            name=metric,
            log_group_name=log_group.name,
            pattern=pattern(alarm),
            metric_transformation=aws.cloudwatch.LogMetricFilterMetricTransformationArgs(
                name=metric, namespace=METRICS_NAMESPACE, value="1"
            ),
            opts=self._child,
        )
        topics = [self._args.alarm_topic_arn] if self._args.alarm_topic_arn else None
        aws.cloudwatch.MetricAlarm(
            resource,
            alarm_description=description.format(self._family),
            namespace=METRICS_NAMESPACE,
            metric_name=metric,
            statistic="Sum",
            comparison_operator="GreaterThanThreshold",
            threshold=0,
            period=60,
            evaluation_periods=1,
            # No such line is good news.
            treat_missing_data="notBreaching",
            alarm_actions=topics,
            ok_actions=topics,
            opts=self._child,
        )

    def _definition(
        self, log_group: aws.cloudwatch.LogGroup, metrics_group: aws.cloudwatch.LogGroup | None
    ) -> aws.ecs.TaskDefinition:
        name, args, service = self._name, self._args, self._args.service
        role = aws.iam.Role(f"{name}-execution", assume_role_policy=args.trust, opts=self._child)
        known = self._known(log_group, metrics_group)
        policy = aws.iam.RolePolicy(
            f"{name}-execution",
            # A fixed name, so that a policy left by a killed update is overwritten: otherwise it would stay,
            # unknown to the state, and AWS deletes no role that has a policy.
            name="execution",
            role=role.id,
            policy=known.apply(self._policy),
            opts=self._child,
        )
        return aws.ecs.TaskDefinition(
            name,
            family=self._family,
            network_mode="bridge" if service.launch == "ec2" else "awsvpc",
            requires_compatibilities=[service.launch.upper()],
            cpu=str(service.cpu_units),
            memory=str(service.memory_mib),
            runtime_platform=aws.ecs.TaskDefinitionRuntimePlatformArgs(
                cpu_architecture=service.architecture.upper(), operating_system_family="LINUX"
            ),
            volumes=[
                aws.ecs.TaskDefinitionVolumeArgs(name=volume, host_path=path)
                for volume, path in task_volumes(service).items()
            ],
            execution_role_arn=role.arn,
            task_role_arn=service.task_role_arn or args.access.task_role_arn,
            container_definitions=known.apply(self._containers),
            # A service runs its revision until it gets the next: ECS doesn't go back to a deregistered
            # revision (its developer guide, "Deregistering a task definition revision").
            skip_destroy=True,
            # A refresh sees a revision that somebody else registered.
            track_latest=True,
            # A task may start as soon as the definition exists, so its permissions come first.
            opts=ResourceOptions(parent=self, depends_on=[policy]),
        )

    def _known(
        self, log_group: aws.cloudwatch.LogGroup, metrics_group: aws.cloudwatch.LogGroup | None
    ) -> pulumi.Output[dict[str, Any]]:
        """What the policy and the containers are rendered from."""
        args = self._args
        return pulumi.Output.all(
            group=log_group.name,
            group_arn=log_group.arn,
            url=args.push_url,
            parameter_arn=args.access.parameter_arns[args.secret] if args.secret else None,
            readable=[
                arn
                for secret in (args.secret, args.metrics_secret)
                for arn in (args.access.arns_of(secret.backend) if secret else ())
            ],
            metrics_group=metrics_group.name if metrics_group else None,
            metrics_group_arn=metrics_group.arn if metrics_group else None,
            metrics_url=args.metrics_url,
            metrics_parameter_arn=(
                args.access.parameter_arns[args.metrics_secret] if args.metrics_secret else None
            ),
        )

    def _policy(self, known: dict[str, Any]) -> str:
        metrics_group_arn = known["metrics_group_arn"]
        return canonical(
            execution_policy(
                service=self._args.service,
                log_group_arn=known["group_arn"].removesuffix(":*"),
                push_parameter_arns=known["readable"],
                push_key_arn=self._args.push_key_arn,
                metrics_log_group_arn=metrics_group_arn and metrics_group_arn.removesuffix(":*"),
            )
        )

    def _containers(self, known: dict[str, Any]) -> str:
        secret = self._args.secret
        target = PushTarget(
            url=known["url"],
            user=secret.user if secret else None,
            parameter_arn=known["parameter_arn"],
            keeps_metadata=self._args.keeps_metadata,
        )
        return canonical(
            container_definitions(
                service_name=self._name,
                service=self._args.service,
                target=target,
                log_group=known["group"],
                region=self._args.region,
                metrics=self._metrics(known),
            )
        )

    def _metrics(self, known: dict[str, Any]) -> MetricsParts | None:
        collector, plan = self._args.service.collector, self._args.service.collector_plan
        if collector is None or plan is None:
            return None
        target = MetricsTarget(url=known["metrics_url"], parameter_arn=known["metrics_parameter_arn"])
        return MetricsParts(image=collector.image, plan=plan, target=target, log_group=known["metrics_group"])
