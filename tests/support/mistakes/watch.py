"""Mistakes in `watch`, and settings of other areas that AWS' checkers can't live with."""

from __future__ import annotations

from typing import Any

from tests.support.mistakes.mistake import Mistake
from tests.support.settings import WATCHED


def refused(changes: dict[str, Any], says: str, *words: str) -> Mistake:
    """A mistake in a stack that AWS watches."""
    return Mistake(changes, says, *words, base=WATCHED)


CLOSED = [{"action": "allow", "port": 18080}, {"action": "allow", "port": 22}]
HTTPS = {"action": "allow", "port": 18443}

MISTAKES = [
    Mistake(
        {"watch.mails": ["team@example.org"]},
        "edge.tls: acme or acme-staging with watch.mails",
        "'internal'",
    ),
    refused({"watch.mails": ["team"]}, "watch.mails.0: a mail address is needed", '"team"'),
    refused(
        {"watch.mails": ["team@example.org"] * 2},
        "watch.mails: each address once",
        "'team@example.org' twice",
    ),
    refused({"watch.heartbeat": "often"}, "watch.heartbeat: ", "often"),
    refused({"watch.mail": "team@example.org"}, "watch.mail: unknown key"),
    refused({"grafana.enabled": False}, "grafana.enabled: true with watch.mails", "False"),
    *(
        refused(
            {"portPolicy.rules": [*CLOSED, HTTPS | {"from": [source]}]},
            "portPolicy.rules: a rule that lets anybody in to edge.httpsPort (18443/tcp)",
            source,
        )
        for source in ("198.51.100.0/24", "::/0")
    ),
    *(
        refused(
            {"aws.region": region, "egress.create.zones": [f"{region}a", f"{region}b"]},
            "aws.region: a region in us-east-1's partition with watch.mails",
            f"'{region}'",
        )
        for region in ("us-gov-west-1", "cn-north-1")
    ),
]
