# pyright: strict
"""Where an agent pushes, and where it finds its password. Pure."""

from __future__ import annotations

from dataclasses import dataclass

# In the folder of the agent's configuration.
PASSWORD_FILE = "password"


@dataclass(frozen=True, kw_only=True)
class Destination:
    """A push URL, and the user if it needs a password."""

    url: str
    user: str | None = None
