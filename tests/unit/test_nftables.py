"""The port policy: as agreed, accepted by the real nft, and kept in force by the guard's script."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from components.edge.connection_limit import (
    CADDY_MEMORY_MIB,
    CADDY_WORK_MIB,
    CONNECTION_KIB,
    DEFAULT,
    MOST,
    SITE_SHARE,
    ConnectionLimit,
)
from components.port_policy.nftables import EMPTY_POLICY, policy_rows, render_policy
from components.port_policy.rules import NUMBERS, Rule
from components.port_policy.settings import DEFAULT_RULES
from tests.support.golden import assert_golden
from tests.support.programs import in_own_network, nft_check, run

GUARD = Path(__file__).resolve().parents[2] / "images/port-guard/port-guard"
CAMPUS = ("198.51.100.0/24", "198.51.100.128/25", "2001:db8::/64")


def rule(action: str, port: int, *sources: str, last: int | None = None, comment: str = "") -> Rule:
    """A rule for TCP."""
    return Rule(
        action=action,  # pyright: ignore[reportArgumentType]
        protocol="tcp",
        first_port=port,
        last_port=last or port,
        sources=sources,
        comment=comment,
    )


RULES = (
    rule("limit", 21541, comment="SSH"),
    rule("allow", 80),
    rule("allow", 443, comment="Caddy"),
    rule("allow", 3100, *CAMPUS, last=3101, comment="Loki on campus"),
    rule("limit", 3200, "198.51.100.0/24"),
    rule("deny", 6000, last=6007),
    Rule(action="allow", protocol="udp", first_port=443, last_port=443),
    Rule(action="allow", protocol="both", first_port=53, last_port=53, sources=("2001:db8::/64",)),
)

LIMIT = ConnectionLimit(ports=(443, 80), per_source=DEFAULT)


def in_namespace(script: str, folder: Path) -> str:
    """The shell script's output in an empty network namespace; $guard is the guard."""
    state = f"export PORT_GUARD_POLICY={folder}/live.nft PORT_GUARD_STATE={folder}/state"
    head = f"set -euo pipefail\n{state}\nguard={GUARD}\n"
    return run(*in_own_network("bash", "-c", head + script), cwd=folder)


def test_the_policy_is_the_agreed_one() -> None:
    assert_golden("policy.nft", render_policy(RULES, limit=LIMIT))


def test_the_rows_read_like_those_of_ufw_numbered() -> None:
    assert_golden("policy_rows.txt", "\n".join(policy_rows(RULES)) + "\n")


@pytest.mark.parametrize("rules", [(), RULES, tuple(one.rule for one in DEFAULT_RULES)])
@pytest.mark.programs
def test_nft_takes_it(rules: tuple[Rule, ...], tmp_path: Path) -> None:
    nft_check(render_policy(rules), tmp_path)
    nft_check(render_policy(rules, limit=LIMIT), tmp_path)


def test_a_source_may_have_as_many_connections_as_caddys_memory_has_room_for() -> None:
    """By the settings' bound: the most connections of one stranger with a whole IPv6 site."""
    room = (CADDY_MEMORY_MIB - CADDY_WORK_MIB) * 1024
    assert SITE_SHARE * MOST * CONNECTION_KIB <= room < SITE_SHARE * (MOST + 1) * CONNECTION_KIB
    assert room > 3 * SITE_SHARE * DEFAULT * CONNECTION_KIB


# Connects to a port so often, and prints how many are established (1, in the first byte of TCP_INFO).
CONNECTS = """
import socket, sys, time
tries = [socket.socket() for _ in range(int(sys.argv[2]))]
for one in tries:
    one.setblocking(False)
    one.connect_ex(("203.0.113.1", int(sys.argv[1])))
time.sleep(1.5)
print(sum(one.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 1) == bytes([1]) for one in tries))
"""
LISTENS = """
import socket, time
servers = [socket.create_server(("203.0.113.1", port), backlog=64) for port in (443, 444)]
print("listening", flush=True)
time.sleep(60)
"""


