"""docker.Network."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from toolchain.plugins.docker_things.engine import Engine
from toolchain.plugins.docker_things.volume import LABELS, label_list, label_map
from toolchain.plugins.provider import PluginError, ResourceType, State, settled
from toolchain.plugins.schema import boolean, mapping, objects, string

if TYPE_CHECKING:
    from docker.types import IPAMPool

_REMOVAL_SECONDS = 30.0
_RETRY_SECONDS = 0.25


class Network(ResourceType):
    """A network of containers. Every change replaces it."""

    token = "docker:index/network:Network"
    auto_named = True
    computed = ("scope",)
    inputs = {  # noqa: RUF012
        "name": string(replace=True),
        "driver": string(computed=True, replace=True),
        "internal": boolean(computed=True, replace=True),
        "attachable": boolean(replace=True),
        "ipv6": boolean(replace=True),
        "options": mapping(computed=True, replace=True),
        "labels": objects("set", LABELS, replace=True),
        "ipamConfigs": objects(
            "set",
            {
                "subnet": string(),
                "gateway": string(),
                "ipRange": string(),
                "auxAddress": mapping(),
            },
            computed=True,
            replace=True,
        ),
    }

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def create(self, inputs: State) -> tuple[str, State]:
        from docker.errors import APIError
        from docker.types import IPAMConfig

        try:
            made = self._engine.api.create_network(
                inputs["name"],
                driver=inputs.get("driver"),
                options=inputs.get("options"),
                ipam=IPAMConfig("default", [_pool(one) for one in inputs.get("ipamConfigs", [])]),
                # So does the real plugin: older engines allow a second network of the same name.
                check_duplicate=True,
                internal=inputs.get("internal", False),
                labels=label_map(inputs),
                enable_ipv6=inputs.get("ipv6", False),
                attachable=inputs.get("attachable"),
            )
        except APIError as error:
            raise PluginError(f"Unable to create network: {error.explanation or error}") from error
        found = self.read(made["Id"], inputs)
        if found is None:
            raise PluginError(f"network {inputs['name']} vanished while it was made")
        return found

    def read(self, resource_id: str, state: State) -> tuple[str, State] | None:
        from docker.errors import NotFound

        try:
            seen = self._engine.api.inspect_network(resource_id)
        except NotFound:
            return None
        return seen["Id"], {
            **state,
            "name": seen["Name"],
            "driver": seen["Driver"],
            "internal": seen["Internal"],
            "attachable": seen["Attachable"],
            "ingress": seen.get("Ingress", False),
            "ipv6": seen["EnableIPv6"],
            "options": seen.get("Options") or {},
            "labels": label_list(seen.get("Labels"), state),
            "ipamDriver": seen["IPAM"]["Driver"],
            "ipamConfigs": [_ipam_seen(one) for one in seen["IPAM"].get("Config") or []],
            "scope": seen["Scope"],
        }

    def update(self, resource_id: str, old: State, new: State) -> State:
        return settled(self, old, new)

    def delete(self, resource_id: str, state: State) -> None:
        from docker.errors import APIError, NotFound

        deadline = time.monotonic() + _REMOVAL_SECONDS
        while True:
            try:
                self._engine.api.remove_network(resource_id)
                return
            except NotFound:
                return
            except APIError as error:
                if "has active endpoints" not in str(error) or time.monotonic() > deadline:
                    raise
            time.sleep(_RETRY_SECONDS)


def _pool(config: dict[str, Any]) -> IPAMPool:
    from docker.types import IPAMPool

    return IPAMPool(
        subnet=config.get("subnet"),
        gateway=config.get("gateway"),
        iprange=config.get("ipRange"),
        aux_addresses=config.get("auxAddress"),
    )


def _ipam_seen(config: dict[str, Any]) -> dict[str, Any]:
    found = {
        "subnet": config.get("Subnet"),
        "gateway": config.get("Gateway"),
        "ipRange": config.get("IPRange"),
        "auxAddress": config.get("AuxiliaryAddresses"),
    }
    return {name: value for name, value in found.items() if value}
