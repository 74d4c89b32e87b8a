"""The gate's cases as changes of a push that must pass: tables of named changes."""

from __future__ import annotations

import gzip
from collections.abc import Callable

from tests.edge.gate_draft import Draft, Fields, basic, chunked, otlp_body, with_length
from tests.edge.gate_oracle import OTLP, OTLP_METRICS, REMOTE_WRITE

Change = Callable[[Draft], None]
Named = tuple[str, Change]

WRONG = "not-the-password"
# The PROXY protocol's first line (HAProxy, "The PROXY protocol", section 2.1).
PROXY = b"PROXY TCP4 203.0.113.7 203.0.113.1 40000 443\r\n"
# The same in binary (section 2.2): TCP over IPv4, 12 bytes of addresses and ports.
PROXY_2 = b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c" + bytes([203, 0, 113, 7, 203, 0, 113, 1, 156, 64, 1, 187])


def _set(**values: object) -> Change:
    def change(draft: Draft) -> None:
        for name, value in values.items():
            setattr(draft, name, value)

    return change


def _alone(change: Change) -> Change:
    """The same on its own connection, since readers may understand it differently."""

    def both(draft: Draft) -> None:
        draft.is_alone = True
        change(draft)

    return both


# --- methods ---

METHODS: list[Named] = [
    *(
        (f"method {method.decode()}", _set(method=method))
        for method in (
            *(b"GET", b"HEAD", b"PUT", b"DELETE", b"PATCH", b"OPTIONS", b"TRACE", b"CONNECT"),
            *(b"post", b"Post", b"POSTS", b"POS", b"PRI", b"QUERY", b"PROPFIND", b"X-POST", b"*"),
        )
    ),
    *(
        (f"method {method!r}", _alone(_set(method=method)))
        for method in (
            b"",
            b"PO\0ST",
            b"PO/ST",
            b"(POST)",
            b" POST",
            b"POST\t",
            b"POST ",
            b"\0POST",
            b"\xefPOST",
        )
    ),
]


# --- targets ---


def _target(made: Callable[[Draft], bytes]) -> Change:
    def change(draft: Draft) -> None:
        draft.target = made(draft) if draft.target else b""
        draft.is_alone = draft.is_alone or len(draft.target) > 8000

    return change


def _replaced(old: bytes, new: bytes, times: int = -1) -> Change:
    return _target(lambda draft: draft.target.replace(old, new, times))


def _ended(end: bytes) -> Change:
    return _target(lambda draft: draft.target + end)


def _begun(start: bytes) -> Change:
    return _target(lambda draft: start + draft.target)


def _inside(path: bytes) -> Change:
    return _target(lambda draft: draft.door.prefix.encode() + path)


def _somewhere(insert: bytes) -> Change:
    """Insert bytes before some slash of the target."""

    def made(draft: Draft) -> bytes:
        slashes = [at for at, byte in enumerate(draft.target) if byte == ord("/")]
        at = draft.rng.choice(slashes or [0])
        return draft.target[:at] + insert + draft.target[at:]

    return _target(made)


def _encoded(draft: Draft) -> bytes:
    """Percent-encode one to three characters, some maybe twice."""
    target = draft.target
    for _ in range(draft.rng.randint(1, 3)):
        at = draft.rng.randrange(min(1, len(target) - 1), len(target))
        code = draft.rng.choice([b"%%%02x", b"%%%02X", b"%%25%02x"]) % target[at]
        target = target[:at] + code + target[at + 1 :]
    return target


def _letter_in_other_case(draft: Draft) -> bytes:
    letters = [at for at, byte in enumerate(draft.target) if chr(byte).isalpha()]
    at = draft.rng.choice(letters or [0])
    return draft.target[:at] + draft.target[at : at + 1].swapcase() + draft.target[at + 1 :]


def _one_byte(draft: Draft) -> bytes:
    """Replace, remove or add one byte that a target may contain."""
    at = draft.rng.randrange(len(draft.target))
    byte = bytes([draft.rng.choice([byte for byte in range(0x21, 0x7F) if byte != ord("%")])])
    new = draft.rng.choice([byte, b"", byte + draft.target[at : at + 1]])
    return (draft.target[:at] + new + draft.target[at + 1 :]) or b"/"


