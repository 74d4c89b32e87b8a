# pyright: strict
"""Loki's configuration as text. Pure: plain values in, text out.

JSON is YAML, and needs none of YAML's quoting rules.

A Loki's memory for pushes, with its default of 1.25 GiB (GOMEMLIMIT 1,152 MiB): the worst consist of empty
values, two bytes each in protobuf. Measured with Loki 3.7.8 alone and enough memory, one push at a time,
2 MiB unpacked:

- at rest 116 MiB;
- 1,048,576 empty entries 428 MiB more, including garbage; as many empty streams less;
- 699,050 empty JSON values less; as many OpenTelemetry records 660 MiB more;
- half a resource's attributes and half records: over 4 GiB, as Loki copied each attribute into each record.
  So they are dropped (`otlp_config`).

At 1.5 MiB (`MAX_UNPACKED`) that is 320 MiB and 500 MiB. The gate lets as many pushes through at once as there
is memory for (push_paths.py), three by default: 116 + 3 x 320 = 1,076 MiB. OpenTelemetry's worst are more
on paper, but much of that is garbage, which is collected in time: none of all these, eight at a time at the
gate, ended a Loki with 1.25 GiB (it peaked at 1,212 MiB) or with 512 MiB and one push at once
(tests/loki/test_push_bombs.py). Caddy, not Loki, limits uncompressed pushes (loki/push_paths.py): JSON needs
more bytes per value.

Real short lines cost less than the empty ones above: JSON needs 28 bytes for each, so that 5 MB are 178,000.
The sum doesn't include clients that disconnect before the answer, since Caddy lets the next one in at once
while Loki still works on a whole push, or hasn't collected the garbage of half of one (eight at a time with
half of 5 MB of empty JSON streams killed it, half of entries or of short lines didn't); nor real lines of
many streams, which stay in memory until they are flushed.
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

# The largest compressed push, unpacked. Protobuf is always compressed.
MAX_UNPACKED = 3 << 19


@dataclass(frozen=True, kw_only=True)
class RingMember:
    """One replica among several: its addresses, and its peers."""

    # Its address on its host's private network.
    address: str
    # Its name in the ring: an address, or a name in every replica's /etc/hosts.
    name: str
    # Its address for the other replicas.
    advertised: str
    # host:port of its gossip peers.
    members: tuple[str, ...]
    grpc_port: int = GRPC_PORT
    gossip_port: int = GOSSIP_PORT


def ring_member(placement: Placement, replica: Replica) -> RingMember | None:
    """A replica's ring settings; None for a single Loki.

    On different hosts each finds the others by name, and itself too, which its host's address wouldn't reach.
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

    `oldest_seconds` is the age of a shipper's oldest line after an outage; its stream may have newer lines by
    then.
    """
    config = _config(instance)
    _accept_old_lines(config, oldest_seconds)
    if member is not None:
        _join(config, member)
    return json.dumps(config, indent=2) + "\n"


def render_s3_credentials(s3: S3) -> str:
    """The file with the keys for Loki's AWS SDK; they are nowhere else."""
    return (
        "[default]\n"
        f"aws_access_key_id = {s3.access_key_id}\n"
        f"aws_secret_access_key = {s3.secret_access_key.get_secret_value()}\n"
    )


def _accept_old_lines(config: dict[str, Any], oldest_seconds: int) -> None:
    """Accept and find lines of this age, even behind newer lines of their stream.

    Loki refuses lines older than a stream's newest line by more than half of `max_chunk_age`
    (pkg/ingester/stream.go). A chunk stays in memory for at most that age, and by default Loki queries its
    memory only for lines of the last three hours (pkg/querier, query_ingesters_within).
    """
    if oldest_seconds <= _WINDOW_SECONDS:
        return
    config["ingester"]["max_chunk_age"] = f"{2 * oldest_seconds}s"
    config["querier"] = {"query_ingesters_within": "0s"}


