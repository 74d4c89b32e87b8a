# pyright: strict
"""The stack's outputs: an API that other programs read. Pure.

`python -m components.stack.outputs` prints docs/outputs.md (`make reference`).
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import TypeAdapter, ValidationError

Text = str
Texts = list[str]
TextByName = dict[str, str]
TextsByName = dict[str, list[str]]
TextByNameByName = dict[str, dict[str, str]]

# How a shape is named in the documentation.
_WORDS: Mapping[Any, str] = {
    Text: "text",
    Texts: "list of text",
    TextByName: "text by name",
    TextsByName: "list of text by name",
    TextByNameByName: "text by name, by name",
}


@dataclass(frozen=True, kw_only=True)
class StackOutput:
    """One output that readers may rely on."""

    name: str
    shape: Any
    meaning: str
    secret: bool = False
    # The settings that it needs.
    only_with: str | None = None

    def problem(self, value: object, is_secret: bool) -> str | None:
        """What is wrong with the stack's value; the value itself is never shown."""
        if value is None:
            return None if self.only_with else f"{self.name}: is missing"
        if is_secret != self.secret:
            return f"{self.name}: {'must be secret' if self.secret else 'must not be secret'}"
        try:
            TypeAdapter(self.shape).validate_python(value, strict=True)
        except ValidationError:
            return f"{self.name}: must be {_WORDS[self.shape]}"
        return None


OUTPUTS = (
    StackOutput(name="grafana_url", shape=Text, meaning="the site's URL"),
    StackOutput(
        name="grafana_admin_password",
        shape=Text,
        secret=True,
        only_with="grafana.enabled",
        meaning="the first password of Grafana's user `admin`, generated or set; "
        "a later change in Grafana isn't known",
    ),
    StackOutput(name="loki_push_urls", shape=TextByName, meaning="per Loki instance, the URL for pushes"),
    StackOutput(
        name="metrics_push_urls",
        shape=TextByName,
        only_with="prometheus",
        meaning="the URL for pushes of metrics by `remote_write` and by `otlp`",
    ),
    StackOutput(name="nat_public_ips", shape=Texts, meaning="the AWS network's public addresses, sorted"),
    StackOutput(
        name="retained_elastic_ips",
        shape=TextByName,
        meaning="per zone, the allocation id of the Elastic IP in use that stays (and is billed) when the "
        "stack no longer uses it; empty with `egress.create.retainAddresses: false`, `lookup` and `given`",
    ),
    StackOutput(
        name="vpc_id",
        shape=Text,
        only_with="egress.create or egress.vpcId",
        meaning="the VPC of the services",
    ),
    StackOutput(
        name="private_subnet_ids",
        shape=Texts,
        meaning="the subnets for tasks, in the order of the zones; empty without `egress.create`",
    ),
    StackOutput(name="allowed_cidrs", shape=Texts, meaning="every address that may push, sorted"),
    StackOutput(
        name="loki_allowed_cidrs",
        shape=TextsByName,
        meaning="per Loki instance, the addresses that may push, sorted",
    ),
    StackOutput(
        name="metrics_allowed_cidrs",
        shape=Texts,
        only_with="prometheus",
        meaning="the addresses that may push metrics, sorted",
    ),
    StackOutput(
        name="caddy_config_sha256",
        shape=Text,
        meaning="hash of Caddy's configuration, including the allowlist",
    ),
    StackOutput(
        name="port_policy",
        shape=Texts,
        meaning="the rules in force, as `ufw status numbered` would print them",
    ),
    StackOutput(name="task_definition_arns", shape=TextByName, meaning="per service, the current revision"),
    StackOutput(
        name="task_security_group_ids",
        shape=TextByName,
        meaning="per service on Fargate, the group for its tasks",
    ),
    StackOutput(name="log_router_image", shape=TextByName, meaning="per service, the sidecar's image"),
    StackOutput(
        name="shipper_credentials",
        shape=TextByNameByName,
        secret=True,
        meaning="per Loki instance with accounts, and for `prometheus`, the password by user",
    ),
)


def problems(found: Mapping[str, object], secrets: Iterable[str]) -> list[str]:
    """How a stack's outputs differ from this list; `secrets` names the secret ones."""
    known, hidden = {one.name for one in OUTPUTS}, set(secrets)
    unlisted = [f"{name}: isn't listed in components/stack/outputs.py" for name in sorted(set(found) - known)]
    differing = [one.problem(found.get(one.name), one.name in hidden) for one in OUTPUTS]
    return [*unlisted, *(text for text in differing if text)]


def render_docs() -> str:
    """docs/outputs.md."""
    return _HEAD + "".join(map(_row, OUTPUTS)) + _TAIL


def _row(one: StackOutput) -> str:
    where = f" (only with `{one.only_with.replace(' or ', '` or `')}`)" if one.only_with else ""
    shape = f"{_WORDS[one.shape]}, **secret**" if one.secret else _WORDS[one.shape]
    return f"| `{one.name}` | {shape} | {one.meaning}{where} |\n"


_HEAD = """# Outputs

<!-- Made by `make reference` -->

Other programs may rely on these. Names, shapes and secrecy change only with a note to their readers.

```
pulumi stack output -s STACK --json                                # secret ones show as "[secret]"
pulumi stack output -s STACK shipper_credentials --show-secrets    # one of the secret ones
```

| output | shape | what it is |
|---|---|---|
"""

_TAIL = """
An output without a value for this stack's settings is missing; a list or a mapping is empty instead.

## Another repository's deploy

[examples/deploy-service.yml](examples/deploy-service.yml) is a workflow for a service's own repository: it
reads the current revision from `task_definition_arns` and lets ECS run it. This stack registers the
revisions, with the log router in them; the service's repository decides when they run. Old revisions stay
registered, so that a service can go back.
"""


if __name__ == "__main__":
    sys.stdout.write(render_docs())
