"""The documents' blocks of settings are valid in a stack file like prod's."""

from __future__ import annotations

from typing import Any

import pytest
import yaml

from components.stack.settings import Settings, parse
from components.values.errors import SettingsError
from rig.stack import settings_of
from tests.support.guide import blocks


def documented(document: str, heading: str) -> dict[str, Any]:
    """The first block of YAML below a heading."""
    return yaml.safe_load(blocks(document, "yaml")[heading][0])


def prod_with(area: str, key: str, more: dict[str, Any]) -> Settings:
    """Prod's settings with more entries in `area`, or in `area.key`."""
    tree = settings_of("prod")
    place = tree[area][key] if key else tree[area]
    place.update(more)
    return parse(tree)


def test_shippings_example_of_a_service_is_valid() -> None:
    block = documented("shipping.md", "Add a service")
    ((name, service),) = block["campus-monitor:services"].items()
    settings = prod_with("services", "", {name: service})
    assert settings.services[name].loki in settings.loki.instances


@pytest.mark.parametrize("left_out", ["cpuUnits", "memoryMib", "containers"])
def test_shippings_example_is_minimal(left_out: str) -> None:
    ((name, service),) = documented("shipping.md", "Add a service")["campus-monitor:services"].items()
    del service[left_out]
    with pytest.raises(SettingsError, match=left_out):
        prod_with("services", "", {name: service})


def test_lokis_example_is_valid() -> None:
    instances = documented("loki.md", "Add a Loki")["campus-monitor:loki"]["instances"]
    # Under a name, port and route that are free in prod.
    more = instances["aws"] | {"port": 3102, "route": "/lokimore"}
    settings = prod_with("loki", "instances", {"more": more})
    assert settings.loki.instances["more"].limits == settings.loki.instances["aws"].limits


def test_the_watchs_example_is_valid() -> None:
    area = documented("aws.md", "Who watches the campus server")["campus-monitor:watch"]
    assert parse(settings_of("prod") | {"watch": area}).watch.is_on
