# pyright: strict
"""The checks of a deployment, by its stack's outputs alone, and what their results mean. Pure."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from typing import Any, Literal, cast
from urllib.parse import urlsplit

from local.say import Problem
from ops.verify.signals import LINE, SAMPLE, Signal

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Standing = Literal["allowed", "stranger", "unknown"]
# The outcome of a TCP connection: made, refused with a reset, or never answered.
Knock = Literal["open", "refused", "silent"]

# Caddy renews when a third of a certificate's time is left (its documentation, renewal_window_ratio). With
# half of that gone, it has failed for weeks, or for hours with Caddy's own certificates of 12 h.
LEAST_LEFT = 1 / 6
# The ports of every site: a firewall before the server is no excuse for them.
SITE_PORTS = (80, 443)
# Ports that Docker would open past a firewall if somebody published them: its own API, Grafana, Loki.
NEVER_OPEN = (2375, 3000, 3100)
# The name of Prometheus' route, of its accounts, and of its data source.
PROMETHEUS = "prometheus"
# What to do about an IPv6 address of the site, where routes allow IPv4 only.
NO_AAAA = "remove the AAAA record (docs/aws.md)"


class Verdict(Enum):
    """The outcome of a check, as the table shows it."""

    OK = "ok"
    WRONG = "WRONG"
    # Has to be proven, and couldn't be from here.
    UNPROVEN = "not checked"
    # Worth knowing; can't be proven.
    NOTE = "-"


@dataclass(frozen=True)
class Result:
    """A line of the table."""

    check: str
    target: str
    verdict: Verdict
    seen: str


@dataclass(frozen=True)
class Login:
    """An account of a route."""

    user: str
    password: str = field(repr=False)


@dataclass(frozen=True)
class Route:
    """A way to a backend, and who may push there."""

    # Of the data source in Grafana, too.
    name: str
    # Of the push URL.
    path: str
    allowed: tuple[str, ...]
    logins: tuple[Login, ...]
    signal: Signal = LINE

    @property
    def source_uid(self) -> str:
        """Grafana's data source (components/grafana/provisioning.py)."""
        return f"loki-{self.name}" if self.signal is LINE else self.name


@dataclass(frozen=True)
class PortRow:
    """A row of the port policy."""

    first: int
    last: int
    protocol: Literal["tcp", "udp", "both", "ah", "esp", "gre", "vrrp"]
    opens: bool
    # 4 or 6.
    version: int
    # None means anywhere.
    source: str | None

    def names(self, port: int) -> bool:
        """Whether the row covers this TCP port."""
        return self.protocol in ("tcp", "both") and self.first <= port <= self.last


@dataclass(frozen=True)
class Deployment:
    """A deployment, as its outputs describe it."""

    host: str
    port: int
    routes: tuple[Route, ...]
    policy: tuple[PortRow, ...]
    # None where the stack has no Grafana.
    grafana_password: str | None = field(repr=False)


def parse(outputs: Mapping[str, object]) -> Deployment:
    """The deployment that the outputs describe; a Problem if one of them isn't as docs/outputs.md says."""
    site = urlsplit(_text(outputs, "grafana_url"))
    if site.scheme != "https" or not site.hostname:
        raise Problem("the output grafana_url isn't an https:// URL")
    password = outputs.get("grafana_admin_password")
    return Deployment(
        host=site.hostname,
        port=site.port or 443,
        routes=_routes(outputs),
        policy=tuple(map(_row, _texts(outputs.get("port_policy"), "port_policy")[2:])),
        grafana_password=None if password is None else _text(outputs, "grafana_admin_password"),
    )


