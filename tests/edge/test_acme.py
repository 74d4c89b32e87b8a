"""Certificates from a real ACME authority, which checks challenges and counts orders."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import pytest

from components.live import files
from components.live.docker_host import LiveError
from components.live.programs import CERTIFICATE_SECONDS, Program, render_apply_script
from rig.deployment import HTTPS, Deployment
from rig.edge_files import edge_files
from rig.live_caddy import printed
from rig.namespaces import NAT, SERVER, STRANGER, Namespace
from rig.pebble import WAYS, Pebble, closed, running_pebble
from rig.probe import trust_in
from rig.processes import wait_for
from rig.rig import Rig
from rig.stack import merged
from tests.team.verified import Looking

pytestmark = pytest.mark.docker

# Not the local stack's: Caddy orders no certificate for a name below `localhost`.
DOMAIN = "campus.example.org"
CERTIFICATES = "/data/caddy/certificates"
DAYS = 24 * 3600
# Caddy renews ten minutes early (certmagic, DefaultRenewCheckInterval): a nine-minute one is due at once.
DUE_AT_ONCE = 9 * 60
ISSUED_SECONDS = 20.0


@dataclass(frozen=True)
class Certificate:
    """The certificate that a visitor sees."""

    serial: str
    issuer: str


@dataclass
class Site:
    """The deployed stack, with a name that authorities accept."""

    edge: Deployment
    using: Pebble | None = None

    def use(self, authority: Pebble) -> None:
        """Make Caddy use this authority, like an operator."""
        if self.using is authority:
            return
        self.using = authority
        acme = {"directory": authority.directory, "root": authority.own.root}
        changes = {"domain": DOMAIN, "tls": "acme", "email": "operators@example.org", "acme": acme}
        self.edge.settings = merged(self.edge.settings, {"edge": changes})
        self.edge.stack.configure(self.edge.settings)
        self.edge.stack.up()

    @property
    def world(self) -> Namespace:
        """The namespace of visitors and authorities."""
        return self.edge.rig.network.world

    def shown(self, authority: Pebble) -> Certificate | None:
        """The certificate for a visitor who trusts only this authority; None if there is none."""
        trust = trust_in(authority.issuer())
        try:
            with (
                closing(self.world.connect((SERVER, HTTPS), STRANGER)) as plain,
                trust.wrap_socket(plain, server_hostname=DOMAIN) as connection,
            ):
                seen = connection.getpeercert()
        except OSError:
            return None
        assert seen is not None
        [(_, name)] = [pair for part in seen["issuer"] for pair in part if pair[0] == "commonName"]
        return Certificate(str(seen["serialNumber"]), str(name))

    def issued(self, authority: Pebble) -> Certificate:
        """The same, as soon as there is one."""
        return wait_for("a certificate", lambda: self.shown(authority), ISSUED_SECONDS)

    def restart(self) -> None:
        """Restart Caddy, which then checks at once whether its certificate is due."""
        self.edge.caddy().restart()

    def forget_certificates(self) -> None:
        """Restart Caddy without certificates."""
        printed(self.edge.caddy(), f"rm -r {CERTIFICATES}")
        self.restart()

    def log(self) -> str:
        """Caddy's log since its container was created."""
        return self.edge.caddy().logs().decode()

    def failures(self) -> int:
        """The number of failed orders."""
        return self.log().count("could not get certificate from issuer")

    def has_certificate(self) -> bool:
        """Whether Caddy has a certificate."""
        found = printed(self.edge.caddy(), f"find {CERTIFICATES} -name '*.crt' 2>/dev/null || true")
        return found != ""


@pytest.fixture(scope="module")
def trial(rig: Rig) -> Iterator[Pebble]:
    """A first authority."""
    with running_pebble(rig.network.world, rig.run.folder / "trial", 14000, 90 * DAYS) as made:
        yield made


@pytest.fixture(scope="module")
def final(rig: Rig) -> Iterator[Pebble]:
    """Another authority, whose certificates are due at once."""
    with running_pebble(rig.network.world, rig.run.folder / "final", 14010, DUE_AT_ONCE) as made:
        yield made


@pytest.fixture(scope="module")
def site(edge: Deployment) -> Iterator[Site]:
    """The stack, whose authority tests may change; it is restored afterwards."""
    before = edge.settings
    try:
        yield Site(edge)
    finally:
        edge.settings = before
        edge.stack.configure(before)
        edge.stack.up()


@pytest.mark.parametrize("way", WAYS)
def test_a_first_certificate_needs_only_one_challenge(site: Site, trial: Pebble, way: str) -> None:
    site.use(trial)
    assert site.issued(trial)
    orders = trial.orders()
    with closed(site.world, *(one for one in WAYS if one != way)):
        site.forget_certificates()
        wait_for("a certificate", site.has_certificate, ISSUED_SECONDS)
    assert site.issued(trial)
    # One per challenge: the closed one may be tried first.
    assert 1 <= trial.orders() - orders <= len(WAYS)


