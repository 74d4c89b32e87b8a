"""`make verify`: outputs, verdicts and messages; against a fake site."""

from __future__ import annotations

import ipaddress
import itertools
import json
import re
import socket
import ssl
import sys
from collections.abc import Iterator
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from components.grafana.provisioning import LokiSource, render_datasources
from components.port_policy.nftables import policy_rows
from components.port_policy.rules import NUMBERS, Rule, shut_out
from local import pulumi
from local.say import Problem
from ops.verify import __main__ as command
from ops.verify import checks, local_stack, places, proof
from ops.verify.checks import Deployment, Knock, Login, PortRow, Result, Route, Verdict
from ops.verify.signals import LINE, SAMPLE
from rig.certificates import made_authority
from tests.support.grafana import METRICS as METRICS_SOURCE
from tests.support.http_server import running
from tests.support.outputs import GOOD, SECRETS

GOLDEN_ROWS = Path(__file__).parent / "golden" / "policy_rows.txt"
ME = "127.0.0.1"
HOST = "site.localhost"
PASSWORD = "a-password-canary"
ROUTE = Route("aws", "/lokiaws/loki/api/v1/push", (f"{ME}/32",), ())
GUARDED = Route("test", "/lokitest/loki/api/v1/push", (f"{ME}/32",), (Login("admin", PASSWORD),))
METRICS = Route(
    "prometheus", "/metrics/api/v1/otlp/v1/metrics", (f"{ME}/32",), (Login("admin", PASSWORD),), SAMPLE
)
SOURCES = [LokiSource(name=name, url="", retention="", retention_seconds=0) for name in ("aws", "test")]
UIDS = [one["uid"] for one in json.loads(render_datasources(SOURCES, METRICS_SOURCE))["datasources"]]
SITE = Deployment(HOST, 443, (ROUTE, GUARDED, METRICS), (), PASSWORD)


def verdicts(results: list[Result]) -> list[tuple[str, Verdict]]:
    return [(one.check, one.verdict) for one in results]


class TestOutputs:
    def test_say_what_is_to_be_proven(self) -> None:
        made = checks.parse(GOOD | {"port_policy": GOLDEN_ROWS.read_text().splitlines()})
        assert (made.host, made.port) == ("campus.localhost", 443)
        assert made.routes == (Route("aws", "/lokiaws/loki/api/v1/push", ("203.0.113.7/32",), ()),)
        assert len(made.policy) == 14
        assert checks.parse({**GOOD, "grafana_url": "https://x.localhost:18443"}).port == 18443

    def test_accounts_are_their_routes(self) -> None:
        urls = {"test": "https://campus.localhost/lokitest/loki/api/v1/push"}
        made = checks.parse(GOOD | {"loki_push_urls": urls, "loki_allowed_cidrs": {"test": []}})
        assert made.routes[0].logins == (Login("admin", GOOD["shipper_credentials"]["test"]["admin"]),)

    def test_metrics_are_a_route_of_their_own(self) -> None:
        url = f"https://campus.localhost{METRICS.path}"
        made = checks.parse(
            GOOD
            | {"metrics_push_urls": {"otlp": url, "remote_write": "x"}, "metrics_allowed_cidrs": [f"{ME}/32"]}
            | {"shipper_credentials": {"prometheus": {"admin": PASSWORD}}}
        )
        assert made.routes[-1] == METRICS

    def test_a_stack_may_have_no_grafana(self) -> None:
        assert checks.parse({**GOOD, "grafana_admin_password": None}).grafana_password is None

    @pytest.mark.parametrize(
        ("output", "value"),
        [
            ("grafana_url", None),
            ("grafana_url", "http://campus.localhost"),
            ("grafana_admin_password", 7),
            ("loki_push_urls", ["x"]),
            ("loki_push_urls", {"aws": None}),
            ("loki_allowed_cidrs", None),
            ("loki_allowed_cidrs", {}),
            ("loki_allowed_cidrs", {"aws": [1]}),
            ("metrics_push_urls", {"remote_write": "x"}),
            ("metrics_push_urls", "x"),
            ("shipper_credentials", {"aws": "a canary"}),
            ("shipper_credentials", {"aws": {"admin": ["a canary"]}}),
            ("port_policy", None),
            ("port_policy", ["head", "----", "[ 1] nonsense"]),
        ],
    )
    def test_one_that_is_not_as_promised_is_named(self, output: str, value: object) -> None:
        with pytest.raises(Problem, match=f"the output {output} ") as raised:
            checks.parse({**GOOD, output: value})
        assert "canary" not in str(raised.value)

    def test_passwords_are_in_no_repr(self) -> None:
        made = checks.parse(GOOD | {"shipper_credentials": {"aws": {"admin": "another canary"}}})
        assert "canary" not in repr(made)
        assert len(SECRETS) == 2


