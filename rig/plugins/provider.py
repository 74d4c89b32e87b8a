"""The fake's base classes: resource types, and a provider that finds them."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from rig.plugins.schema import Failure, Prop

State = dict[str, Any]


class PluginError(Exception):
    """A failure whose text is for the user."""


class ResourceType(ABC):
    """One resource type. Values that reach its methods are plain and known."""

    token: str
    inputs: Mapping[str, Prop]
    computed: tuple[str, ...] = ()
    """Outputs that no input sets."""
    mirrors: Mapping[str, str] = {}
    """Outputs that repeat an input, with its secrecy, and known as early."""
    auto_named: bool = False
    """Whether a missing `name` is generated from the logical name."""

    def failures(self, inputs: State) -> list[Failure]:
        """What is wrong with the inputs, beyond the schema."""
        del inputs
        return []

    @abstractmethod
    def create(self, inputs: State) -> tuple[str, State]:
        """Create it; return its id and its state."""

    @abstractmethod
    def read(self, resource_id: str, state: State) -> tuple[str, State] | None:
        """Its current id and state; None if it is gone. An empty state means an import."""

    @abstractmethod
    def update(self, resource_id: str, old: State, new: State) -> State:
        """Change it in place; return its new state."""

    @abstractmethod
    def delete(self, resource_id: str, state: State) -> None:
        """Remove it; no error if it is gone already."""

    def _read_back(self, resource_id: str, state: State) -> State:
        """The state after a change; an error if the resource vanished meanwhile."""
        found = self.read(resource_id, state)
        if found is None:
            raise PluginError(f"{self.token} {resource_id} vanished while it was made or changed")
        return found[1]


@dataclass(frozen=True, kw_only=True)
class Function:
    """One function: its inputs, and its result."""

    inputs: Mapping[str, Prop]
    call: Callable[[State], State]


class Provider(ABC):
    """One plugin: its settings, its resource types and its functions."""

    name: ClassVar[str]
    sdk: ClassVar[str]
    """The Python package of the plugin that this fakes."""
    config: ClassVar[Mapping[str, Prop]]

    @property
    @abstractmethod
    def types(self) -> Mapping[str, ResourceType]:
        """The resource types by token."""

    @property
    def functions(self) -> Mapping[str, Function]:
        """The functions by token; most plugins need none."""
        return {}

    def config_failures(self, config: State) -> list[Failure]:
        """What is wrong with the provider's settings, beyond the schema."""
        del config
        return []

    @abstractmethod
    def configure(self, config: State) -> None:
        """Take the settings. Raises `PluginError` if nothing could work with them."""

    @abstractmethod
    def explain(self, error: Exception) -> str | None:
        """One line for an error of the service behind; None for other errors."""


def planned(resource: ResourceType, inputs: State) -> State:
    """The inputs with the schema's defaults filled in."""
    defaults = {name: prop.default for name, prop in resource.inputs.items() if prop.default is not None}
    return {**defaults, **inputs}


def settled(resource: ResourceType, old: State, new: State) -> State:
    """The state after an update without any call: new inputs over the old state."""
    stays = {
        name: value
        for name, value in old.items()
        if name not in resource.inputs or resource.inputs[name].computed
    }
    return {**stays, **planned(resource, new)}