def _routes(outputs: Mapping[str, object]) -> tuple[Route, ...]:
    urls = _mapping(outputs.get("loki_push_urls"), "loki_push_urls")
    allowed = _mapping(outputs.get("loki_allowed_cidrs"), "loki_allowed_cidrs")
    accounts = _mapping(outputs.get("shipper_credentials"), "shipper_credentials")
    routes = [
        Route(
            name=name,
            path=urlsplit(_text(urls, name, "loki_push_urls")).path,
            allowed=tuple(_texts(allowed.get(name), "loki_allowed_cidrs")),
            logins=_logins(accounts, name),
        )
        for name in sorted(urls)
    ]
    return (*routes, *_metrics_route(outputs, accounts))


def _metrics_route(outputs: Mapping[str, object], accounts: Mapping[str, object]) -> list[Route]:
    """Prometheus' route, if the stack has one."""
    if outputs.get("metrics_push_urls") is None:
        return []
    urls = _mapping(outputs["metrics_push_urls"], "metrics_push_urls")
    return [
        Route(
            name=PROMETHEUS,
            path=urlsplit(_text(urls, "otlp", "metrics_push_urls")).path,
            allowed=tuple(_texts(outputs.get("metrics_allowed_cidrs"), "metrics_allowed_cidrs")),
            logins=_logins(accounts, PROMETHEUS),
            signal=SAMPLE,
        )
    ]


def _logins(accounts: Mapping[str, object], route: str) -> tuple[Login, ...]:
    own = _mapping(accounts.get(route, {}), "shipper_credentials")
    return tuple(Login(user, _text(own, user, "shipper_credentials")) for user in sorted(own))


def _row(text: str) -> PortRow:
    found = _ROW.fullmatch(text)
    if found is None:
        raise Problem(f"the output port_policy has a row that isn't understood: {text!r}")
    source = None if found["source"] == "Anywhere" else found["source"]
    return PortRow(
        first=int(found["first"] or 0),
        last=int(found["last"] or found["first"] or 0),
        protocol=cast(Any, found["protocol"] or "both"),
        opens=found["action"] != "DENY",
        version=ipaddress.ip_network(source).version if source else 6 if found["v6"] else 4,
        source=source,
    )


_ROW = re.compile(
    r"\[ *\d+\] (Anywhere|(?P<first>\d+)(:(?P<last>\d+))?)(/(?P<protocol>\w+))?( \(v6\))? +"
    r"(?P<action>ALLOW|LIMIT|DENY) IN +(?P<source>\S+)(?P<v6> \(v6\))?( +#.*)?"
)


def _text(outputs: Mapping[str, object], key: str, output: str | None = None) -> str:
    value = outputs.get(key)
    if not isinstance(value, str) or not value:
        raise _not_promised(output or key)
    return value


def _texts(value: object, output: str) -> list[str]:
    items = cast(list[object], value) if isinstance(value, list) else [None]
    texts = [item for item in items if isinstance(item, str)]
    if len(texts) != len(items):
        raise _not_promised(output)
    return texts


def _mapping(value: object, output: str) -> Mapping[str, object]:
    if not isinstance(value, dict):
        raise _not_promised(output)
    return cast(dict[str, object], value)


def _not_promised(output: str) -> Problem:
    """The Problem doesn't repeat the value, which may be secret."""
    return Problem(f"the output {output} is missing, or isn't as docs/outputs.md says: run `pulumi up` first")


def standing(route: Route, seen: str | None) -> Standing:
    """Whether a route allows a client with this address, as the server sees it (None: not known)."""
    if seen is None:
        return "unknown"
    return "allowed" if any(_contains(cidr, seen) for cidr in route.allowed) else "stranger"


def seen_by(server: str, own: str) -> str | None:
    """The source address that a server sees, of a connection from `own`; None if that isn't known.

    A NAT may translate a private address on its way to a public one.
    """
    translated = _address(server).is_global and not _address(own).is_global
    return None if translated else own


def check_address(text: str) -> None:
    """A Problem if the text isn't an address."""
    try:
        _address(text)
    except ValueError:
        raise Problem(f"FROM: {text!r} isn't an address") from None


