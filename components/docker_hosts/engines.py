# pyright: strict
"""Which Docker Engines can't host the stack, by their own words. Pure, with the standard library alone."""

from __future__ import annotations

from collections.abc import Iterable

# Their containers can't be on the host's network (docs/port-policy.md, "Docker versions").
_UNFIT = {"name=userns": "remaps users", "name=rootless": "is rootless"}


def unfit(security_options: Iterable[str]) -> str | None:
    """What makes an engine unfit, by the SecurityOptions of `docker info`; None if nothing does."""
    names = {option.partition(",")[0] for option in security_options}
    return next((what for name, what in _UNFIT.items() if name in names), None)
