"""Loki's configuration as text. Pure: plain values in, text out.

JSON is YAML, and Loki reads it; so nothing has to know how YAML quotes.
"""

from __future__ import annotations

import json
from typing import Any

DATA = "/loki"
# Loki's own uid in its image.
LOKI_UID = 10001


def render_loki_config(*, port: int, retention: str) -> str:
    """The configuration of one Loki that keeps its lines on its own disk."""
    return json.dumps(_config(port, retention), indent=2) + "\n"


def _config(port: int, retention: str) -> dict[str, Any]:
    return {
        # One tenant; Caddy is the guard.
        "auth_enabled": False,
        "server": {
            "http_listen_port": port,
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
        "schema_config": {
            "configs": [
                {
                    # A constant: lines written under a schema must be read under it for ever.
                    "from": "2024-01-01",
                    "store": "tsdb",
                    "object_store": "filesystem",
                    "schema": "v13",
                    "index": {"prefix": "index_", "period": "24h"},
                }
            ]
        },
        "ingester": {"wal": {"enabled": True, "dir": f"{DATA}/wal", "flush_on_shutdown": True}},
        "compactor": {
            "working_directory": f"{DATA}/compactor",
            "retention_enabled": True,
            "delete_request_store": "filesystem",
        },
        "limits_config": {
            "retention_period": retention,
            "max_line_size": 256 << 10,
            "max_line_size_truncate": True,
            "reject_old_samples": True,
            "reject_old_samples_max_age": "7d",
            "ingestion_rate_mb": 16,
            "ingestion_burst_size_mb": 32,
            "per_stream_rate_limit": "8MB",
            "per_stream_rate_limit_burst": "16MB",
            "max_global_streams_per_user": 5000,
            "volume_enabled": True,
        },
        "analytics": {"reporting_enabled": False},
    }