# Loki's documentation, "Loki HTTP API".
OTHER_PATHS = (
    *(b"/config", b"/metrics", b"/ready", b"/services", b"/ring", b"/flush", b"/log_level", b"/memberlist"),
    *(b"/ingester/shutdown", b"/ingester/prepare_shutdown", b"/ingester/flush_shutdown", b"/debug/pprof/"),
    *(b"/loki/api/v1/query", b"/loki/api/v1/query_range", b"/loki/api/v1/labels", b"/loki/api/v1/series"),
    *(b"/loki/api/v1/tail", b"/loki/api/v1/delete", b"/loki/api/v1/rules", b"/api/prom/push"),
    # Prometheus' documentation, "HTTP API" and "Management API".
    *(b"/-/quit", b"/-/reload", b"/federate", b"/api/v1/query", b"/api/v1/read", b"/api/v1/status/config"),
    *(b"/api/v1/admin/tsdb/delete_series", b"/api/v1/admin/tsdb/snapshot", b"/api/v1/otlp/v1/traces"),
    *(b"/otlp/v1/traces", b"/otlp/v1/metrics", b"/compactor/ring", b"/ui/", b"/", b""),
)


def _beyond(insert: bytes, left_out: int = 0) -> Change:
    """Insert bytes between the prefix and the path of the door, without the path's first `left_out`."""
    return _target(lambda draft: draft.door.prefix.encode() + insert + draft.door.path[left_out:])


def _by_otlp(draft: Draft) -> None:
    """Push like OpenTelemetry, which only some routes accept."""
    draft.target, draft.body = draft.door.prefix.encode() + OTLP, otlp_body(draft.case, draft.stamp)


