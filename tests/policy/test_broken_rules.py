"""Broken rules are refused; file, table and open connections don't change, and no stranger gets in."""

from __future__ import annotations

import os
import random
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from components.live.docker_host import LiveError
from rig.live_guard import LiveGuard
from tests.policy.conversations import WIDE, Conversations, opened
from tests.policy.policies import rendered
from tests.policy.rule_sets import random_rules
from tests.policy.site import Site
from tests.policy.stranger import knocked_at
from tests.policy.ufw import others_rules

pytestmark = pytest.mark.docker

SEED = int(os.environ.get("CAMPUS_MONITOR_SEED") or random.SystemRandom().randrange(2**32))
TRIAL: dict[str, Any] = {"confirmation": {"seconds": 30.0, "ssh_port": 22.0}}

Break = Callable[[random.Random, list[str]], list[str]]


def _inserted(*lines: str) -> Break:
    """Insert one of these lines before one of the rules."""

    def change(rng: random.Random, text: list[str]) -> list[str]:
        rules = [number for number, line in enumerate(text) if line.endswith((" accept", " drop"))]
        at = rng.choice(rules)
        return [*text[:at], rng.choice(lines), *text[at:]]

    return change


def _cut_off(rng: random.Random, text: list[str]) -> list[str]:
    return text[: rng.randrange(len(text) - 1)]


def _without_a_brace(rng: random.Random, text: list[str]) -> list[str]:
    at = rng.choice([number for number, line in enumerate(text) if line.strip() == "}"])
    return text[:at] + text[at + 1 :]


def _without_a_chain(rng: random.Random, text: list[str]) -> list[str]:
    chain = rng.choice(["rules", "refuse"])
    first = text.index(f"\tchain {chain} {{")
    return text[:first] + text[text.index("\t}", first) + 1 :]


# Each is wrong by nft(8), or makes another table than ours.
BREAKS: dict[str, Break] = {
    "an unknown word": _inserted("\t\tfrobnicate", "\t\ttcp dport 80 allow", "\t\taccept accept"),
    "a wrong range": _inserted("\t\tip saddr 192.0.2.1/33 accept", "\t\tip6 saddr 2001:db8::g accept"),
    "an unknown set": _inserted("\t\tiifname @links accept", "\t\tip saddr @campus accept"),
    "an unknown chain": _inserted("\t\tjump somewhere", "\t\tgoto elsewhere"),
    "an unknown counter": _inserted("\t\tcounter name nobody"),
    "no text": _inserted("\t\t\x01\x02\x7f"),
    "cut off": _cut_off,
    "no brace": _without_a_brace,
    "no chain": _without_a_chain,
    "nothing at all": lambda _rng, _text: [],
    "another's table": lambda _rng, text: [line.replace("campus_policy", "filter") for line in text],
    "the table deleted alone": lambda _rng, text: text[:2],
}


@pytest.mark.parametrize("more", [{}, TRIAL], ids=["at once", "on trial"])
def test_broken_rules_change_nothing(site: Site, guard: LiveGuard, more: dict[str, Any]) -> None:
    print(f"seed {SEED}")
    rng = random.Random(SEED)
    guard.write(rendered(WIDE))
    before = guard.in_force(), others_rules(site.campus)
    with Conversations(opened(site, "campus")).going_on() as going_on, knocked_at(site) as witness:
        for name, broken in broken_policies(rng):
            with pytest.raises(LiveError) as refused:
                guard.write(broken, **more)
            assert "those from before are in place" in str(refused.value), name
            assert (guard.in_force(), others_rules(site.campus)) == before, name
        going_on.wait_for_more()
        assert [one.ended for one in going_on.all if one.ended] == []
        assert witness.passed() == 0
    assert guard.leftovers() == []
    guard.sh("port-guard healthy && ! port-guard on-trial")


def broken_policies(rng: random.Random) -> Iterator[tuple[str, str]]:
    """One broken policy of each kind."""
    for name, change in BREAKS.items():
        text = rendered(WIDE + random_rules(rng)).splitlines()
        yield name, "".join(f"{line}\n" for line in change(rng, text))
