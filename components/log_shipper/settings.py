# pyright: strict
"""The settings of the Docker hosts whose container logs are shipped. Pure."""

from __future__ import annotations

from components.values.area import Area
from components.values.texts import DockerHost, ShortName, UserName

# The port of Alloy's own page, only on its container's loopback (its default).
ALLOY_PORT = 12345

# The name of the campus server's own shipper.
CAMPUS_LABEL = "campus"


class ShipperSettings(Area):
    """A Docker host whose container logs Alloy ships through a route with a password."""

    docker_host: DockerHost
    """Pulumi reaches the host's Docker Engine at this URL, and Alloy ships its containers' logs."""
    loki: ShortName
    """Alloy pushes to this Loki instance."""
    account: UserName
    """Alloy logs in with this account of the Loki instance."""
