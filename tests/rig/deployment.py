"""The stack in the rig: its settings there, its images, and what it leaves behind."""

from __future__ import annotations

from tests.rig.docker_engine import image_tar
from tests.rig.emulator import Emulator
from tests.rig.rig import Rig
from tests.rig.stack import Settings, local_settings, merged

HTTPS = 443
# What the policy opens to the campus alone, and what it doesn't name.
CAMPUS_CIDR = "198.51.100.0/24"
LOKI = 3100
GUARDED_PORT = 3200
UNNAMED_PORT = 3201


def settings_for(rig: Rig, emulator: Emulator) -> Settings:
    """The local stack's settings, turned to the rig: its Docker, its AWS, its whole network.

    Grafana is left out where its image can't be had.
    """
    local = local_settings()
    # The local stack's policy may be anything: it guards nobody. Here it guards the whole host.
    rules: list[dict[str, object]] = [
        {"action": "limit", "port": 21541, "comment": "SSH"},
        {"action": "allow", "port": 80},
        {"action": "allow", "port": HTTPS},
        {"action": "allow", "port": LOKI, "from": [CAMPUS_CIDR], "comment": "Loki"},
        {"action": "allow", "port": GUARDED_PORT, "from": [CAMPUS_CIDR]},
    ]
    has_grafana = image_tar(local["images"]["grafana"]).exists()
    return merged(
        local,
        {
            "campus": {"dockerHost": rig.engine.url},
            "aws": {"emulator": emulator.url},
            "grafana": {"enabled": has_grafana},
            "edge": {"httpPort": 80, "httpsPort": HTTPS},
            "portPolicy": {"namespace": "host", "rules": rules},
        },
    )


def load_images(rig: Rig, settings: Settings) -> None:
    """Load what the settings name into the rig's Docker, so that nothing has to be pulled."""
    roles = ["caddy", "loki", "portGuard", *(["grafana"] if settings["grafana"]["enabled"] else [])]
    for role in roles:
        rig.engine.load(settings["images"][role])


def docker_contents(rig: Rig) -> set[str]:
    """Every container, volume and network in the rig's Docker, by kind and name."""
    client = rig.engine.client()
    try:
        return {
            *(f"container {one.name}" for one in client.containers.list(all=True)),
            *(f"volume {one.name}" for one in client.volumes.list()),
            *(f"network {one.name}" for one in client.networks.list()),
        }
    finally:
        client.close()
