"""Mistakes in `portPolicy`."""

from __future__ import annotations

from tests.support.mistakes.mistake import Mistake

OPERATORS = "198.51.100.0/24"
SSH_FOR_OTHERS = {"action": "allow", "port": 21541, "from": ["203.0.113.0/24"]}
LOCKING = {"namespace": "host", "sshPort": 21541, "operatorCidrs": [OPERATORS], "rules": [SSH_FOR_OTHERS]}
OPEN_TO_ALL = [{"action": "allow", "port": port} for port in (21541, 18080, 18443)]


def published_for(*sources: str) -> dict[str, object]:
    """A Loki's port, open to these sources."""
    rule = {"action": "allow", "port": 3100, "from": list(sources)}
    return {
        "portPolicy": LOCKING | {"rules": [*OPEN_TO_ALL, rule]},
        "loki.instances.aws.published": True,
    }


SSH_ALONE = LOCKING | {"rules": [{"action": "limit", "port": 21541}]}

MISTAKES = [
    Mistake(
        {"portPolicy.rules": [{"action": "allow", "port": 999999}]},
        "portPolicy.rules.0.port: a port",
        "1 to 65535",
        "999999",
    ),
    Mistake(
        {"portPolicy.rules": [{"action": "allow", "port": "9-5"}]}, "portPolicy.rules.0.port: a range", "9-5"
    ),
    *(
        Mistake(
            {"portPolicy.rules": [{"action": "allow", "protocol": protocol, "port": 50}]},
            f"portPolicy.rules.0.port: {protocol} has no ports",
            "50",
        )
        for protocol in ("ah", "esp", "gre", "vrrp")
    ),
    Mistake(
        {"portPolicy.rules": [{"action": "limit", "protocol": "esp"}]},
        "portPolicy.rules.0.action: esp has no connections",
        "limit",
    ),
    Mistake({"portPolicy.rules": [{"action": "allow"}]}, "portPolicy.rules.0.port: a port", "None"),
    Mistake(
        {"portPolicy.rules": [{"action": "allow", "protocol": "icmp"}]},
        "portPolicy.rules.0.protocol:",
        "icmp",
    ),
    Mistake({"portPolicy.rules": [{"action": "open", "port": 1}]}, "portPolicy.rules.0.action:", "open"),
    Mistake(
        {"portPolicy.rules": [{"action": "allow", "port": 1, "comment": 'a" drop'}]},
        "portPolicy.rules.0.comment:",
    ),
    Mistake(
        {"portPolicy.rules": [{"action": "allow", "port": "5-9", "protocol": "both"}]},
        "portPolicy.rules.0.protocol: a range",
        "both",
    ),
    Mistake({"portPolicy.namespace": "host"}, "portPolicy.operatorCidrs: at least one", "[]"),
    Mistake({"portPolicy.operatorCidrs": ["10.0.0.1/8"]}, "portPolicy.operatorCidrs.0:", "10.0.0.1/8"),
    Mistake(
        {"portPolicy.operatorCidrs": ["::ffff:10.0.0.1"]}, "portPolicy.operatorCidrs.0: packets carry", "10.0"
    ),
    Mistake(
        {"portPolicy.rules": [{"action": "allow", "port": 1, "from": ["64:ff9b::/96"]}]},
        "portPolicy.rules.0.from.0: packets carry an IPv4 address",
        "write 0.0.0.0/0",
    ),
    Mistake(
        {"portPolicy.operatorCidrs": ["172.29.0.0/24"]},
        "portPolicy.operatorCidrs: the containers' own addresses",
        "'172.29.0.0/24'",
    ),
    Mistake(
        {"portPolicy.rules": [{"action": "limit", "port": 1, "from": ["10.0.0.0/8", "172.0.0.0/8"]}]},
        "portPolicy.rules.0.from: the containers' own addresses",
        "'172.0.0.0/8'",
    ),
    *(
        Mistake(
            published_for("10.0.0.0/8", wide),
            f"loki.instances.aws.published: portPolicy.rules let {wide} in to port 3100/tcp",
            "publishedWide: true",
        )
        for wide in ("203.0.113.0/24", "8.8.8.8/32", "10.0.0.0/7", "0.0.0.0/1", "2001:db8::/64")
    ),
    *(
        Mistake(
            published_for("10.0.0.0/8") | {"loki.instances.aws.port": port},
            f"loki.instances.aws.port: with published: true it can't be {whose} too",
            str(port),
        )
        for port, whose in ((18080, "edge.httpPort"), (18443, "edge.httpsPort"), (21541, "SSH's port"))
    ),
    Mistake(
        {"portPolicy": LOCKING | {"operatorCidrs": ["172.30.0.0/16"]}},
        "portPolicy.operatorCidrs: the containers' own addresses (campus.readersNetworkCidr 172.30.0.0/24)",
        "172.30.0.0/16",
    ),
    Mistake({"portPolicy.sshPort": 0}, "portPolicy.sshPort: a port is a whole number", "0"),
    Mistake({"portPolicy.confirmSeconds": 0}, "portPolicy.confirmSeconds:", "0"),
    Mistake({"portPolicy.confirmSeconds": 51}, "portPolicy.confirmSeconds:", "51"),
    Mistake({"portPolicy.confirmTarget": "host"}, "portPolicy.confirmTarget: a login", "host"),
    Mistake({"portPolicy.confirmTarget": "me:pass@host"}, "portPolicy.confirmTarget: a login"),
    Mistake({"portPolicy.confirmTarget": "-F@host"}, "portPolicy.confirmTarget: a login", "-F@host"),
    Mistake({"portPolicy.confirmTarget": "me@-F"}, "portPolicy.confirmTarget: a login", "me@-F"),
    Mistake(
        {"portPolicy.confirmTarget": "me@host:99999"}, "portPolicy.confirmTarget: a login", "me@host:99999"
    ),
    Mistake(
        {"portPolicy": LOCKING, "loki.instances.aws.published": False},
        "portPolicy.rules: operators would be locked out of SSH (port 21541)",
        OPERATORS,
    ),
    Mistake(
        {"portPolicy": SSH_ALONE, "loki.instances.aws.published": True},
        "loki.instances.aws.published: no rule of portPolicy.rules lets port 3100/tcp in",
    ),
]
