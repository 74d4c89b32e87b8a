"""Mistakes in a Loki's bucket, its replicas, and their hosts."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tests.support.mistakes.mistake import Mistake
from tests.support.settings import (
    CANARY,
    DISK_THEN_S3,
    HOSTS,
    KEY,
    ON_S3,
    S3,
    SECOND,
    THREE,
    on_three_hosts,
    with_aws,
)


def in_bucket(changes: Mapping[str, Any], says: str, *words: str) -> Mistake:
    """A mistake in the small stack's `aws`; the message names a key of that instance."""
    at = "loki.instances.aws."
    return Mistake({at + key: value for key, value in changes.items()}, at + says, *words, base=with_aws())


def on_hosts(changes: Mapping[str, Any], says: str, *words: str) -> Mistake:
    """A mistake with three replicas on three hosts."""
    return Mistake(changes, says, *words, base=on_three_hosts())


MISTAKES = [
    in_bucket({"storage": "s3"}, "s3: the bucket is needed with storage: s3, received None"),
    in_bucket({"s3": S3}, "s3: nothing uses the bucket: set storage: s3, or remove it"),
    in_bucket(THREE | {"replicas": 2}, "replicas: 1, or 3 to 5, received 2"),
    in_bucket(THREE | {"replicas": 0}, "replicas: 1, or 3 to 5, received 0"),
    in_bucket(THREE | {"replicas": 6}, "replicas: 1, or 3 to 5, received 6"),
    in_bucket(
        {"replicas": 3}, "replicas: more than one need all lines in one bucket, so storage: s3", "received 3"
    ),
    in_bucket(
        THREE | {"schemaPeriods": DISK_THEN_S3}, "replicas: more than one need all lines in", "received 3"
    ),
    in_bucket(
        ON_S3 | {"schemaPeriods": [{"from": "2024-01-01", "storage": "filesystem"}]},
        "s3: nothing uses the bucket",
    ),
    in_bucket(
        ON_S3 | {"schemaPeriods": [{"from": "2024-01-01"}, {"from": "2025-01-01", "storage": "filesystem"}]},
        "schemaPeriods: the last one must have storage: s3, received 'filesystem'",
    ),
    in_bucket(
        THREE | {"port": 45535}, "port: the last of 3 replicas has port 65535, and the highest is 65534, rec"
    ),
    in_bucket(ON_S3 | {"s3": S3 | {"bucket": "A_b"}}, "s3.bucket: a bucket's name is needed,", "'A_b'"),
    in_bucket(ON_S3 | {"s3": S3 | {"region": "a b"}}, "s3.region: a region such as", "received 'a b'"),
    in_bucket(
        ON_S3 | {"s3": S3 | {"endpoint": f"https://u:{CANARY}@h"}}, "s3.endpoint: a URL without user and"
    ),
    in_bucket(ON_S3 | {"s3": S3 | {"endpoint": "minio:9000"}}, "s3.endpoint: a URL without user and"),
    in_bucket(ON_S3 | {"s3": S3 | {"accessKeyId": "a\nb"}}, "s3.accessKeyId: 3 to 128 characters"),
    in_bucket(ON_S3 | {"s3": S3 | {"secretAccessKey": f"{KEY}\n"}}, "s3.secretAccessKey: 8 to 72 visible"),
    in_bucket(ON_S3 | {"s3": S3 | {"secretAccessKey": f"#{KEY}"}}, "s3.secretAccessKey: 8 to 72 visible"),
    in_bucket(ON_S3 | {"s3": S3 | {"secret": KEY}}, "s3.secret: unknown key"),
    on_hosts(
        {"loki.instances.aws.replicaHosts": ["log2"]},
        "loki.instances.aws.replicaHosts: one for each",
        "(2), all different, received",
    ),
    on_hosts(
        {"loki.instances.aws.replicaHosts": ["log2", "log2"]},
        "loki.instances.aws.replicaHosts: one for each replica after the",
    ),
    on_hosts(
        {"loki.instances.aws.replicaHosts": ["log2", "log4"]},
        "loki.instances.aws.replicaHosts: each is one of",
        "received 'log4'",
    ),
    # This check comes before the one for a rule that opens the port there.
    on_hosts(
        {"loki.instances.aws.replicaHosts": ["log2", "log4"], "loki.instances.aws.published": True},
        "loki.instances.aws.replicaHosts: each is one of",
        "received 'log4'",
    ),
    on_hosts(
        {"loki.instances.aws.replicaHosts": []},
        "campus.otherHosts.log2: no Loki's replicaHosts names it: remove it",
    ),
    on_hosts(
        {"campus.address": None},
        "campus.address: needed, since the other hosts reach this one there, received None",
    ),
    on_hosts(
        {"campus.address": SECOND},
        "campus.otherHosts.log2.address: campus has it already, received '10.40.0.2'",
    ),
    on_hosts({"campus.address": "127.0.0.1"}, "campus.address: the address of one machine is needed"),
    on_hosts({"campus.address": "log1"}, "campus.address: an IPv4 address is needed, received", '"log1"'),
    on_hosts({"campus.address": "172.29.0.1"}, "campus.address: an address of the containers' own network"),
    on_hosts(
        {"campus.dockerHost": HOSTS["log3"]["dockerHost"]},
        "campus.otherHosts.log3.dockerHost: campus has it already",
    ),
]