def judge_push(
    route: Route, source: str, kind: Standing, status: int | None, said: str, login: Login | None = None
) -> Result:
    """Judge the answer to a push: it is accepted from an allowed address, and 403 for any other."""
    target = f"{route.name}, from {source}" + (f", as {login.user}" if login else "")
    check, wanted = ("stranger", 403) if kind == "stranger" else ("allowed push", route.signal.taken)
    if status == wanted:
        return Result(check, target, Verdict.OK, said)
    return Result(check, target, Verdict.WRONG, f"{said}, should be {wanted}{_why(kind, status)}")


def _why(kind: Standing, status: int | None) -> str:
    if kind == "stranger" and status in (200, 204, 401):
        return ": the gate lets somebody in who isn't on the list (behind a NAT, state your address: FROM=…)"
    return ": the address is on the list" if status == 403 else ""


def judge_wrong_password(route: Route, source: str, status: int | None, said: str) -> Result:
    """Judge the answer to a push with a wrong password."""
    good = status == 401
    text = said if good else f"{said}, should be 401"
    return Result(
        "wrong password", f"{route.name}, from {source}", Verdict.OK if good else Verdict.WRONG, text
    )


def not_pushed(routes: Sequence[Route]) -> list[Result]:
    """The rows of routes that no address here may push to."""
    how = "run it from an allowed address, or allow this one in edge.extraAllowedCidrs (docs/verify.md)"
    guarded = [route for route in routes if route.logins]
    return [
        *_unproven("allowed push", routes, f"no address here may push: {how}"),
        *_unproven("wrong password", guarded, "the gate asks for a password only from allowed addresses"),
    ]


def not_refused(routes: Sequence[Route]) -> list[Result]:
    """The row of routes for which no address here is a stranger."""
    how = "run it also from an address that isn't allowed; FROM=… states this machine's addresses"
    return _unproven("stranger", routes, f"no address here is known to be a stranger's: {how}")


def _unproven(check: str, routes: Sequence[Route], why: str) -> list[Result]:
    names = ", ".join(route.name for route in routes)
    return [Result(check, names, Verdict.UNPROVEN, why)] if names else []


def judge_renewal(target: str, left: float, whole: float) -> Result:
    """Judge a certificate by the seconds that are left of its lifetime."""
    text = f"{_time(left)} of {_time(whole)} left"
    if left < whole * LEAST_LEFT:
        return Result("renewal", target, Verdict.WRONG, f"{text}: it should have been renewed")
    return Result("renewal", target, Verdict.OK, text)


def _time(seconds: float) -> str:
    return f"{seconds / 86400:.0f} days" if seconds >= 2 * 86400 else f"{seconds / 3600:.1f} h"


def ipv6_notes(addresses: Sequence[str], routes: Sequence[Route]) -> list[Result]:
    """A row for each IPv6 address of the site's name, if some routes allow IPv4 only."""
    closed = [route.name for route in routes if not any(":" in cidr for cidr in route.allowed)]
    why = f"shippers that use it get 403 from {', '.join(closed)}, and Grafana's plugin prefers it: {NO_AAAA}"
    return [Result("IPv6", one, Verdict.NOTE, why) for one in addresses if ":" in one and closed]


def tcp_ports(rows: Sequence[PortRow], version: int) -> list[int]:
    """The ports to probe: the first and the last of each row, and some that no row should open."""
    mine = [row for row in rows if row.version == version and row.protocol in ("tcp", "both")]
    ends = [port for row in mine for port in (row.first, row.last)]
    return sorted({*ends, *NEVER_OPEN})


def udp_notes(rows: Sequence[PortRow], version: int) -> list[Result]:
    """The rows of UDP ports, which aren't probed."""
    mine = [row for row in rows if row.version == version and row.protocol in ("udp", "both")]
    spans = {f"{row.first}" + (f":{row.last}" if row.last != row.first else "") for row in mine}
    mark = " (v6)" if version == 6 else ""
    return [
        Result("port", f"{span}/udp{mark}", Verdict.NOTE, "not probed: UDP answers nobody")
        for span in sorted(spans, key=lambda span: int(span.partition(":")[0]))
    ]


