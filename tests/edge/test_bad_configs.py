"""Broken inputs: refused before the host is touched, or rolled back; the running configuration stays."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import pytest

from components.live import files
from components.live.docker_host import LiveError
from components.live.files import LiveFilesProvider
from components.live.programs import Program, render_apply_script
from components.stack.settings import parse
from components.values.errors import SettingsError
from rig import figures
from rig.live_caddy import LiveCaddy, live_caddy
from rig.live_guard import LiveGuard, live_guard
from rig.processes import wait_for
from rig.rig import Rig
from tests.edge.broken import (
    GOOD,
    GOOD_FRAGMENT,
    LIVE_FRAGMENT,
    POLICY,
    SECRET_HASH,
    TAKEN_PORT,
    Broken,
    at,
    broken_inputs,
    good_words,
)
from tests.support.counts import count

pytestmark = pytest.mark.docker

BROKEN = count(test=70, soak=530)
GOOD_ONES = count(test=4, soak=20)
SEED = 4


@dataclass
class Host:
    """A running Caddy and guard with good files."""

    caddy: LiveCaddy
    guard: LiveGuard

    def state(self) -> tuple[str, ...]:
        """Everything that a broken input may not change: files, owners, modes, running configuration,
        answers."""
        return (*self.caddy.state(), *self.guard.state())

    def try_out(self, broken: Broken) -> str | None:
        """Apply a broken input; the refusal, or None if it was applied."""
        try:
            if broken.settings is not None:
                parse(broken.settings)
            elif broken.policy is not None:
                self.guard.write(broken.policy)
            else:
                self.caddy.write(broken.files)
        except (LiveError, SettingsError) as error:
            return str(error)
        return None


@pytest.fixture
def host(rig: Rig) -> Iterator[Host]:
    """A host on which one port is in use."""
    with live_caddy(rig) as caddy, live_guard(rig) as guard:
        caddy.write({"Caddyfile": GOOD})
        caddy.write({LIVE_FRAGMENT: GOOD_FRAGMENT})
        guard.write(POLICY)
        assert caddy.container is not None
        caddy.container.exec_run(["nc", "-ll", "-p", str(TAKEN_PORT), "-e", "true"], detach=True)
        listening = f"cat /proc/net/tcp /proc/net/tcp6 | grep -c ':{TAKEN_PORT:04X} .* 0A ' || true"
        wait_for("somebody listens", lambda: int(caddy.sh(listening)), 20.0)
        assert caddy.answer() == "hello"
        yield Host(caddy, guard)


def applied(host: Host, inputs: Sequence[Broken]) -> list[str]:
    """One line for each broken input that was handled wrongly; there should be none."""
    good = host.state()
    wrong: list[str] = []
    for number, broken in enumerate(inputs):
        words = host.try_out(broken)
        what = f"{number} ({broken.kind})"
        if words is None:
            wrong.append(f"{what}: applied")
        elif SECRET_HASH[:20] in words:
            wrong.append(f"{what}: a hash in {words}")
        if (state := host.state()) != good:
            wrong.append(f"{what}: changed something, and said {words}")
            good = state
    return wrong


@pytest.mark.timeout(1800)
def test_no_broken_input_is_applied(host: Host) -> None:
    print(f"seed {SEED}")
    inputs = broken_inputs(SEED, BROKEN)
    wrong = applied(host, inputs)
    for word in good_words(SEED, GOOD_ONES):
        host.caddy.write({"Caddyfile": at("site", f"header X-Good {word}")})
        assert word in host.caddy.sh("cat /config/caddy/autosave.json")
    figures.record("bad_configs_applied", len(wrong), "", len(inputs), "generated, one mistake each")
    assert wrong == []
    assert (host.caddy.leftovers(), host.guard.leftovers()) == ([], [])
    assert figures.TARGETS["bad_configs_applied"].met_by(len(wrong))


# LiveFiles without check, confirmation and rollback.
CARELESS = {
    "asked=$(dir=$dir/$tree && wanted) || exit 1": "asked=",
    '    if runs "$asked" && swap; then exit 0; fi': "    :",
    '[ "$taken" ] || [ "$(running 2>/dev/null)" != "$ran" ] || exit 1': "swap; exit 0",
}


def careless(program: Program) -> str:
    """A script that applies any files."""
    script = render_apply_script(program)
    for careful, other in CARELESS.items():
        assert careful in script
        script = script.replace(careful, other)
    return script


def test_the_suite_catches_a_careless_script(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    kinds = {"unknown directive", "wrong range", "unusable address", "one of two files", "policy"}
    inputs = [broken for broken in broken_inputs(SEED, 106) if broken.kind in kinds]
    monkeypatch.setattr(files, "render_apply_script", careless)
    assert len(applied(host, inputs)) >= len(inputs)


def test_a_broken_input_that_is_known_in_the_preview_is_refused_there() -> None:
    for broken in broken_inputs(SEED, 530):
        if broken.kind in ("hostile name", "no UTF-8"):
            checked = LiveFilesProvider().check({}, {"files": broken.files})
            [failure] = checked.failures
            # Pulumi would print the property's value.
            assert failure.property == ""