def test_a_new_caddy_container_orders_no_certificate(site: Site, trial: Pebble) -> None:
    site.use(trial)
    shown, orders, before = site.issued(trial), trial.orders(), site.edge.caddy().id
    site.edge.caddy().remove(force=True)
    site.edge.stack.up("--refresh")
    assert site.edge.caddy().id != before
    assert site.issued(trial) == shown
    assert trial.orders() == orders


def test_verify_shows_the_issuer_that_it_trusts(site: Site, trial: Pebble, tmp_path: Path) -> None:
    site.use(trial)
    issuer = site.issued(trial).issuer
    looking = Looking(site.edge, tmp_path)
    seen = dict(looking.verify(NAT, STRANGER, more_trust=trial.issuer()).lines)
    assert seen[f"certificate {DOMAIN}:{HTTPS} at {SERVER}"] == f"ok: {issuer}, trusted by root.crt"


def test_another_authority_issues_its_own_certificate(site: Site, trial: Pebble, final: Pebble) -> None:
    site.use(trial)
    assert site.issued(trial)
    orders, since = (trial.orders(), final.orders()), site.edge.caddy_since()
    site.use(final)
    assert site.issued(final)
    assert site.shown(trial) is None
    assert (trial.orders(), final.orders()) == (orders[0], orders[1] + 1)
    assert site.edge.caddy_since() == since
    assert site.edge.stack.changes() == {}


def test_a_certificate_that_is_due_is_renewed(site: Site, final: Pebble) -> None:
    site.use(final)
    before, orders = site.issued(final), final.orders()
    site.restart()
    wait_for("another certificate", lambda: site.shown(final) not in (None, before), ISSUED_SECONDS)
    assert final.orders() == orders + 1


def test_a_certificate_outlasts_its_authoritys_outage(site: Site, final: Pebble) -> None:
    site.use(final)
    before, orders, failures = site.issued(final), final.orders(), site.failures()
    with final.unreachable():
        site.restart()
        wait_for("a failure", lambda: site.failures() > failures, ISSUED_SECONDS)
        assert site.shown(final) == before
    assert final.orders() == orders
    site.restart()
    wait_for("another certificate", lambda: site.shown(final) not in (None, before), ISSUED_SECONDS)


# Pebble refuses at once.
SHORT_SECONDS = 5


def in_a_hurry(program: Program) -> str:
    """The script that applies files, with a shorter wait for another authority."""
    script, patience = render_apply_script(program), f"-ge {CERTIFICATE_SECONDS} ]"
    assert patience in script
    return script.replace(patience, f"-ge {SHORT_SECONDS} ]")


def test_an_authority_that_refuses_leaves_the_former_certificate(
    site: Site, trial: Pebble, monkeypatch: pytest.MonkeyPatch
) -> None:
    site.use(trial)
    shown, orders, failures = site.issued(trial), trial.orders(), site.failures()
    folder = site.edge.rig.run.folder / "refusing"
    monkeypatch.setattr(files, "render_apply_script", in_a_hurry)
    with (
        running_pebble(site.world, folder, 14020, 90 * DAYS, own=trial.own, refused=(DOMAIN,)) as refusing,
        edge_files(site.edge) as live,
    ):
        with pytest.raises(LiveError) as failed:
            live.apply(live.deployed.replace(trial.directory, refusing.directory))
        assert site.shown(trial) == shown
        assert live.on_disk() == live.deployed
        # Caddy tried it and logged the answer.
        assert site.failures() > failures
        assert "rejectedIdentifier" in site.log()
        assert refusing.orders() == 0
    message, why = str(failed.value).splitlines()
    assert message.endswith("the new files were not applied; those from before are in place:")
    assert f"{DOMAIN} came within {SHORT_SECONDS} s from {refusing.directory} " in why
    assert trial.orders() == orders


@pytest.mark.soak
def test_five_failures_in_a_row_take_minutes(site: Site, trial: Pebble) -> None:
    """Let's Encrypt's limit is five an hour. Caddy waits 60, 120 and 120 s between its first tries."""
    site.use(trial)
    assert site.issued(trial)
    orders = trial.orders()
    with closed(site.world, *WAYS):
        site.forget_certificates()
        began = time.monotonic()
        wait_for("five orders", lambda: trial.orders() >= orders + 5, 300.0)
        assert time.monotonic() - began > 170.0
    site.restart()
    assert site.issued(trial)


@pytest.mark.soak
def test_a_certificate_is_renewed_by_itself_and_no_visitor_notices(site: Site) -> None:
    """Caddy checks every ten minutes after its start; this certificate is due then, and valid for five
    more."""
    folder = site.edge.rig.run.folder / "short"
    with running_pebble(site.world, folder, 14030, 15 * 60) as short:
        site.restart()
        site.use(short)
        before, orders, began = site.issued(short), short.orders(), time.monotonic()
        seen: set[Certificate | None] = set()

        def renewed() -> bool:
            seen.add(site.shown(short))
            return len(seen) > 1

        wait_for("another certificate", renewed, 12 * 60)
        assert time.monotonic() - began > 300.0
        assert before in seen
        assert None not in seen
        assert short.orders() == orders + 1