TARGETS: list[Named] = [
    *((f"path {path.decode() or '(none)'}", _inside(path)) for path in OTHER_PATHS),
    ("a push of OpenTelemetry's", _by_otlp),
    ("a push of remote write's", _inside(REMOTE_WRITE)),
    ("a push of OpenTelemetry's metrics", _inside(OTLP_METRICS)),
    ("a query", _ended(b"?tenant=other")),
    ("an empty query", _ended(b"?")),
    ("a query like a path", _ended(b"?/../../config")),
    ("a fragment", _ended(b"#x")),
    ("an encoded question mark", _ended(b"%3fx=y")),
    ("an encoded number sign", _ended(b"%23")),
    ("a slash at the end", _ended(b"/")),
    ("a dot at the end", _ended(b"/.")),
    ("dots at the end", _ended(b"/..")),
    ("a path below", _ended(b"/x")),
    ("a way up", _ended(b"/../../../../config")),
    ("an encoded way up", _ended(b"/%2e%2e/%2e%2e/%2e%2e/%2e%2e/config")),
    ("a half encoded way up", _ended(b"/.%2e/%2e./..%2f../config")),
    ("a way up and back", _ended(b"/../push")),
    ("an encoded way up and back", _ended(b"/%2e%2e/push")),
    ("a parameter", _ended(b";x=y")),
    ("a parameter in between", _replaced(b"/api", b";x/api")),
    ("a way up with parameters", _ended(b"/..;/..;/..;/..;/config")),
    ("an encoded NUL", _ended(b"%00")),
    ("an encoded space", _ended(b"%20")),
    ("an encoded line end", _ended(b"%0d%0aX-A:%20b")),
    ("a plus", _ended(b"+")),
    ("an extension", _ended(b".json")),
    ("overlong dots in UTF-8", _ended(b"/%c0%ae%c0%ae/config")),
    ("an overlong slash in UTF-8", _replaced(b"/api/", b"%c0%afapi/")),
    ("a full-width slash", _replaced(b"/api/", b"%ef%bc%8fapi/")),
    ("raw UTF-8", _replaced(b"/push", b"/p\xc3\xbcsh")),
    ("a long path", _ended(b"/" + b"a" * 9000)),
    ("a long way round", _beyond(b"/." * 3000)),
    ("a path that is too long", _ended(b"/" + b"a" * 60_000)),
    ("an encoded slash", _replaced(b"/api/", b"%2fapi/")),
    ("encoded slashes", _replaced(b"/api/v1/", b"%2Fapi%2Fv1%2F")),
    ("an encoded slash after the prefix", _beyond(b"%2f", 1)),
    ("all slashes encoded", _target(lambda one: b"/" + one.target[1:].replace(b"/", b"%2f"))),
    ("an encoded slash before the version", _replaced(b"/v1/", b"%2fv1/")),
    ("two slashes before the version", _replaced(b"/v1/", b"//v1/")),
    ("dots before the version", _replaced(b"/v1/", b"/x/../v1/")),
    ("an encoded letter", _replaced(b"/push", b"/%70ush")),
    ("an encoded letter of OpenTelemetry's", _replaced(b"/logs", b"/%6cogs")),
    ("upper case in OpenTelemetry's path", _replaced(b"/logs", b"/Logs")),
    ("an encoded letter in the prefix", _replaced(b"/loki", b"/%6coki", 1)),
    ("a letter encoded twice", _replaced(b"/push", b"/%2570ush")),
    ("dots encoded twice", _ended(b"/%252e%252e/config")),
    ("a slash encoded twice", _replaced(b"/api", b"%252fapi")),
    ("upper case", _target(lambda one: one.target.upper())),
    ("upper case in the prefix", _target(lambda one: one.door.prefix.upper().encode() + one.door.path)),
    ("upper case in the push path", _replaced(b"/push", b"/Push")),
    ("two slashes at the start", _begun(b"/")),
    ("many slashes at the start", _begun(b"////")),
    ("two slashes after the prefix", _beyond(b"/")),
    ("two slashes in the push path", _replaced(b"/api/", b"//api/")),
    ("a dot in between", _replaced(b"/api/", b"/./api/")),
    ("dots in between", _replaced(b"/api/", b"/x/../api/")),
    ("encoded dots in between", _replaced(b"/api/", b"/x/%2e%2e/api/")),
    ("a dot at the start", _begun(b"/.")),
    ("dots at the start", _begun(b"/..")),
    ("a way over another path", _begun(b"/public/..")),
    ("an encoded way over another path", _begun(b"/public/%2e%2e")),
    ("backslashes", _target(lambda one: one.target.replace(b"/", b"\\"))),
    ("backslashes in between", _replaced(b"/api/", b"\\api\\")),
    ("a backslash at the start", _begun(b"/\\")),
    ("an encoded backslash", _replaced(b"/api/", b"%5capi/")),
    ("the prefix twice", _target(lambda one: one.door.prefix.encode() + one.target)),
    ("no prefix", _target(lambda one: one.door.path)),
    ("a prefix that goes on", _beyond(b"x")),
    ("a prefix with a dot", _beyond(b".")),
    ("a prefix that is too short", _target(lambda one: one.door.prefix.encode()[:-1] + one.door.path)),
    ("a placeholder of Caddy's", _inside(b"/{http.request.uri}")),
    ("a star", _set(target=b"*")),
    ("a star in the path", _replaced(b"/push", b"/*")),
    ("a host and a port", _target(lambda one: one.host + b":443")),
    ("the absolute form", _target(lambda one: b"https://" + one.host + one.target)),
    ("the absolute form, plain", _target(lambda one: b"http://" + one.host + one.target)),
    ("the absolute form, another host", _begun(b"https://elsewhere.example")),
    ("the absolute form, Loki itself", _target(lambda one: b"http://loki-aws:3100" + one.door.path)),
    ("the absolute form, another path", _target(lambda one: b"https://" + one.host + b"/config")),
    ("the absolute form, a login", _target(lambda one: b"https://a:b@" + one.host + one.target)),
    ("the absolute form, another scheme", _begun(b"unix:")),
    ("the absolute form without a scheme", _target(lambda one: b"//" + one.host + one.target)),
    *(
        (f"{end!r} at the target's end", _alone(_ended(end)))
        for end in (b" ", b" x", b"\t", b"\0", b"\x7f", b"\xff", b"%", b"%zz", b"\r", b"\n", b"\x0b")
    ),
    ("no target", _alone(_set(target=b""))),
    ("no slash at the start", _alone(_target(lambda one: one.target[1:]))),
    ("the first slash encoded", _alone(_target(lambda one: b"%2f" + one.target[1:]))),
]

RANDOM_TARGETS: list[Named] = [
    ("characters encoded", _target(_encoded)),
    ("a letter in the other case", _target(_letter_in_other_case)),
    ("another byte", _target(_one_byte)),
    ("two slashes somewhere", _somewhere(b"/")),
    ("a dot somewhere", _somewhere(b"/.")),
    ("dots somewhere", _somewhere(b"/a/..")),
    ("encoded dots somewhere", _somewhere(b"/a/%2e%2e")),
    ("a parameter somewhere", _somewhere(b";a=b")),
    ("an encoded slash somewhere", _somewhere(b"%2f")),
]


