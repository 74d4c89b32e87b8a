"""What can be wrong with `edge`, and an area that isn't one."""

from __future__ import annotations

from tests.support.mistakes.mistake import Mistake

MISTAKES = [
    Mistake({"edge.domian": "x"}, "edge.domian: unknown key"),
    Mistake({"edges": {"domain": "x"}}, "edges: unknown key"),
    Mistake({"edge.domain": ...}, "edge.domain: required key is missing"),
    Mistake({"edge.domain": "https://x.org"}, "edge.domain: a lower-case host name", "https://x.org"),
    Mistake({"edge.httpsPort": 999999}, "edge.httpsPort: a port is a whole number", "1 to 65535", "999999"),
    Mistake({"edge.httpsPort": 0}, "edge.httpsPort: a port is a whole number", "0"),
    Mistake({"edge.httpsPort": "web"}, "edge.httpsPort:", "web"),
    Mistake({"edge.httpPort": 18443}, "edge.httpPort: must differ", "18443"),
    Mistake({"edge.tls": "none"}, "edge.tls:", "none"),
    Mistake({"edge.tls": "acme"}, "edge.email: an address is required", "acme"),
    Mistake({"edge.extraAllowedCidrs": ["1.2.3.4/33"]}, "edge.extraAllowedCidrs.0:", "CIDR", "1.2.3.4/33"),
    Mistake({"edge.extraAllowedCidrs": ["1.2.3.0/24"]}, "edge.extraAllowedCidrs: an entry", "1.2.3.0/24"),
    Mistake({"edge.extraAllowedCidrs": ["0.0.0.0/0"]}, "edge.extraAllowedCidrs: an entry", "0.0.0.0/0"),
    Mistake({"edge.extraAllowedCidrs": ["10.0.0.1/32"]}, "edge.extraAllowedCidrs:", "10.0.0.1/32"),
]
