"""The gate's suite: sends cases, reads the requests that reach the Lokis, and asks the oracle about both."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from itertools import islice

from tests.edge.gate_cases import Case
from tests.edge.gate_oracle import H2Request, Judged, Policy, Verdict, judge
from tests.edge.gate_wire import WAITED, Reply, Wire
from tests.edge.relay import Arrival, Relay

# The number of cases in memory at once.
AT_ONCE = 2000
# The bytes shown of a case's request.
SHOWN = 600
# Header fields that no Loki may see.
FORBIDDEN_FIELDS = (b"authorization", b"x-scope-orgid")

Asked = Mapping[int, tuple[Case, Judged]]


@dataclass
class Result:
    """A run's result."""

    cases: int = 0
    bypasses: list[str] = field(default_factory=list)
    wrong_refusals: list[str] = field(default_factory=list)
    # The oracle's verdicts.
    verdicts: Counter[Verdict] = field(default_factory=Counter)
    # The number of pushes that each Loki accepted.
    taken: Counter[str] = field(default_factory=Counter)
    # The number of others that may have been accepted: they were cut off before an answer.
    cut_off: Counter[str] = field(default_factory=Counter)
    # The reply to each case, by its number.
    replies: dict[int, Reply] = field(default_factory=dict, repr=False)
    # The number of connections that we had to close.
    waits: int = 0

    def count(self, arrivals: Iterable[Arrival]) -> None:
        """Count the pushes that the Lokis accepted, or may have accepted."""
        for one in arrivals:
            if one.status == 204 and one.has_body:
                self.taken[one.loki] += 1
            elif one.given_up:
                self.cut_off[one.loki] += 1

    def report(self, at_most: int = 10) -> str:
        """A readable report of the failures."""
        found = [*self.bypasses[:at_most], *self.wrong_refusals[:at_most]]
        counted = (
            f"{len(self.bypasses)} bypasses, {len(self.wrong_refusals)} wrong refusals, {self.cases} cases"
        )
        return "\n".join([counted, *found])

    def summary(self) -> str:
        """A one-line summary of the cases."""
        verdicts = ", ".join(f"{count} {verdict.value}" for verdict, count in self.verdicts.most_common())
        return f"{self.cases} cases; requests: {verdicts}; {self.waits} waits; taken: {dict(self.taken)}"


def run(policy: Policy, wire: Wire, relay: Relay, cases: Iterable[Case]) -> Result:
    """Send all cases, and find those that wrongly got through, and those that wrongly didn't."""
    relay.take()  # leftovers of other requests
    result = Result()
    remaining = iter(cases)
    before: dict[int, tuple[Case, Judged]] = {}
    while batch := list(islice(remaining, AT_ONCE)):
        asked = {number: (case, judged) for case in batch for number, judged in _judged(policy, case).items()}
        replies = {case.number: reply for case, reply in wire.send(batch)}
        arrivals, broken = relay.take()
        result.cases += len(batch)
        result.replies |= replies
        result.verdicts.update(judged.verdict for _, judged in asked.values())
        result.waits += sum(reply.note == WAITED for reply in replies.values())
        result.bypasses += [f"no clean HTTP {one}" for one in broken]
        # A cut stream may arrive after its round.
        result.bypasses += _bypasses(before | asked, replies, arrivals)
        result.wrong_refusals += _wrong_refusals(asked, replies, arrivals)
        result.count(arrivals)
        before = asked
    return result


def _judged(policy: Policy, case: Case) -> dict[int, Judged]:
    return judge(policy, case.source, "" if case.preface else case.site, case.sent)


