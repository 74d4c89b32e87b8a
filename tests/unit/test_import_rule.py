"""Renderers are pure: none reaches Pulumi or an SDK, not even by way of others. Nobody imports a test."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
RENDERERS = (
    "components.stack.outputs",
    "components.grafana.alert_rules",
    "components.log_shipper.alloy_config",
    "components.edge.caddyfile",
    "components.grafana.dashboards",
    "components.log_shipper.docker_reader",
    "components.grafana.logql",
    "components.loki.config",
    "components.port_policy.nftables",
    "components.grafana.panels",
    "components.grafana.provisioning",
    "components.ecs.buffer_plan",
    "components.ecs.container_definitions",
    "components.ecs.firelens",
    "components.ecs.group_rules",
    "components.ecs.loss_signs",
    "components.aws.nat_boot",
    "components.aws.partitions",
    "components.ecs.policies",
)
FORBIDDEN = ("pulumi", "docker", "boto3")


def imported(source: str) -> set[str]:
    """Every module that the source names in an import, at any depth."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            names.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports are written absolutely"
            names.add(node.module or "")
            names.update(f"{node.module}.{alias.name}" for alias in node.names)
    return names


def all_imports(module: str, seen: set[str]) -> set[str]:
    """What a module of ours imports, with what those of ours that it imports import."""
    path = ROOT / (module.replace(".", "/") + ".py")
    if module in seen or not path.exists():
        return set()
    seen.add(module)
    direct = imported(path.read_text())
    return direct.union(*(all_imports(name, seen) for name in direct))


@pytest.mark.parametrize("module", RENDERERS)
def test_a_renderer_reaches_no_sdk(module: str) -> None:
    names = all_imports(module, set())
    assert names, f"{module} is not where this test looks for it"
    assert not [name for name in names if name.split(".")[0].startswith(FORBIDDEN)]


def test_the_rule_sees_an_import_of_any_form() -> None:
    source = "import a.b\ndef f():\n    from pulumi import Output\n"
    assert {"a.b", "pulumi"} <= imported(source)


def imported_tests(source: str) -> set[str]:
    """The test modules that the source takes something out of."""
    return {name for name in imported(source) if any(part.startswith("test_") for part in name.split("."))}


def test_what_tests_share_is_in_support() -> None:
    """Or in a module beside them: whoever changes a test changes no other."""
    paths = [path for folder in ("tests", "bench") for path in (ROOT / folder).rglob("*.py")]
    assert paths
    found = {str(path.relative_to(ROOT)): imported_tests(path.read_text()) for path in paths}
    assert {path: names for path, names in found.items() if names} == {}


def test_an_import_out_of_a_test_is_seen() -> None:
    assert imported_tests("from tests.unit.test_live import Live")
    assert imported_tests("from tests.unit import test_live")
