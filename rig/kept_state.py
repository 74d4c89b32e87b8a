"""A stack's state that an earlier version of the program left, kept to see what a preview makes of it.

`python -m rig.kept_state FILE [FOLDER]` brings the program in a folder up in the rig, and keeps its state.
The kept passwords are those of that stack, which was destroyed.
"""

from __future__ import annotations

import gzip
import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from rig.deployment import load_images, settings_for
from rig.emulator import Emulator, running_emulator
from rig.idle_alloy import make_idle_image
from rig.live_grafana import PLAYED, make_played_image
from rig.rig import Rig, end_in_order_on_signals, running_rig
from rig.stack import Settings, Stack, local_settings, merged, opened_stack, running_stack

# Settings that turn on Grafana and the campus server's own logs.
WHOLE = {"campus": {"logsTo": "test"}, "images": {"grafana": PLAYED}, "grafana": {"enabled": True}}

# What differs from rig to rig, and what stands for it in the file.
_STACK, _ENGINE = "kept-stack", "unix:///kept.sock"
_EMULATOR, _FOLDER = "http://kept.emulator", "/kept-folder"
# Where in the program a resource was registered, and the state's own key.
_LEFT_OUT = ("sourcePosition", "stackTrace")


@dataclass(frozen=True)
class KeptState:
    """A state as `pulumi stack export --show-secrets` gives it, and the settings that it came from."""

    settings: Settings
    state: dict[str, Any]

    @classmethod
    def read(cls, path: Path) -> KeptState:
        """The kept state in a file."""
        return cls(**json.loads(gzip.decompress(path.read_bytes())))

    def write(self, path: Path) -> None:
        """Keep it in a file, which is the same for the same state."""
        text = json.dumps({"settings": self.settings, "state": self.state}, sort_keys=True)
        path.write_bytes(gzip.compress(text.encode(), 9, mtime=0))

    def replaced(self, words: dict[str, str]) -> KeptState:
        """The same with other words in all its texts."""
        text = json.dumps({"settings": self.settings, "state": self.state})
        for word, other in words.items():
            text = text.replace(word, other)
        return KeptState(**json.loads(text))


@contextmanager
def imported(kept: KeptState, rig: Rig, emulator: Emulator) -> Iterator[Stack]:
    """A stack that has the kept state, and of which nothing is there: to preview, never to update."""
    make_images(rig)
    here = kept.replaced({_ENGINE: rig.engine.url, _EMULATOR: emulator.url, _FOLDER: _folder(rig)})
    load_images(rig, here.settings)
    with opened_stack(here.settings) as stack:
        state = here.replaced({_STACK: stack.name}).state
        # The secrets in it are plain: this stack's passphrase encrypts them.
        salt = yaml.safe_load((stack.folder / f"Pulumi.{stack.name}.yaml").read_text())["encryptionsalt"]
        state["deployment"]["secrets_providers"] = {"type": "passphrase", "state": {"salt": salt}}
        path = stack.folder / "state.json"
        path.write_text(json.dumps(state))
        stack.run("stack", "import", "--file", str(path))
        yield stack


def make_images(rig: Rig) -> None:
    """What is in Grafana's and Alloy's place, where their images aren't available."""
    make_played_image(rig)
    make_idle_image(rig, local_settings()["images"]["alloy"])


def whole_settings(rig: Rig, emulator: Emulator) -> Settings:
    """Settings with everything on the campus server: Grafana, its own logs, a published Loki."""
    return merged(settings_for(rig, emulator), WHOLE)


def keep(stack: Stack, settings: Settings, rig: Rig, emulator: Emulator) -> KeptState:
    """The state of a stack that is up, without what is another's in each rig."""
    state = json.loads(stack.run("stack", "export", "--show-secrets"))
    del state["deployment"]["secrets_providers"]
    for resource in state["deployment"]["resources"]:
        for key in _LEFT_OUT:
            resource.pop(key, None)
    words = {stack.name: _STACK, rig.engine.url: _ENGINE, emulator.url: _EMULATOR, _folder(rig): _FOLDER}
    return KeptState(settings, state).replaced(words)


def _folder(rig: Rig) -> str:
    """Where the rig's engine has its files, its socket among them."""
    return str(Path(rig.engine.url.removeprefix("unix://")).parent)


def main(path: Path, root: Path) -> None:
    """Keep the state of the program in `root`."""
    end_in_order_on_signals()
    with running_rig() as rig, running_emulator() as emulator:
        make_images(rig)
        settings = whole_settings(rig, emulator)
        load_images(rig, settings)
        with running_stack(settings, root) as stack:
            stack.up()
            keep(stack, settings, rig, emulator).write(path)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]) if len(sys.argv) > 2 else Path())
