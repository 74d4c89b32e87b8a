"""Proves a deployment from its outputs: every check in turn, and the results."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from ipaddress import ip_address
from pathlib import Path

from local import processes, pulumi, say
from ops.verify import checks
from ops.verify.checks import Deployment, Login, Result, Route, Verdict
from ops.verify.places import Answer, Place, Pusher, Trust, basic_auth, over_ipv6, places, unseen

# Pushes are found at once, except in a Loki that has just started: its queries may take 16 s more.
READ_BACK_SECONDS = 60.0
# A push is retried for so long, as a shipper would: a Loki that starts isn't a fault.
PUSH_SECONDS = 30.0
KNOCKS_AT_ONCE = 16
# Grafana's health check, which needs no login.
HEALTH = "/api/health"


class CannotReadError(Exception):
    """The backends can't be queried from here; the text says why."""


# Asks a route's backend for a path with its query; None if it didn't answer this time.
Reader = Callable[[Route, str], bytes | str | None]


def of_stack(stack: str, sources: Sequence[str] = (), authority: Path | None = None) -> list[Result]:
    """Prove a stack from this machine; a Problem if it can't even be reached."""
    deployed = checks.parse(pulumi.outputs_of(stack))
    here = places(deployed.host, deployed.port, sources, Trust.of(authority))
    results = prove(deployed, here, here, through_grafana(deployed, here[0]))
    site = deployed.host, deployed.port
    return [*results, *unseen(*site, here), *over_ipv6(*site, deployed.routes)]


def prove(
    deployed: Deployment, here: Sequence[Place], pushers: Sequence[Pusher], read: Reader
) -> list[Result]:
    """Run every check. A server without a valid certificate is sent nothing more."""
    results = [result for place in _one_per_server(here) for result in place.certificate()]
    if all(one.verdict == Verdict.OK for one in results if one.check == "certificate"):
        results += _grafana(deployed, here[0])
        results += _Pushes(deployed.routes, pushers, read).results()
    else:
        why = "no password and no push is sent to a server without a valid certificate"
        results.append(Result("all behind it", deployed.host, Verdict.UNPROVEN, why))
    return results + [result for place in here for result in _ports(deployed, place)]


def _one_per_server(here: Sequence[Place]) -> list[Place]:
    return list({place.server: place for place in here}.values())


def _grafana(deployed: Deployment, place: Place) -> list[Result]:
    if deployed.grafana_password is None:
        return [Result("Grafana", deployed.host, Verdict.NOTE, "the stack has none")]
    answer = place.request("GET", HEALTH)
    good = answer.status == 200
    text = answer.said if good else f"{answer.said}, should be 200"
    return [Result("Grafana", HEALTH, Verdict.OK if good else Verdict.WRONG, text)]


def through_grafana(deployed: Deployment, place: Place) -> Reader:
    """Query through Grafana's data sources: from outside there is no other way to read."""
    password = deployed.grafana_password
    is_refused = False

    def read(route: Route, query: str) -> bytes | None:
        nonlocal is_refused
        if is_refused:
            raise CannotReadError(_REFUSED)
        if password is None:
            raise CannotReadError("the stack has no Grafana, through which it is queried")
        if place.request("GET", HEALTH).status != 200:
            raise CannotReadError("Grafana, through which it is queried, doesn't answer")
        path = f"/api/datasources/proxy/uid/{route.source_uid}{query}"
        answer = place.request("GET", path, headers=basic_auth(Login("admin", password)))
        if answer.status == 401:
            # Only once in a run: after five wrong logins Grafana refuses even the right one.
            is_refused = True
            raise CannotReadError(_REFUSED)
        return answer.body if answer.status == 200 else None

    return read


_REFUSED = "Grafana refuses the stack's password of `admin` (docs/grafana.md)"


