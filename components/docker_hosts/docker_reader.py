# pyright: strict
"""The Caddyfile of a log shipper's socket proxy. Pure text.

Access to the engine's own socket means root on its host, even if it is mounted read-only. So Caddy proxies
it, and passes only the requests for reading logs: the list of containers, and each one's output.
"""

from __future__ import annotations

ENGINE_SOCKET = "/run/engine/docker.sock"
SOCKET_DIRECTORY = "/run/docker-reader"
SOCKET = f"{SOCKET_DIRECTORY}/docker.sock"

# Docker's API reference: SystemPing, NetworkList, ContainerList, ContainerInspect, ContainerLogs.
# With or without a version in front and a query behind, and nothing encoded.
READING = r"^(/v1\.[0-9]+)?/(_ping|networks|containers/json|containers/[0-9a-f]+/(json|logs))(\?.*)?$"


def render_docker_reader() -> str:
    """The Caddyfile of the socket proxy."""
    return f"""\
{{
	admin off
	persist_config off
	auto_https off
	# A stream of log lines has no end of its own.
	grace_period 1s
	servers {{
		protocols h1
	}}
}}

http:// {{
	bind unix/{SOCKET}|0666
	@reading {{
		method GET HEAD
		# As it was sent, letter for letter.
		vars_regexp {{http.request.orig_uri}} {READING}
	}}
	handle @reading {{
		reverse_proxy unix/{ENGINE_SOCKET}
	}}
	handle {{
		respond "Forbidden" 403
	}}
}}
"""
