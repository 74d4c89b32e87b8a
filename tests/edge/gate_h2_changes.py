"""The gate's HTTP/2 streams as changes of a push that must pass: a table of named changes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from tests.edge.gate_changes import Change, Named
from tests.edge.gate_draft import Draft, chunked
from tests.edge.gate_oracle import H2Request

Block = list[tuple[bytes, bytes]]


def _stream(made: Callable[[H2Request], H2Request]) -> Change:
    """Change a finished stream, which then has its own connection."""

    def change(draft: Draft) -> None:
        draft.is_alone = True
        draft.finish_stream = made

    return change


def _block(made: Callable[[Block], Block]) -> Change:
    """Change a stream's header block."""
    return _stream(lambda sent: replace(sent, headers=tuple(made(list(sent.headers)))))


def _without(name: bytes) -> Change:
    return _block(lambda block: [one for one in block if one[0] != name])


def _instead(name: bytes, *values: bytes) -> Change:
    """Replace a field by these values."""
    return _block(
        lambda block: [
            one
            for field in block
            for one in ([(name, value) for value in values] if field[0] == name else [field])
        ]
    )


def _changed(name: bytes, made: Callable[[bytes], bytes]) -> Change:
    """Change a field's value."""
    return _block(lambda block: [(key, made(value) if key == name else value) for key, value in block])


def _more(name: bytes, value: bytes) -> Change:
    return _block(lambda block: [*block, (name, value)])


H2_CHANGES: list[Named] = [
    *((f"without {name.decode()}", _without(name)) for name in (
        *(b":method", b":scheme", b":authority", b":path"),
    )),
    ("Host in place of :authority", _block(
        lambda block: [(b"host" if name == b":authority" else name, value) for name, value in block]
    )),
    ("Host like :authority", _block(lambda block: [*block, (b"host", dict(block)[b":authority"])])),
    ("another Host", _more(b"host", b"elsewhere.example")),
    ("another :authority and our Host", _block(
        lambda block: [
            *((name, b"elsewhere.example" if name == b":authority" else value) for name, value in block),
            (b"host", dict(block)[b":authority"]),
        ]
    )),
    ("two methods, GET first", _instead(b":method", b"GET", b"POST")),
    ("two methods, POST first", _instead(b":method", b"POST", b"GET")),
    ("two paths", _block(lambda block: [(b":path", b"/config"), *block])),
    ("two paths, the other last", _block(lambda block: [*block[:4], (b":path", b"/config"), *block[4:]])),
    ("a path after the fields", _more(b":path", b"/config")),
    ("a method after the fields", _more(b":method", b"GET")),
    ("an unknown pseudo field", _block(lambda block: [(b":other", b"x"), *block])),
    ("a status", _block(lambda block: [(b":status", b"204"), *block])),
    *((f":scheme {scheme!r}", _instead(b":scheme", scheme)) for scheme in (
        *(b"http", b"HTTPS", b"", b"ftp", b"https://127.0.0.1/config?", b"http\0"),
    )),
    *((f":path {path!r}", _instead(b":path", path)) for path in (
        *(b"", b"*", b"lokiaws", b" ", b"/ HTTP/1.1\r\nHost: x\r\n\r\n", b"/\0", b"\n", b"/a b", b"http:"),
    )),
    ("a path with a line end", _changed(b":path", lambda path: path + b" HTTP/1.1\r\nX-A: b")),
    ("a method with a line end", _instead(b":method", b"POST /config HTTP/1.1\r\nX-A: b\r\n\r\nPOST")),
    ("a method with a space", _instead(b":method", b"GET /config HTTP/1.1")),
    ("a method in small letters", _instead(b":method", b"post")),
    ("an authority with a login", _changed(b":authority", lambda host: b"a:b@" + host)),
    ("an authority with a path", _changed(b":authority", lambda host: host + b"/config?")),
    *((f"{name!r}: {value!r}", _more(name, value)) for name, value in (
        (b"connection", b"close"),
        (b"connection", b"x-forwarded-for"),
        (b"transfer-encoding", b"chunked"),
        (b"upgrade", b"h2c"),
        (b"keep-alive", b"timeout=5"),
        (b"proxy-connection", b"close"),
        (b"te", b"trailers"),
        (b"te", b"gzip"),
        (b"X-Forwarded-For", b"203.0.113.7"),
        (b"x-a", b"b\r\nx-scope-orgid: other"),
        (b"x-a", b"b\nX-Forwarded-For: 203.0.113.7"),
        (b"x-a", b"b\0"),
        (b"x-a", b" b "),
        (b"x-a\r\nx-b", b"c"),
        (b"x-a: b\r\nx-b", b"c"),
        (b"x a", b"b"),
        (b"", b"b"),
        (b"x-scope-orgid ", b"other"),
        (b"X-Scope-OrgID", b"other"),
        (b"expect", b"100-continue"),
        (b"content-length", b"0"),
        (b"content-length", b"9999"),
        (b"content-length", b"+3"),
        (b"content-length", b"x"),
        (b"x-long", b"a" * 40_000),
    )),
    ("two lengths", _block(
        lambda block: [*block, (b"content-length", b"5"), (b"content-length", b"6")]
    )),
    ("chunks in the data", _stream(
        lambda sent: replace(
            sent, headers=(*sent.headers, (b"transfer-encoding", b"chunked")), body=chunked(sent.body)
        )
    )),
    ("another request in the data", _stream(
        lambda sent: replace(
            sent,
            headers=(*sent.headers, (b"content-length", b"0")),
            body=b"GET /config HTTP/1.1\r\nHost: loki-aws:3100\r\n\r\n",
        )
    )),
    ("trailers", _stream(lambda sent: replace(sent, trailers=((b"x-a", b"b"),)))),
    ("a tenant as trailer", _stream(lambda sent: replace(sent, trailers=((b"x-scope-orgid", b"other"),)))),
    ("a tenant as trailer, announced", _stream(
        lambda sent: replace(
            sent,
            headers=(*sent.headers, (b"trailer", b"x-scope-orgid")),
            trailers=((b"x-scope-orgid", b"other"),),
        )
    )),
    ("a path as trailer", _stream(lambda sent: replace(sent, trailers=((b":path", b"/config"),)))),
    ("no end", _stream(lambda sent: replace(sent, is_cut=True))),
    ("an extended CONNECT", _block(
        lambda block: [
            (b":protocol", b"websocket"),
            *((name, b"CONNECT" if name == b":method" else value) for name, value in block),
        ]
    )),
]  # fmt: skip
