"""Example outputs of a stack."""

from __future__ import annotations

from typing import Any

GOOD: dict[str, Any] = {
    "grafana_url": "https://campus.localhost",
    "grafana_admin_password": "a canary that is shown nowhere",
    "loki_push_urls": {"aws": "https://campus.localhost/lokiaws/loki/api/v1/push"},
    "nat_public_ips": ["203.0.113.7"],
    "retained_elastic_ips": {},
    "vpc_id": "vpc-1",
    "private_subnet_ids": ["subnet-1"],
    "allowed_cidrs": ["203.0.113.7/32"],
    "loki_allowed_cidrs": {"aws": ["203.0.113.7/32"]},
    "caddy_config_sha256": "0" * 64,
    "port_policy": [],
    "task_definition_arns": {},
    "task_security_group_ids": {},
    "log_router_image": {},
    "shipper_credentials": {"test": {"admin": "another canary"}},
}
SECRETS = {"grafana_admin_password", "shipper_credentials"}
