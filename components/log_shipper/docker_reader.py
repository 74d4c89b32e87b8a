# pyright: strict
"""What a log shipper may ask of its Docker Engine, as a Caddyfile. Pure text.

Whoever reaches the engine's own socket is root on its host, however the socket is mounted. So Caddy stands
before it and passes on what reading logs takes: which containers there are, and what each one printed.
"""

from __future__ import annotations

ENGINE_SOCKET = "/run/engine/docker.sock"
SOCKET_DIRECTORY = "/run/docker-reader"
SOCKET = f"{SOCKET_DIRECTORY}/docker.sock"

# Docker's API reference: SystemPing, NetworkList, ContainerList, ContainerInspect, ContainerLogs.
# With or without a version before it; a query after it, and nothing that has to be decoded.
READING = r"^(/v1\.[0-9]+)?/(_ping|networks|containers/json|containers/[0-9a-f]+/(json|logs))(\?.*)?$"


def render_docker_reader() -> str:
    """The Caddyfile of the socket that log shippers use."""
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
