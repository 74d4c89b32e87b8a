"""A fake Grafana in the whole stack: the effects of changes to its files."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

import pytest

from components.grafana.component import DASHBOARDS, PROVISIONING
from components.live.container_facts import GRAFANA_SECRETS
from components.stack.outputs import OUTPUTS, problems
from rig.deployment import Deployment, deployed
from rig.emulator import Emulator
from rig.live_caddy import printed
from rig.live_grafana import PLAYED, make_played_image
from rig.rig import Rig
from rig.stack import PulumiFailedError, Settings, merged

pytestmark = pytest.mark.docker

# Secrets by their paths in the settings.
SECRETS = {
    "grafana.smtp.password": "a-mail-password-canary",
    "grafana.alertsTo.slack": "https://hooks.example/services/a-webhook-canary",
}
GRAFANA: dict[str, Any] = {
    "enabled": True,
    "smtp": {"host": "smtp.example.org", "fromAddress": "grafana@example.org", "user": "campus"},
    "alertsTo": {"mail": ["team@example.org"]},
}


@pytest.fixture(scope="module")
def stack(rig: Rig, emulator: Emulator) -> Iterator[Deployment]:
    """The stack with Prometheus, and a Grafana that notifies nobody."""
    make_played_image(rig)
    changes = {
        "images": {"grafana": PLAYED},
        "grafana": {"enabled": True},
        "prometheus": {"route": "/metrics", "allow": ["nat"], "accounts": [{"user": "sender"}]},
    }
    with deployed(rig, emulator, changes) as made:
        yield made


def test_the_outputs_are_those_that_are_promised(stack: Deployment) -> None:
    found = stack.stack.automation.outputs()
    secrets = [name for name, one in found.items() if one.secret]
    assert problems({name: one.value for name, one in found.items()}, secrets) == []
    # With Grafana, Prometheus and its own network, the stack has all outputs.
    assert sorted(found) == sorted(one.name for one in OUTPUTS)
    password = found["grafana_admin_password"].value
    assert printed(stack.container("grafana"), f"cat {GRAFANA_SECRETS}/admin-password") == password
    assert len(found["private_subnet_ids"].value) == 2


RULES: dict[str, Any] = {
    "many-series": {
        "query": "prometheus_tsdb_head_series > 1e9",
        "summary": "{{ .Values.value.Value }} series",
    },
    "out-of-memory": {
        "source": "aws",
        "query": 'sum by (service) (count_over_time({service=~".+"} |= "OutOfMemory" [5m])) > 0',
        "severity": "critical",
        "for": "1m",
        "summary": "{{ .Labels.service }} is out of memory",
    },
}
# They are as balanced as LogQL's; the second finds lines, and no number.
REFUSED = ['sum(rate({service=~".+"} [5m])) >', '({service=~".+"})']


def update(stack: Deployment, settings: Settings, secrets: Mapping[str, str]) -> None:
    """Run `pulumi up` with other settings, and secrets that are encrypted in the stack's file."""
    stack.stack.configure(settings)
    for path, value in secrets.items():
        key = f"{stack.stack.project}:{path}"
        stack.stack.run("config", "set", "--secret", "--path", key, value)
    stack.stack.up()


def reloads(stack: Deployment) -> list[str]:
    """The files that Grafana was asked to reload."""
    text: bytes = stack.container("grafana").logs(stdout=True)
    entries = [json.loads(line) for line in text.decode().splitlines() if '"method":"POST"' in line]
    assert all(one["status"] == 200 for one in entries)
    return [one["request"]["uri"].split("/")[4] for one in entries]


def found(stack: Deployment, path: str) -> str:
    return printed(stack.container("grafana"), f"cat {path}")


ALL = ["datasources", "dashboards", "alerting"]


def test_a_change_reaches_the_grafana_that_runs(stack: Deployment) -> None:
    since = stack.running_since("grafana")
    assert reloads(stack) == ALL
    assert "Kept in 31d" in found(stack, f"{DASHBOARDS}/pipeline.json")
    assert stack.stack.changes() == {}
    stack.stack.run("refresh", "--yes")
    assert stack.stack.changes() == {}

    # First a dashboard alone, then the alerts' contacts and their texts.
    changed = merged(stack.settings, {"loki": {"instances": {"test": {"retention": "14d"}}}})
    update(stack, changed, {})
    assert "Kept in 14d" in found(stack, f"{DASHBOARDS}/pipeline.json")
    assert reloads(stack) == ALL
    changed = merged(changed, {"grafana": {"alertsTo": {}}})
    webhook = {"grafana.alertsTo.slack": SECRETS["grafana.alertsTo.slack"]}
    update(stack, changed, webhook)
    assert webhook["grafana.alertsTo.slack"] in found(stack, f"{PROVISIONING}/alerting/contacts.yaml")
    assert reloads(stack) == ALL * 2
    # A new password of the admin also causes a reload: Grafana doesn't look for it.
    update(stack, changed, {"grafana.adminPassword": "an-admin-password-canary"})
    assert reloads(stack) == ALL * 3
    assert stack.running_since("grafana") == since

    # It reads its mail server, and its files, at its start, so there is no reload.
    changed = merged(changed, {"grafana": GRAFANA})
    update(stack, changed, SECRETS)
    assert stack.running_since("grafana") != since
    assert stack.stack.changes() == {}

    # No secret is anywhere in plain text.
    assert found(stack, f"{GRAFANA_SECRETS}/smtp-password") == SECRETS["grafana.smtp.password"]
    state = stack.stack.run("stack", "export")
    assert "campus-grafana-provisioned" in state
    assert "canary" not in state
    assert "canary" not in json.dumps(stack.container("grafana").attrs)


def test_own_rules_are_in_force_if_their_sources_take_the_queries(stack: Deployment) -> None:
    with_rules = merged(stack.settings, {"grafana": {"alertRules": RULES}})
    update(stack, with_rules, {})
    rules = f"{PROVISIONING}/alerting/rules.yaml"
    in_force = found(stack, rules)
    assert "is out of memory" in in_force
    assert stack.stack.changes() == {}
    asked = len(reloads(stack))
    for query in REFUSED:
        changed = {"grafana": {"alertRules": {"out-of-memory": {"query": query}}}}
        with pytest.raises(PulumiFailedError) as refused:
            update(stack, merged(with_rules, changed), {})
        for words in ("grafana.alertRules.out-of-memory.query", "parse error", query):
            assert words in str(refused.value)
        assert found(stack, rules) == in_force
    assert len(reloads(stack)) == asked
    update(stack, merged(stack.settings, {"grafana": {"alertRules": {}}}), {})
    groups = {one["name"]: one["rules"] for one in json.loads(found(stack, rules))["groups"]}
    assert all(one["isPaused"] for one in groups["own"])
