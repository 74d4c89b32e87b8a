"""Loki's configuration as text. Pure: plain values in, text out.

JSON is YAML, and Loki reads it; so nothing has to know how YAML quotes.
"""

from __future__ import annotations

import json
from typing import Any

from components.settings import LokiInstance, LokiLimits, SchemaPeriod

DATA = "/loki"
# Loki's own uid in its image.
LOKI_UID = 10001


def render_loki_config(instance: LokiInstance) -> str:
    """The configuration of one Loki that keeps its lines on its own disk."""
    return json.dumps(_config(instance), indent=2) + "\n"


def _config(instance: LokiInstance) -> dict[str, Any]:
    return {
        # One tenant; Caddy is the guard.
        "auth_enabled": False,
        "server": {
            "http_listen_port": instance.port,
            # Only Loki talks gRPC, with itself.
            "grpc_listen_address": "127.0.0.1",
            "grpc_listen_port": 9095,
            "log_format": "json",
            # A push waits for Caddy's 8 MB; Loki's own 4 MB would refuse it.
            "grpc_server_max_recv_msg_size": 16 << 20,
            "grpc_server_max_send_msg_size": 16 << 20,
        },
        # Of a compressed push; Loki's own 5000 MB are more than its container's memory.
        "distributor": {"max_decompressed_size": 32 << 20},
        "common": {
            "instance_addr": "127.0.0.1",
            "path_prefix": DATA,
            "replication_factor": 1,
            "ring": {"kvstore": {"store": "inmemory"}},
            "storage": {
                "filesystem": {
                    "chunks_directory": f"{DATA}/chunks",
                    "rules_directory": f"{DATA}/rules",
                }
            },
        },
        "schema_config": {"configs": [_period(period) for period in instance.schema_periods]},
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
            "delete_request_store": "filesystem",
        },
        "limits_config": {
            "retention_period": instance.retention,
            # Retention alone decides how far back a query goes; Loki's own 30 days and an hour don't.
            "max_query_length": "0",
            "allow_structured_metadata": instance.keeps_structured_metadata,
            "volume_enabled": True,
            **_limits(instance.limits),
        },
        "analytics": {"reporting_enabled": False},
    }


def _period(period: SchemaPeriod) -> dict[str, Any]:
    return {
        "from": period.from_,
        "store": period.store,
        "object_store": "filesystem",
        "schema": period.version,
        # The compactor's retention wants a day's index in a file of its own.
        "index": {"prefix": "index_", "period": "24h"},
    }


def _limits(limits: LokiLimits) -> dict[str, Any]:
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
