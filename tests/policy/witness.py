"""Counts, in the kernel, the packets that passed every filter of the host.

The suites' own table, whose hooks come after all others.
"""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from rig.namespaces import Namespace

TABLE = "inet policy_witness"
# After all filters (0) and the source NAT (100): netfilter_ipv4.h.
PRIORITY = 900


@dataclass(frozen=True)
class Witness:
    """Counts packets that match one of these nft expressions, to the host itself or through it."""

    campus: Namespace
    matches: Sequence[str]

    @contextmanager
    def watching(self) -> Iterator[None]:
        """Count for the duration of the block."""
        lines = [f"table {TABLE} {{", "counter passed { }"]
        for hook in ("input", "forward"):
            lines += [f"chain {hook} {{", f"type filter hook {hook} priority {PRIORITY}; policy accept;"]
            lines += [f"{match} counter name passed" for match in self.matches]
            lines.append("}")
        self._nft("-f", "-", text="\n".join([*lines, "}", ""]))
        try:
            yield
        finally:
            self._nft("delete", "table", *TABLE.split())

    def passed(self) -> int:
        """How many packets have passed everything so far."""
        listed = json.loads(self._nft("-j", "list", "counters", "table", *TABLE.split()))
        [counter] = [one["counter"] for one in listed["nftables"] if "counter" in one]
        return counter["packets"]

    def _nft(self, *arguments: str, text: str | None = None) -> str:
        done = subprocess.run(
            ["nsenter", f"--net={self.campus.path}", "nft", *arguments],
            input=text,
            capture_output=True,
            text=True,
        )
        if done.returncode != 0:
            raise RuntimeError(f"nft {' '.join(arguments)}: {done.stderr.strip()}")
        return done.stdout