@dataclass(frozen=True)
class _Pushes:
    """Pushes to every route from every place, and reads the pushes back."""

    routes: Sequence[Route]
    pushers: Sequence[Pusher]
    read: Reader

    def results(self) -> list[Result]:
        found: list[Result] = []
        pushed: list[Route] = []
        refused: list[Route] = []
        for route in self.routes:
            for pusher in self.pushers:
                kind = checks.standing(route, pusher.seen)
                if kind == "unknown":
                    kind = self._shown(route, pusher)
                if kind == "stranger":
                    found.append(self._stranger(route, pusher))
                    refused.append(route)
                else:
                    found += self._allowed(route, pusher)
                    pushed.append(route)
        found += checks.not_pushed([route for route in self.routes if route not in pushed])
        return found + checks.not_refused([route for route in self.routes if route not in refused])

    def _shown(self, route: Route, pusher: Pusher) -> checks.Standing:
        """The standing of a client whose address isn't known: only a stranger is refused."""
        answer = _push(pusher, route, _new_word(), None)
        return "stranger" if answer.status == 403 else "unknown"

    def _stranger(self, route: Route, pusher: Pusher) -> Result:
        answer = _push(pusher, route, _new_word(), None)
        return checks.judge_push(route, pusher.name, "stranger", answer.status, answer.said)

    def _allowed(self, route: Route, pusher: Pusher) -> list[Result]:
        found: list[Result] = []
        words: list[str] = []
        for login in route.logins or (None,):
            word = _new_word()
            answer = _as_a_shipper(lambda word=word, login=login: _push(pusher, route, word, login))
            kind = checks.standing(route, pusher.seen)
            found.append(checks.judge_push(route, pusher.name, kind, answer.status, answer.said, login))
            words += [word] if answer.status == route.signal.taken else []
        if route.logins:
            wrong = Login(route.logins[0].user, secrets.token_hex(16))
            answer = _push(pusher, route, _new_word(), wrong)
            found.append(checks.judge_wrong_password(route, pusher.name, answer.status, answer.said))
        return found + [self._read_back(route, word) for word in words]

    def _read_back(self, route: Route, word: str) -> Result:
        signal, target = route.signal, f"{route.name}, {word!r}"

        def is_there() -> bool:
            answer = self.read(route, signal.query(word))
            return answer is not None and word in (signal.words_of(answer) or ())

        try:
            found = processes.wait_until(is_there, READ_BACK_SECONDS, pause=0.5)
        except CannotReadError as error:
            return Result(signal.found, target, Verdict.UNPROVEN, str(error))
        text = "found" if found else f"not found within {say.duration(READ_BACK_SECONDS)}"
        return Result(signal.found, target, Verdict.OK if found else Verdict.WRONG, text)


def _as_a_shipper(push: Callable[[], Answer]) -> Answer:
    """The answer to a push, retried as shippers do while Loki can't be reached."""
    answers: list[Answer] = []

    def is_answered() -> bool:
        answers.append(push())
        return answers[-1].status is not None and answers[-1].status < 500

    processes.wait_until(is_answered, PUSH_SECONDS, pause=0.5)
    return answers[-1]


def _push(pusher: Pusher, route: Route, word: str, login: Login | None) -> Answer:
    return pusher.push(route.path, route.signal.body(word), login)


def _new_word() -> str:
    return f"verify {secrets.token_hex(8)}"


def _ports(deployed: Deployment, place: Place) -> list[Result]:
    """Which ports the policy opens to this place."""
    address = place.server[0]
    version = ip_address(address).version
    if ip_address(address).is_loopback:
        why = "not probed: loopback doesn't pass the policy"
        return [Result("port", address, Verdict.NOTE, why)]
    if address == place.own:
        why = "this is the server itself, which the policy lets in everywhere: run it from another machine"
        return [Result("port", address, Verdict.UNPROVEN, why)]
    rows = deployed.policy
    ports = checks.tcp_ports(rows, version)
    inside = checks.is_inside(rows, place.seen)
    with ThreadPoolExecutor(KNOCKS_AT_ONCE) as pool:
        knocks = list(pool.map(place.knock, ports))
    mark = " (v6)" if version == 6 else ""
    judged = [
        checks.judge_port(
            f"{port}/tcp{mark}, from {place.name}",
            port,
            checks.expected(rows, port, version, place.seen),
            knock,
            inside=inside,
        )
        for port, knock in zip(ports, knocks, strict=True)
    ]
    return judged + checks.udp_notes(rows, version)
