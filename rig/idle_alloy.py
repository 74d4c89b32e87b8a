"""A fake Alloy image, for machines where the registry refuses the real one."""

from __future__ import annotations

from contextlib import closing

from components.log_shipper.alloy_config import ALLOY_UID
from components.log_shipper.component import DATA
from rig.rig import Rig
from rig.stack import local_settings


def make_idle_image(rig: Rig, image: str) -> None:
    """Build the image, with Alloy's user and data directory; it ships nothing."""
    caddy = local_settings()["images"]["caddy"]
    rig.engine.load(caddy)
    prepare = f"mkdir -p {DATA} && chown -R {ALLOY_UID}:{ALLOY_UID} {DATA}"
    with closing(rig.engine.client()) as engine:
        made = engine.containers.create(caddy, ["sh", "-c", prepare])
        try:
            made.start()
            assert made.wait()["StatusCode"] == 0
            name, _, tag = image.rpartition(":")
            idle = 'ENTRYPOINT ["sh", "-c", "trap exit TERM; while :; do sleep 1; done"]'
            made.commit(name, tag, changes=idle)
        finally:
            made.remove()