SEEN = ["10.9.1.1", "10.1.1.1", "192.0.2.7", "192.0.2.8", "2001:db8::7", "2001:db9::1"]
PORTS = range(1, 8)


@st.composite
def rules(draw: st.DrawFn) -> Rule:
    first = draw(st.integers(1, 5))
    sources = ["10.0.0.0/8", "10.9.0.0/16", "192.0.2.7/32", "2001:db8::/32", "2001:db8::7/128"]
    return Rule(
        action=draw(st.sampled_from(["allow", "limit", "deny"])),
        protocol=draw(st.sampled_from(["tcp", "udp", "both", *NUMBERS])),
        first_port=first,
        last_port=first + draw(st.integers(0, 2)),
        sources=tuple(draw(st.lists(st.sampled_from(sources), max_size=3, unique=True))),
        comment=draw(st.sampled_from(["", "SSH (v6) # IN"])),
    )


class TestPortPolicy:
    @given(st.lists(rules(), min_size=1, max_size=6))
    def test_rows_are_read_as_the_rules_were_meant(self, made: list[Rule]) -> None:
        rows = checks.parse(GOOD | {"port_policy": policy_rows(made)}).policy
        for seen, port in itertools.product(SEEN, PORTS):
            version = ipaddress.ip_address(seen).version
            opens = shut_out(made, port, "tcp", f"{seen}/{32 if version == 4 else 128}") is None
            assert checks.expected(rows, port, version, seen) == {opens}
            # An unknown address may be any.
            assert opens in checks.expected(rows, port, version, None)

    def test_where_an_address_makes_no_difference_it_need_not_be_known(self) -> None:
        everybody, campus = (
            PortRow(80, 80, "tcp", True, 4, None),
            PortRow(80, 81, "tcp", True, 4, "10.0.0.0/8"),
        )
        assert checks.expected([everybody], 80, 4, None) == {True}
        assert checks.expected([campus, everybody], 80, 4, None) == {True}
        assert checks.expected([campus, everybody], 81, 4, None) == {True, False}
        assert checks.expected([campus, everybody], 82, 4, None) == {False}

    def test_which_ports_are_probed(self) -> None:
        rows = checks.parse(GOOD | {"port_policy": GOLDEN_ROWS.read_text().splitlines()}).policy
        four = [80, 443, 2375, 3000, 3100, 3101, 3200, 6000, 6007, 21541]
        assert checks.tcp_ports(rows, 4) == four
        assert checks.tcp_ports(rows, 6) == sorted({*four, 53} - {3200})
        assert [one.target for one in checks.udp_notes(rows, 4)] == ["443/udp"]
        assert [one.target for one in checks.udp_notes(rows, 6)] == ["53/udp (v6)", "443/udp (v6)"]
        assert checks.is_inside(rows, "198.51.100.5")
        assert not checks.is_inside(rows, "203.0.113.7")
        assert not checks.is_inside(rows, None)

    @pytest.mark.parametrize(
        ("opened", "knock", "inside", "port", "verdict"),
        [
            ({True}, "open", False, 22, Verdict.OK),
            ({True}, "refused", False, 22, Verdict.OK),
            ({True}, "silent", True, 22, Verdict.WRONG),
            ({True}, "silent", False, 443, Verdict.WRONG),
            ({True}, "silent", False, 22, Verdict.NOTE),
            ({False}, "silent", False, 22, Verdict.OK),
            ({False}, "open", False, 22, Verdict.WRONG),
            ({False}, "refused", False, 22, Verdict.UNPROVEN),
            ({True, False}, "open", False, 22, Verdict.UNPROVEN),
            ({True, False}, "silent", False, 22, Verdict.UNPROVEN),
        ],
    )
    def test_verdicts_on_ports(
        self, opened: set[bool], knock: Knock, inside: bool, port: int, verdict: Verdict
    ) -> None:
        assert checks.judge_port("x", port, opened, knock, inside=inside).verdict == verdict