def _join(config: dict[str, Any], member: RingMember) -> None:
    """Make this the configuration of one replica among several: each line is in three of them."""
    # A replica forwards pushes to others, and queries their memory.
    config["server"] |= {"grpc_listen_address": member.address, "grpc_listen_port": member.grpc_port}
    # The replica that gets a query also runs it: otherwise a part could go to one that has just died.
    scheduler = {"scheduler_address": f"{member.address}:{member.grpc_port}"}
    config["frontend"] = scheduler
    config["frontend_worker"] = scheduler
    config["common"] |= {
        "instance_addr": member.name,
        "replication_factor": REPLICATION,
        # A replaced or killed replica returns under its name; with a new one, its old entry would
        # count as failing.
        "ring": {"kvstore": {"store": "memberlist"}, "instance_id": member.name},
    }
    config["ingester"]["lifecycler"] = {
        # Gossip reaches a few replicas in a second or two; Loki's default of 15 s is for hundreds.
        "min_ready_duration": "5s",
        # A replica that is down mustn't keep another, restarted or replaced, from being ready.
        "readiness_check_ring_health": False,
    }
    advertised_port = {} if member.gossip_port == GOSSIP_PORT else {"advertise_port": member.gossip_port}
    config["memberlist"] = {
        "advertise_addr": member.advertised,
        **advertised_port,
        "bind_addr": [member.address],
        "bind_port": member.gossip_port,
        "join_members": list(member.members),
        # After half a minute apart replicas forget each other, unless they rejoin.
        "rejoin_interval": "30s",
    }
    # Another replica may become the compactor, and needs to know the pending deletions.
    config["compactor"]["deletion_marker_object_store_prefix"] = "deletion-markers/"


def _config(instance: LokiSettings) -> dict[str, Any]:
    return {
        # One tenant; Caddy checks access.
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
                # Loki's default of 4 GB exceeds the container's memory: a Loki killed with a long WAL
                # would be killed again at each start.
                "replay_memory_ceiling": f"{instance.memory_bytes // 2 >> 20}MB",
                # On a fuller disk Loki refuses pushes, before writes to the WAL fail.
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
        # Only Loki itself uses gRPC.
        "grpc_listen_address": "127.0.0.1",
        "grpc_listen_port": GRPC_PORT,
        "log_format": "json",
        # A push that arrives just as the distributor stops is never answered: it waits for workers that
        # are gone (Loki 3.7.8, pkg/distributor/distributor.go, PushWithResolver). Loki would wait its
        # default of 30 s for it, and accept no push meanwhile.
        "graceful_shutdown_timeout": "1s",
        # For a push of Caddy's 5 MB, which grows inside; Loki's default is 4 MB.
        "grpc_server_max_recv_msg_size": 16 << 20,
        "grpc_server_max_send_msg_size": 16 << 20,
    }


def _bucket(s3: S3 | None) -> dict[str, Any]:
    """The bucket, besides the disk, which older periods may still use. The keys are in a separate file."""
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
        # The compactor's retention needs one index file per day.
        "index": {"prefix": "index_", "period": "24h"},
    }


def _limits(instance: LokiSettings) -> dict[str, Any]:
    return {
        "retention_period": instance.retention,
        # Only retention limits how far back a query goes, not Loki's default of 30 days and an hour.
        "max_query_length": "0",
        "allow_structured_metadata": instance.keeps_structured_metadata,
        "volume_enabled": True,
        # An alert counts refused pushes by network, and strangers may be in very many. Caddy logs some 300
        # per route in the alert's five minutes (STRANGERS_LOGGED). Loki's default of 500 is for one route.
        "max_query_series": 5000,
        # Loki copies the attributes of a resource or a scope into each of its lines: 1 MiB of names and
        # 1 MiB of lines took 4 GiB of memory. Loki's default labels stay.
        "otlp_config": {
            "resource_attributes": {"attributes_config": [{"action": "drop", "regex": ".*"}]},
            "scope_attributes": [{"action": "drop", "regex": ".*"}],
        },
        # Only retention deletes lines. With Loki's default `filter-and-delete` any client could.
        "deletion_mode": "disabled",
        **_ingestion_limits(instance.limits),
    }


def _ingestion_limits(limits: LokiLimits) -> dict[str, Any]:
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
