# pyright: strict
"""Facts about the inside of containers, for scripts, files and components."""

from __future__ import annotations

# What the two containers are called, after the prefix of all names: their logs are asked for by it.
CADDY = "caddy"
GUARD = "port-guard"
ADMIN_SOCKET = "/run/caddy/admin.sock"
POLICY_TABLE = "inet campus_policy"
# Grafana's default port (its documentation, [server] http_port).
GRAFANA_PORT = 3000
# Grafana's own uid in its image; its group there is root's.
GRAFANA_UID = 472
GRAFANA_SECRETS = "/run/secrets/grafana"
ADMIN_PASSWORD_FILE = "admin-password"
# A file among Grafana's that changes with its admin's password.
PASSWORD_MARK = "admin-password.hmac"
# A file among Grafana's with the queries that their sources have to take.
OWN_QUERIES = "own-queries"