class TestStanding:
    @pytest.mark.parametrize(
        ("server", "own", "seen"),
        [
            ("192.0.2.1", "10.0.0.1", "10.0.0.1"),
            ("8.8.8.8", "10.0.0.1", None),
            ("8.8.8.8", "9.9.9.9", "9.9.9.9"),
            ("8.8.8.8", "100.64.0.1", None),
            ("2600::1", "fd00::1", None),
        ],
    )
    def test_a_private_address_may_be_translated(self, server: str, own: str, seen: str | None) -> None:
        assert checks.seen_by(server, own) == seen

    def test_is_what_the_route_says(self) -> None:
        assert checks.standing(ROUTE, ME) == "allowed"
        assert checks.standing(ROUTE, "127.0.0.2") == "stranger"
        assert checks.standing(ROUTE, "2001:db8::7") == "stranger"
        assert checks.standing(ROUTE, None) == "unknown"
        several = replace(ROUTE, allowed=("192.0.2.1/32", "10.0.0.0/8", "2001:db8::7/128"))
        assert [checks.standing(several, one) for one in ("10.9.9.9", "2001:db8::7")] == ["allowed"] * 2


class TestSaying:
    @pytest.mark.parametrize(
        ("found", "code"),
        [
            ([], 2),
            ([Verdict.OK, Verdict.NOTE], 0),
            ([Verdict.OK, Verdict.UNPROVEN], 2),
            ([Verdict.WRONG, Verdict.UNPROVEN, Verdict.OK], 1),
        ],
    )
    def test_exit_code(self, found: list[Verdict], code: int) -> None:
        assert checks.exit_code([Result("a", "b", one, "c") for one in found]) == code

    def test_an_ipv6_address_is_reported_if_a_route_allows_none(self) -> None:
        closed = Route("aws", "/lokiaws", ("203.0.113.7/32",), ())
        opened = Route("six", "/lokisix", ("2001:db8::7/128",), ())
        [row] = checks.ipv6_notes(["203.0.113.1", "2001:db8::1"], [closed, opened])
        assert (row.check, row.target, row.verdict) == ("IPv6", "2001:db8::1", Verdict.NOTE)
        assert "403 from aws," in row.seen
        assert "AAAA" in row.seen
        assert checks.ipv6_notes(["203.0.113.1"], [closed]) == []
        assert checks.ipv6_notes(["2001:db8::1"], [opened]) == []

    def test_table(self) -> None:
        results = [
            Result("certificate", "site", Verdict.OK, "good"),
            Result("port", "80/tcp", Verdict.WRONG, "no answer"),
            Result("stranger", "aws", Verdict.UNPROVEN, "why"),
            Result("port", "443/udp", Verdict.NOTE, "not probed"),
        ]
        assert checks.table(results) == (
            "check        target   result\n"
            "certificate  site     ok: good\n"
            "port         80/tcp   WRONG: no answer\n"
            "stranger     aws      not checked: why\n"
            "port         443/udp  - not probed\n"
        )
        assert checks.summary(results) == "1 right, 1 WRONG, 1 not checked from here"
        assert checks.summary(results[:1]) == "1 right"


