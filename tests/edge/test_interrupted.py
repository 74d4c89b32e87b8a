"""Killed updates: the answers meanwhile, and the result of the next update."""

from __future__ import annotations

import secrets
import signal
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import pytest

from components.live import files
from components.live.docker_host import LiveError
from components.live.files import LiveFilesProvider
from components.live.programs import Program, render_apply_script
from rig import figures
from rig.deployment import UNNAMED_PORT, Deployment
from rig.emulator import Emulator
from rig.killed import clear_up, spread, up
from rig.live_caddy import DIRECTORY, LiveCaddy, caddyfile, leftovers, live_caddy
from rig.namespaces import LATER_NAT, NAT, STRANGER
from rig.processes import wait_for
from rig.pusher import Pusher, answers_ready, found_in_loki
from rig.rig import Rig
from rig.stack import Settings, merged
from tests.support.counts import count
from tests.support.kill_points import NEVER, killed_at, steps_tried
from tests.support.live_directory import Live

BEFORE = {"a": "first\n", "old": "old\n", "sub/b": "b\n"}
CHANGED = {"a": "second\n", "more": "more\n", "sub/b": "new\n"}
AFTER = BEFORE | CHANGED


# Try every third step of the script, or every step.
EVERY_STEP = count(test=3, soak=1)


def killed_once(before: Live, step: int) -> bool:
    """Kill a change of three files before a step; False if it had no such step."""
    live = Live(before.folder.with_name(str(step)), like=before)
    killed = live.apply(CHANGED, kill_at=step).returncode == -signal.SIGKILL
    found, running = live.files(), live.running()
    assert found in (BEFORE, AFTER), step
    assert running in ("first\n", "second\n"), step
    # These files have run before, so the program can restart with them.
    assert found == BEFORE or running == "second\n", step

    assert live.apply(CHANGED).returncode == 0, step
    assert (live.files(), live.running(), live.leftovers()) == (AFTER, "second\n", []), step
    assert live.read("a")[-1] == "applied", step
    return killed


def test_a_change_killed_at_any_step_is_whole_and_the_next_one_finishes_it(tmp_path: Path) -> None:
    before = Live(tmp_path / "before")
    before.apply(BEFORE)
    # A plain file, as from an editor, gives the script the most steps.
    (before.directory / "old").unlink()
    (before.directory / "old").write_text("old\n")
    # About the number of the script's commands: far fewer would mean that the test missed some.
    assert steps_tried(lambda step: killed_once(before, step), EVERY_STEP) > 100


OLD = {
    "Caddyfile": caddyfile('respond @let "old"'),
    "allowed/nat/127.0.0.1.caddy": "remote_ip 127.0.0.1/32\n",
    "allowed/nat/more.caddy": "remote_ip 192.0.2.1/32\n",
}
NEW = {
    "Caddyfile": caddyfile('respond @let "new"'),
    "allowed/nat/127.0.0.1.caddy": "remote_ip 127.0.0.1/32 192.0.2.3/32\n",
    "allowed/nat/more.caddy": "remote_ip 192.0.2.4/32\n",
}
COUNTER = "/run/caddy/steps"
# The number of steps to try per action, spread over the script; all steps if there are fewer.
STEPS = count(test=6, soak=1000)


@pytest.fixture
def caddy(rig: Rig) -> Iterator[LiveCaddy]:
    """A Caddy with the old files."""
    with live_caddy(rig) as made:
        made.write(OLD)
        yield made


def killing(step: int, program: Program) -> str:
    """The script that applies files, killed before a step of it."""
    return killed_at(step, render_apply_script(program), COUNTER)


def restarted(caddy: LiveCaddy) -> None:
    """Kill Caddy and start it again, as after a crash; it must come up."""
    assert caddy.container is not None
    caddy.container.restart(timeout=0)
    listening = "test -S /run/caddy/admin.sock && grep -c admin.sock$ /proc/net/unix || true"
    wait_for("Caddy serves again", lambda: caddy.sh(listening).strip() == "1", 20.0)


