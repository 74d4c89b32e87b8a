"""Whether an address is this machine's: the plugins talk to no other."""

from __future__ import annotations

import ipaddress
from urllib.parse import urlsplit


def is_loopback(url: str, *schemes: str) -> bool:
    """Whether the URL has one of these schemes and can only mean this machine."""
    parts = urlsplit(url)
    if parts.scheme not in schemes or not parts.hostname:
        return False
    try:
        return ipaddress.ip_address(parts.hostname).is_loopback
    except ValueError:
        return parts.hostname == "localhost"
