"""Several requests on one HTTP/1 connection, each hidden from some readers: request smuggling."""

from __future__ import annotations

from collections.abc import Callable

from tests.edge.gate_changes import CHUNKED
from tests.edge.gate_draft import Draft, chunked

# Each call returns the stream's next request, a push that must pass.
Next = Callable[[], Draft]
# A stream's bytes, from its requests and the hidden one.
Stream = Callable[[Next, Callable[[Draft], bytes]], bytes]
Hidden = Callable[[Draft], bytes]


def _read_config(draft: Draft) -> bytes:
    draft.method, draft.target, draft.body = b"GET", draft.door.prefix.encode() + b"/config", b""
    return draft.raw()


def _read_config_of_loki(draft: Draft) -> bytes:
    draft.method, draft.target, draft.host, draft.body = b"GET", b"/config", b"loki-aws:3100", b""
    return draft.raw()


def _push_without_login(draft: Draft) -> bytes:
    draft.login = None
    return draft.raw()


def _push_as_somebody(draft: Draft) -> bytes:
    draft.add(b"X-Scope-OrgID", b"other")
    return draft.raw()


def _push_past_the_gate(draft: Draft) -> bytes:
    draft.target, draft.login = b"/loki/api/v1/push", None
    return draft.raw()


# Requests to hide in another.
HIDDEN: list[tuple[str, Hidden]] = [
    ("a read", _read_config),
    ("a read of Loki's own", _read_config_of_loki),
    ("a push without a login", _push_without_login),
    ("a push for a tenant", _push_as_somebody),
    ("a push to Loki's own path", _push_past_the_gate),
    ("a push", Draft.raw),
]


def _in_turn(first: Next, hidden: Hidden) -> bytes:
    return first().raw() + hidden(first())


def _three_in_turn(first: Next, hidden: Hidden) -> bytes:
    return first().raw() + hidden(first()) + first().raw()


def _behind(change: Callable[[Draft], None]) -> Stream:
    """The hidden request behind a changed one."""

    def stream(first: Next, hidden: Hidden) -> bytes:
        outer = first()
        change(outer)
        return outer.raw() + hidden(first())

    return stream


def _in_body(method: bytes = b"POST", is_first: bool = True) -> Stream:
    """The hidden request in another one's body, before or after the pushed lines."""

    def stream(first: Next, hidden: Hidden) -> bytes:
        outer = first()
        outer.method = method
        inner = hidden(first())
        outer.body = inner + outer.body if is_first else outer.body + inner
        return outer.raw()

    return stream


def _framed(fields: Callable[[bytes, bytes], list[tuple[bytes, bytes]]], is_chunked: bool = True) -> Stream:
    """Both requests behind a head with these fields, made from the first body and from both."""

    def stream(first: Next, hidden: Hidden) -> bytes:
        outer = first()
        body = chunked(outer.body) if is_chunked else outer.body
        both = body + hidden(first())
        outer.framing = lambda _: (fields(body, both), both)
        return outer.raw()

    return stream


def _length(body: bytes) -> tuple[bytes, bytes]:
    return b"Content-Length", b"%d" % len(body)


def _obscured(name: bytes, value: bytes) -> Stream:
    """A Transfer-Encoding that only some readers see, and a length of everything."""
    return _framed(lambda body, both: [_length(both), (name, value)])


def _chunk_and_length(first: Next, hidden: Hidden) -> bytes:
    """A length that ends before the chunk with the hidden request."""
    outer, inner = first(), hidden(first())
    data = chunked(outer.body + inner)
    cut = data.index(b"\r\n") + 2 + len(outer.body)
    outer.framing = lambda _: ([(b"Content-Length", b"%d" % cut), CHUNKED], data)
    return outer.raw()


def _in_extension(first: Next, hidden: Hidden) -> bytes:
    """The hidden request behind a line feed in a chunk's extension."""
    outer, inner = first(), hidden(first())
    data = b"%x;a\n%b\r\n%b\r\n0\r\n\r\n" % (len(outer.body), inner, outer.body)
    outer.framing = lambda _: ([CHUNKED], data)
    return outer.raw()


def _in_trailers(first: Next, hidden: Hidden) -> bytes:
    outer, inner = first(), hidden(first())
    data = chunked(outer.body)[:-2] + b"X-A: b\r\n" + inner + b"\r\n"
    outer.framing = lambda _: ([CHUNKED], data)
    return outer.raw()


