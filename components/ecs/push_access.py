"""Shared by the services: the secrets for their pushes, and a role without permissions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

import pulumi
import pulumi_aws as aws
from pulumi import ResourceOptions

from components.ecs.collector import basic_authorization
from components.ecs.firelens import OutputKind, url_with_credentials


class PushSecret(NamedTuple):
    """One secret: its backend (a Loki, or `prometheus`), its user, and the program whose form it has."""

    backend: str
    user: str
    program: OutputKind | Literal["collector"]


# What a parameter has, in its name.
_FORMS = {"grafana": "push-url", "fluent-bit": "password", "collector": "authorization"}


@dataclass(frozen=True, kw_only=True)
class PushAccessArgs:
    """What `PushAccess` is made from."""

    secrets: Sequence[PushSecret]
    push_urls: pulumi.Input[Mapping[str, str]]
    # By backend and user; secret.
    passwords: Mapping[str, Mapping[str, pulumi.Input[str]]]
    # The trust policy of the role.
    trust: pulumi.Input[str]
    # The KMS key of the parameters; None means AWS' own.
    key_arn: str | None = None


class PushAccess(pulumi.ComponentResource):
    """The accounts' passwords for the sidecars, in SSM, and the tasks' role without permissions."""

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

    def arns_of(self, backend: str) -> list[pulumi.Output[str]]:
        """The parameters of all accounts of a backend, in all forms."""
        return [arn for secret, arn in self.parameter_arns.items() if secret.backend == backend]

    def _parameter(self, secret: PushSecret, args: PushAccessArgs) -> aws.ssm.Parameter:
        form = _FORMS[secret.program]
        known = pulumi.Output.all(
            url=pulumi.Output.from_input(args.push_urls).apply(lambda urls: urls.get(secret.backend)),
            password=args.passwords[secret.backend][secret.user],
        )

        def value(found: dict[str, str]) -> str:
            match secret.program:
                case "fluent-bit":
                    return found["password"]
                case "grafana":
                    return url_with_credentials(found["url"], secret.user, found["password"])
                case "collector":
                    return basic_authorization(secret.user, found["password"])

        return aws.ssm.Parameter(
            f"{self._name}-{secret.backend}-{secret.user}-{form}",
            type="SecureString",
            key_id=args.key_arn,
            value=pulumi.Output.secret(known.apply(value)),
            opts=ResourceOptions(parent=self),
        )