@pytest.mark.programs
def test_the_kernel_lets_a_source_have_so_many_connections_at_once(tmp_path: Path) -> None:
    """tests/policy tests more: other sources, IPv6, and the end of connections."""
    rules = [rule("allow", 443, last=444)]
    policy = render_policy(rules, limit=ConnectionLimit(ports=(443,), per_source=5))
    (tmp_path / "live.nft").write_text(policy)
    (tmp_path / "connects.py").write_text(CONNECTS)
    (tmp_path / "listens.py").write_text(LISTENS)
    printed = in_namespace(
        f"""
unshare --net sleep 60 & client=$!
world="nsenter --net=/proc/$client/ns/net"
# Until it has its own network.
until [[ $(readlink /proc/$client/ns/net) != "$(readlink /proc/self/ns/net)" ]]; do sleep 0.01; done
ip link add wan type veth peer name wan netns $client
ip addr add 203.0.113.1/24 dev wan; ip link set wan up
$world ip addr add 203.0.113.8/24 dev wan; $world ip link set wan up
exec {{up}}< <(exec {sys.executable} listens.py 2>&1); server=$!; trap 'kill $client $server' EXIT
read -r _ <&$up
$guard apply live.nft
for port in 443 444; do $world {sys.executable} connects.py $port 9; done
$guard ports | grep Over
""",
        tmp_path,
    )
    at_once, free, over = printed.splitlines()
    assert (at_once, free) == ("5", "9")
    assert int(over.split()[0]) >= 4


@pytest.mark.programs
def test_packets_over_a_limit_are_a_row_if_there_is_a_limit(tmp_path: Path) -> None:
    (tmp_path / "without.nft").write_text(render_policy(RULES))
    (tmp_path / "with.nft").write_text(render_policy(RULES, limit=LIMIT))
    printed = in_namespace(
        "for one in without with; do\n"
        "cp $one.nft live.nft; $guard apply live.nft; $guard ports | tail -n 2\n"
        "done",
        tmp_path,
    )
    others = "     Anything else              DENY IN     Anywhere"
    over = "     Over connectionsPerSource  DENY IN     Anywhere"
    assert [line[30:] for line in printed.splitlines()][1:] == [others, over, others]


PORTLESS = tuple(
    Rule(action="allow", protocol=protocol, sources=("203.0.113.0/24", "2001:db8::/64"))
    for protocol in NUMBERS
)


@pytest.mark.programs
def test_nft_takes_protocols_without_ports_and_knows_them_again(tmp_path: Path) -> None:
    """The guard compares with nft's list."""
    (tmp_path / "live.nft").write_text(render_policy(PORTLESS))
    printed = in_namespace("$guard apply live.nft; $guard running; $guard ports", tmp_path)
    rows = [line.split()[-4:] for line in printed.splitlines() if "Anywhere/" in line]
    assert [row[0] for row in rows] == [f"Anywhere/{protocol}" for protocol in (*NUMBERS, *NUMBERS)]
    assert rows[0] == ["Anywhere/ah", "ALLOW", "IN", "203.0.113.0/24"]


def test_only_vrrp_has_rules_for_groups() -> None:
    assert "224.0.0.18" not in render_policy([one for one in PORTLESS if one.protocol != "vrrp"])
    assert render_policy(PORTLESS).count("meta l4proto 112 ip6 daddr ff02::12 jump rules") == 1


def test_rows_without_ports_read_like_ufws() -> None:
    rules = [
        Rule(action="allow", protocol="esp"),
        Rule(action="deny", protocol="gre", sources=("10.0.0.0/8",)),
    ]
    assert [row.split() for row in policy_rows(rules)[2:]] == [
        ["[", "1]", "Anywhere/esp", "ALLOW", "IN", "Anywhere"],
        ["[", "2]", "Anywhere/gre", "DENY", "IN", "10.0.0.0/8"],
        ["[", "3]", "Anywhere/esp", "(v6)", "ALLOW", "IN", "Anywhere", "(v6)"],
    ]


@pytest.mark.programs
def test_nft_takes_the_first_policy_which_has_no_chain(tmp_path: Path) -> None:
    nft_check(EMPTY_POLICY, tmp_path)
    assert "chain" not in EMPTY_POLICY


def test_without_a_rule_everything_is_dropped() -> None:
    policy = render_policy(())
    # The first chain, the chains that it jumps to, and the rules for open connections.
    assert policy.count("\t\tdrop\n\t}") == 3
    assert "accept" not in policy[policy.index("chain rules") : policy.index("chain judge")]


@pytest.mark.programs
def test_a_policy_replaces_the_one_before_and_touches_no_other_table(tmp_path: Path) -> None:
    (tmp_path / "one.nft").write_text(render_policy(RULES))
    (tmp_path / "two.nft").write_text(render_policy(RULES[:1]))
    printed = in_namespace(
        "nft add table inet somebody\n"
        "for file in one two two; do $guard apply $file.nft; done\n"
        "nft list tables; $guard running",
        tmp_path,
    )
    assert "table inet somebody\n" in printed
    assert "dport 21541" in printed
    assert "dport 80" not in printed