def _in_target(first: Next, hidden: Hidden) -> bytes:
    """The hidden request's lines in another one's target."""
    outer, inner = first(), hidden(first())
    outer.target += b"?a HTTP/1.1\r\nHost: " + outer.host + b"\r\n\r\n" + inner
    return outer.raw()


def _in_field(first: Next, hidden: Hidden) -> bytes:
    """The hidden request in a field whose lines end only with line feeds."""
    outer, inner = first(), hidden(first())
    outer.add(b"X-A", b"b\n\n" + inner)
    return outer.raw()


def _upgraded(protocol: bytes) -> Callable[[Draft], None]:
    def change(draft: Draft) -> None:
        draft.add(b"Connection", b"Upgrade")
        draft.add(b"Upgrade", protocol)

    return change


def _connect(draft: Draft) -> None:
    draft.method, draft.target, draft.body = b"CONNECT", b"loki-aws:3100", b""


def _old(draft: Draft) -> None:
    draft.version = b"1.0"


def _head(draft: Draft) -> None:
    draft.method = b"HEAD"


def _refused(draft: Draft) -> None:
    draft.target = draft.door.prefix.encode() + b"/config"


def _unauthorized(draft: Draft) -> None:
    draft.login = None


def _expecting(draft: Draft) -> None:
    draft.add(b"Expect", b"100-continue")


def _without_length(draft: Draft) -> None:
    draft.framing = lambda body: ([], b"")


STREAMS: list[tuple[str, Stream]] = [
    ("one after the other", _in_turn),
    ("three in turn", _three_in_turn),
    ("behind a refused path", _behind(_refused)),
    ("behind one without a login", _behind(_unauthorized)),
    ("behind a HEAD", _behind(_head)),
    ("behind HTTP/1.0", _behind(_old)),
    ("behind an expectation", _behind(_expecting)),
    ("behind one without a length", _behind(_without_length)),
    ("behind an upgrade to h2c", _behind(_upgraded(b"h2c"))),
    ("behind an upgrade to WebSocket", _behind(_upgraded(b"websocket"))),
    ("behind a CONNECT", _behind(_connect)),
    ("in a body", _in_body()),
    ("behind a body", _in_body(is_first=False)),
    ("in the body of a GET", _in_body(b"GET")),
    ("in the body of a HEAD", _in_body(b"HEAD")),
    ("length, then chunks (CL.TE)", _framed(lambda body, both: [_length(both), CHUNKED])),
    ("chunks, then length (TE.CL)", _framed(lambda body, both: [CHUNKED, _length(both)])),
    ("a length of the first alone (TE.CL)", _framed(lambda body, both: [_length(body), CHUNKED])),
    ("a length within a chunk (TE.CL)", _chunk_and_length),
    ("a length of nothing (CL.0)", _framed(lambda body, both: [(b"Content-Length", b"0")], is_chunked=False)),
    ("two lengths, the long one first", _framed(lambda body, both: [_length(both), _length(body)], False)),
    ("two lengths, the short one first", _framed(lambda body, both: [_length(body), _length(both)], False)),
    ("two lengths in one", _framed(
        lambda body, both: [(b"Content-Length", b"%d, %d" % (len(body), len(both)))], is_chunked=False
    )),
    *((f"chunks by {name + b': ' + value!r}", _obscured(name, value)) for name, value in (
        (b"Transfer-Encoding", b"xchunked"),
        (b"Transfer-Encoding ", b"chunked"),
        (b" Transfer-Encoding", b"chunked"),
        (b"Transfer-Encoding", b"\x0bchunked"),
        (b"Transfer-Encoding", b"chunked\x0b"),
        (b"Transfer-Encoding", b"chunked, identity"),
        (b"Transfer-Encoding", b"identity\r\nTransfer-Encoding: chunked"),
        (b"Transfer-Encoding", b"\r\n chunked"),
        (b"Transfer-Encoding", b"'chunked'"),
        (b"Transfer_Encoding", b"chunked"),
        (b"Transfer\0-Encoding", b"chunked"),
        (b"X-A", b"b\rTransfer-Encoding: chunked"),
        (b"X-A", b"b\nTransfer-Encoding: chunked"),
        (b"TE", b"chunked"),
        (b"Content-Encoding", b"chunked"),
    )),
    ("in an extension of a chunk", _in_extension),
    ("in the trailers", _in_trailers),
    ("in a target", _in_target),
    ("in a field", _in_field),
]  # fmt: skip
