# pyright: strict
"""Loki's configuration as text. Pure: plain values in, text out.

JSON is YAML, and Loki reads it; so nothing has to know how YAML quotes.

What a Loki's memory has to hold of pushes, with its default of 1 GiB (Go's collector is told 921 MiB): the
worst are of empty things, two bytes each in protobuf. Measured with Loki 3.7.8 alone and room enough, one
push at a time, 2 MiB unpacked:

- at rest 116 MiB;
- 1,048,576 empty entries 428 MiB more, garbage among it; as many empty streams less;
- 699,050 empty JSON values less; as many OpenTelemetry records 660 MiB more;
- half of it a resource's attributes, half of it records: over 4 GiB, as Loki copied each attribute into
  each record. So they aren't copied any more (`otlp_config`).

At 1.5 MiB (`MAX_UNPACKED`) that is 320 MiB and 500 MiB. The gate lets two pushes through at once
(`PUSHES_AT_ONCE` in edge/caddyfile.py): 116 + 2 x 320 = 756 MiB. Two of OpenTelemetry's worst are more on
paper, but much of that is garbage, which the collector takes away in time: two at once, of 2 MiB, had their
peak at 916 MiB. What isn't packed has no such limit in Loki, but in Caddy (loki/push_paths.py):
JSON needs more bytes for each thing. `tests/loki/test_push_bombs.py` tries all of it, eight at a time,
through the gate.

Lines that are short and true cost less than the empty ones above: JSON needs 28 bytes for each, so that 5 MB
are 178,000. What isn't in the sum: who goes before the answer, since Caddy lets the next one in at once while
Loki goes on with a whole push, or has yet to collect what it made of half of one (eight at a time with half
of 5 MB of empty JSON streams ended it, half of entries or of short lines didn't); and true lines of many
streams, which stay in memory until they are written.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from components.loki.placement import Placement, Replica
from components.loki.settings import GOSSIP_PORT, REPLICATION, LokiLimits, LokiSettings
from components.loki.storage_settings import S3, SchemaPeriod

DATA = "/loki"
CHUNKS = f"{DATA}/chunks"
# Loki's own uid in its image.
LOKI_UID = 10001
GRPC_PORT = 9095

# Half of Loki's own max_chunk_age, two hours.
_WINDOW_SECONDS = 3600

# Of a compressed push, when it is unpacked. Protobuf always is one.
MAX_UNPACKED = 3 << 19


@dataclass(frozen=True, kw_only=True)
class RingMember:
    """One replica among several: where it listens, and how the others know and reach it."""

    # Its own on the private network of its host.
    address: str
    # What it is called in the ring, which everybody can look up or is an address.
    name: str
    # Its own as the others reach it.
    advertised: str
    # host:port of those whose gossip it joins.
    members: tuple[str, ...]
    grpc_port: int = GRPC_PORT
    gossip_port: int = GOSSIP_PORT


def ring_member(placement: Placement, replica: Replica) -> RingMember | None:
    """How a replica is configured; an only one isn't.

    On hosts of their own each finds the others by name: itself too, which its host's own address wouldn't
    lead to.
    """
    if len(placement.replicas) == 1:
        return None
    if not placement.is_spread:
        return RingMember(
            address=replica.address,
            name=replica.address,
            advertised=replica.advertised,
            members=tuple(f"{one.advertised}:{GOSSIP_PORT}" for one in placement.replicas),
        )
    grpc, gossip = placement.mesh_ports
    return RingMember(
        address=replica.address,
        name=replica.role,
        advertised=replica.advertised,
        members=tuple(f"{peer}:{gossip}" for peer in placement.peers(replica.host)),
        grpc_port=grpc,
        gossip_port=gossip,
    )


def render_loki_config(
    instance: LokiSettings, member: RingMember | None = None, *, oldest_seconds: int = 0
) -> str:
    """The configuration of one Loki, or of one replica among several.

    `oldest_seconds` is how old the oldest line is that a shipper brings after an outage; others of its
    stream may be new by then.
    """
    config = _config(instance)
    _let_in(config, oldest_seconds)
    if member is not None:
        _join(config, member)
    return json.dumps(config, indent=2) + "\n"


def render_s3_credentials(s3: S3) -> str:
    """The file that the AWS SDK in Loki reads its keys from: they stand nowhere else."""
    return (
        "[default]\n"
        f"aws_access_key_id = {s3.access_key_id}\n"
        f"aws_secret_access_key = {s3.secret_access_key.get_secret_value()}\n"
    )


def _let_in(config: dict[str, Any], oldest_seconds: int) -> None:
    """Have lines of this age taken, and found, whatever is new in their stream.

    What is older than a stream's newest line by more than half of `max_chunk_age` is refused for good
    (pkg/ingester/stream.go). A chunk stays in memory for as long at the most, and whatever is there is asked
    for lines of the last three hours alone, if nothing else is said (pkg/querier, query_ingesters_within).
    """
    if oldest_seconds <= _WINDOW_SECONDS:
        return
    config["ingester"]["max_chunk_age"] = f"{2 * oldest_seconds}s"
    config["querier"] = {"query_ingesters_within": "0s"}


def _join(config: dict[str, Any], member: RingMember) -> None:
    """Turn the configuration into that of one replica among several: a line is in three of them."""
    # A push that reached one replica goes on to others, and so does a query, to read what they hold.
    config["server"] |= {"grpc_listen_address": member.address, "grpc_listen_port": member.grpc_port}
    # But who is asked also answers: shared out, a part of a query could go to a replica that has just died.
    scheduler = {"scheduler_address": f"{member.address}:{member.grpc_port}"}
    config["frontend"] = scheduler
    config["frontend_worker"] = scheduler
    config["common"] |= {
        "instance_addr": member.name,
        "replication_factor": REPLICATION,
        # By its name a replica that was replaced or killed comes back as itself; under another one
        # its old entry would count among those that fail.
        "ring": {"kvstore": {"store": "memberlist"}, "instance_id": member.name},
    }
    config["ingester"]["lifecycler"] = {
        # Gossip reaches a few replicas in a second or two; Loki's own 15 s are for hundreds.
        "min_ready_duration": "5s",
        # One that is down mustn't keep another, restarted or replaced, from being ready.
        "readiness_check_ring_health": False,
    }
    advertised_port = {} if member.gossip_port == GOSSIP_PORT else {"advertise_port": member.gossip_port}
    config["memberlist"] = {
        "advertise_addr": member.advertised,
        **advertised_port,
        "bind_addr": [member.address],
        "bind_port": member.gossip_port,
        "join_members": list(member.members),
        # After half a minute apart they forget each other for good: so they look for each other again.
        "rejoin_interval": "30s",
    }
    # The replica that compacts may be another tomorrow: what it was about to remove has to be known there.
    config["compactor"]["deletion_marker_object_store_prefix"] = "deletion-markers/"


def _config(instance: LokiSettings) -> dict[str, Any]:
    return {
        # One tenant; Caddy is the guard.
        "auth_enabled": False,
        "server": _server(instance.port),
        "distributor": {"max_decompressed_size": MAX_UNPACKED},
        "common": {
            "instance_addr": "127.0.0.1",
            "path_prefix": DATA,
            "replication_factor": 1,
            "ring": {"kvstore": {"store": "inmemory"}},
            "storage": {
                "filesystem": {
                    "chunks_directory": CHUNKS,
                    "rules_directory": f"{DATA}/rules",
                }
            },
        },
        **_bucket(instance.s3),
        "schema_config": {"configs": [_period(period, instance) for period in instance.schema_periods]},
        "ingester": {
            "wal": {
                "enabled": True,
                "dir": f"{DATA}/wal",
                "flush_on_shutdown": True,
                # Loki's own 4 GB are more than the container has: a Loki that was killed with a long
                # WAL would be killed again at each start.
                "replay_memory_ceiling": f"{instance.memory_bytes // 2 >> 20}MB",
                # With a fuller disk Loki refuses pushes rather than break off in its WAL.
                "disk_full_threshold": 0.9,
            }
        },
        "compactor": {
            "working_directory": f"{DATA}/compactor",
            "retention_enabled": True,
            "delete_request_store": instance.storage,
        },
        "limits_config": _limits(instance),
        "analytics": {"reporting_enabled": False},
    }


def _server(port: int) -> dict[str, Any]:
    return {
        "http_listen_port": port,
        # Only Loki talks gRPC, with itself.
        "grpc_listen_address": "127.0.0.1",
        "grpc_listen_port": GRPC_PORT,
        "log_format": "json",
        # A push that comes just as the distributor ends is never answered: it waits for workers that are
        # gone (Loki 3.7.8, pkg/distributor/distributor.go, PushWithResolver). In Loki's own 30 s for it
        # Loki takes no other. By then all that takes pushes has ended.
        "graceful_shutdown_timeout": "1s",
        # What a push of Caddy's 5 MB becomes inside; Loki's own 4 MB would refuse it.
        "grpc_server_max_recv_msg_size": 16 << 20,
        "grpc_server_max_send_msg_size": 16 << 20,
    }


def _bucket(s3: S3 | None) -> dict[str, Any]:
    """Beside the disk, which older periods may still be on. The keys are in a file of their own."""
    if s3 is None:
        return {}
    where = {} if s3.endpoint is None else {"endpoint": s3.endpoint}
    return {
        "storage_config": {
            "aws": {
                "bucketnames": s3.bucket,
                "region": s3.region,
                "s3forcepathstyle": s3.path_style,
                **where,
            }
        }
    }


def _period(period: SchemaPeriod, instance: LokiSettings) -> dict[str, Any]:
    return {
        "from": period.from_,
        "store": period.store,
        "object_store": period.storage or instance.storage,
        "schema": period.version,
        # The compactor's retention wants a day's index in a file of its own.
        "index": {"prefix": "index_", "period": "24h"},
    }


def _limits(instance: LokiSettings) -> dict[str, Any]:
    return {
        "retention_period": instance.retention,
        # Retention alone decides how far back a query goes; Loki's own 30 days and an hour don't.
        "max_query_length": "0",
        "allow_structured_metadata": instance.keeps_structured_metadata,
        "volume_enabled": True,
        # An alert counts refused pushes by network, and strangers may be in very many. Of each route
        # Caddy logs some 300 in its five minutes (STRANGERS_LOGGED). Loki's own 500 are one route's.
        "max_query_series": 5000,
        # Loki copies what it knows of a resource or a scope into each of its lines: 1 MiB of names and
        # 1 MiB of lines were 4 GiB of memory. Its labels (its own list) stay.
        "otlp_config": {
            "resource_attributes": {"attributes_config": [{"action": "drop", "regex": ".*"}]},
            "scope_attributes": [{"action": "drop", "regex": ".*"}],
        },
        # Retention alone removes lines. Loki's own `filter-and-delete` lets whoever reaches it do so.
        "deletion_mode": "disabled",
        **_what_it_takes(instance.limits),
    }


def _what_it_takes(limits: LokiLimits) -> dict[str, Any]:
    return {
        "max_line_size": limits.line_kib << 10,
        "max_line_size_truncate": True,
        "reject_old_samples": True,
        "reject_old_samples_max_age": limits.max_age,
        "ingestion_rate_mb": limits.rate_mib,
        "ingestion_burst_size_mb": limits.burst_mib,
        "per_stream_rate_limit": f"{limits.stream_rate_mib}MB",
        "per_stream_rate_limit_burst": f"{limits.stream_burst_mib}MB",
        "max_global_streams_per_user": limits.streams,
    }
