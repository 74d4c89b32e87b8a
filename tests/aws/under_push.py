"""The load for changes of the NAT: log routers that push from behind it."""

from __future__ import annotations

from rig.deployment import Deployment
from rig.namespaces import NAT
from rig.pusher import Pusher
from rig.stack import Settings
from tests.aws.conftest import login_of
from tests.aws.nat import Nat, behind

LINES_PER_SECOND = 50.0
SHIPPERS = 4
BATCH_WAIT_SECONDS = 0.4


def pusher_behind(stack: Deployment, nat: Nat, job: str) -> Pusher:
    """Log routers whose pushes come from that NAT's current address."""
    return Pusher(
        behind(stack.client(NAT), nat),
        "/lokiaws",
        job,
        lines_per_second=LINES_PER_SECOND,
        shippers=SHIPPERS,
        batch_wait=BATCH_WAIT_SECONDS,
        login=login_of(stack),
    )


def up(stack: Deployment, egress: Settings) -> list[str]:
    """Deploy other egress settings; returns the stack's public addresses."""
    stack.stack.configure(stack.settings | {"egress": egress})
    stack.stack.up()
    return stack.stack.outputs()["nat_public_ips"]