# --- hosts ---


def _host(made: Callable[[bytes], bytes]) -> Change:
    def change(draft: Draft) -> None:
        draft.host = made(draft.host)

    return change


HARMLESS_HOSTS: list[Named] = [
    ("host in upper case", _host(bytes.upper)),
    ("host with its port", _host(lambda host: host + b":443")),
]
HOSTS: list[Named] = [
    *HARMLESS_HOSTS,
    ("host with another port", _host(lambda host: host + b":80")),
    ("host with a colon", _host(lambda host: host + b":")),
    ("host with a dot at its end", _host(lambda host: host + b".")),
    ("host below ours", _host(lambda host: b"x." + host)),
    ("another host", _set(host=b"elsewhere.example")),
    ("Loki as host", _set(host=b"loki-aws:3100")),
    ("an address as host", _set(host=b"127.0.0.1")),
    ("an empty host", _set(host=b"")),
    ("two hosts in one", _alone(_host(lambda host: host + b", elsewhere.example"))),
    ("host with a login", _alone(_host(lambda host: b"a@" + host))),
    ("host with a path", _alone(_host(lambda host: host + b"/x"))),
    ("host with an encoded NUL", _alone(_host(lambda host: host + b"%00"))),
]


# --- header fields ---


def _field(name: bytes, value: bytes) -> Change:
    return lambda draft: draft.add(name, value)


# Proxies' header fields for a client's address.
ADDRESS_FIELDS = (
    *(b"X-Forwarded-For", b"X-Real-IP", b"Client-IP", b"X-Client-IP", b"True-Client-IP"),
    *(b"CF-Connecting-IP", b"Fastly-Client-IP", b"X-Cluster-Client-IP", b"X-Remote-Addr"),
    *(b"X-Originating-IP", b"X-Forwarded", b"X-Original-Forwarded-For", b"X-Envoy-External-Address"),
)


def claims(address: str) -> list[Named]:
    """Fields that claim to come from an address."""
    plain = address.encode()
    node = b'"[%b]"' % plain if b":" in plain else plain
    return [
        *((f"{name.decode()}: {address}", _field(name, plain)) for name in ADDRESS_FIELDS),
        (f"Forwarded: {address}", _field(b"Forwarded", b"for=%b;proto=https;by=127.0.0.1" % node)),
        (f"X-Forwarded-For: a chain to {address}", _field(b"X-Forwarded-For", b"127.0.0.1, " + plain)),
        (f"X-Forwarded-For: a chain from {address}", _field(b"X-Forwarded-For", plain + b", 127.0.0.1")),
    ]


HARMLESS_FIELDS: list[Named] = [
    *((f"{name.decode()}: {value[:20]!r}", _field(name, value)) for name, value in (
        (b"X-Scope-OrgID", b"other"),
        (b"x-scope-orgid", b"other|another"),
        (b"X_Scope_OrgID", b"other"),
        (b"X-Original-URL", b"/config"),
        (b"X-Rewrite-URL", b"/config"),
        (b"X-Forwarded-Host", b"elsewhere.example"),
        (b"X-Forwarded-Proto", b"http"),
        (b"X-Forwarded-Prefix", b"/config"),
        (b"X-Original-Method", b"GET"),
        (b"X-HTTP-Method-Override", b"GET"),
        (b"X-HTTP-Method", b"DELETE"),
        (b"X-WEBAUTH-USER", b"admin"),
        (b"Proxy-Authorization", b"Basic YTpi"),
        (b"Cookie", b"grafana_session=x"),
        (b"Via", b"1.1 Caddy"),
        (b"Max-Forwards", b"0"),
        (b"Range", b"bytes=0-1"),
        (b"Accept-Encoding", b"gzip"),
        (b"Content-Encoding", b"identity"),
        (b"Referer", b"https://127.0.0.1/"),
        (b"Origin", b"null"),
        (b"X-A", b"a" * 8000),
        (b"X-B", b"\xc3\xa9\xff"),
        (b"X-C", b""),
    )),
]  # fmt: skip


def _content(encoding: bytes, body: Callable[[bytes], bytes]) -> Change:
    def change(draft: Draft) -> None:
        draft.add(b"Content-Encoding", encoding)
        draft.body = body(draft.body)

    return change