class Site(ThreadingHTTPServer):
    """A fake of gate, Loki and Grafana in one, which can be made to fail."""

    def __init__(self, folder: Path) -> None:
        super().__init__((ME, 0), Answering)
        self.pem = folder / "site.pem"
        self.use(made_authority(HOST).all)
        # Wrong answers, by the kind of request.
        self.faults: dict[str, int] = {}
        # The words of taken pushes.
        self.words: list[str] = []
        self.logins = 0
        self.calls: list[tuple[str, str | None]] = []
        # The number of connections that are closed before their certificate.
        self.cut_off = 0

    def use(self, pem: bytes) -> None:
        """Use this certificate."""
        self.pem.write_bytes(pem)
        self.tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.tls.load_cert_chain(self.pem)

    def get_request(self) -> tuple[socket.socket, Any]:
        plain, address = super().get_request()
        plain.settimeout(30)
        if self.cut_off:
            self.cut_off -= 1
            plain.close()
            raise OSError("cut off")
        return self.tls.wrap_socket(plain, server_side=True), address

    def deployment(self, *routes: Route) -> Deployment:
        """The site's outputs."""
        return replace(SITE, port=self.server_port, routes=routes or SITE.routes)


class Answering(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        url = urlsplit(self.path)
        if url.path == "/api/health":
            self._answer("health", 200)
        elif self.headers["Authorization"] != places.basic_auth(Login("admin", PASSWORD))["Authorization"]:
            self.site.logins += 1
            self._answer("grafana", 401)
        else:
            self._query(url.path, parse_qs(url.query)["query"][0])

    def _query(self, path: str, query: str) -> None:
        asked = re.fullmatch(
            r"/api/datasources/proxy/uid/([^/]+)(/loki/api/v1/query_range|/api/v1/query)", path
        )
        assert asked is not None
        assert asked[1] in UIDS
        found = [word for word in self.site.words if f'"{word}"' in query]
        if asked[1] == METRICS.name:
            result: list[Any] = [{"metric": {"word": word}} for word in found]
        else:
            result = [{"stream": {}, "values": [["1", word] for word in found]}]
        self._answer("query", 200, json.dumps({"data": {"result": result}}).encode())

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        login = self.headers["Authorization"]
        self.site.calls.append((self.path, login))
        right = places.basic_auth(Login("admin", PASSWORD))["Authorization"]
        if self.client_address[0] != ME:
            self._answer("stranger", 403)
        elif not self.path.startswith("/lokiaws") and login != right:
            self._answer("password", 401)
        elif self.path == METRICS.path:
            [metric] = body["resourceMetrics"][0]["scopeMetrics"][0]["metrics"]
            self.site.words.append(metric["gauge"]["dataPoints"][0]["attributes"][0]["value"]["stringValue"])
            self._answer("push", 200)
        else:
            self.site.words.append(body["streams"][0]["values"][0][1])
            self._answer("push", 204)

    @property
    def site(self) -> Site:
        assert isinstance(self.server, Site)
        return self.server

    def _answer(self, what: str, status: int, body: bytes = b"") -> None:
        self.send_response(self.site.faults.get(what, status))
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002  http.server's name
        """Nothing: a test's output is its own."""


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Site]:
    """A site that works. Waits end at once, or never succeed."""
    for module, name in ((places, "SITE_SECONDS"), (proof, "READ_BACK_SECONDS"), (proof, "PUSH_SECONDS")):
        monkeypatch.setattr(module, name, 0.0)
    server = Site(tmp_path)
    with running(server):
        yield server


def seen_from(site: Site, *sources: str, deployment: Deployment | None = None) -> list[Result]:
    """The results for the site from these addresses."""
    deployed = deployment or site.deployment()
    trust = places.Trust.of(site.pem)
    here = places.places(deployed.host, site.server_port, sources, trust)
    return proof.prove(deployed, here, here, proof.through_grafana(deployed, here[0]))


STRANGER = "127.0.0.2"
ALL = [
    "certificate",
    "renewal",
    "Grafana",
    *("allowed push", "line in Loki", "stranger"),
    *("allowed push", "wrong password", "line in Loki", "stranger"),
    *("allowed push", "wrong password", "sample found", "stranger"),
]


READ_BACK = {LINE.found, SAMPLE.found}


def without_ports(results: list[Result]) -> list[tuple[str, Verdict]]:
    """The verdicts without ports, which aren't probed over loopback."""
    assert {one.verdict for one in results if one.check == "port"} <= {Verdict.NOTE}
    return verdicts([one for one in results if one.check != "port"])