def expected(rows: Sequence[PortRow], port: int, version: int, seen: str | None) -> set[bool]:
    """Whether the policy opens a port to an address; both answers, if the address isn't known and decides.

    The first matching row decides; a port without one is closed.
    """
    possible: set[bool] = set()
    for row in rows:
        if row.version != version or not row.names(port):
            continue
        if row.source is None or (seen is not None and _contains(row.source, seen)):
            return possible | {row.opens}
        if seen is None:
            possible.add(row.opens)
    return possible | {False}


def is_inside(rows: Sequence[PortRow], seen: str | None) -> bool:
    """Whether the address is in a network that the policy names."""
    return seen is not None and any(row.source and _contains(row.source, seen) for row in rows)


def judge_port(target: str, port: int, opened: set[bool], knock: Knock, *, inside: bool) -> Result:
    """Judge the probe of a TCP port, by whether the policy opens it to the probing address."""
    verdict, text = _judged(port, opened, knock, inside)
    return Result("port", target, verdict, text)


def _judged(port: int, opened: set[bool], knock: Knock, inside: bool) -> tuple[Verdict, str]:
    if len(opened) > 1:
        why = "the policy opens it to some addresses, and it isn't known which one the server sees: FROM=…"
        return Verdict.UNPROVEN, f"{knock}: {why}"
    if opened == {True}:
        return _judged_open(knock, inside or port in SITE_PORTS)
    if knock == "refused":
        why = "nothing listens there, which doesn't show the policy: that drops without an answer"
        return Verdict.UNPROVEN, f"refused: {why}"
    return (Verdict.OK, "closed") if knock == "silent" else (Verdict.WRONG, "open, the policy says closed")


def _judged_open(knock: Knock, surely: bool) -> tuple[Verdict, str]:
    if knock == "silent" and surely:
        return Verdict.WRONG, "no answer, the policy says open"
    if knock == "silent":
        return Verdict.NOTE, "no answer: the policy says open, a firewall before the server may not"
    return Verdict.OK, "open" if knock == "open" else "let in, and nothing listens there"


def exit_code(results: Sequence[Result]) -> int:
    """1 if anything is wrong, 2 if something has to be proven and wasn't, else 0."""
    verdicts = {result.verdict for result in results}
    return 1 if Verdict.WRONG in verdicts else 2 if Verdict.UNPROVEN in verdicts or not verdicts else 0


def table(results: Sequence[Result]) -> str:
    """The results in columns."""
    lines = [("check", "target", "result"), *((one.check, one.target, _said(one)) for one in results)]
    first, second = (max(len(line[column]) for line in lines) for column in (0, 1))
    return "".join(f"{check:<{first}}  {target:<{second}}  {said}\n" for check, target, said in lines)


def _said(result: Result) -> str:
    return f"{result.verdict.value}: {result.seen}" if result.verdict != Verdict.NOTE else f"- {result.seen}"


def summary(results: Sequence[Result]) -> str:
    """The last line: how many checks had which result."""
    number = {verdict: sum(one.verdict == verdict for one in results) for verdict in Verdict}
    parts = [f"{number[Verdict.OK]} right"]
    if number[Verdict.WRONG]:
        parts.append(f"{number[Verdict.WRONG]} WRONG")
    if number[Verdict.UNPROVEN]:
        parts.append(f"{number[Verdict.UNPROVEN]} not checked from here")
    return ", ".join(parts)


def _address(text: str) -> Address:
    return ipaddress.ip_address(text)


def _contains(cidr: str, address: str) -> bool:
    return _address(address) in ipaddress.ip_network(cidr)
