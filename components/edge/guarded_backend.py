# pyright: strict
"""A program behind the gate, as data: who may push and query, on which paths, and where it is. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from components.edge.guarded_settings import GuardedSettings
from components.edge.query_route import RefusedQuery


@dataclass(frozen=True, kw_only=True)
class PushPath:
    """A path for pushes, the same below a route and at its backend."""

    path: str
    # The largest body, as sent.
    max_body: str
    # The name in matchers; the route's first path needs none.
    name: str = ""
    # Whether a compressed body is refused (415), as the backend would unpack any size.
    is_plain: bool = False


@dataclass(frozen=True, kw_only=True)
class PushesWhile:
    """The answer with which a backend takes pushes."""

    # The path that Caddy asks every second.
    uri: str
    # A regular expression that the answer's body has to match.
    body: str


@dataclass(frozen=True, kw_only=True)
class Pushes:
    """The pushes that a backend gets."""

    # All paths; the first one has no name.
    paths: tuple[PushPath, ...]
    # Its memory has room for this many of the worst. Others wait, with their bodies unread.
    at_once: int
    # None if it limits everything itself.
    only_while: PushesWhile | None = None


@dataclass(frozen=True, kw_only=True)
class GuardedBackend:
    """A backend, for the gate and for the reader."""

    # Unique among all backends.
    name: str
    # The key of its image in `images`.
    image_key: str
    settings: GuardedSettings
    # host:port of each replica, for Caddy.
    upstreams: tuple[str, ...]
    # The fixed address of each of these hosts.
    addresses: Mapping[str, str]
    pushes: Pushes
    # A regular expression of the queries' URIs.
    queries: str
    refused: tuple[RefusedQuery, ...] = ()