def _bypasses(asked: Asked, replies: Mapping[int, Reply], arrivals: Iterable[Arrival]) -> list[str]:
    found: list[str] = []
    times: Counter[int | None] = Counter()
    taken: set[int] = set()
    for arrival in arrivals:
        number = arrival.case
        case, judged = (None, None) if number is None else asked.get(number, (None, None))
        times[number] += 1
        if case is not None:
            taken.add(case.number)
        wrong = _wrong_with(arrival, case, judged)
        if number is not None and times[number] > 1:
            wrong.append("it came more than once")
        if wrong:
            found.append(
                f"BYPASS {', '.join(wrong)}\n{_described(case, replies)}    arrived: {_shown(arrival)}"
            )
    for case in {case.number: case for case, _ in asked.values()}.values():
        reply = replies.get(case.number)
        if reply is not None and 204 in reply.statuses and case.number not in taken:
            found.append(
                f"BYPASS answered like a push, but nothing came past the relay\n{_described(case, replies)}"
            )
    return found


def _wrong_with(arrival: Arrival, case: Case | None, judged: Judged | None) -> list[str]:
    """All objections to an arrived request."""
    wrong: list[str] = []
    if not arrival.is_push:
        wrong.append("another request than a push")
    names = {name for name, _ in (*arrival.headers, *arrival.trailers)}
    wrong += [f"a push with {name.decode()}" for name in FORBIDDEN_FIELDS if name in names]
    framings = arrival.values(b"content-length") + arrival.values(b"transfer-encoding")
    if len(framings) != 1:
        wrong.append("a body whose end is in doubt")
    if case is None or judged is None:
        return [*wrong, "a request that nobody sent"]
    if arrival.cases_in_body and arrival.case not in arrival.cases_in_body:
        wrong.append("one request's head with another one's body")
    if judged.door is None:
        wrong.append("a request that may not pass")
    elif (arrival.loki, arrival.target) != (judged.door.loki, judged.door.path):
        wrong.append(f"the wrong way, {arrival.target.decode()} of {arrival.loki}")
    if judged.verdict is Verdict.NOT_WHOLE and arrival.complete:
        wrong.append("the whole of a request that has no end")
    if arrival.values(b"x-forwarded-for") not in ([case.source.encode()], []):
        wrong.append("another client's address")
    return wrong


def _wrong_refusals(asked: Asked, replies: Mapping[int, Reply], arrivals: Iterable[Arrival]) -> list[str]:
    by_number: dict[int | None, list[Arrival]] = defaultdict(list)
    for arrival in arrivals:
        by_number[arrival.case].append(arrival)
    found: list[str] = []
    for number, (case, judged) in asked.items():
        if judged.verdict is not Verdict.PASS:
            continue
        answered = [one.status for one in by_number[number] if one.complete or _is_without_need(one)]
        if not answered:
            found.append(f"WRONGLY REFUSED\n{_described(case, replies)}")
        elif not set(answered) & set(replies[case.number].statuses):
            found.append(f"Loki's answer {answered} is lost\n{_described(case, replies)}")
    return found


def _is_without_need(arrival: Arrival) -> bool:
    """Whether Loki answered before an announced body, which then isn't sent (RFC 9110, 10.1.1)."""
    return arrival.status is not None and arrival.values(b"expect") == [b"100-continue"]


def _described(case: Case | None, replies: Mapping[int, Reply]) -> str:
    if case is None:
        return ""
    sent = case.sent
    if isinstance(sent, H2Request):
        lines = [name + b": " + value for name, value in sent.headers]
        sent = b"\n".join([*lines, b"", sent.body])
    return (
        f"    case {case.number} from {case.source}: {case.title}\n"
        f"    answered: {replies.get(case.number)}\n"
        f"    sent: {_cut(sent)}\n"
    )


def _shown(arrival: Arrival) -> str:
    fields = b"".join(b"\n" + name + b": " + value for name, value in arrival.headers)
    return f"before {arrival.loki}: {_cut(arrival.method + b' ' + arrival.target + fields)}"


def _cut(data: bytes) -> str:
    """The first bytes, without a login."""
    data = re.sub(rb"(?i)(authorization: *(?:basic +)?)[^\s]+", rb"\1[login]", data)
    return repr(data[:SHOWN]) + (f" and {len(data) - SHOWN} bytes more" if len(data) > SHOWN else "")
