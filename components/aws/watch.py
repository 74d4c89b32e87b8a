"""Who watches the watcher: AWS asks the campus server's site from outside, and hears Grafana's heartbeat."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import pulumi
import pulumi_aws as aws
from pulumi import ResourceOptions

from components.aws.documents import VERSION, allow, canonical
from components.aws.watch_settings import WATCHED_PATH

# A server that is down is told within three minutes (docs/decisions/0029-watch.md): 30 s until each checker
# has asked again, 6 s for its timeouts, a minute for the metric, and a minute for the alarm. One failed check
# is enough, since over four fifths of the checkers have to agree.
CHECK_SECONDS = 30
FAILED_CHECKS = 1
ALARM_SECONDS = 60
# SNS counts in CloudWatch every five minutes.
SILENT_SECONDS = 300


@dataclass(frozen=True, kw_only=True)
class HeartbeatKey:
    """What Grafana needs for its heartbeat: the topic, and a key that may publish there and nowhere else."""

    topic_arn: pulumi.Output[str]
    key_id: pulumi.Output[str]
    # Secret.
    key: pulumi.Output[str]


class Heartbeat(pulumi.ComponentResource):
    """The SNS topic that Grafana's heartbeat goes to. Nobody subscribes to it: its messages are counted.

    It comes before Grafana, and the alarm (`Watch`) after it.
    """

    topic_name: pulumi.Output[str]
    """The topic's name, by which CloudWatch counts."""
    key: HeartbeatKey
    """For Grafana."""

    def __init__(self, name: str, opts: ResourceOptions | None = None) -> None:
        super().__init__("campus-monitor:aws:Heartbeat", name, None, opts)
        child = ResourceOptions(parent=self)
        topic = aws.sns.Topic(name, opts=child)
        user = aws.iam.User(name, opts=child)
        policy = aws.iam.UserPolicy(
            name, user=user.name, policy=topic.arn.apply(_publishing_policy), opts=child
        )
        # After the policy: AWS deletes no user that still has one, and Grafana's first message may publish.
        key = aws.iam.AccessKey(name, user=user.name, opts=ResourceOptions(parent=self, depends_on=[policy]))
        self.topic_name = topic.name
        self.key = HeartbeatKey(topic_arn=topic.arn, key_id=key.id, key=pulumi.Output.secret(key.secret))
        self.register_outputs({"topic_name": self.topic_name})


def _publishing_policy(topic_arn: str) -> str:
    return canonical({"Version": VERSION, "Statement": [allow(["sns:Publish"], [topic_arn])]})


@dataclass(frozen=True)
class _Metric:
    """A metric that AWS itself writes."""

    namespace: str
    name: str
    statistic: str
    dimensions: Mapping[str, pulumi.Input[str]]


@dataclass(frozen=True, kw_only=True)
class WatchArgs:
    """What `Watch` is made from."""

    domain: str
    https_port: int
    mails: Sequence[str]
    # The topic of Grafana's heartbeat; None if AWS doesn't wait for one.
    heartbeat: pulumi.Input[str] | None = None


class Watch(pulumi.ComponentResource):
    """A health check of the site, and mails about a site that is down and about a silent Grafana."""

    def __init__(self, name: str, args: WatchArgs, opts: ResourceOptions | None = None) -> None:
        super().__init__("campus-monitor:aws:Watch", name, None, opts)
        self._name, self._child = name, ResourceOptions(parent=self)
        self._topic = aws.sns.Topic(name, opts=self._child)
        for mail in args.mails:
            aws.sns.TopicSubscription(
                f"{name}-{mail}",
                topic=self._topic.arn,
                protocol="email",
                endpoint=mail,
                opts=self._child,
            )
        check = aws.route53.HealthCheck(
            name,
            type="HTTPS",
            fqdn=args.domain,
            port=args.https_port,
            resource_path=WATCHED_PATH,
            # Caddy answers no connection without the site's name.
            enable_sni=True,
            request_interval=CHECK_SECONDS,
            failure_threshold=FAILED_CHECKS,
            opts=self._child,
        )
        self._alarm(
            "site-down",
            f"https://{args.domain}{WATCHED_PATH} doesn't answer AWS' checkers: see docs/aws.md",
            _Metric("AWS/Route53", "HealthCheckStatus", "Minimum", {"HealthCheckId": check.id}),
            ALARM_SECONDS,
        )
        if args.heartbeat is not None:
            self._alarm(
                "grafana-silent",
                f"Grafana of {args.domain} sends no heartbeat: see docs/aws.md",
                _Metric("AWS/SNS", "NumberOfMessagesPublished", "Sum", {"TopicName": args.heartbeat}),
                SILENT_SECONDS,
            )
        self.register_outputs({})

    def _alarm(self, role: str, description: str, metric: _Metric, seconds: int) -> None:
        """An alarm that rings below 1, and mails when it rings and when it ends."""
        aws.cloudwatch.MetricAlarm(
            f"{self._name}-{role}",
            alarm_description=description,
            namespace=metric.namespace,
            metric_name=metric.name,
            statistic=metric.statistic,
            dimensions=metric.dimensions,
            comparison_operator="LessThanThreshold",
            threshold=1,
            period=seconds,
            evaluation_periods=1,
            # Silence is the bad news here: a check that somebody deleted, too. CloudWatch looks at some
            # earlier periods first, so that late data ring nothing (its user guide, "Configuring how
            # CloudWatch alarms treat missing data").
            treat_missing_data="breaching",
            alarm_actions=[self._topic.arn],
            ok_actions=[self._topic.arn],
            opts=self._child,
        )
