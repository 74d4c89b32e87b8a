"""Updates that are killed: what is served meanwhile, and what the next update makes of it."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
from collections.abc import Iterator
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from components.live import files
from components.live.docker_host import LiveError
from components.live.files import LiveFilesProvider
from components.live.programs import Program, render_apply_script
from tests import figures
from tests.counts import count
from tests.kill_points import NEVER, killed_at, steps_tried
from tests.rig.deployment import Deployment
from tests.rig.emulator import Emulator
from tests.rig.live_caddy import DIRECTORY, LiveCaddy, caddyfile, leftovers, live_caddy
from tests.rig.namespaces import LATER_NAT, NAT, STRANGER
from tests.rig.processes import kill_and_wait, wait_for, with_environment
from tests.rig.rig import Rig
from tests.rig.run import MARK
from tests.rig.stack import Stack, merged
from tests.unit.test_live import Live

BEFORE = {"a": "first\n", "old": "old\n", "sub/b": "b\n"}
CHANGED = {"a": "second\n", "more": "more\n", "sub/b": "new\n"}
AFTER = BEFORE | CHANGED


def killed_once(folder: Path, step: int) -> bool:
    """Kill a change of three files before a step of it; False if it had no such step."""
    folder.mkdir()
    live = Live(folder)
    live.apply(BEFORE)
    # As an editor leaves a file: then the script has most to do.
    (live.directory / "old").unlink()
    (live.directory / "old").write_text("old\n")

    killed = live.apply(CHANGED, kill_at=step).returncode == -signal.SIGKILL
    found, running = live.files(), live.running()
    assert found in (BEFORE, AFTER), step
    assert running in ("first\n", "second\n"), step
    # Whatever lies there has run before: the program can start anew with it.
    assert found == BEFORE or running == "second\n", step

    assert live.apply(CHANGED).returncode == 0, step
    assert (live.files(), live.running(), live.leftovers()) == (AFTER, "second\n", []), step
    assert live.read("a")[-1] == "applied", step
    return killed


def test_a_change_that_is_killed_at_any_step_is_whole_and_the_next_one_ends_it(tmp_path: Path) -> None:
    # About as many as the script has commands: with far fewer, this test didn't see them.
    assert steps_tried(lambda step: killed_once(tmp_path / str(step), step)) > 100


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
# How many steps of each action are tried, all over the script; all there are, if that is fewer.
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
    """Kill Caddy and start it again, as after a crash; it has to come up."""
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


UPDATES = count(test=3, soak=20)
PROGRESS = re.compile(
    r"\S+:\S+ (?P<what>\S+ (?:creat|updat|delet|replac)(?:ing|ed)(?: replacement| original)?)\b"
)
# The moments that matter most come first; the others are those of an update that isn't killed.
MOMENTS = (
    "-fragment creating replacement",
    "-fragment created replacement",
    "-fragment deleting original",
)


def up(stack: Stack, until: str | None = None) -> list[str]:
    """Run `pulumi up`, and kill it with all that it started when it says this; what it said."""
    workspace = stack.automation.workspace
    command = ["pulumi", "up", "--yes", "--skip-preview", "--non-interactive", "--color", "never"]
    said: list[str] = []
    with subprocess.Popen(
        [*command, "--stack", stack.name],
        cwd=workspace.work_dir,
        env=os.environ | workspace.env_vars,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    ) as process:
        assert process.stdout is not None
        for line in process.stdout:
            found = PROGRESS.search(line)
            if found is None:
                continue
            said.append(found["what"])
            if said[-1] == until:
                kill_and_wait(with_environment(MARK, workspace.env_vars[MARK]))
    return said


def remove_orphans(edge: Deployment, emulator: Emulator) -> None:
    """Delete what AWS made and Pulumi was killed before it knew: by hand, as docs/operations.md says."""
    known = json.dumps(edge.stack.automation.export_stack().deployment)
    ec2 = emulator.client("ec2")
    gateways = ec2.describe_nat_gateways(Filters=[{"Name": "state", "Values": ["pending", "available"]}])
    for gateway in gateways["NatGateways"]:
        if gateway["NatGatewayId"] not in known:
            ec2.delete_nat_gateway(NatGatewayId=gateway["NatGatewayId"])
            _let_go(ec2, gateway["NatGatewayAddresses"])
    for address in ec2.describe_addresses()["Addresses"]:
        if address["AllocationId"] not in known:
            ec2.release_address(AllocationId=address["AllocationId"])


def _let_go(ec2: Any, gateway_addresses: list[dict[str, str]]) -> None:
    """Part a deleted gateway from its addresses, as AWS does by itself; the emulator forgets it."""
    ids = [one["AllocationId"] for one in gateway_addresses]
    for address in ec2.describe_addresses(AllocationIds=ids)["Addresses"]:
        if "AssociationId" in address:
            ec2.disassociate_address(AssociationId=address["AssociationId"])


def clear_up(edge: Deployment, emulator: Emulator) -> None:
    """What docs/operations.md asks for after a kill: the lock of the one that was killed is still there."""
    edge.stack.run("cancel", "--yes")
    remove_orphans(edge, emulator)


def converged(edge: Deployment, emulator: Emulator, before: str, after: str, moment: str) -> bool:
    """Kill an update from one address to the other at a moment of it; whether the next one ends it."""
    since = edge.caddy_since()
    assert moment in up(edge.stack, until=moment)
    while_killed = {edge.push_status(source, "aws") for source in (before, after)}
    assert while_killed in ({204}, {204, 403}), moment
    assert edge.push_status(STRANGER, "aws") == 403, moment

    clear_up(edge, emulator)
    edge.stack.up()
    statuses = [edge.push_status(source, "aws") for source in (before, after, STRANGER)]
    return (
        statuses == [403, 204, 403]
        and edge.stack.changes() == {}
        and edge.caddy_since() == since
        and leftovers(edge.caddy()) == []
    )


@pytest.fixture
def restored(edge: Deployment, emulator: Emulator) -> Iterator[None]:
    """Afterwards all is as it was, for whoever uses the stack next."""
    yield
    clear_up(edge, emulator)
    edge.stack.configure(edge.settings)
    edge.stack.up()


@pytest.mark.docker
@pytest.mark.timeout(3600)
@pytest.mark.usefixtures("restored")
def test_a_pulumi_up_that_is_killed_is_ended_by_the_next_one(edge: Deployment, emulator: Emulator) -> None:
    settings = {
        ip: merged(edge.settings, {"egress": {"create": {"addresses": [ip]}}}) for ip in (NAT, LATER_NAT)
    }
    before, after = NAT, LATER_NAT
    edge.stack.configure(settings[after])
    said = up(edge.stack)
    first = [one for moment in MOMENTS for one in said if one.endswith(moment)]
    assert len(first) == len(MOMENTS), said
    moments = list(dict.fromkeys([*first, *said]))[:UPDATES]
    failed: list[str] = []
    for moment in moments:
        before, after = after, before
        edge.stack.configure(settings[after])
        print(f"killed when it says: {moment}")
        if not converged(edge, emulator, before, after, moment):
            failed.append(moment)
    value = 100 * (len(moments) - len(failed)) / len(moments)
    figures.record("kill_points_converged", value, "%", len(moments), "pulumi up killed at an address change")
    assert failed == []
    assert figures.TARGETS["kill_points_converged"].met_by(value)