@pytest.mark.programs
def test_the_guard_refuses_a_broken_policy_and_keeps_the_old_one(tmp_path: Path) -> None:
    (tmp_path / "good.nft").write_text(render_policy(RULES))
    broken = render_policy(RULES).replace("accept", "acept")
    (tmp_path / "bad.nft").write_text(broken)
    printed = in_namespace(
        "$guard apply good.nft; $guard running > before\n"
        "! $guard check bad.nft 2>/dev/null; ! $guard apply bad.nft 2>/dev/null\n"
        "$guard running > after; cmp before after && echo same",
        tmp_path,
    )
    assert printed == "same\n"


@pytest.mark.programs
def test_only_bridges_of_containers_count_and_a_card_or_tap_on_one_ends_that(tmp_path: Path) -> None:
    printed = in_namespace(
        "for name in docker0 br-0123456789ab br-lan br-mixed br-vpn; do ip link add $name type bridge; done\n"
        "ip link add veth1 type veth peer name card; ip tuntap add tap0 mode tap\n"
        "$guard bridges | xargs\n"
        "ip link set veth1 master br-mixed; ip link set tap0 master br-vpn; $guard bridges | xargs\n"
        "ip link set card master br-mixed; ip link set tap0 master docker0; $guard bridges | xargs\n",
        tmp_path,
    )
    assert printed.splitlines() == [
        "br-0123456789ab docker0",
        "br-0123456789ab br-mixed docker0",
        "br-0123456789ab",
    ]


# A condition is polled until it holds, with a deadline for a broken guard. `grep -q` would end early, and
# pipefail would count nft's broken pipe as a failed condition.
UNTIL = """
until_holds() { for ((n = 0; n < 200; n++)); do eval "$1" && return; sleep 0.05; done; exit 1; }
has_drop() { nft list chain inet campus_policy inbound 2>/dev/null | grep '\\sdrop$' >/dev/null; }
has_bridge() { nft list set inet campus_policy container_bridges | grep "\\"$1\\"" >/dev/null; }
"""


@pytest.mark.programs
def test_the_running_guard_puts_back_what_was_flushed_and_follows_the_bridges(
    tmp_path: Path,
) -> None:
    (tmp_path / "live.nft").write_text(render_policy(RULES))
    printed = in_namespace(
        UNTIL + "$guard run 2>log & trap 'kill %1' EXIT\n"
        "until_holds has_drop; $guard running > before\n"
        "ip link add docker0 type bridge; until_holds 'has_bridge docker0'; echo followed\n"
        "nft flush ruleset; until_holds has_drop; until_holds 'has_bridge docker0'; echo back\n"
        "$guard running | cmp before - && echo same\n"
        "trap - EXIT; kill %1; wait %1; has_drop && echo 'kept after the end'\n",
        tmp_path,
    )
    assert printed.splitlines() == ["followed", "back", "same", "kept after the end"]


@pytest.mark.programs
def test_the_guard_changes_nothing_before_the_first_policy(tmp_path: Path) -> None:
    (tmp_path / "live.nft").write_text(EMPTY_POLICY)
    printed = in_namespace(
        UNTIL + "$guard run 2>log & trap 'kill %1' EXIT\n"
        "until_holds '$guard running 2>/dev/null'; nft list ruleset\n",
        tmp_path,
    )
    assert "chain" not in printed


