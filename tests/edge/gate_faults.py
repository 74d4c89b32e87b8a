"""Broken gates, as changes of a rendered Caddyfile: the suite must catch every one."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from rig.namespaces import NAT, NAT_6

# The rendered address matcher of a route with `nat`, and the fixed entry that no client has.
NAT_GATE = re.compile(r"\t+remote_ip (?P<cidrs>.*)\n\t+import allowed/nat/\*\.caddy\n")
NOBODY = "255.255.255.255/32"


@dataclass(frozen=True)
class Fault:
    """A fault in a Caddyfile, and the finding that the suite must report."""

    name: str
    seed: Callable[[str], str]
    finds: Literal["bypasses", "wrong_refusals"] = "bypasses"
    # The doors of `many_routes` from and to which it is looked for.
    doors: tuple[int, int | None] = (0, 2)

    def seeded(self, caddyfile: str) -> str:
        """The Caddyfile with the fault."""
        changed = self.seed(caddyfile)
        assert changed != caddyfile, f"{self.name}: nothing was changed"
        return changed


def _replaced(old: str, new: str) -> Callable[[str], str]:
    return lambda text: text.replace(old, new)


def _without(line: str) -> Callable[[str], str]:
    """Remove matching lines."""
    return lambda text: re.sub(rf"(?m)^\t+{line}\n", "", text)


def _respond_at_the_top(text: str) -> str:
    """The gates as one `respond` outside the routes: Caddy sorts it behind them."""
    gates = NAT_GATE.search(text)
    assert gates is not None
    blocked = f"""\
	@blocked {{
		path /loki*
		not {{
			{gates[0].strip()}
		}}
	}}
	respond @blocked "Forbidden" 403
"""
    return NAT_GATE.sub("", text).replace("\troute {\n", blocked + "\troute {\n", 1)


def _password_after_strip(text: str) -> str:
    """The address matcher before everything, and the password only if the path is Loki's own."""
    accounts = re.search(r"basic_auth bcrypt \{\n(?P<lines>(?:.*\n)*?)\t+\}\n", text)
    upstream = re.search(r"reverse_proxy (loki-test:\d+)", text)
    assert accounts is not None
    assert upstream is not None
    start = text.index("\t\t@test_push {")
    end = text.index("\t\t@test path")
    return f"""{text[:start]}\
		@test_blocked {{
			path /lokitest/*
			not {{
				remote_ip {NOBODY}
				import allowed/nat/*.caddy
			}}
		}}
		respond @test_blocked "Forbidden" 403
		handle /lokitest/* {{
			uri strip_prefix /lokitest
			basic_auth /loki/* bcrypt {{
{accounts["lines"]}\
			}}
			reverse_proxy {upstream[1]}
		}}
{text[end:]}"""


def _trusted_proxies(text: str) -> str:
    """Trust a header's address from any private range."""
    gate = rf"\t\t\tclient_ip \g<cidrs> {NAT} {NAT_6}\n"
    text = NAT_GATE.sub(gate, text).replace("remote_ip", "client_ip")
    return text.replace("\tservers {\n", "\tservers {\n\t\ttrusted_proxies static private_ranges\n")


def _import_alone(text: str) -> str:
    """Gates with only fragments, while there are none."""
    return NAT_GATE.sub("\t\t\timport allowed/none/*.caddy\n", text)


def _everything_below(text: str) -> str:
    """All of a Loki below its prefix, for everybody."""
    upstream = re.search(r"reverse_proxy (loki-test:\d+)", text)
    assert upstream is not None
    open_to_all = f"handle /lokitest/* {{\n\t\t\treverse_proxy {upstream[1]}\n\t\t}}\n"
    return text.replace("\t\thandle @test {", f"\t\t{open_to_all}\t\thandle @test {{")


LOGIN_TOO = "method POST\n\t\t\theader Authorization *"

FAULTS = [
    # Each of these was, or almost was, in a real Caddyfile.
    Fault("a respond at the top", _respond_at_the_top),
    Fault("basic_auth after a prefix strip", _password_after_strip),
    Fault("an empty allowlist import", _import_alone),
    Fault("client_ip behind trusted private ranges", _trusted_proxies),
    Fault("no gate for IPv6", _replaced(f"remote_ip {NOBODY}", f"remote_ip {NOBODY} ::/0")),
    # Each line of a route, removed or weakened.
    Fault("no gate for IPv4", _replaced(f"remote_ip {NOBODY}", f"remote_ip {NOBODY} 0.0.0.0/0")),
    Fault("any method", _without("method POST")),
    Fault("any path under the prefix", _everything_below),
    Fault("the path decoded", _replaced("{http.request.orig_uri}", "{http.request.orig_uri.path}")),
    Fault("the path as Caddy compares it", _replaced("vars {http.request.orig_uri}", "path")),
    Fault("no password", lambda text: re.sub(r"\t+basic_auth bcrypt \{\n(?:.*\n)*?\t+\}\n", "", text)),
    Fault("the tenant passed on", _without("request_header -X-Scope-OrgID")),
    Fault("the password passed on", _without("request_header -Authorization")),
    Fault("the client's path passed on", _without(r"rewrite \* .*")),
    Fault("compressed metrics", _without(r"respond @\w+_packed .*"), doors=(-2, None)),
    # The opposite: pushes that are wrongly refused.
    Fault("fragments forgotten", _without(r"import allowed/nat/\*\.caddy"), "wrong_refusals"),
    Fault("a limit too small", _replaced("max_size 5MB", "max_size 80B"), "wrong_refusals"),
    Fault("a login on every route", _replaced("method POST", LOGIN_TOO), "wrong_refusals"),
    Fault("no HTTP/2", _replaced("protocols h1 h2", "protocols h1"), "wrong_refusals"),
]  # fmt: skip
