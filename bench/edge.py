"""The cost of the gate and the reader: pushes, queries, a new allowed address, a flood of guesses.

`python -m bench.edge` deploys the stack into the test rig, with more Caddies to compare with. It measures all
in turns, so that a busy machine slows all alike.
"""

from __future__ import annotations

import sys

from bench.allowing import TWIN_PORT, report_allowing
from bench.pushes import BARE_PORT, report_pushes
from bench.queries import report_queries
from bench.verdict import verdict
from rig.deployment import Deployment, deployed, settings_for
from rig.edge_files import edge_files
from rig.emulator import running_emulator
from rig.flood import GUESSERS, GUESSES_PER_SECOND, VISITS_PER_SECOND, page_behind_caddy, slowdown
from rig.live_grafana import PLAYED, make_played_image
from rig.namespaces import NAT
from rig.rig import end_in_order_on_signals, running_rig

# Enough turns (tests/edge/test_flood.py): with 60, the ratio was 1.16 once, and 0.9 to 1.06 otherwise.
FLOOD_TURNS, TURN_SECONDS = 100, 2.0


def main() -> int:
    """Measure and record everything; 1 if a figure misses its target."""
    end_in_order_on_signals()
    with running_rig() as rig, running_emulator() as emulator:
        rules = settings_for(rig, emulator)["portPolicy"]["rules"]
        more = [{"action": "allow", "port": port} for port in (BARE_PORT, TWIN_PORT)]
        make_played_image(rig)
        changes = {
            "portPolicy": {"rules": [*rules, *more]},
            "images": {"grafana": PLAYED},
            "grafana": {"enabled": True},
        }
        with deployed(rig, emulator, changes) as edge:
            met = [report_pushes(edge), report_queries(edge), report_allowing(edge), report_flood(edge)]
    return 0 if all(met) else 1


def report_flood(edge: Deployment) -> bool:
    """The cost of guesses for a visitor of Grafana: from outside the gate; from inside only printed."""
    with page_behind_caddy(edge) as page, edge_files(edge) as live:
        live.apply(live.rendered(grafana=page))
        outside = slowdown(edge, FLOOD_TURNS, TURN_SECONDS)
        inside = slowdown(edge, 1, TURN_SECONDS, source=NAT)
    print(f"  guesses from outside the gate: {outside}")
    print(f"  guesses from inside it: {inside}; {inside.visits_per_second:.0f} visits/s are left")
    versus = (
        f"no guesses; {GUESSERS} clients, {GUESSES_PER_SECOND:g} guesses/s, {VISITS_PER_SECOND:g} visits/s"
    )
    return verdict("flood_slowdown", round(outside.ratio, 3), outside.visits, versus)


if __name__ == "__main__":
    sys.exit(main())
