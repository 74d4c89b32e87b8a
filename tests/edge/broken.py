"""Broken inputs of many kinds, each wrong by Caddy's, nft's or our own documentation.

Each is a good input with one mistake. What is broken doesn't depend on the code under test.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from rig.live_caddy import PORT
from rig.stack import Settings, local_settings, merged

# A port that is in use in the container's network.
TAKEN_PORT = 18996
SECRET_HASH = "$2b$14$canarycanarycanarycanOcanarycanarycanarycanarycanarycana"

# A gate like the edge's, with a password. A mistake replaces `#<place>`.
GOOD = f"""{{
    admin unix//run/caddy/admin.sock|0600
    skip_install_trust
    grace_period 1s
    #global
}}
http://127.0.0.1:{PORT} {{
    #site
    route {{
        @push {{
            method POST
            remote_ip 255.255.255.255/32
            import allowed/nat/*.caddy
            #matcher
        }}
        handle @push {{
            route {{
                basic_auth bcrypt {{
                    admin {SECRET_HASH}
                    #account
                }}
                request_body {{
                    max_size 8MB
                }}
                reverse_proxy 127.0.0.1:9 {{
                    lb_try_duration 1s
                    #proxy
                }}
            }}
        }}
        respond "hello"
    }}
}}
#end
"""
# No known name begins with this.
UNKNOWN = "zq"
LIVE_FRAGMENT = "allowed/nat/203.0.113.7.caddy"
GOOD_FRAGMENT = "remote_ip 203.0.113.7/32\n"

POLICY = """table inet campus_policy
delete table inet campus_policy

table inet campus_policy {
    set container_bridges {
        type ifname
    }
    chain rules {
        tcp dport 80 accept
        #rule
    }
    chain inbound {
        type filter hook prerouting priority -150; policy accept;
        iifname "lo" accept
        fib daddr type local jump rules
        drop
    }
}
"""


@dataclass(frozen=True)
class Broken:
    """One broken input: files for Caddy or nft, or settings."""

    kind: str
    files: dict[str, str] = field(default_factory=dict)
    policy: str | None = None
    settings: Settings | None = None


def broken_inputs(seed: int, number: int) -> list[Broken]:
    """This many broken inputs, of all kinds in turn; the same for the same seed."""
    rng = random.Random(seed)
    kinds = list(_KINDS.items())
    rng.shuffle(kinds)
    return [_made(rng, *kinds[index % len(kinds)]) for index in range(number)]


def good_words(seed: int, number: int) -> list[str]:
    """Words for valid changes: a suite in which everything is refused proves nothing."""
    rng = random.Random(seed)
    return [_word(rng) for _ in range(number)]


def at(place: str, text: str) -> str:
    """The good Caddyfile with a text at one of its places."""
    assert f"#{place}\n" in GOOD
    return GOOD.replace(f"#{place}\n", f"{text}\n")


Make = Callable[[random.Random], Any]


def _made(rng: random.Random, kind: str, make: Make) -> Broken:
    made = make(rng)
    return made if isinstance(made, Broken) else Broken(kind, files=made)


def _word(rng: random.Random) -> str:
    return UNKNOWN + "".join(rng.choices("abcdefghijklmnopqrstuvwxyz", k=rng.randint(1, 12)))


def _inserted(place: str, *texts: str) -> Make:
    """One of these texts at a place of the Caddyfile; {} stands for an unknown word."""
    return lambda rng: {"Caddyfile": at(place, rng.choice(texts).replace("{}", _word(rng)))}


def _gate(*texts: str) -> Make:
    """One of these texts in the gate: in the Caddyfile, in a new fragment or in the existing one."""

    def make(rng: random.Random) -> dict[str, str]:
        text = rng.choice(texts).replace("{}", _word(rng))
        where = rng.choice(["Caddyfile", f"allowed/nat/{_word(rng)}.caddy", LIVE_FRAGMENT])
        return {where: at("matcher", text) if where == "Caddyfile" else text + "\n"}

    return make


def _appended(*texts: str) -> Make:
    return _inserted("end", *texts)


def _cut_off(rng: random.Random) -> dict[str, str]:
    # Caddy adds the last brace itself, so at least two must be missing.
    lines = GOOD.replace("#end\n", "").splitlines()
    closing = [number for number, line in enumerate(lines) if line.strip() == "}"]
    return {"Caddyfile": "\n".join(lines[: closing[-rng.randint(2, 5)]]) + "\n"}


def _surplus_brace(rng: random.Random) -> dict[str, str]:
    return {"Caddyfile": at(rng.choice(["global", "site", "matcher", "end"]), "}")}


def _range(rng: random.Random) -> str:
    byte = rng.randint(0, 255)
    return rng.choice(
        [
            f"{rng.randint(256, 999)}.0.2.{byte}",
            f"192.0.2.{byte}/{rng.randint(33, 200)}",
            f"192.0.2.{byte}.1/24",
            f"192.0.2/{rng.randint(25, 32)}",
            f"2001:db8::{byte:x}/{rng.randint(129, 300)}",
            f"2001:db8::{byte:x}::1",
            f"2001:db8::g{byte}",
            f"{_word(rng)}.example",
        ]
    )


def _wrong_range(rng: random.Random) -> dict[str, str]:
    return _gate(f"remote_ip {_range(rng)}", f"remote_ip 192.0.2.1/32 {_range(rng)}")(rng)


def _unusable_address(rng: random.Random) -> dict[str, str]:
    # Documentation ranges (RFC 5737, RFC 3849), which the container doesn't have.
    byte = rng.randint(1, 254)
    address = rng.choice([f"192.0.2.{byte}", f"198.51.100.{byte}", f"[2001:db8::{byte:x}]"])
    return {"Caddyfile": at("site", f"bind {address}")}


def _second_hash(rng: random.Random) -> dict[str, str]:
    return {"Caddyfile": at("account", f"admin {SECRET_HASH[:-1]}{rng.choice('bcde')}")}


def _no_hash(rng: random.Random) -> dict[str, str]:
    # Neither bcrypt's form nor base64 (RFC 4648, section 4), which Caddy accepts for other hashes.
    return {"Caddyfile": at("account", f"admin-2 {_word(rng)}!{_word(rng)}")}


def _nul(rng: random.Random) -> dict[str, str]:
    return {"Caddyfile": at("site", f"{_word(rng)}\0{_word(rng)} a")}


def _no_text(rng: random.Random) -> dict[str, str]:
    # Read as Latin-1: any byte except those that Caddy's lexer interprets or that end a line.
    junk = "".join(chr(rng.choice([*range(1, 9), *range(14, 32), *range(127, 256)])) for _ in range(40))
    return {"Caddyfile": at(rng.choice(["site", "global", "proxy"]), UNKNOWN + junk)}


def _huge(rng: random.Random) -> dict[str, str]:
    filling = f"# {_word(rng)} {'x' * 70}\n" * rng.randint(5_000, 20_000)
    return {"Caddyfile": at("site", filling + _word(rng))}


def _surrogate(rng: random.Random) -> dict[str, str]:
    return {"Caddyfile": at("site", f"# {chr(rng.randint(0xD800, 0xDFFF))}")}


def _hostile_name(rng: random.Random) -> dict[str, str]:
    word = _word(rng)
    name = rng.choice(
        [
            f"../{word}.caddy",
            f"allowed/nat/../../../{word}",
            f"/etc/caddy/{word}",
            f"allowed/nat/.{word}.caddy",
            ".live/Caddyfile",
            ".owners/Caddyfile",
            f"allowed//nat/{word}",
            f"allowed/nat/{word};reboot",
            f"allowed/nat/$({word})",
            f"allowed/nat/{word} {word}",
            f"allowed/nat/{word}\n{word}",
            f"allowed/nat/{word}\0",
            f"-{word}",
            f"allowed/nat/{word}/",
            "",
        ]
    )
    return {name: GOOD_FRAGMENT}


def _two_files(rng: random.Random) -> dict[str, str]:
    # One right, one wrong: neither may be applied.
    return {
        "Caddyfile": at("site", "header X-Half applied"),
        f"allowed/nat/{_word(rng)}.caddy": f"remote_ip {_range(rng)}\n",
    }


def _policy(*texts: str) -> Make:
    def make(rng: random.Random) -> Broken:
        text = rng.choice(texts).replace("{}", _word(rng))
        return Broken("policy", policy=POLICY.replace("#rule", text))

    return make


def _torn_policy(rng: random.Random) -> Broken:
    lines = POLICY.splitlines()
    return Broken("policy", policy="\n".join(lines[: rng.randint(5, len(lines) - 1)]) + "\n")


def _settings(*changes: Callable[[random.Random], dict[str, Any]]) -> Make:
    def make(rng: random.Random) -> Broken:
        return Broken("settings", settings=merged(local_settings(), rng.choice(changes)(rng)))

    return make


def _instance(name: str, **changes: Any) -> dict[str, Any]:
    return {"loki": {"instances": {name: changes}}}


def _allowing(entry: str) -> dict[str, Any]:
    return _instance("aws", allow=["nat", entry])


def _wrong_port(rng: random.Random) -> int:
    return rng.choice([0, -1, rng.randint(65536, 10**6)])


_TLS_SITE = "https://127.0.0.1:18995"

_KINDS: dict[str, Make] = {
    "unknown directive": _inserted("site", "{}", "{} a b", "{} {\n}"),
    "unknown global option": _inserted("global", "{}", "{} 1s"),
    "unknown option of the proxy": _inserted("proxy", "{} a", "dial_timeout_{} 1s"),
    "unknown matcher": _gate("{} a", "respond 200", "reverse_proxy 127.0.0.1:9"),
    "undefined matcher": _inserted("site", 'respond @{} "x"', "handle @{} {\n}"),
    "matcher twice": _inserted("site", "@twice path /a\n@twice path /b\nrespond @twice x"),
    "file cut off": _cut_off,
    "surplus brace": _surplus_brace,
    "brace on its own line": _inserted("matcher", "{"),
    "open brace at the end": _appended("{"),
    "open heredoc": _inserted("site", "respond <<END\n{}"),
    "open backtick": _inserted("matcher", "path `/{}"),
    "missing import": _inserted("site", "import {}.caddy", "import allowed/{}/one.caddy", "import {}"),
    "wrong range": _wrong_range,
    "wrong size": _inserted("site", "request_body {\nmax_size {}\n}"),
    "wrong duration": _inserted("proxy", "lb_try_interval {}", "stream_close_delay {}"),
    "wrong number": _inserted("proxy", "lb_retries {}"),
    "wrong port": _inserted("global", "http_port {}", "https_port {}"),
    "wrong regular expression": _inserted("site", "@re path_regexp [({}\nrespond @re x"),
    "wrong expression": _inserted("site", "@ex expression (({}\nrespond @ex x"),
    "unknown module": _inserted("proxy", "lb_policy {}", "transport {}"),
    "unknown storage": _inserted("global", "storage {}"),
    "unknown encoding": _inserted("site", "encode {}"),
    "unknown protocol": _inserted("global", "servers {\nprotocols {}\n}"),
    "unknown log": _inserted("site", "log {\noutput {}\n}", "log {\nformat {}\n}"),
    "log on a read-only disk": _inserted("site", "log {\noutput file /{}/access.log\n}"),
    "missing argument": _inserted("site", "redir", "rewrite", "root", "uri strip_prefix"),
    "missing argument of an option": _inserted("global", "email", "grace_period"),
    "unordered directive": _inserted("global", "order {} first"),
    "wrong upstream": _inserted("site", "reverse_proxy ://", "reverse_proxy 127.0.0.1:99999"),
    "wrong site address": _appended("ftp://127.0.0.1 {\n}", "http://127.0.0.1:99999 {\n}"),
    "duplicate site": _appended(f"http://127.0.0.1:{PORT} {{\nrespond {{}}\n}}"),
    "second options": _appended("{\ndebug\n}"),
    "unusable address": _unusable_address,
    "port in use": _appended(f"http://:{TAKEN_PORT} {{\nrespond {{}}\n}}"),
    "missing certificate": _appended(f"{_TLS_SITE} {{\ntls /{{}}.pem /{{}}.key\n}}"),
    "unknown TLS version": _appended(f"{_TLS_SITE} {{\ntls internal {{\nprotocols {{}}\n}}\n}}"),
    "two hashes for one user": _second_hash,
    "hash that is none": _no_hash,
    "unknown hash": _inserted("site", f"basic_auth {{}} {{\nuser {SECRET_HASH}\n}}"),
    "NUL": _nul,
    "no text": _no_text,
    "huge": _huge,
    "no UTF-8": _surrogate,
    "hostile name": _hostile_name,
    "one of two files": _two_files,
    "policy": _policy("{}", "tcp dport 80 {}", "jump {}", "iifname @{} accept", "tcp dport { 1 accept"),
    "policy's range": _policy("ip saddr 192.0.2.1/33 accept", "ip6 saddr 2001:db8::g accept"),
    "policy cut off": _torn_policy,
    "settings' range": _settings(
        lambda rng: _allowing(_range(rng)),
        lambda rng: {"edge": {"extraAllowedCidrs": [_range(rng)]}},
        lambda rng: _allowing(f"192.0.{rng.randint(1, 254)}.{rng.randint(1, 254)}/16"),
    ),
    "settings' port": _settings(
        lambda rng: {"edge": {rng.choice(["httpPort", "httpsPort"]): _wrong_port(rng)}},
        lambda rng: {"portPolicy": {"rules": [{"action": "allow", "port": _wrong_port(rng)}]}},
        lambda rng: _instance("aws", port=_wrong_port(rng)),
    ),
    "settings' words": _settings(
        lambda rng: {rng.choice(["edge", "loki", "campus"]): {_word(rng): 1}},
        lambda rng: {"edge": {"tls": _word(rng)}},
        lambda rng: {"edge": {"domain": rng.choice(["A b", "-a.example", "https://a.example", "a..b"])}},
        lambda rng: _instance("test", accounts=[{"user": "a", "password": "x" * rng.randint(73, 200)}]),
        lambda rng: _instance("aws", route=rng.choice(["/", "lokiaws", "/a/b", "/A", "/*"])),
        lambda rng: {"images": {"caddy": rng.choice(["caddy", "caddy:latest", "", "caddy:"])}},
    ),
}
