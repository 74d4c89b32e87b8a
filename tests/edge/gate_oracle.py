"""Judges who may push, from the sent bytes, their source address, and a plain table.

Based on RFC 9110, 9112 and 9113 and on the policy, not on the renderer or on Caddy.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from ipaddress import ip_address, ip_network

PUSH = b"/loki/api/v1/push"
# OpenTelemetry's push path, if a route has it.
OTLP = b"/otlp/v1/logs"
# Prometheus' push paths.
REMOTE_WRITE = b"/api/v1/write"
OTLP_METRICS = b"/api/v1/otlp/v1/metrics"
# Larger bodies are refused.
MAX_BODY = 5_000_000
# Larger heads may be refused.
USUAL_HEAD = 16 << 10

Fields = Sequence[tuple[bytes, bytes]]


@dataclass(frozen=True, kw_only=True)
class Door:
    """One path of a guarded route, with its allowed addresses, and its accounts if it has any."""

    prefix: str
    loki: str
    allowed: tuple[str, ...]
    # The passwords by user.
    accounts: Mapping[str, str] = field(default_factory=dict, repr=False)
    # Loki's own path behind the prefix.
    path: bytes = PUSH
    # Bodies with any Content-Encoding are refused.
    is_plain: bool = False

    @property
    def target(self) -> bytes:
        """The target of a push."""
        return self.prefix.encode() + self.path


@dataclass(frozen=True)
class Policy:
    """The site's name and its guarded routes."""

    host: str
    doors: tuple[Door, ...]

    def door(self, prefix: str) -> Door:
        """The first door of the route with this prefix."""
        return next(one for one in self.doors if one.prefix == prefix)


class Verdict(Enum):
    """The permitted outcomes of a request."""

    # It must reach its Loki, whole, and get Loki's answer.
    PASS = "has to pass"
    # It may be refused, too: it is unusual, or its connection may have ended before it.
    MAY_PASS = "may pass"
    # Its beginning may reach its Loki, but not all of it.
    NOT_WHOLE = "may not pass whole"
    # Nothing of it may reach a Loki.
    NEVER = "may not pass"


@dataclass(frozen=True)
class Judged:
    """A verdict, and the door that it is about, or None."""

    verdict: Verdict
    door: Door | None


@dataclass(frozen=True, kw_only=True)
class H2Request:
    """One HTTP/2 stream as sent: header block, data, trailers."""

    headers: tuple[tuple[bytes, bytes], ...]
    body: bytes = b""
    trailers: tuple[tuple[bytes, bytes], ...] = ()
    # The stream is reset instead of ended.
    is_cut: bool = False


NEVER = Judged(Verdict.NEVER, None)

_TOKEN = rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+"
_REQUEST_LINE = re.compile(rb"(" + _TOKEN + rb") ([!-~]+) HTTP/1\.([01])\r\n")
_FIELD = re.compile(
    rb"(" + _TOKEN + rb"):[ \t]*([!-~\x80-\xff]?(?:[\t -~\x80-\xff]*[!-~\x80-\xff])?)[ \t]*\r\n"
)
_CHUNK = re.compile(rb"([0-9A-Fa-f]{1,8})\r\n")
_CASE = re.compile(rb"(?i)x-case:[ \t]*(\d+)|case=(\d+);")
# Anything that a reader might take for the head of a POST.
_ANY_HEAD = re.compile(rb"POST[ \t]+([^\s\0]+)[ \t]+HTTP/\d(?:\.\d+)?[ \t]*\r?\n((?:[^\r\n\0][^\n\0]*\n)*)")
_LOGIN = re.compile(rb"(?i)basic [A-Za-z0-9+/]+=*")
_CONNECTION_FIELDS = (b"connection", b"keep-alive", b"proxy-connection", b"transfer-encoding", b"upgrade")


def judge(policy: Policy, source: str, site: str | None, sent: bytes | H2Request) -> dict[int, Judged]:
    """The verdict on every case in the bytes of one connection, or one stream.

    `site` is the name in the TLS handshake; None without TLS.
    """
    if isinstance(sent, H2Request):
        return _judge_stream(policy, source, sent)
    verdicts = dict.fromkeys(_cases(sent), NEVER)
    if site == policy.host:
        verdicts |= _judge_bytes(policy, source, sent)
    return verdicts


def _cases(data: bytes) -> list[int]:
    return [int(found[1] or found[2]) for found in _CASE.finditer(data)]


# --- HTTP/1: message by message, as long as they are unambiguous ---


