"""The base of our dynamic providers: how they report a failure."""

from __future__ import annotations

import sys
import traceback
from collections.abc import Callable
from functools import wraps
from typing import Any

from pulumi import dynamic

from components.live.docker_host import LiveError

_METHODS = ("check", "diff", "create", "update", "read", "delete")


class LiveProvider(dynamic.ResourceProvider):
    """A provider that reports LiveErrors without a traceback.

    Any other error is a mistake of ours, and is reported with its traceback.
    """

    def __init_subclass__(cls) -> None:
        super().__init_subclass__()
        for name in _METHODS:
            if name in vars(cls):
                setattr(cls, name, _with_its_traceback(vars(cls)[name]))

    def configure(self, req: dynamic.ConfigureRequest) -> None:
        """Called only in the plugin's own process, where Pulumi prints tracebacks."""
        sys.tracebacklimit = 0


def _with_its_traceback(method: Callable[..., Any]) -> Callable[..., Any]:
    @wraps(method)
    def reported(*arguments: Any) -> Any:
        try:
            return method(*arguments)
        except LiveError:
            raise
        except Exception as error:
            # Pulumi prints the notes of an exception in any case.
            error.add_note(traceback.format_exc(limit=sys.getrecursionlimit()))
            raise

    return reported