def _announced_content(encoding: bytes) -> Change:
    def change(draft: Draft) -> None:
        draft.add(b"Expect", b"100-continue")
        draft.add(b"Content-Encoding", encoding)

    return change


def _body(made: Callable[[bytes], bytes]) -> Change:
    def change(draft: Draft) -> None:
        draft.body = made(draft.body)

    return change


def _finish(made: Callable[[bytes], bytes]) -> Change:
    """Change the finished bytes of an HTTP/1 request."""
    return _set(finish=made)


def _upgrade(protocol: bytes) -> Change:
    def change(draft: Draft) -> None:
        draft.is_alone = True
        draft.add(b"Connection", b"Upgrade")
        draft.add(b"Upgrade", protocol)
        draft.add(b"Sec-WebSocket-Version", b"13")
        draft.add(b"Sec-WebSocket-Key", b"dGhlIHNhbXBsZSBub25jZQ==")
        draft.add(b"HTTP2-Settings", b"AAMAAABkAAQAAP__")

    return change


def _without_host(raw: bytes) -> bytes:
    return raw.replace(b"HTTP/1.1", b"HTTP/1.0", 1).replace(b"Host: ", b"X-Host: ", 1)


def _content_type(value: bytes | None) -> Change:
    def change(draft: Draft) -> None:
        draft.fields = [one for one in draft.fields if one[0] != b"Content-Type"]
        if value is not None:
            draft.add(b"Content-Type", value)

    return change


def _many_fields(draft: Draft) -> None:
    draft.fields += [(b"X-%d" % at, b"a" * 40) for at in range(1500)]


