# pyright: strict
"""`Pulumi.<stack>.yaml`, read without Pulumi: by operators' tools, `make up` and the tests.

`python -m components.stack.settings_file STACK` prints the settings as JSON, for tools that run without the
virtualenv; `--place` prints only the settings that locate a stack, whatever is wrong with the others.
"""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import yaml
from pydantic import Field

from components.aws.settings import AwsSettings
from components.docker_hosts.settings import CampusSettings
from components.edge.settings import EdgeSettings
from components.log_shipper.settings import ShipperSettings
from components.stack.backends import guarded_backends
from components.stack.settings import Settings, parse, parse_part
from components.values.area import Area
from components.values.errors import PROJECT, SettingsError
from components.values.texts import ShortName

ROOT = Path(__file__).resolve().parents[2]
# Keys that Pulumi adds to a stack's file, which show how the file's secrets are decrypted.
WAYS_TO_DECRYPT = ("secretsprovider", "encryptionsalt")


@dataclass(frozen=True)
class SettingsFile:
    """The content of a stack's file. A secret is `{secure: ...}`, encrypted."""

    areas: dict[str, Any]
    decrypted_by: str | None


class Place(Area):
    """The settings that locate a stack, without secrets."""

    campus: CampusSettings
    edge: EdgeSettings
    shippers: dict[ShortName, ShipperSettings] = Field(default={})
    aws: AwsSettings


def read(stack: str, folder: Path = ROOT) -> SettingsFile:
    """A stack's file, for `settings.parse`. Raises SettingsError if it can't be read."""
    path = folder / f"Pulumi.{stack}.yaml"
    try:
        document = yaml.safe_load(path.read_text())
    except FileNotFoundError:
        raise SettingsError([f"there is no {path.name}"]) from None
    except yaml.YAMLError as error:
        raise SettingsError([f"{path.name} is not YAML: {' '.join(str(error).split())}"]) from None
    config = _mapping(_mapping(document).get("config"))
    if not config:
        raise SettingsError([f"{path.name}: config must be a mapping"])
    own = f"{PROJECT}:"
    areas = {key.removeprefix(own): one for key, one in config.items() if key.startswith(own)}
    return SettingsFile(areas, next((way for way in WAYS_TO_DECRYPT if _mapping(document).get(way)), None))


def _mapping(value: object) -> dict[str, Any]:
    """A mapping with its keys as text; empty for anything else."""
    if not isinstance(value, dict):
        return {}
    return {str(key): one for key, one in cast("dict[Any, Any]", value).items()}


def main() -> int:
    """Print the settings; 1, and one line per mistake, if they can't be used."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("stack")
    parser.add_argument("--place", action="store_true", help="only the settings that locate the stack")
    parser.add_argument("--folder", type=Path, default=ROOT, help="where the file is")
    arguments = parser.parse_args()
    try:
        file = read(arguments.stack, arguments.folder)
        found = parse_part(Place, file.areas) if arguments.place else parse(file.areas)
    except SettingsError as error:
        print(error, file=sys.stderr)
        return 1
    settings = found.model_dump(mode="json", by_alias=True)
    print(json.dumps({"decryptedBy": file.decrypted_by, "settings": settings, "backends": _backends(found)}))
    return 0


def _backends(found: Place | Settings) -> dict[str, str]:
    """Each backend's URL on the private network, by its name."""
    if isinstance(found, Place):
        return {}
    ports = {one.name: one.settings.port for one in guarded_backends(found)}
    return {name: f"http://{found.campus.private_address(port)}:{port}" for name, port in ports.items()}


if __name__ == "__main__":
    sys.exit(main())