@pytest.mark.docker
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("action", ["write", "release"])
def test_caddy_serves_one_whole_set_whenever_an_update_is_killed(
    caddy: LiveCaddy, monkeypatch: pytest.MonkeyPatch, action: str
) -> None:
    provider = LiveFilesProvider()
    old, new = caddy.props(OLD, NEW), caddy.props(NEW, NEW)

    def act() -> None:
        if action == "write":
            provider.update("me", old, new)
        else:
            provider.delete("me", old)

    monkeypatch.setattr(files, "ENDED_SECONDS", 0.0)
    provider.update("me", new, old)
    good = [caddy.running()]
    with monkeypatch.context() as patched:
        patched.setattr(files, "render_apply_script", partial(killing, NEVER))
        act()
    good.append(caddy.running())
    assert good[0] != good[1]
    number = int(caddy.sh(f"wc -c <{COUNTER}"))
    assert number > 80

    for step in sorted({1 + index * number // STEPS for index in range(STEPS)}):
        provider.update("me", new, old)
        assert caddy.running() == good[0]
        with monkeypatch.context() as patched, suppress(LiveError):
            patched.setattr(files, "render_apply_script", partial(killing, step))
            act()
        assert caddy.running() in good, step
        assert caddy.answer() in ("old", "new"), step
        restarted(caddy)
        assert caddy.running() in good, step
        assert caddy.answer() in ("old", "new"), step

        act()
        assert (caddy.running(), caddy.answer(), caddy.leftovers()) == (good[1], "new", []), step
        assert caddy.sh(f"cat {DIRECTORY}/Caddyfile") == NEW["Caddyfile"], step


# The most important moments of an address change; the others come from an update that isn't killed.
FIRST_MOMENTS = (
    "-fragment creating replacement",
    "-fragment created replacement",
    "-fragment deleting original",
)


@dataclass(frozen=True)
class Change:
    """Two sets of settings, who may push with each, and the number of updates to kill."""

    figure: str
    title: str
    settings: tuple[Settings, Settings]
    allowed: tuple[set[str], set[str]]
    kills: int
    first_moments: tuple[str, ...] = ()


def of_the_address(settings: Settings) -> Change:
    """Change the NAT gateway's address and back."""
    return Change(
        "kill_points_converged",
        "`pulumi up` killed during an address change",
        (at_nat(settings, NAT), at_nat(settings, LATER_NAT)),
        ({NAT}, {LATER_NAT}),
        count(test=3, soak=20),
        FIRST_MOMENTS,
    )


def at_nat(settings: Settings, ip: str) -> Settings:
    return merged(settings, {"egress": {"create": {"addresses": [ip]}}})


def of_much(settings: Settings) -> Change:
    """Change an operator's address, an account, the retention, a rule and a task's memory, and back."""
    rule = {"action": "allow", "port": UNNAMED_PORT}
    changes: Settings = {
        "edge": {"extraAllowedCidrs": [f"{LATER_NAT}/32"]},
        "loki": {
            "instances": {"test": {"accounts": [{"user": "admin"}, {"user": "second"}], "retention": "5d"}}
        },
        "portPolicy": {"rules": [*settings["portPolicy"]["rules"], rule]},
        "services": {"client-api": {"containers": {"app": {"memoryMib": 300}}}},
    }
    return Change(
        "kill_points_of_much_converged",
        "`pulumi up` killed during a change of Caddyfile, accounts, a Loki, the port policy and a task",
        (settings, merged(settings, changes)),
        ({NAT}, {NAT, LATER_NAT}),
        count(test=2, soak=20),
    )


def converged(edge: Deployment, emulator: Emulator, change: Change, to: int, moment: str) -> bool:
    """Kill an update to one of the two at a moment; the next one must finish it."""
    since = edge.caddy_since()
    assert moment in up(edge.stack, until=moment)
    before, after = change.allowed[1 - to], change.allowed[to]
    while_killed = {source: edge.push_status(source, "aws") for source in before | after}
    assert set(while_killed.values()) <= {204, 403}, moment
    assert all(while_killed[source] == 204 for source in before & after), moment
    assert 204 in while_killed.values(), moment
    assert edge.push_status(STRANGER, "aws") == 403, moment

    clear_up(edge, emulator)
    edge.stack.up()
    pushed = {source: edge.push_status(source, "aws") for source in (*before, *after, STRANGER)}
    return (
        pushed == {source: 204 if source in after else 403 for source in pushed}
        and edge.stack.changes() == {}
        and edge.caddy_since() == since
        and leftovers(edge.caddy()) == []
    )


@pytest.fixture
def restored(edge: Deployment, emulator: Emulator) -> Iterator[None]:
    """Restore the stack afterwards."""
    yield
    clear_up(edge, emulator)
    edge.stack.configure(edge.settings)
    edge.stack.up()


def moments_of(edge: Deployment, change: Change, to: int) -> list[str]:
    """The moments at which to kill an update to one of the two."""
    edge.stack.configure(change.settings[to])
    said = list(dict.fromkeys(up(edge.stack)))
    first = [one for moment in change.first_moments for one in said if one.endswith(moment)]
    assert len(first) == len(change.first_moments), said
    return [*first, *spread([one for one in said if one not in first], change.kills - len(first))]


def assert_converged(edge: Deployment, emulator: Emulator, change: Change) -> None:
    """Kill updates back and forth, each at another moment; the next update finishes each."""
    moments = {to: moments_of(edge, change, to) for to in (1, 0)}
    number_of_kills = min(change.kills, *map(len, moments.values()))
    kills = [(to, moments[to][number]) for number in range(number_of_kills) for to in [1 - number % 2]]
    failed: list[str] = []
    for to, moment in kills:
        edge.stack.configure(change.settings[to])
        print(f"killed when it says: {moment}")
        if not converged(edge, emulator, change, to, moment):
            failed.append(moment)
    value = 100 * (len(kills) - len(failed)) / len(kills)
    figures.record(change.figure, value, "%", len(kills), change.title)
    assert failed == []
    assert figures.TARGETS[change.figure].met_by(value)


@pytest.mark.docker
@pytest.mark.timeout(3600)
@pytest.mark.usefixtures("restored")
def test_a_killed_pulumi_up_is_finished_by_the_next_one(edge: Deployment, emulator: Emulator) -> None:
    assert_converged(edge, emulator, of_the_address(edge.settings))


@pytest.mark.docker
@pytest.mark.soak
@pytest.mark.timeout(3600)
@pytest.mark.usefixtures("restored")
def test_a_shipper_loses_no_line_while_updates_of_much_are_killed(
    edge: Deployment, emulator: Emulator
) -> None:
    began, job = time.time_ns(), f"killed-{secrets.token_hex(4)}"
    # Pushes to the Loki that is replaced.
    shipper = Pusher(
        edge.client(NAT), "/lokitest", job, lines_per_second=100.0, shippers=1, login=edge.login()
    )
    with shipper.running():
        assert_converged(edge, emulator, of_much(edge.settings))
    campus, where = edge.rig.network.campus, edge.loki("test")
    wait_for("Loki is ready", lambda: answers_ready(campus, where), 90.0)
    tally = shipper.tally
    print(tally)
    assert found_in_loki(campus, where, job, began).missing(range(tally.lines)) == []
    assert tally.lines > 0
    assert not tally.drops
