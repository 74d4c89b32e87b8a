"""The gate's oracle: right about clear cases, and the generated cases are reproducible."""

from __future__ import annotations

import base64

import pytest

from tests.edge.gate_cases import Cases
from tests.edge.gate_oracle import MAX_BODY, OTLP, Door, H2Request, Policy, Verdict, judge

INSIDER, INSIDER_6, OUTSIDER, OUTSIDER_6 = "192.0.2.1", "2001:db8::1", "192.0.2.2", "2001:db8::2"
HOST = "campus.example"
POLICY = Policy(
    HOST,
    (
        Door(prefix="/open", loki="one", allowed=(INSIDER, "2001:db8::/127")),
        Door(prefix="/locked", loki="two", allowed=("192.0.2.0/31",), accounts={"ann": "s3cret"}),
        Door(prefix="/nobody", loki="one", allowed=()),
        Door(prefix="/nobody", loki="two", allowed=(INSIDER,), path=OTLP),
    ),
)
PASS, MAY_PASS, NOT_WHOLE, NEVER = Verdict.PASS, Verdict.MAY_PASS, Verdict.NOT_WHOLE, Verdict.NEVER
LOGIN = base64.b64encode(b"ann:s3cret").decode()


def request(
    path: str = "/open/loki/api/v1/push",
    method: str = "POST",
    host: str = HOST,
    more: str = "",
    body: str = "{}",
    case: int = 1,
    framing: str | None = None,
) -> bytes:
    """A request in HTTP/1.1."""
    framing = f"Content-Length: {len(body)}\r\n" if framing is None else framing
    return f"{method} {path} HTTP/1.1\r\nHost: {host}\r\nX-Case: {case}\r\n{more}{framing}\r\n{body}".encode()


def verdicts(sent: bytes | H2Request, source: str = INSIDER, site: str | None = HOST) -> dict[int, Verdict]:
    """The verdict on each case in the sent bytes."""
    return {case: judged.verdict for case, judged in judge(POLICY, source, site, sent).items()}


LOCKED = "/locked/loki/api/v1/push"
CHUNKED = "Transfer-Encoding: chunked\r\n"


@pytest.mark.parametrize(
    ("sent", "source", "verdict"),
    [
        (request(), INSIDER, PASS),
        (request(), INSIDER_6, PASS),
        (request(), OUTSIDER, NEVER),
        (request(), OUTSIDER_6, NEVER),
        (request("/nobody/loki/api/v1/push"), INSIDER, NEVER),
        (request(more=f"X-Forwarded-For: {INSIDER}\r\n"), OUTSIDER, NEVER),
        (request(more="X-Scope-OrgID: other\r\n"), INSIDER, PASS),
        (request(method="GET"), INSIDER, NEVER),
        (request(method="post"), INSIDER, NEVER),
        (request("/open/config"), INSIDER, NEVER),
        (request("/open/loki/api/v1/push?x"), INSIDER, NEVER),
        (request("/open//loki/api/v1/push"), INSIDER, NEVER),
        (request("/open/loki/api/v1/%70ush"), INSIDER, NEVER),
        (request(f"https://{HOST}/open/loki/api/v1/push"), INSIDER, NEVER),
        (request(LOCKED), INSIDER, NEVER),
        (request(LOCKED, more=f"Authorization: Basic {LOGIN}\r\n"), INSIDER, PASS),
        (request(LOCKED, more=f"authorization: basic {LOGIN}\r\n"), INSIDER, PASS),
        (request(LOCKED, more=f"Authorization: Basic {LOGIN}\r\n"), OUTSIDER, NEVER),
        (request(LOCKED, more=f"Authorization: Bearer {LOGIN}\r\n"), INSIDER, NEVER),
        (request(LOCKED, more="Authorization: Basic YW5uOng=\r\n"), INSIDER, NEVER),
        (request(LOCKED, more="Authorization: Basic !\r\n"), INSIDER, NEVER),
        (request(LOCKED, more=f"Authorization: x\r\nAuthorization: Basic {LOGIN}\r\n"), INSIDER, MAY_PASS),
        (request(host="CAMPUS.example:443"), INSIDER, PASS),
        (request(host="campus.example."), INSIDER, MAY_PASS),
        (request(host="other.example"), INSIDER, NEVER),
        (request(host=f"{HOST}\r\nHost: other.example"), INSIDER, NEVER),
        (request(framing=CHUNKED, body="2\r\n{}\r\n0\r\n\r\n"), INSIDER, PASS),
        (request(framing=CHUNKED, body="2;a\r\n{}\r\n0\r\n\r\n"), INSIDER, MAY_PASS),
        (request(framing=CHUNKED, body="2\r\n{}\r\n"), INSIDER, NOT_WHOLE),
        (request(framing="Content-Length: 3\r\n"), INSIDER, NOT_WHOLE),
        (request(framing="Content-Length: +2\r\n"), INSIDER, MAY_PASS),
        (request(framing="Content-Length: 2\r\nContent-Length: 2\r\n"), INSIDER, MAY_PASS),
        (request(framing=CHUNKED + "Content-Length: 2\r\n"), INSIDER, MAY_PASS),
        (request(framing=CHUNKED + "Content-Length: 2\r\n"), OUTSIDER, NEVER),
        (request(body="x" * MAX_BODY), INSIDER, PASS),
        (request(body="x" * (MAX_BODY + 1)), INSIDER, NOT_WHOLE),
        (request().replace(b"\r\n", b"\n"), INSIDER, MAY_PASS),
        (request(more="X-A: \0\r\n"), INSIDER, MAY_PASS),
        (request().replace(b"POST ", b"POST  "), INSIDER, MAY_PASS),
        (request().replace(b"1.1", b"1.0"), INSIDER, PASS),
    ],
)
def test_one_request(sent: bytes, source: str, verdict: Verdict) -> None:
    assert verdicts(sent, source) == {1: verdict}


