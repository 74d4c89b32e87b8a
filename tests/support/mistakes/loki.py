"""Mistakes in one Loki; those in a bucket or replicas are in replicas.py."""

from __future__ import annotations

from tests.support.mistakes.mistake import Mistake

MISTAKES = [
    Mistake({"loki.instances.aws.allow": []}, "loki.instances.aws.allow: at least one entry", "[]"),
    Mistake({"loki.instances.aws.allow": ["1.2.3.4/33"]}, "loki.instances.aws.allow:", "1.2.3.4/33"),
    Mistake({"loki.instances.aws.allow": ["::/0"]}, "loki.instances.aws.allow:", "::/0"),
    Mistake({"loki.instances.aws.route": "lokiaws"}, "loki.instances.aws.route: a route", "lokiaws"),
    Mistake({"loki.instances.aws.route": "/a/../b"}, "loki.instances.aws.route: a route", "/a/../b"),
    Mistake({"loki.instances.aws.port": 3199}, "loki.instances.test.port: 3199 is already", "aws"),
    Mistake(
        {
            f"loki.instances.l{at}": {"port": 4000 + at, "route": f"/l{at}", "allow": ["192.0.2.1"]}
            for at in range(8)
        },
        "loki.instances: 8 at most",
        "received 10",
    ),
    Mistake({"loki.instances.aws.port": 2}, "loki.instances.aws.port: the reader has that address (2)"),
    Mistake({"loki.instances.aws.port": 443}, "loki.instances.aws.port: Caddy, which stands", "443"),
    Mistake({"loki.instances.aws.port": 7946}, "loki.instances.aws.port: replicas of a Loki", "7946"),
    Mistake({"loki.instances.aws.port": 1}, "loki.instances.aws.port: the private network's", "1"),
    Mistake({"loki.instances.aws.port": 9095}, "loki.instances.aws.port: Loki's own gRPC", "9095"),
    Mistake({"loki.instances.aws.port": 65535}, "loki.instances.aws.port: that address", "65535"),
    Mistake(
        {"loki.instances.aws.retention": "23h"}, "loki.instances.aws.retention: lines are kept for at", "23h"
    ),
    Mistake(
        {"loki.instances.aws.retention": "101y"}, "loki.instances.aws.retention: lines are kept for", "101y"
    ),
    Mistake(
        {"loki.instances.aws.retention": "1 month"}, "loki.instances.aws.retention: a duration", "1 month"
    ),
    Mistake({"loki.instances.aws.memoryBytes": 511 << 20}, "loki.instances.aws.memoryBytes:", "535822336"),
    Mistake({"loki.instances.aws.limits.rate": 1}, "loki.instances.aws.limits.rate: unknown key"),
    Mistake({"loki.instances.aws.limits.rateMib": 0}, "loki.instances.aws.limits.rateMib:", "0"),
    Mistake(
        {"loki.instances.aws.limits.burstMib": 8}, "loki.instances.aws.limits.burstMib: at least rateMib", "8"
    ),
    Mistake(
        {"loki.instances.aws.limits.streamBurstMib": 4},
        "loki.instances.aws.limits.streamBurstMib: at least streamRateMib",
        "4",
    ),
    Mistake({"loki.instances.aws.limits.lineKib": 4097}, "loki.instances.aws.limits.lineKib:", "4097"),
    Mistake({"loki.instances.aws.limits.maxAge": "7"}, "loki.instances.aws.limits.maxAge: a duration", "7"),
    Mistake(
        {"loki.instances.aws.schemaPeriods": []}, "loki.instances.aws.schemaPeriods: at least one is", "[]"
    ),
    Mistake(
        {"loki.instances.aws.schemaPeriods": [{"from": "2024-02-30"}]},
        "loki.instances.aws.schemaPeriods.0.from: a day is written",
        "2024-02-30",
    ),
    Mistake(
        {"loki.instances.aws.schemaPeriods": [{"from": "2024-01-01T00:00:00Z"}]},
        "loki.instances.aws.schemaPeriods.0.from: a day is written",
        "2024-01-01T00:00:00Z",
    ),
    Mistake(
        {"loki.instances.aws.schemaPeriods": [{"from": "2024-01-01"}, {"from": "2023-01-01"}]},
        "loki.instances.aws.schemaPeriods: each begins after the one before",
        "2023-01-01",
    ),
    Mistake(
        {
            "loki.instances.aws.schemaPeriods": [
                {"from": "2023-01-01", "store": "boltdb-shipper", "version": "v11"}
            ]
        },
        "loki.instances.aws.schemaPeriods: the last one is store: tsdb",
        "boltdb-shipper v11",
    ),
    Mistake(
        {
            "loki.instances.aws.schemaPeriods": [
                {"from": "2023-01-01", "store": "boltdb-shipper", "version": "v13"}
            ]
        },
        "loki.instances.aws.schemaPeriods.0.version: one of v11, v12",
        "v13",
    ),
    Mistake(
        {"loki.instances.test.accounts": [{"user": "a"}, {"user": "a"}]},
        "loki.instances.test.accounts: each user",
        "a",
    ),
    Mistake(
        {"loki.instances.test.accounts": [{"user": "a b"}]},
        "loki.instances.test.accounts.0.user: a user name",
        "a b",
    ),
    Mistake({"loki.instances": {}}, "loki.instances:"),
    Mistake(
        {"loki.instances.aws.published": True}, "loki.instances.aws.published: with portPolicy.namespace own"
    ),
    Mistake(
        {"loki.instances.aws.allow": ["nat", "1.2.3.4/33"]}, "loki.instances.aws.allow:", "CIDR", "1.2.3.4/33"
    ),
    Mistake(
        {"loki.instances.aws.allow": ["1.2.3.0/24"]}, "loki.instances.aws.allow:", "allowWide", "1.2.3.0/24"
    ),
    Mistake(
        {"loki.instances.aws.allow": ["10.1.2.3/32"]},
        "loki.instances.aws.allow:",
        "global unicast",
        "10.1.2.3/32",
    ),
    Mistake(
        {"loki.instances.aws.allow": ["nat", "::ffff:203.0.113.7/128"]},
        "loki.instances.aws.allow: packets carry an IPv4 address",
        "write 203.0.113.7",
        "::ffff:203.0.113.7/128",
    ),
    Mistake(
        {"loki.instances.aws.allow": ["nat", "172.16.0.0/12"], "loki.instances.aws.allowWide": True},
        "loki.instances.aws.allow: the containers' own addresses",
        "'172.16.0.0/12'",
    ),
    # Entries that contain the NAT's address.
    *(
        Mistake(
            {
                "egress": {"given": {"addresses": ["198.51.100.9", "203.0.113.7"]}},
                "loki.instances.aws.natWithoutPassword": False,
                "loki.instances.aws.allow": ["192.0.2.1"],
            }
            | changes,
            "loki.instances.aws.accounts: at least one is needed",
            "the NAT 203.0.113.7",
        )
        for changes in (
            {"loki.instances.aws.allow": ["203.0.113.7"]},
            {"loki.instances.aws.allow": ["203.0.113.0/24"], "loki.instances.aws.allowWide": True},
            {"edge.extraAllowedCidrs": ["203.0.113.7/32"]},
        )
    ),
    Mistake(
        {"loki.instances.aws.natWithoutPassword": False},
        "loki.instances.aws.accounts: at least one is needed with `nat`",
        "natWithoutPassword: true",
        "[]",
    ),
    Mistake(
        {"loki.instances.test.natWithoutPassword": True},
        "loki.instances.test.natWithoutPassword: only with `nat` and without accounts",
    ),
    Mistake(
        {"loki.instances.aws.accountsOptional": True},
        "loki.instances.aws.accountsOptional: there is no account",
    ),
    # The local stack's service has an outage of ten minutes.
    Mistake(
        {"loki.instances.aws.limits": {"maxAge": "5m"}},
        "loki.instances.aws.limits.maxAge: services.client-api may bring lines that are",
        "outageMinutes 10",
        "'5m'",
    ),
    Mistake(
        {
            "loki.instances.aws.retention": "24h",
            "services.client-api.logRouter": {"output": "grafana"},
            "services.client-api.logRate": {"outageMinutes": 1440},
        },
        "loki.instances.aws.retention: services.client-api may bring lines that are",
        "outageMinutes 1440",
        "'24h'",
    ),
    Mistake({"loki.instances.aws.allow": ...}, "loki.instances.aws.allow: required key is missing"),
]
