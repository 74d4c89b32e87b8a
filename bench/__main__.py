"""`python -m bench` runs every benchmark in turn; 1 if a figure misses its target."""

from __future__ import annotations

import sys

from bench import edge, loki, metrics, preview, services

BENCHMARKS = (preview, services, edge, loki, metrics)


def main() -> int:
    """Run all benchmarks, even after a miss."""
    return max(benchmark.main() for benchmark in BENCHMARKS)


if __name__ == "__main__":
    sys.exit(main())
