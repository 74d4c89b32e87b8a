"""Broken policies, as changes of a rendered policy: the suite has to detect every fault."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from tests.policy.rule_sets import RuleSet

CAMPUS = "198.51.100.0/24"
# Rules under which every fault has an effect.
TELLING: RuleSet = [
    {"action": "deny", "port": 6001, "protocol": "both", "from": ["203.0.113.8/32", "2001:db8::8/128"]},
    {"action": "allow", "port": "6001-6002", "from": ["203.0.113.0/24", "2001:db8::7/128", "172.30.1.0/24"]},
    {"action": "allow", "port": "6001-6002", "protocol": "udp", "from": [CAMPUS, "2001:db8::/64"]},
    {"action": "allow", "port": 7002, "protocol": "both", "from": ["192.0.2.0/24", "2001:db8:2::/64"]},
    {"action": "limit", "port": 6005},
    {"action": "allow", "port": 7101, "protocol": "both"},
    {"action": "deny", "port": 7001},
    {"action": "allow", "port": 7001, "protocol": "both"},
]


@dataclass(frozen=True)
class Fault:
    """A fault in a policy, and the finding that the suite has to report."""

    name: str
    seed: Callable[[str], str]
    finds: Literal["leaks", "wrong_refusals"] = "leaks"

    def seeded(self, policy: str) -> str:
        """The policy with the fault in it."""
        changed = self.seed(policy)
        assert changed != policy, f"{self.name}: nothing was changed"
        return changed


def _replaced(old: str, new: str) -> Callable[[str], str]:
    """Replace every match of a pattern."""
    return lambda text: re.sub(old, new, text, flags=re.MULTILINE)


def _without(line: str) -> Callable[[str], str]:
    """Remove the lines whose beginning matches."""
    return _replaced(rf"^\t\t{line}.*\n", "")


def _in_chain(chain: str, change: Callable[[str], str]) -> Callable[[str], str]:
    """Change one chain."""
    return lambda text: re.sub(
        rf"^\tchain {chain} {{\n.*?^\t}}\n", lambda found: change(found[0]), text, flags=re.M | re.S
    )


def _first(chain: str, line: str) -> Callable[[str], str]:
    """Insert a line at the beginning of a chain."""
    head = rf"(\tchain {chain} {{\n(\t\ttype filter hook .*\n)?)"
    return _in_chain(chain, lambda text: re.sub(head, rf"\g<1>\t\t{line}\n", text))


def _both(one: Callable[[str], str], other: Callable[[str], str]) -> Callable[[str], str]:
    return lambda text: other(one(text))


def _reversed_rules(text: str) -> str:
    """Let the last matching rule decide."""

    def turned(chain: str) -> str:
        first, *lines, last = chain.splitlines(keepends=True)
        return "".join([first, *reversed(lines), last])

    return _in_chain("rules", turned)(text)


BRIDGES = "@container_bridges"
HOOK = "prerouting priority -150"
AFTER_DNAT = "prerouting priority -50"
# The end of a chain, which drops packets that no rule has let in.
END = r"^\t\t(counter name others jump refuse|drop)\n"
NO_END = _in_chain("judge", _replaced(END, ""))


def _forwarding_published(text: str) -> str:
    """After Docker's DNAT, with published ports let through."""
    local = "\t\tfib daddr type local jump rules\n"
    return text.replace(HOOK, AFTER_DNAT).replace(local, "\t\tct status dnat accept\n" + local)


def _rules(old: str, new: str) -> Callable[[str], str]:
    return _in_chain("rules", _replaced(old, new))


FAULTS = [
    # The issue's own.
    Fault("hook after DNAT", _replaced(HOOK, AFTER_DNAT), "wrong_refusals"),
    Fault("hook after DNAT, and what Docker published let through", _forwarding_published),
    Fault("hook at input", _replaced("hook " + HOOK, "hook input priority 0")),
    Fault("an IPv4-only table", _first("inbound", "meta nfproto ipv6 accept")),
    Fault(
        "an IPv4-only table for containers", _first("judge", f"iifname {BRIDGES} meta nfproto ipv6 accept")
    ),
    Fault("every br-* trusted", _replaced(f"iifname {BRIDGES}", 'iifname "br-*"')),
    # Ways in.
    Fault("the containers' rules forgotten", _first("judge", f"iifname {BRIDGES} accept")),
    Fault("direct routes open", _first("inbound", "fib daddr type != local accept")),
    Fault("direct routes open to published ports", _first("inbound", "tcp dport 9002 accept")),
    Fault("loopback reached from the link", _without(r"ip daddr 127\.0\.0\.0/8")),
    Fault("a second link forgotten", _first("inbound", 'iifname "wan2" accept')),
    Fault("only one link guarded", _first("inbound", 'iifname != "wan" accept')),
    Fault("UDP forgotten", _first("inbound", "meta l4proto udp accept")),
    Fault("no drop at the end", _both(NO_END, _in_chain("inbound", _replaced(END, "")))),
    Fault(
        "no drop at the containers' end",
        _both(NO_END, _in_chain("inbound", _replaced(END, f"\t\tiifname != {BRIDGES} drop\n"))),
    ),
    Fault("a refusal with an answer", _in_chain("refuse", _replaced(r"^\t\tdrop$", "\t\treject"))),
    # The rules themselves.
    Fault("what is denied is allowed", _rules("goto refuse", "accept")),
    Fault("denials forgotten", _rules(r"^.*goto refuse\n", "")),
    Fault("sources forgotten", _rules(r"ip6? saddr [0-9][^ ]* ", "")),
    Fault("sources of IPv6 forgotten", _rules(r"ip6 saddr [0-9][^ ]* ", "meta nfproto ipv6 ")),
    Fault("destinations taken for sources", _rules(r"saddr (?=[0-9])", "daddr "), "wrong_refusals"),
    Fault("source ports taken for ports", _rules("dport", "sport"), "wrong_refusals"),
    Fault("protocols forgotten", _rules(r"(tcp|udp) dport", "meta l4proto { tcp, udp } th dport")),
    Fault("ranges cut short", _rules("6001-6002", "6001"), "wrong_refusals"),
    Fault("ranges too long", _rules("6001-6002", "6001-6003")),
    Fault("the last rule decides", _reversed_rules),
    Fault("a limit that lets nobody in", _rules(r"^.*6005 counter .* accept\n", ""), "wrong_refusals"),
    # Traffic that has to pass.
    Fault("the host cut off from itself", _without('iifname "lo" accept'), "wrong_refusals"),
    Fault("answers dropped", _without("ct state established ct direction reply"), "wrong_refusals"),
    Fault("containers cut off", _in_chain("inbound", _without(f"iifname {BRIDGES}")), "wrong_refusals"),
    Fault("no neighbour discovery", _without("icmpv6 type { nd-"), "wrong_refusals"),
    Fault("no echo", _replaced(", echo-request", ""), "wrong_refusals"),
    Fault("everything dropped", _first("inbound", "drop"), "wrong_refusals"),
]

# The policy before Docker 29: older engines' proxies answer containers, so this chain sees them.
BEHIND_DNAT = Fault(
    "containers judged behind DNAT",
    _replaced(f"iifname {BRIDGES} fib daddr type != local", f"iifname {BRIDGES}"),
)
