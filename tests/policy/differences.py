"""Every way in, tried under a rule set and compared with the oracle."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from rig.namespaces import Namespace
from rig.processes import wait_for
from tests.policy.engine_ways import is_closed_anyway
from tests.policy.oracle import Attempt, Oracle, RuleText, Verdict
from tests.policy.prober import ANSWER_SECONDS, Outcome, Prober, Seen
from tests.policy.site import Probe, Site, open_what_docker_refuses

FLUSH_SECONDS = 10.0


@dataclass
class Result:
    """The result of a round."""

    probes: int = 0
    # Probes that came in and must not, and probes that didn't and have to.
    leaks: list[str] = field(default_factory=list)
    wrong_refusals: list[str] = field(default_factory=list)
    outcomes: Counter[Outcome] = field(default_factory=Counter)

    def __add__(self, other: Result) -> Result:
        return Result(
            self.probes + other.probes,
            self.leaks + other.leaks,
            self.wrong_refusals + other.wrong_refusals,
            self.outcomes + other.outcomes,
        )

    @property
    def differences(self) -> list[str]:
        """Everything that differs from the oracle."""
        return self.leaks + self.wrong_refusals

    def __str__(self) -> str:
        outcomes = {outcome.value: count for outcome, count in self.outcomes.items()}
        return f"{self.probes} probes: {outcomes}"


ANSWERS = (Outcome.OPEN, Outcome.REFUSED, Outcome.ARRIVED)


class Differences:
    """Compares a site with the oracle. First it records what Docker and the host do without a policy."""

    def __init__(self, site: Site, patience: float = ANSWER_SECONDS) -> None:
        self.site, self._prober = site, Prober(site.services)
        self.probes = [probe for source in site.sources() for probe in site.probes(source)]
        wanted = {probe: ANSWERS for probe in self.probes if not is_closed_anyway(probe)}
        self.without = self._prober.run(self.probes, wanted, patience).outcomes

    def under(self, rules: Sequence[RuleText], patience: float = ANSWER_SECONDS) -> Result:
        """Try every probe; the rules are in force. Neighbours have to find each other again."""
        open_what_docker_refuses(self.site)
        for namespace in {source.namespace for source in self.site.sources()}:
            forget_neighbours(namespace)
        oracle = Oracle(rules)
        verdicts = {probe: oracle.judge(_attempt(probe)) for probe in self.probes}
        wanted = {
            probe: (self.without[probe], Outcome.OPEN)
            for probe, verdict in verdicts.items()
            if verdict is Verdict.PASS and self.without[probe] is not Outcome.SILENT
        }
        return self._judged(verdicts, self._prober.run(self.probes, wanted, patience))

    def try_all(self) -> Mapping[Probe, Outcome]:
        """Try every probe under the current rules, without the oracle."""
        return self._prober.run(self.probes, {}).outcomes

    def _judged(self, verdicts: Mapping[Probe, Verdict], seen: Seen) -> Result:
        result = Result(len(seen.outcomes))
        result.outcomes.update(seen.outcomes.values())
        result.wrong_refusals += [f"NO ECHO {way}" for way in seen.without_echo]
        for probe, outcome in seen.outcomes.items():
            without, verdict = self.without[probe], verdicts[probe]
            if verdict is Verdict.DROP and outcome is not Outcome.SILENT:
                result.leaks.append(f"LEAK {probe}: {outcome.value}")
            if verdict is Verdict.PASS and outcome not in (without, Outcome.OPEN):
                result.wrong_refusals.append(f"REFUSED {probe}: {outcome.value}, {without.value} without")
        return result


def forget_neighbours(namespace: Namespace) -> None:
    """Empty the table. An entry that expires meanwhile ends iproute2's flush early."""

    def flushed() -> bool:
        return namespace.run("ip", "neigh", "flush", "all", check=False).returncode == 0

    wait_for("no neighbour is known", flushed, FLUSH_SECONDS)


def _attempt(probe: Probe) -> Attempt:
    return Attempt(probe.source.who, probe.address, probe.way, probe.protocol, probe.port)