def test_only_the_sites_own_tls_leads_to_it() -> None:
    assert verdicts(request(), site=None) == {1: NEVER}
    assert verdicts(request(), site="") == {1: NEVER}


def test_the_loki_is_the_routes_own() -> None:
    judged = judge(POLICY, INSIDER, HOST, request(LOCKED, more=f"Authorization: Basic {LOGIN}\r\n"))
    assert judged[1].door == POLICY.door("/locked")


def test_a_way_is_identified_by_its_path() -> None:
    assert verdicts(request("/nobody/loki/api/v1/push")) == {1: NEVER}
    judged = judge(POLICY, INSIDER, HOST, request("/nobody/otlp/v1/logs"))
    assert judged[1].door == POLICY.doors[-1]
    assert verdicts(request("/open/otlp/v1/logs")) == {1: NEVER}


@pytest.mark.parametrize(
    ("sent", "expected"),
    [
        (request() + request(case=2), {1: PASS, 2: PASS}),
        (request() + request("/open/config", case=2), {1: PASS, 2: NEVER}),
        (request("/open/config") + request(case=2), {1: NEVER, 2: MAY_PASS}),
        (request(more="Connection: close\r\n") + request(case=2), {1: PASS, 2: MAY_PASS}),
        (request(body=request(case=2).decode()), {1: PASS, 2: NEVER}),
        (request(framing="Content-Length: 0\r\n", body="") + request(case=2), {1: PASS, 2: PASS}),
        # In doubt, each interpretation of each head counts.
        (
            request(framing=CHUNKED + "Content-Length: 9\r\n", body="0\r\n\r\n") + request(case=2),
            {1: MAY_PASS, 2: MAY_PASS},
        ),
        (
            request(framing=CHUNKED + "Content-Length: 9\r\n", body="0\r\n\r\n") + request(LOCKED, case=2),
            {1: MAY_PASS, 2: NEVER},
        ),
        (request() + b"x=" + request(case=2), {1: PASS, 2: MAY_PASS}),
    ],
)
def test_requests_on_one_connection(sent: bytes, expected: dict[int, Verdict]) -> None:
    assert verdicts(sent) == expected


def stream(*changes: tuple[bytes, bytes], body: bytes = b"{}", is_cut: bool = False) -> H2Request:
    """A push over HTTP/2 with some fields replaced or added."""
    fields = {
        b":method": b"POST",
        b":scheme": b"https",
        b":authority": HOST.encode(),
        b":path": b"/open/loki/api/v1/push",
        b"x-case": b"1",
    }
    return H2Request(headers=tuple((fields | dict(changes)).items()), body=body, is_cut=is_cut)


@pytest.mark.parametrize(
    ("sent", "verdict"),
    [
        (stream(), PASS),
        (stream((b"content-length", b"2")), PASS),
        (stream((b"content-length", b"3")), MAY_PASS),
        (stream((b"connection", b"close")), MAY_PASS),
        (stream((b"X-A", b"b")), MAY_PASS),
        (stream((b"x-a", b"b\0")), MAY_PASS),
        (stream((b":scheme", b"http")), MAY_PASS),
        (stream((b"host", b"other.example")), NEVER),
        (stream((b":authority", b"other.example")), NEVER),
        (stream((b":path", b"/open/config")), NEVER),
        (stream((b":path", b"/open/loki/api/v1/push?")), NEVER),
        (stream((b":method", b"GET")), NEVER),
        (stream(is_cut=True), NOT_WHOLE),
    ],
)
def test_a_stream(sent: H2Request, verdict: Verdict) -> None:
    assert verdicts(sent) == {1: verdict}
    assert verdicts(sent, OUTSIDER) == {1: NEVER}


def test_the_same_seed_makes_the_same_cases() -> None:
    def made(seed: int) -> list[tuple[str, bytes | H2Request]]:
        return [(case.title, case.sent) for case in Cases(POLICY, seed, stamp=0).generated(300)]

    assert made(1) == made(1)
    assert made(1) != made(2)


def test_no_case_is_like_another_in_name_and_number() -> None:
    cases = list(Cases(POLICY, 1, stamp=0).core())
    assert len({case.number for case in cases}) == len(cases)
