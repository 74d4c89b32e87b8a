# pyright: strict
"""The Caddyfile of a proxy of the engine's socket. Pure text.

Access to the engine's own socket means root on its host, even if it is mounted read-only. So Caddy proxies
it, and passes only the requests that its one client needs.
"""

from __future__ import annotations

ENGINE_SOCKET = "/run/engine/docker.sock"
SOCKET_DIRECTORY = "/run/docker-reader"
SOCKET = f"{SOCKET_DIRECTORY}/docker.sock"


def render_docker_reader(reading: str) -> str:
    """The Caddyfile; `reading` is a regular expression of the requests' paths, without the API's version."""
    # With or without a version in front and a query behind, and nothing encoded.
    uri = rf"^(/v1\.[0-9]+)?/({reading})(\?.*)?$"
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
		vars_regexp {{http.request.orig_uri}} {uri}
	}}
	handle @reading {{
		reverse_proxy unix/{ENGINE_SOCKET}
	}}
	handle {{
		respond "Forbidden" 403
	}}
}}
"""