# A guard with live.nft in force, and new.nft beside it.
GUARD_RUNS = (
    UNTIL
    + """
exec 2>&1
opens() { nft list chain inet campus_policy rules | grep "dport $1 " >/dev/null; }
$guard run 2>log & trap 'kill %1' EXIT
until_holds '$guard healthy >/dev/null 2>&1'
"""
)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with the policy in use, and a new one."""
    (tmp_path / "live.nft").write_text(render_policy([rule("allow", 1001)]))
    (tmp_path / "new.nft").write_text(render_policy([rule("allow", 1002)]))
    (tmp_path / "bad.nft").write_text(render_policy([rule("allow", 1003)]).replace("accept", "acept"))
    return tmp_path


@pytest.mark.programs
def test_a_trial_that_nobody_confirms_ends_with_the_old_rules(folder: Path) -> None:
    printed = in_namespace(
        GUARD_RUNS + "$guard trial new.nft 1; opens 1002 && $guard on-trial && echo tried\n"
        "until_holds '! $guard on-trial'; opens 1001 && ! opens 1002 && echo old\n"
        "$guard confirm || echo late; opens 1001 && $guard healthy && echo healthy\n",
        folder,
    )
    late = "port-guard: there is nothing to confirm: the last good policy is in force"
    assert printed.splitlines() == ["tried", "old", late, "late", "healthy"]
    said = (folder / "log").read_text()
    assert said.count("nobody confirmed the new policy; the last good one is in force again") == 1


@pytest.mark.programs
def test_a_trial_that_is_confirmed_keeps_the_new_rules(folder: Path) -> None:
    printed = in_namespace(
        GUARD_RUNS + "$guard trial new.nft 600; $guard confirm; ! $guard on-trial\n"
        # The guard would now restore the new policy.
        "cp new.nft live.nft; nft flush ruleset; until_holds has_drop; opens 1002 && echo new\n",
        folder,
    )
    assert printed.splitlines()[-1] == "new"


@pytest.mark.programs
def test_a_trial_is_refused_with_a_broken_policy_and_beside_another(folder: Path) -> None:
    printed = in_namespace(
        GUARD_RUNS + "$guard running >before\n"
        "$guard trial bad.nft 600 >/dev/null 2>&1 || echo broken; $guard on-trial || echo none\n"
        "$guard running | cmp before - && echo same\n"
        "$guard trial new.nft 600; $guard trial live.nft 600 || echo other\n"
        "$guard apply live.nft; $guard on-trial || echo ended\n",
        folder,
    )
    other = "port-guard: another trial is on"
    assert printed.splitlines() == ["broken", "none", "same", other, "other", "ended"]


@pytest.mark.programs
def test_no_trial_begins_where_nobody_would_end_it(folder: Path) -> None:
    printed = in_namespace(
        "$guard apply live.nft; $guard running >before\n"
        "$guard trial new.nft 1 2>&1 || $guard running | cmp before - && echo same\n",
        folder,
    )
    nobody = "port-guard: no guard works here that could put the last good policy back"
    assert printed.splitlines() == [nobody, "same"]


@pytest.mark.parametrize("signal", ["TERM", "KILL"])
@pytest.mark.programs
def test_a_guard_that_ends_during_a_trial_starts_with_the_old_rules(folder: Path, signal: str) -> None:
    printed = in_namespace(
        GUARD_RUNS + f"$guard trial new.nft 600; trap - EXIT; kill -{signal} %1; wait %1 || true\n"
        "opens 1001 && echo 'old at once' || echo 'new until the start'\n"
        "$guard run 2>log & trap 'kill %1' EXIT; until_holds 'opens 1001'\n"
        "$guard on-trial || echo 'no trial'\n",
        folder,
    )
    at_once = {"TERM": "old at once", "KILL": "new until the start"}[signal]
    seen = [line for line in printed.splitlines() if "Killed" not in line]
    assert seen == [at_once, "no trial"], (folder / "log").read_text()


@pytest.mark.programs
def test_a_flush_during_a_trial_puts_back_what_is_on_trial(folder: Path) -> None:
    printed = in_namespace(
        GUARD_RUNS + "$guard trial new.nft 600; nft flush ruleset; until_holds 'opens 1002'\n"
        "$guard on-trial && echo 'still on'; $guard confirm\n",
        folder,
    )
    assert "still on" in printed.splitlines()
    assert "somebody removed the rules; they are in force again" in (folder / "log").read_text()


@pytest.mark.programs
def test_the_health_check_sees_a_table_that_is_not_the_policys(folder: Path) -> None:
    printed = in_namespace(
        GUARD_RUNS + "$guard healthy && echo healthy\n"
        "nft insert rule inet campus_policy rules tcp dport 22 accept; $guard healthy || echo edited\n"
        "$guard apply live.nft; $guard healthy && echo healthy\n"
        # A suspended guard restores nothing.
        "kill -STOP %1; nft flush ruleset; $guard healthy || echo flushed\n"
        "kill -CONT %1; until_holds '$guard healthy >/dev/null 2>&1'; echo back\n",
        folder,
    )
    wrong = "port-guard: the table is not as the policy says"
    assert printed.splitlines() == ["healthy", wrong, "edited", "healthy", wrong, "flushed", "back"]


@pytest.mark.programs
def test_counters_are_read_row_by_row(folder: Path) -> None:
    rows = policy_rows(RULES)
    (folder / "live.nft").write_text(render_policy(RULES))
    printed = in_namespace(
        GUARD_RUNS + "ip link set lo up; $guard ports\n"
        "nft add rule inet campus_policy rules counter name row_3\n"
        "nft add chain inet campus_policy out '{ type filter hook output priority 0; }'\n"
        "nft add rule inet campus_policy out jump rules; bash -c 'echo >/dev/tcp/127.0.0.1/9' || true\n"
        "$guard ports | grep ' \\[ 3\\]'\n",
        folder,
    )
    lines = printed.splitlines()
    table = lines[: len(rows) + 1]
    assert [line[30:] for line in table] == [*rows, "     Anything else              DENY IN     Anywhere"]
    assert all(line.split()[:2] == ["0", "0"] for line in table[2:])
    [counted] = [line for line in lines[len(table) :] if "[ 3]" in line]
    # The packet to a closed port, and its answer.
    assert counted.split()[0] == "2"