@dataclass(frozen=True)
class _Message:
    method: bytes
    target: bytes
    fields: Fields
    is_usual: bool
    is_whole: bool
    is_last: bool
    size: int
    end: int

    def values(self, name: bytes) -> list[bytes]:
        return _values(self.fields, name)


def _judge_bytes(policy: Policy, source: str, data: bytes) -> dict[int, Judged]:
    verdicts: dict[int, Judged] = {}
    at, goes_on = 0, True
    while at < len(data):
        message = _message(data, at)
        if message is None:
            return _judge_doubtful(policy, source, data[at:]) | verdicts
        named = message.values(b"x-case")
        door = _permitted(policy, source, message.method, message.target, message.fields)
        if len(named) == 1:
            verdicts[int(named[0])] = judged = _grade(door, message, goes_on, policy.host)
            goes_on = goes_on and judged.verdict is Verdict.PASS
        else:
            goes_on = False
        goes_on = goes_on and not message.is_last
        at = message.end
    return verdicts


def _grade(door: Door | None, message: _Message, goes_on: bool, host: str) -> Judged:
    if door is None:
        return NEVER
    if not message.is_whole or message.size > MAX_BODY:
        return Judged(Verdict.NOT_WHOLE, door)
    is_sure = goes_on and message.is_usual and _is_named_plainly(message.values(b"host"), host)
    return Judged(Verdict.PASS if is_sure else Verdict.MAY_PASS, door)


def _message(data: bytes, at: int) -> _Message | None:
    """The message that begins there; None if its end or its meaning is ambiguous."""
    line = _REQUEST_LINE.match(data, at)
    if line is None:
        return None
    fields: list[tuple[bytes, bytes]] = []
    here = line.end()
    while not data.startswith(b"\r\n", here):
        found = _FIELD.match(data, here)
        if found is None:
            return None
        fields.append((found[1].lower(), found[2]))
        here = found.end()
    here += 2
    is_old = line[3] == b"0"
    framed = _framed(data, here, fields, is_old)
    if framed is None:
        return None
    size, end, is_whole, is_plain = framed
    connection = b",".join(_values(fields, b"connection")).lower()
    options = {option.strip() for option in connection.split(b",")} - {b""}
    return _Message(
        method=line[1],
        target=line[2],
        fields=fields,
        is_usual=is_plain and here - at <= USUAL_HEAD and _is_usual(fields, options),
        is_whole=is_whole,
        is_last=b"close" in options or (is_old and b"keep-alive" not in options),
        size=size,
        end=end,
    )


def _is_usual(fields: Fields, options: set[bytes]) -> bool:
    """Whether a server has no reason to refuse a head or to change protocols."""
    expected = [value.lower() for value in _values(fields, b"expect")]
    return (
        options <= {b"close", b"keep-alive"}
        and expected in ([], [b"100-continue"])
        and not _values(fields, b"upgrade")
        and not _values(fields, b"trailer")
        and not _values(fields, b"te")
        and [bool(_LOGIN.fullmatch(one)) for one in _values(fields, b"authorization")] in ([], [True])
    )


def _framed(data: bytes, here: int, fields: Fields, is_old: bool) -> tuple[int, int, bool, bool] | None:
    """A body's size, its end, whether it is complete, and whether it is a plain one."""
    codings, lengths = _values(fields, b"transfer-encoding"), _values(fields, b"content-length")
    if codings:
        if lengths or is_old or [coding.lower() for coding in codings] != [b"chunked"]:
            return None
        return _chunked(data, here)
    if not lengths:
        return 0, here, True, True
    if len(lengths) > 1 or not re.fullmatch(rb"\d{1,18}", lengths[0]):
        return None
    size = int(lengths[0])
    end = min(here + size, len(data))
    return size, end, here + size <= len(data), True


def _chunked(data: bytes, here: int) -> tuple[int, int, bool, bool] | None:
    """The same for a chunked body, here without extensions or trailers."""
    size = 0
    while here < len(data):
        chunk = _CHUNK.match(data, here)
        if chunk is None:
            return None
        length = int(chunk[1], 16)
        here = chunk.end() + length
        if here + 2 > len(data):
            return size + length, len(data), False, True
        if data[here : here + 2] != b"\r\n":
            return None
        here += 2
        if length == 0:
            return size, here, True, True
        size += length
    return size, here, False, True