class TestProof:
    def test_a_site_that_works(self, site: Site) -> None:
        results = seen_from(site, ME, STRANGER)
        assert without_ports(results) == [(check, Verdict.OK) for check in ALL]
        assert checks.exit_code(results) == 0
        text = checks.table(results)
        assert "ok: A test's own, trusted by site.pem\n" in text
        assert "ok: 89 days of 90 days left\n" in text
        assert PASSWORD not in text
        assert [line for line in site.words if f"{line!r}" in text] == site.words

    @pytest.mark.parametrize(
        ("fault", "status", "check"),
        [
            ("stranger", 204, "stranger"),
            ("stranger", 401, "stranger"),
            ("password", 204, "wrong password"),
            ("password", 403, "wrong password"),
            ("push", 403, "allowed push"),
            ("push", 502, "allowed push"),
            ("query", 500, None),
            ("health", 503, "Grafana"),
        ],
    )
    def test_what_it_does_wrong_is_the_one_thing_that_is_wrong(
        self, site: Site, fault: str, status: int, check: str | None
    ) -> None:
        site.faults[fault] = status
        results = seen_from(site, ME, STRANGER)
        wrong = {one.check for one in results if one.verdict == Verdict.WRONG}
        assert wrong == ({check} if check else READ_BACK)
        assert checks.exit_code(results) == 1
        if check:
            assert str(status) in checks.table(results)

    def test_pushes_that_are_lost(self, site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(
            Answering, "_query", lambda self, *_: self._answer("", 200, b'{"data":{"result":[]}}')
        )
        wrong = [one for one in seen_from(site, ME, STRANGER) if one.verdict == Verdict.WRONG]
        assert {one.check for one in wrong} == READ_BACK
        assert [one.seen for one in wrong] == ["not found within 0 s"] * 3

    @pytest.mark.parametrize("body", [b"<html>", b"[]", b'{"data": {"result": [1]}}'])
    def test_another_answer_has_no_words(self, body: bytes) -> None:
        assert LINE.words_of(body) is None
        assert SAMPLE.words_of(body) is None

    def test_an_allowed_address_alone_sees_no_stranger(self, site: Site) -> None:
        results = seen_from(site)
        assert ("stranger", Verdict.UNPROVEN) in verdicts(results)
        assert "aws, test, prometheus" in checks.table(results)
        assert checks.exit_code(results) == 2

    def test_a_stranger_alone_can_push_nothing(self, site: Site) -> None:
        results = seen_from(site, STRANGER)
        assert without_ports(results)[3:] == [
            *[("stranger", Verdict.OK)] * 3,
            ("allowed push", Verdict.UNPROVEN),
            ("wrong password", Verdict.UNPROVEN),
        ]
        assert checks.exit_code(results) == 2
        assert {login for _, login in site.calls} == {None}

    def test_a_route_without_accounts_asks_for_no_password(self, site: Site) -> None:
        results = seen_from(site, STRANGER, deployment=site.deployment(ROUTE))
        assert "wrong password" not in dict(verdicts(results))

    def test_somebody_whose_address_is_not_known(self, site: Site) -> None:
        """A refusal shows a stranger; a taken push shows that it works, but not from whom."""
        [here] = places.places(HOST, site.server_port, (), places.Trust.of(site.pem))
        read = proof.through_grafana(site.deployment(), here)
        unknown = replace(here, seen=None)
        taken = proof.prove(site.deployment(), [unknown], [unknown], read)
        assert [one for one in verdicts(taken) if one[1] != Verdict.OK] == [
            ("stranger", Verdict.UNPROVEN),
            ("port", Verdict.NOTE),
        ]
        unknown = replace(unknown, source=STRANGER)
        refused = proof.prove(site.deployment(), [unknown], [unknown], read)
        assert ("stranger", Verdict.OK) in verdicts(refused)
        assert ("allowed push", Verdict.UNPROVEN) in verdicts(refused)

    def test_a_stack_without_grafana(self, site: Site) -> None:
        results = seen_from(site, ME, STRANGER, deployment=replace(site.deployment(), grafana_password=None))
        assert ("Grafana", Verdict.NOTE) in verdicts(results)
        assert ("line in Loki", Verdict.UNPROVEN) in verdicts(results)
        assert checks.exit_code(results) == 2

    def test_a_grafana_that_does_not_answer_is_asked_for_no_line(
        self, site: Site, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(proof, "READ_BACK_SECONDS", 60.0)
        site.faults["health"] = 502
        results = dict(verdicts(seen_from(site, ME, STRANGER)))
        assert results["Grafana"] == Verdict.WRONG
        assert {results[check] for check in READ_BACK} == {Verdict.UNPROVEN}

    def test_a_password_that_was_changed_in_grafana_is_tried_once_a_run(
        self, site: Site, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Even with several lines to read back: the address isn't locked out."""
        monkeypatch.setattr(proof, "READ_BACK_SECONDS", 60.0)
        deployed = replace(site.deployment(), grafana_password="another")
        results = seen_from(site, ME, STRANGER, deployment=deployed)
        assert {one.verdict for one in results if one.check in READ_BACK} == {Verdict.UNPROVEN}
        assert site.logins == 1

    def test_a_loki_that_starts_is_waited_for(self, site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(proof, "PUSH_SECONDS", 60.0)
        site.faults["push"] = 502
        answer = Answering._answer

        def answer_then_start(self: Answering, what: str, status: int, body: bytes = b"") -> None:
            answer(self, what, status, body)
            site.faults.pop(what, None)

        monkeypatch.setattr(Answering, "_answer", answer_then_start)
        assert checks.exit_code(seen_from(site, ME, STRANGER)) == 0
        assert not site.faults

    @pytest.mark.parametrize(
        ("host", "begins", "ends", "said"),
        [
            (HOST, -90, -1, "certificate has expired"),
            ("other.localhost", -1, 89, "not valid for 'site.localhost'"),
        ],
    )
    def test_a_server_with_a_bad_certificate_is_sent_nothing(
        self, site: Site, host: str, begins: float, ends: float, said: str
    ) -> None:
        site.use(made_authority(host, begins, ends).all)
        results = seen_from(site, ME, STRANGER)
        assert without_ports(results) == [("certificate", Verdict.WRONG), ("all behind it", Verdict.UNPROVEN)]
        assert said in results[0].seen
        assert site.calls == []

    @pytest.mark.parametrize(
        ("begins", "ends", "said"),
        [(-80, 10, "10 days of 90 days left"), (-0.45, 0.05, "1.2 h of 12.0 h left")],
    )
    def test_a_certificate_that_should_have_been_renewed_is_the_one_thing_wrong(
        self, site: Site, begins: float, ends: float, said: str
    ) -> None:
        site.use(made_authority(HOST, begins=begins, ends=ends).all)
        wrong = [one for one in seen_from(site, ME, STRANGER) if one.verdict != Verdict.OK]
        assert verdicts(wrong)[0] == ("renewal", Verdict.WRONG)
        assert wrong[0].seen == f"{said}: it should have been renewed"
        assert {one.check for one in wrong[1:]} == {"port"}

    def test_a_first_certificate_is_waited_for(self, site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(places, "SITE_SECONDS", 60.0)
        site.cut_off = 2
        assert checks.exit_code(seen_from(site, ME, STRANGER)) == 0
        assert site.cut_off == 0

    def test_nobody_else_is_believed(self, site: Site, tmp_path: Path) -> None:
        authority = tmp_path / "other.pem"
        authority.write_bytes(made_authority(HOST).all)
        [here] = places.places(HOST, site.server_port, (), places.Trust.of(authority))
        assert here.certificate()[0].seen.startswith("self")
        with pytest.raises(Problem, match="isn't a file of certificates in PEM"):
            places.Trust.of(tmp_path / "none.pem")

    def test_a_site_that_is_not_there(self, site: Site) -> None:
        with socket.create_server((ME, 0)) as taken:
            port = taken.getsockname()[1]
        [here] = places.places(HOST, port, (), places.Trust.of(site.pem))
        assert here.certificate()[0].seen == "Connection refused"
        assert here.request("GET", "/") == places.Answer(None, "no answer (Connection refused)")
        assert here.knock(port) == "refused"
        assert here.knock(site.server_port) == "open"


class TestPlaces:
    def test_an_address_of_ours_is_spoken_from_and_another_is_what_a_nat_makes(self) -> None:
        trust = places.Trust.of(None)
        ours, translated = places.places(HOST, 443, [STRANGER, "192.0.2.99"], trust)
        assert (ours.source, ours.seen) == (STRANGER, STRANGER)
        assert (translated.source, translated.seen) == (None, "192.0.2.99")
        assert trust.named == "this machine"

    def test_no_way(self) -> None:
        with pytest.raises(Problem, match="doesn't resolve"):
            places.places("a.name.invalid", 443, (), places.Trust.of(None))
        with pytest.raises(Problem, match=r"no way to site\.localhost from here with 2001:db8::1"):
            places.places(HOST, 443, ["2001:db8::1"], places.Trust.of(None))
        with pytest.raises(Problem, match=r"FROM: '192\.0\.2' isn't an address"):
            places.places(HOST, 443, ["192.0.2"], places.Trust.of(None))

    def test_the_server_itself_is_let_in_anywhere(self) -> None:
        here = places.Place(HOST, ("192.0.2.1", 443), None, "192.0.2.1", "192.0.2.1", places.Trust.of(None))
        assert verdicts(proof._ports(SITE, here)) == [("port", Verdict.UNPROVEN)]


class TestCommand:
    @staticmethod
    def _run(monkeypatch: pytest.MonkeyPatch, *words: str) -> int:
        monkeypatch.setattr(sys, "argv", ["verify", *words])
        return command.main()

    def test_prints_the_table_and_says_it_by_its_exit_code(
        self, site: Site, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
    ) -> None:
        url = f"https://{HOST}:{site.server_port}"
        outputs = GOOD | {
            "grafana_url": url,
            "grafana_admin_password": PASSWORD,
            "loki_push_urls": {"aws": f"{url}{ROUTE.path}", "test": f"{url}{GUARDED.path}"},
            "loki_allowed_cidrs": {"aws": [f"{ME}/32"], "test": [f"{ME}/32"]},
            "shipper_credentials": {"test": {"admin": PASSWORD}},
            "port_policy": policy_rows([]),
        }
        monkeypatch.setattr(pulumi, "outputs_of", lambda stack: {"stage": outputs}[stack])
        options = ["--ca", str(site.pem), "--from"]
        assert self._run(monkeypatch, "stage", *options, ME, STRANGER) == 0
        assert capfd.readouterr().out.splitlines()[-1] == "10 right"
        assert self._run(monkeypatch, "stage", *options, ME) == 2
        with monkeypatch.context() as more:
            more.setattr(places, "addresses", lambda host, port: [ME, "2001:db8::1"])
            assert self._run(more, "stage", *options, ME, STRANGER) == 2
        assert re.search(
            r"^ *address +2001:db8::1 +not checked: there is no route", capfd.readouterr().out, re.MULTILINE
        )
        site.faults["stranger"] = 204
        assert self._run(monkeypatch, "stage", *options, ME, STRANGER) == 1
        assert PASSWORD not in "".join(capfd.readouterr())

    def test_outputs_that_cannot_be_read_are_no_answer(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
    ) -> None:
        program = tmp_path / "pulumi"
        program.write_text("#!/bin/sh\necho 'error: no stack named stage' >&2\nexit 255\n")
        program.chmod(0o755)
        monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
        assert self._run(monkeypatch, "stage") == 2
        assert "the outputs of stage can't be read: error: no stack named stage" in capfd.readouterr().err


def test_curls_configuration_has_the_password_in_quotes() -> None:
    """In curl's configuration only a backslash and a quote are special there."""
    config = local_stack.curl_config('{"a": "body"}', Login("admin", 'p"\\n$(id)')).splitlines()
    assert config[-1] == r'user = "admin:p\"\\n$(id)"'
    assert all(option.count('"') - option.count(r"\"") == 2 for option in config)
    assert "user" not in local_stack.curl_config("{}", None)
