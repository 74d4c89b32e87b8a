"""Random rule sets in the settings' form, made to overlap."""

from __future__ import annotations

import random
from typing import Any

from rig.namespaces import CAMPUS_CLIENT, NAT_6, STRANGER, STRANGER_6
from tests.policy.site import (
    APPS,
    APPS_6,
    MATE,
    OFFICE,
    OFFICE_6,
    OTHER,
    OTHER_6,
    PORTS,
)

RuleSet = list[dict[str, Any]]

# Each source, networks around it, and networks without a source.
CIDRS = (
    f"{STRANGER}/32", "203.0.113.0/24", "203.0.113.0/29", "203.0.113.8/31", "203.0.0.0/16",
    f"{CAMPUS_CLIENT}/32", "198.51.100.0/24", "198.51.100.0/25", "198.51.100.128/25",
    f"{MATE}/32", "192.0.2.0/24", f"{OFFICE}/32", "192.168.0.0/16",
    APPS, "172.30.0.0/16", f"{OTHER}/32", "10.0.0.0/8", "0.0.0.0/0",
    f"{STRANGER_6}/128", "2001:db8::/64", "2001:db8::8/125", f"{NAT_6}/128", "2001:db8::/32",
    "2001:db8:2::/64", f"{OFFICE_6}/128", "2001:db8:77::/64",
    APPS_6, "fd00:30::/32", f"{OTHER_6}/128", "fd00::/8", "::/0",
)  # fmt: skip
MOST_RULES = 14
PORTLESS = ["ah", "esp", "gre", "vrrp"]


def random_rules(rng: random.Random) -> RuleSet:
    """A rule set; the first matching rule decides, so order matters."""
    return [_rule(rng) for _ in range(rng.randint(0, MOST_RULES))]


def _rule(rng: random.Random) -> dict[str, Any]:
    if rng.random() < 0.1:
        # Affects no port.
        return {"action": rng.choice(["allow", "deny"]), "protocol": rng.choice(PORTLESS)}
    port = _port(rng)
    # A range is for one protocol, as in ufw.
    protocols = ["tcp", "udp", "both"] if isinstance(port, int) else ["tcp", "udp"]
    rule: dict[str, Any] = {
        "action": rng.choices(["allow", "deny", "limit"], [6, 3, 1])[0],
        "port": port,
        "protocol": rng.choice(protocols),
    }
    if rng.random() < 0.7:
        rule["from"] = rng.sample(CIDRS, rng.randint(1, 4))
    if rng.random() < 0.3:
        rule["comment"] = rng.choice(["Loki (campus)", "a, b: c/d +e - f", "table inet campus_policy"])
    return rule


def _port(rng: random.Random) -> int | str:
    port = rng.choice(PORTS)
    kind = rng.random()
    if kind < 0.5:
        return port
    if kind < 0.6:
        return f"{rng.randint(1, port)}-{rng.randint(port, 65535)}"
    first = port - rng.randint(0, 2)
    return f"{first}-{port + rng.randint(0, 3)}"
