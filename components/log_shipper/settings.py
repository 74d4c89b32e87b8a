# pyright: strict
"""The settings of the Docker hosts whose containers' logs are shipped. Pure."""

from __future__ import annotations

from components.values.area import Area
from components.values.texts import DockerHost, ShortName, UserName

# Where Alloy serves its own page, in its container's loopback alone (its default).
ALLOY_PORT = 12345

# The campus host's own shipper is called so.
CAMPUS_LABEL = "campus"


class ShipperSettings(Area):
    """A Docker host whose containers' logs are shipped, by Alloy, through a route with a password."""

    docker_host: DockerHost
    """Pulumi reaches the host's Docker Engine at this URL, and Alloy ships its containers' logs."""
    loki: ShortName
    """Alloy pushes to this Loki instance."""
    account: UserName
    """Alloy logs in with this account of the Loki instance."""