def _judge_doubtful(policy: Policy, source: str, data: bytes) -> dict[int, Judged]:
    """For ambiguous bytes: a case may pass if any reading of its head permits it."""
    verdicts = dict.fromkeys(_cases(data), NEVER)
    at = 0
    while head := _ANY_HEAD.search(data, at):
        at = head.start() + 1  # a head may be hidden in another
        lines = re.sub(rb"\r?\n[ \t]+", b" ", head[2]).splitlines()
        fields = [
            (name.strip().lower(), value.strip()) for name, _, value in (one.partition(b":") for one in lines)
        ]
        door = _permitted(policy, source, b"POST", head[1], fields)
        for named in _values(fields, b"x-case"):
            if door is not None and named.isdigit() and int(named) in verdicts:
                verdicts[int(named)] = Judged(Verdict.MAY_PASS, door)
    return verdicts


# --- HTTP/2: each stream separately ---


def _judge_stream(policy: Policy, source: str, sent: H2Request) -> dict[int, Judged]:
    fields = [(name.lower(), value) for name, value in sent.headers]
    cases = [int(value) for value in _values(fields, b"x-case") if value.isdigit()] + _cases(sent.body)
    verdicts = dict.fromkeys(cases, NEVER)
    door = _permitted_stream(policy, source, fields)
    if door is None or not cases:
        return verdicts
    lengths = _values(fields, b"content-length")
    verdict = Verdict.MAY_PASS
    if sent.is_cut or len(sent.body) > MAX_BODY:
        verdict = Verdict.NOT_WHOLE
    elif _is_well_formed(sent, policy.host) and lengths in ([], [b"%d" % len(sent.body)]):
        verdict = Verdict.PASS
    return verdicts | {cases[0]: Judged(verdict, door)}


def _permitted_stream(policy: Policy, source: str, fields: Fields) -> Door | None:
    """The door that some reading of the header block permits."""
    hosts = _values(fields, b":authority") + _values(fields, b"host")
    rest = [one for one in fields if one[0] != b"host"] + [(b"host", host) for host in hosts]
    for method in _values(fields, b":method"):
        for path in _values(fields, b":path"):
            door = _permitted(policy, source, method, path, rest)
            if door is not None:
                return door
    return None


def _is_well_formed(sent: H2Request, host: str) -> bool:
    """Whether a header block is beyond objection (RFC 9113, section 8)."""
    names = [name for name, _ in sent.headers]
    pseudo = [name for name in names if name.startswith(b":")]
    return (
        names[: len(pseudo)] == pseudo
        and sorted(pseudo) == [b":authority", b":method", b":path", b":scheme"]
        and dict(sent.headers)[b":scheme"] == b"https"
        and all(re.fullmatch(_TOKEN, name.lstrip(b":")) and name == name.lower() for name in names)
        and not any(name in _CONNECTION_FIELDS for name in names)
        and all(
            re.fullmatch(rb"([!-~\x80-\xff]([\t -~\x80-\xff]*[!-~\x80-\xff])?)?", value)
            for _, value in sent.headers
        )
        and sum(len(name) + len(value) + 4 for name, value in sent.headers) <= USUAL_HEAD
        and _is_usual(sent.headers, set())
        and not _values(sent.headers, b"host")
        and not sent.trailers
        and _is_named_plainly([dict(sent.headers)[b":authority"]], host)
    )


# --- the policy ---


def _permitted(policy: Policy, source: str, method: bytes, target: bytes, fields: Fields) -> Door | None:
    """The door that is open to this head from this address, or None."""
    hosts = _values(fields, b"host")
    if method != b"POST" or not hosts or not all(_names(host, policy.host) for host in hosts):
        return None
    for door in policy.doors:
        if target == door.target:
            if not any(ip_address(source) in ip_network(allowed) for allowed in door.allowed):
                return None
            if door.accounts and not any(_opens(door, one) for one in _values(fields, b"authorization")):
                return None
            if door.is_plain and _values(fields, b"content-encoding"):
                return None
            return door
    return None


def _opens(door: Door, authorization: bytes) -> bool:
    """Whether an Authorization field has one of the route's accounts."""
    scheme, _, encoded = authorization.partition(b" ")
    if scheme.lower() != b"basic":
        return False
    try:
        user, _, password = base64.b64decode(encoded.strip(), validate=True).partition(b":")
    except binascii.Error:
        return False
    accounts = {name.encode(): secret.encode() for name, secret in door.accounts.items()}
    return accounts.get(user) == password


def _names(value: bytes, host: str) -> bool:
    """Whether a Host field names the site, with any port."""
    return re.fullmatch(rb"(?i)" + re.escape(host.encode()) + rb"\.?(:.*)?", value.strip()) is not None


def _is_named_plainly(values: Sequence[bytes], host: str) -> bool:
    plain = (host.encode(), host.encode() + b":443")
    return len(values) == 1 and values[0].lower() in plain


def _values(fields: Fields, name: bytes) -> list[bytes]:
    return [value for key, value in fields if key == name]