# Bodies that Loki has to judge, not the gate.
HARMLESS_BODIES: list[Named] = [
    ("a body in gzip", _content(b"gzip", lambda body: gzip.compress(body, mtime=0))),
    ("a body that is no gzip", _content(b"gzip", lambda body: body)),
    ("an unknown encoding", _content(b"br", lambda body: body)),
    # Loki refuses it by its header, so its body is never sent.
    ("an unknown encoding, announced", _announced_content(b"br")),
    ("no body", _body(lambda body: b"")),
    ("half a body", _body(lambda body: body[: len(body) // 2])),
    ("another content type", _content_type(b"application/x-protobuf")),
    ("no content type", _content_type(None)),
]

ODD_FIELDS: list[Named] = [
    *((f"Connection: {name}", _field(b"Connection", name.encode())) for name in (
        *("X-Forwarded-For", "Authorization", "X-Scope-OrgID", "Host", "Content-Length"),
        *("Content-Type", "Transfer-Encoding", "close, X-Forwarded-For", "Forwarded", ":path"),
    )),
    ("trailers announced", _field(b"Trailer", b"X-Scope-OrgID, Authorization")),
    ("TE: trailers", _field(b"TE", b"trailers")),
    ("an unknown expectation", _field(b"Expect", b"a-miracle")),
    ("an upgrade to h2c", _upgrade(b"h2c")),
    ("an upgrade to WebSocket", _upgrade(b"websocket")),
    ("too many fields", _alone(_many_fields)),
    ("a field that is too long", _alone(_field(b"X-Forwarded-For", b"203.0.113.7, " * 4000))),
    ("a second Host", _alone(lambda draft: draft.add(b"Host", draft.host))),
    ("a second, other Host", _alone(_field(b"Host", b"elsewhere.example"))),
    *((f"field {name!r}: {value!r}", _alone(_field(name, value))) for name, value in (
        (b"X-A", b"b\0c"),
        (b"X-A", b"b\x01c"),
        (b"X-A", b"b\x7fc"),
        (b"X-A", b"b\rX-Forwarded-For: 203.0.113.7"),
        (b"X-A", b"b\nX-Forwarded-For: 203.0.113.7"),
        (b"X-A", b"b\r\n c"),
        (b"X-A", b"b\r\n\tTransfer-Encoding: chunked"),
        (b"X-A ", b"b"),
        (b" X-A", b"b"),
        (b"X\0A", b"b"),
        (b"X A", b"b"),
        (b"", b"b"),
        (b"(X-A)", b"b"),
        (b"X-Scope-OrgID ", b"other"),
        (b"X-Scope-OrgID\t", b"other"),
    )),
    ("a line without a colon", _alone(_finish(lambda raw: raw.replace(b"X-Case", b"hello\r\nX-Case", 1)))),
    ("a folded host", _alone(_finish(lambda raw: raw.replace(b"Host: ", b"Host:\r\n ", 1)))),
    ("bare line feeds", _alone(_finish(lambda raw: raw.replace(b"\r\n", b"\n")))),
    ("bare carriage returns", _alone(_finish(lambda raw: raw.replace(b"\r\n", b"\r")))),
    ("an empty line first", _alone(_finish(lambda raw: b"\r\n" + raw))),
    ("a space first", _alone(_finish(lambda raw: b" " + raw))),
    ("a NUL first", _alone(_finish(lambda raw: b"\0" + raw))),
    ("a byte order mark first", _alone(_finish(lambda raw: b"\xef\xbb\xbf" + raw))),
    ("tabs in the request line", _alone(_finish(lambda raw: raw.replace(b"POST ", b"POST\t", 1)))),
    ("two spaces in the request line", _alone(_finish(lambda raw: raw.replace(b" HTTP", b"  HTTP", 1)))),
    ("HTTP/2's preface first", _alone(_finish(lambda raw: b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + raw))),
    ("PROXY in front of it", _alone(_finish(lambda raw: PROXY + raw))),
    *((f"HTTP/{version.decode()}", _alone(_set(version=version))) for version in (
        *(b"1.0", b"0.9", b"1.2", b"1.10", b"2.0", b"3.0", b"1", b"1.1 ", b"1.1.1", b"x"),
    )),
    ("http/1.1 in small letters", _alone(_finish(lambda raw: raw.replace(b" HTTP/", b" http/", 1)))),
    ("HTTP/1.0 without a host", _alone(_finish(_without_host))),
    ("no host", _alone(_finish(lambda raw: raw.replace(b"Host: ", b"X-Host: ", 1)))),
]  # fmt: skip


# --- logins ---


def _login(made: Callable[[bytes], bytes | None]) -> Change:
    """Change the Authorization field, if the route needs one."""

    def change(draft: Draft) -> None:
        if draft.login is not None:
            draft.login = made(draft.login)

    return change


def _with_login(user: Callable[[str], str], password: Callable[[str], str]) -> Change:
    def change(draft: Draft) -> None:
        if draft.door.accounts:
            name, secret = draft.rng.choice(sorted(draft.door.accounts.items()))
            draft.login = basic(user(name), password(secret))

    return change


def _same(text: str) -> str:
    return text


def _login_from_user(draft: Draft) -> None:
    if draft.door.accounts:
        user = sorted(draft.door.accounts)[0]
        draft.login = basic(user, user)


def _moved(name: bytes) -> Change:
    """Send the login in another field."""

    def change(draft: Draft) -> None:
        if draft.login is not None:
            draft.add(name, draft.login)
            draft.login = None

    return change


def _second_login(is_right_first: bool) -> Change:
    def change(draft: Draft) -> None:
        if draft.login is not None:
            wrong = basic(sorted(draft.door.accounts)[0], WRONG)
            first, second = (draft.login, wrong) if is_right_first else (wrong, draft.login)
            draft.login = first
            draft.add(b"Authorization", second)

    return change


HARMLESS_LOGINS: list[Named] = [
    ("basic in small letters", _login(lambda login: login.replace(b"Basic", b"basic"))),
    ("BASIC in capitals", _login(lambda login: login.replace(b"Basic", b"BASIC"))),
]
LOGINS: list[Named] = [
    *HARMLESS_LOGINS,
    ("no login", _login(lambda login: None)),
    ("a wrong password", _with_login(_same, lambda secret: WRONG)),
    ("an empty password", _with_login(_same, lambda secret: "")),
    ("a password cut short", _with_login(_same, lambda secret: secret[:-1])),
    ("a password with a NUL", _with_login(_same, lambda secret: secret + "\0")),
    ("a password with a line end", _with_login(_same, lambda secret: secret + "\n")),
    ("a password in the other case", _with_login(_same, str.swapcase)),
    ("the user as password", _login_from_user),
    ("an empty login", _login(lambda login: b"")),
    ("Basic and no more", _login(lambda login: b"Basic")),
    ("no base64", _login(lambda login: b"Basic !!!")),
    ("base64 of no login", _login(lambda login: b"Basic YWRtaW4=")),
    ("a login in the clear", _login(lambda login: b"Basic admin:admin")),
    ("a bearer", _login(lambda login: b"Bearer " + login.partition(b" ")[2])),
    ("base64 without its end", _login(lambda login: login.rstrip(b"=")[:-1])),
    ("two spaces in the login", _login(lambda login: login.replace(b" ", b"  "))),
    ("a login for the proxy", _moved(b"Proxy-Authorization")),
    ("a login in a cookie", _moved(b"Cookie")),
    ("a login for X-Authorization", _moved(b"X-Authorization")),
    ("a wrong login first", _second_login(is_right_first=False)),
    ("a wrong login second", _second_login(is_right_first=True)),
]
# Caddy hashes at full cost even for unknown users: over a second each.
COSTLY_LOGINS: list[Named] = [
    ("an unknown user", _with_login(lambda name: "nobody", _same)),
    ("a user in upper case", _with_login(str.upper, _same)),
]


# --- framings of HTTP/1 ---

Framing = Callable[[bytes], tuple[Fields, bytes]]
CHUNKED = (b"Transfer-Encoding", b"chunked")


def _framing(made: Framing) -> Change:
    return _set(framing=made, ends_early=False)


def _sized(value: Callable[[int], bytes]) -> Framing:
    """A slightly wrong Content-Length."""
    return lambda body: ([(b"Content-Length", value(len(body)))], body)


def _in_pieces(body: bytes) -> bytes:
    return chunked(*(body[at : at + 7] for at in range(0, len(body), 7)))


def _ends_early(change: Change) -> Change:
    def both(draft: Draft) -> None:
        change(draft)
        draft.is_alone = draft.ends_early = True

    return both


def _coded(*codings: bytes) -> Framing:
    """A chunked body with these Transfer-Encoding fields."""
    return lambda body: ([(b"Transfer-Encoding", coding) for coding in codings], chunked(body))


def _chunks(made: Callable[[bytes], bytes]) -> Framing:
    return lambda body: ([CHUNKED], made(body))


def _announced_trailers(body: bytes) -> tuple[Fields, bytes]:
    trailers = b"X-Scope-OrgID: other\r\nAuthorization: Basic YTpi\r\n\r\n"
    fields = [CHUNKED, (b"Trailer", b"X-Scope-OrgID, Authorization")]
    return fields, chunked(body)[:-2] + trailers


def _two_lengths(body: bytes) -> tuple[Fields, bytes]:
    return [*with_length(body)[0], (b"Content-Length", b"0")], body


def _both(is_length_first: bool) -> Framing:
    def made(body: bytes) -> tuple[Fields, bytes]:
        data = chunked(body)
        fields = [(b"Content-Length", b"%d" % len(data)), CHUNKED]
        return (fields if is_length_first else fields[::-1]), data

    return made


HARMLESS_FRAMINGS: list[Named] = [
    ("one chunk", _framing(_chunks(chunked))),
    ("many chunks", _framing(_chunks(_in_pieces))),
    ("CHUNKED in capitals", _framing(_coded(b"CHUNKED"))),
    ("Expect: 100-continue", _field(b"Expect", b"100-continue")),
    ("Connection: close", _alone(_field(b"Connection", b"close"))),
    ("Connection: keep-alive", _field(b"Connection", b"keep-alive")),
]
FRAMINGS: list[Named] = [
    *HARMLESS_FRAMINGS,
    *((f"Content-Length {value(9)!r}", _alone(_framing(_sized(value)))) for value in (
        lambda size: b"+%d" % size,
        lambda size: b"-%d" % size,
        lambda size: b"0%d" % size,
        lambda size: b"%d " % size,
        lambda size: b"%d, %d" % (size, size),
        lambda size: b"%d, 0" % size,
        lambda size: b"%d.0" % size,
        lambda size: b"0x%x" % size,
        lambda size: b"1_%d" % size,
        lambda size: b"%de0" % size,
        lambda size: b"18446744073709551616",
        lambda size: b"",
        lambda size: b"x",
    )),
    ("no length", _alone(_framing(lambda body: ([], body)))),
    ("a length that is too short", _alone(_framing(_sized(lambda size: b"%d" % (size - 9))))),
    ("a length of nothing", _alone(_framing(_sized(lambda size: b"0")))),
    ("a length that is too long", _ends_early(_framing(_sized(lambda size: b"%d" % (size + 9))))),
    ("the longest length", _ends_early(_framing(_sized(lambda size: b"9223372036854775807")))),
    ("the length twice", _alone(_framing(lambda body: (with_length(body)[0] * 2, body)))),
    ("two lengths", _alone(_framing(_two_lengths))),
    ("a tenant and a login as trailers, announced", _alone(_framing(_announced_trailers))),
    ("length and chunks", _alone(_framing(_both(is_length_first=True)))),
    ("chunks and length", _alone(_framing(_both(is_length_first=False)))),
    *((f"Transfer-Encoding {codings}", _alone(_framing(_coded(*codings)))) for codings in (
        (b"chunked", b"chunked"),
        (b"chunked, chunked",),
        (b"identity",),
        (b"chunked, identity",),
        (b"identity, chunked",),
        (b"gzip, chunked",),
        (b"xchunked",),
        (b"chunked\x0b",),
        (b"\x0bchunked",),
        (b"chunked;q=1",),
        (b'"chunked"',),
        (b"",),
        (b"\r\n chunked",),
        (b"chunked\r\n ",),
        (b"chun\0ked",),
        (b"cow", b"chunked"),
    )),
    *((f"chunks: {name}", _alone(_framing(_chunks(made)))) for name, made in (
        ("an extension", lambda body: b"%x;a=b\r\n%b\r\n0\r\n\r\n" % (len(body), body)),
        ("a quoted extension", lambda body: b'%x;a="\r\n"\r\n%b\r\n0\r\n\r\n' % (len(body), body)),
        ("a long extension", lambda body: b"%x;%b\r\n%b\r\n0\r\n\r\n" % (len(body), b"a" * 9000, body)),
        ("a line feed after the extension", lambda body: b"%x;a\n%b\r\n0\r\n\r\n" % (len(body), body)),
        ("line feeds", lambda body: chunked(body).replace(b"\r\n", b"\n")),
        ("a size in hex with 0x", lambda body: b"0x%x\r\n%b\r\n0\r\n\r\n" % (len(body), body)),
        ("a size with a plus", lambda body: b"+%x\r\n%b\r\n0\r\n\r\n" % (len(body), body)),
        ("a size with a space", lambda body: b"%x \r\n%b\r\n0\r\n\r\n" % (len(body), body)),
        ("a size with zeros", lambda body: b"%032x\r\n%b\r\n0\r\n\r\n" % (len(body), body)),
        ("a size that overflows", lambda body: b"1%016x\r\n%b\r\n0\r\n\r\n" % (len(body), body)),
        ("a size below nothing", lambda body: b"-1\r\n%b\r\n0\r\n\r\n" % body),
        ("a size too small", lambda body: b"%x\r\n%b\r\n0\r\n\r\n" % (len(body) - 2, body)),
        ("no line end", lambda body: b"%x\r\n%b0\r\n\r\n" % (len(body), body)),
        ("trailers", lambda body: chunked(body)[:-2] + b"X-A: b\r\n\r\n"),
        ("a tenant as trailer", lambda body: chunked(body)[:-2] + b"X-Scope-OrgID: other\r\n\r\n"),
        ("a login as trailer", lambda body: chunked(body)[:-2] + b"Authorization: Basic YTpi\r\n\r\n"),
        ("a length as trailer", lambda body: chunked(body)[:-2] + b"Content-Length: 3\r\n\r\n"),
    )),
    *((f"chunks: {name}", _ends_early(_framing(_chunks(made)))) for name, made in (
        ("no last one", lambda body: chunked(body)[:-5]),
        ("a last one without its end", lambda body: chunked(body)[:-2]),
        ("a size too large", lambda body: b"%x\r\n%b\r\n0\r\n\r\n" % (len(body) + 99, body)),
    )),
]  # fmt: skip


# --- before HTTP ---

HANDSHAKES: list[Named] = [
    ("no name in the handshake", _alone(_set(site=""))),
    ("another name in the handshake", _alone(_set(site="elsewhere.example"))),
    ("a name below ours in the handshake", _alone(lambda draft: _set(site=f"x.{draft.site}")(draft))),
    ("PROXY before the handshake", _alone(_set(preface=PROXY))),
    ("PROXY, version 2, before the handshake", _alone(_set(preface=PROXY_2))),
    ("plain HTTP on the TLS port", _alone(_set(preface=b"POST / HTTP/1.1\r\n\r\n"))),
]
