"""Mistakes in `edge`, and an unknown area."""

from __future__ import annotations

from typing import Any

from components.edge.settings import ACME_STAGING
from components.live.programs import LETS_ENCRYPT
from rig.certificates import made_authority
from tests.support.mistakes.mistake import Mistake

ACME = {"directory": "https://ca.example.org/acme/directory"}
AUTHORITY = made_authority("ca.example.org")
ROOT_PEM = AUTHORITY.root
SERVER_PEM, KEY_PEM = AUTHORITY.certificate, AUTHORITY.key


def acme(changes: dict[str, Any], says: str, *words: str) -> Mistake:
    """A mistake in another ACME authority."""
    return Mistake({"edge.acme": ACME | changes}, says, *words)


MISTAKES = [
    Mistake({"edge.domian": "x"}, "edge.domian: unknown key"),
    Mistake({"edges": {"domain": "x"}}, "edges: unknown key"),
    Mistake({"edge.domain": ...}, "edge.domain: required key is missing"),
    Mistake({"edge.domain": "https://x.org"}, "edge.domain: a lower-case host name", "https://x.org"),
    *(
        Mistake({"edge.domain": address}, "edge.domain: a DNS name is needed", address)
        for address in ("203.0.113.9", "127.1", "2130706433", "0x7f.1", "0177.0.0.1", "campus.0xa")
    ),
    Mistake({"edge.domain": "2001:db8::1"}, "edge.domain: a lower-case host name", "2001:db8::1"),
    *(
        Mistake(
            {"edge.domain": name, "edge.tls": "acme", "edge.email": "a@example.org"},
            "edge.domain: a public DNS name is needed with tls: acme",
            f"'{name}'",
        )
        for name in ("campus", "campus.localhost", "campus.internal", "campus.home.arpa", "campus.ts.net")
    ),
    Mistake({"edge.httpsPort": 999999}, "edge.httpsPort: a port is a whole number", "1 to 65535", "999999"),
    Mistake({"edge.httpsPort": 0}, "edge.httpsPort: a port is a whole number", "0"),
    Mistake({"edge.httpsPort": "web"}, "edge.httpsPort:", "web"),
    *(
        Mistake(
            {"edge.connectionsPerSource": number}, "edge.connectionsPerSource: from 50", "1927", str(number)
        )
        for number in (0, 49, 1928, 100_000)
    ),
    Mistake({"edge.connectionsPerSource": "many"}, "edge.connectionsPerSource:", "many"),
    Mistake({"edge.connectionsPerSource": None}, "edge.connectionsPerSource:", "null"),
    Mistake({"edge.httpPort": 18443}, "edge.httpPort: must differ", "18443"),
    Mistake({"edge.tls": "none"}, "edge.tls:", "none"),
    Mistake({"edge.tls": "acme"}, "edge.email: an address is required", "acme"),
    # Characters with a meaning in a Caddyfile.
    *(
        Mistake({"edge.email": email}, "edge.email: a mail address is needed")
        for email in ("a@example.org\\", 'a"@example.org', "{env.HOME}@example.org")
    ),
    acme({}, "edge.acme: only for tls: acme", "'internal'"),
    Mistake({"edge.acme": {}}, "edge.acme.directory: required key is missing"),
    acme({"directory": "http://ca.test"}, "edge.acme.directory: the URL of an ACME", "http://"),
    acme({"directory": "https://a.test:0/"}, "edge.acme.directory: the URL of an", "test:0/"),
    acme({"directory": "https://a.test/{x}"}, "edge.acme.directory: the URL of an", "{x}"),
    acme({"directory": "https://u@ca.test"}, "edge.acme.directory: the URL of an", "u@ca"),
    acme({"directory": "https://[:::]/x"}, "edge.acme.directory: the URL of an", "[:::]"),
    acme({"directory": "https://a.test/%zz"}, "edge.acme.directory: the URL of an", "%zz"),
    acme({"directory": LETS_ENCRYPT}, "edge.acme.directory: Let's Encrypt is what", LETS_ENCRYPT),
    acme({"directory": ACME_STAGING}, "edge.acme.directory: Let's Encrypt's", ACME_STAGING),
    acme({"root": "ca.pem"}, "edge.acme.root: certificates as PEM", "received 6 characters"),
    acme({"root": SERVER_PEM + KEY_PEM}, "edge.acme.root: certificates as PEM", "characters"),
    acme({"root": ROOT_PEM[:200]}, "edge.acme.root: a certificate can't be read", "200 char"),
    acme({"root": ROOT_PEM[:200] + ROOT_PEM}, "edge.acme.root: a certificate can't", "char"),
    acme({"root": SERVER_PEM}, "edge.acme.root: an authority's certificate", "characters"),
    Mistake({"edge.extraAllowedCidrs": ["1.2.3.4/33"]}, "edge.extraAllowedCidrs.0:", "CIDR", "1.2.3.4/33"),
    *(
        Mistake(
            {"edge.extraAllowedCidrs": [written]}, "edge.extraAllowedCidrs.0: packets carry", right, written
        )
        for written, right in (
            ("::ffff:203.0.113.7", "write 203.0.113.7"),
            ("::ffff:cb00:7100/120", "write 203.0.113.0/24"),
            ("64:ff9b::203.0.113.7", "write 203.0.113.7"),
            ("64:ff9b:1::203.0.113.7", "write 203.0.113.7"),
            ("::203.0.113.7", "write 203.0.113.7"),
            ("::ffff:0:203.0.113.7", "write 203.0.113.7"),
        )
    ),
    *(
        Mistake({"edge.extraAllowedCidrs": [cidr]}, "edge.extraAllowedCidrs.0: no packet comes from", cidr)
        for cidr in (
            *("0.0.0.0", "224.0.0.1", "255.255.255.255", "224.0.0.0/3"),
            *("::", "ff02::1", "::/64", "::/8", "100::1"),
        )
    ),
    Mistake({"edge.extraAllowedCidrs": ["fe80::1%eth0"]}, "edge.extraAllowedCidrs.0:", "a zone", "fe80::1%"),
    Mistake(
        {"edge.extraAllowedCidrs": ["172.29.1.1"], "edge.allowWide": True},
        "edge.extraAllowedCidrs: the containers' own addresses",
        "172.29.0.0/16",
        "'172.29.1.1/32'",
    ),
    Mistake({"edge.extraAllowedCidrs": ["1.2.3.0/24"]}, "edge.extraAllowedCidrs: an entry", "1.2.3.0/24"),
    Mistake({"edge.extraAllowedCidrs": ["0.0.0.0/0"]}, "edge.extraAllowedCidrs: an entry", "0.0.0.0/0"),
    Mistake({"edge.extraAllowedCidrs": ["10.0.0.1/32"]}, "edge.extraAllowedCidrs:", "10.0.0.1/32"),
]
