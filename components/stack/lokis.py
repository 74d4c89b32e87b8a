"""The campus server's Lokis, and the other Docker hosts of their replicas."""

from __future__ import annotations

import pulumi

from components.docker_hosts.containers import Host
from components.loki.component import Loki, LokiArgs
from components.loki.other_host import LokiHost, OtherHost, OtherHostArgs
from components.stack.settings import Settings


def make_lokis(
    name: str, settings: Settings, here: LokiHost, campus: pulumi.Resource, opts: pulumi.ResourceOptions
) -> list[Loki]:
    """A Loki for each instance in the settings, with these options; the other hosts are children of `campus`.

    `name` begins the names of all resources, and `here` is the campus server.
    """
    others = {key: _other_host(name, settings, key, campus).for_loki for key in settings.campus.other_hosts}
    return [
        Loki(
            f"{name}-loki-{key}",
            LokiArgs(
                placement=placement,
                hosts={None: here, **others},
                settings=settings.loki.instances[key],
                oldest_seconds=settings.oldest_seconds(key),
            ),
            opts,
        )
        for key, placement in settings.placements.items()
    ]


def _other_host(name: str, settings: Settings, key: str, campus: pulumi.Resource) -> OtherHost:
    return OtherHost(
        f"{name}-host-{key}",
        OtherHostArgs(
            host=Host.of(settings.campus, settings.campus.other_hosts[key].docker_host),
            network_cidr=settings.campus.network_cidr,
            loki_image=settings.images.loki,
            port_guard_image=settings.images.port_guard,
            rules=settings.rules_at(key),
            kept=settings.kept_at(key),
            confirmation=settings.confirmation_at(key),
        ),
        pulumi.ResourceOptions(parent=campus),
    )
