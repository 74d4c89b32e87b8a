"""Pulumi's protocol classes, without the rest of Pulumi's SDK.

`import pulumi.runtime.proto` runs `pulumi/__init__.py` and with it the whole SDK (over a second on a small
machine). A plugin starts on every preview, so here only the folder with the generated classes becomes a
package, under its own name.
"""

from __future__ import annotations

import importlib
import importlib.machinery
import json
import sys
import types
from pathlib import Path
from typing import TYPE_CHECKING

_PACKAGE = "campus_monitor_pulumi_proto"


def sdk_folder(package: str) -> Path:
    """The folder of an installed package, found without running its code."""
    spec = importlib.machinery.PathFinder.find_spec(package)
    if spec is None or not spec.submodule_search_locations:
        raise ImportError(f"{package} isn't installed beside this Python: make up installs it")
    return Path(next(iter(spec.submodule_search_locations)))


def sdk_version(package: str) -> str:
    """The plugin version that an installed Pulumi SDK package asks for."""
    facts = json.loads((sdk_folder(package) / "pulumi-plugin.json").read_text(encoding="utf-8"))
    return str(facts["version"])


def _load(name: str) -> types.ModuleType:
    if _PACKAGE not in sys.modules:
        package = types.ModuleType(_PACKAGE)
        package.__path__ = [str(sdk_folder("pulumi") / "runtime" / "proto")]
        sys.modules[_PACKAGE] = package
    return importlib.import_module(f"{_PACKAGE}.{name}")


if TYPE_CHECKING:
    from pulumi.runtime.proto import (
        plugin_pb2,
        provider_pb2,
        provider_pb2_grpc,
        status_pb2,
    )
else:
    plugin_pb2 = _load("plugin_pb2")
    provider_pb2 = _load("provider_pb2")
    provider_pb2_grpc = _load("provider_pb2_grpc")
    status_pb2 = _load("status_pb2")

__all__ = ["plugin_pb2", "provider_pb2", "provider_pb2_grpc", "sdk_version", "status_pb2"]
