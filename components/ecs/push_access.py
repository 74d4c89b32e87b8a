"""Shared by the services: the secrets for their pushes, and a role without permissions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import pulumi
import pulumi_aws as aws
from pulumi import ResourceOptions

from components.ecs.firelens import OutputKind, url_with_credentials


class PushSecret(NamedTuple):
    """One secret: its Loki instance, its user, and the output whose form it has."""

    loki: str
    user: str
    output: OutputKind


@dataclass(frozen=True, kw_only=True)
class PushAccessArgs:
    """What `PushAccess` is made from."""

    secrets: Sequence[PushSecret]
    push_urls: pulumi.Input[Mapping[str, str]]
    # By Loki instance and user; secret.
    passwords: Mapping[str, Mapping[str, pulumi.Input[str]]]
    # The trust policy of the role.
    trust: pulumi.Input[str]
    # The KMS key of the parameters; None means AWS' own.
    key_arn: str | None = None


class PushAccess(pulumi.ComponentResource):
    """The accounts' passwords for log routers, in SSM, and the tasks' role without permissions."""

    parameter_arns: dict[PushSecret, pulumi.Output[str]]
    """The parameter of each secret."""
    task_role_arn: pulumi.Output[str]
    """The role of services without their own: without any, a task would use its instance's."""

    def __init__(self, name: str, args: PushAccessArgs, opts: ResourceOptions | None = None) -> None:
        super().__init__("campus-monitor:aws:PushAccess", name, None, opts)
        self._name = name
        role = aws.iam.Role(
            f"{name}-nothing",
            description="Tasks that may do nothing in AWS",
            assume_role_policy=args.trust,
            opts=ResourceOptions(parent=self),
        )
        self.task_role_arn = role.arn
        self.parameter_arns = {secret: self._parameter(secret, args).arn for secret in args.secrets}
        self.register_outputs({"task_role_arn": self.task_role_arn})

    def arns_of(self, loki: str) -> list[pulumi.Output[str]]:
        """The parameters of all accounts of a Loki, in both forms."""
        return [arn for secret, arn in self.parameter_arns.items() if secret.loki == loki]

    def _parameter(self, secret: PushSecret, args: PushAccessArgs) -> aws.ssm.Parameter:
        form = "push-url" if secret.output == "grafana" else "password"
        known = pulumi.Output.all(
            url=pulumi.Output.from_input(args.push_urls)[secret.loki],
            password=args.passwords[secret.loki][secret.user],
        )

        def value(found: dict[str, str]) -> str:
            if secret.output == "fluent-bit":
                return found["password"]
            return url_with_credentials(found["url"], secret.user, found["password"])

        return aws.ssm.Parameter(
            f"{self._name}-{secret.loki}-{secret.user}-{form}",
            type="SecureString",
            key_id=args.key_arn,
            value=pulumi.Output.secret(known.apply(value)),
            opts=ResourceOptions(parent=self),
        )
