"""`python3 -m ops.verify <stack>`: checks a deployment from here (docs/verify.md)."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from local import pulumi, say
from ops.verify import checks, local_stack, proof


def main() -> int:
    """Print the table. 0: all is proven; 1: something is wrong; 2: something can't be checked from here."""
    parser = argparse.ArgumentParser(prog="make verify", description=__doc__)
    parser.add_argument("stack", help="such as local, stage or prod")
    parser.add_argument(
        "--from", dest="sources", nargs="*", default=[], help="the addresses by which the server sees us"
    )
    parser.add_argument("--ca", type=Path, help="an authority's certificate, trusted instead of the system's")
    arguments = parser.parse_args()
    try:
        if arguments.stack == pulumi.STACK:
            results = local_stack.verify()
        else:
            results = proof.of_stack(arguments.stack, arguments.sources, arguments.ca)
    except say.Problem as problem:
        print(f"{say.ERROR} {problem}", file=sys.stderr)
        return 2
    print(checks.table(results), end="")
    print(checks.summary(results))
    return checks.exit_code(results)


if __name__ == "__main__":
    sys.exit(main())
