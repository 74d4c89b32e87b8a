"""Questions to AWS while the program runs, so that a preview judges the answers."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import pulumi

from components.values.errors import PROJECT


@contextmanager
def asking(key: str, what: str = "AWS was asked") -> Iterator[None]:
    """Report a failed question to AWS in one line: `egress.<key>`, `what`, and AWS' own words."""
    try:
        yield
    except Exception as error:
        # The SDK raises bare Exceptions. Pulumi prints a RunError as it is, without a traceback.
        said = " ".join(str(error).split())
        raise pulumi.RunError(f"{PROJECT}:egress.{key}: {what}: {said}") from None
