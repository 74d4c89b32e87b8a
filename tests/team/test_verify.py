"""`make verify` against a real deployment: first all right, then each fault that it must find.

A fake Grafana checks the admin's password and proxies to the real Lokis, with the paths of Grafana's data
sources.
"""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from components.live.docker_host import HostFile, put_files
from rig.certificates import made_authority
from rig.deployment import GUARDED_PORT, deployed
from rig.edge_files import edge_files
from rig.emulator import Emulator
from rig.live_grafana import PLAYED, make_played_image
from rig.namespaces import CAMPUS_CLIENT, NAT, SERVER, SERVER_6, STRANGER
from rig.rig import Rig
from rig.stack import ROOT, local_settings
from tests.edge.gate_faults import FAULTS
from tests.team.verified import ADMIN, Looking, data_sources

pytestmark = pytest.mark.docker

DOMAIN = "campus.example"
LOKIS = ("aws", "test")
PORTS = {"loki-aws": 3100, "loki-test": 3199, "prometheus": 9090}
# The name's address that a client with only IPv4 doesn't see.
UNSEEN = f"address {SERVER_6}"


@pytest.fixture(scope="module")
def looking(rig: Rig, emulator: Emulator, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Looking]:
    make_played_image(rig, data_sources(PORTS))
    changes = {
        "images": {"grafana": PLAYED},
        "edge": {"domain": DOMAIN},
        "grafana": {"enabled": True, "adminPassword": ADMIN.password},
        "prometheus": local_settings()["prometheus"],
    }
    before = sorted(path.name for path in ROOT.iterdir())
    with deployed(rig, emulator, changes) as deployment:
        yield Looking(deployment, tmp_path_factory.mktemp("looking"))
    assert sorted(path.name for path in ROOT.iterdir()) == before


def test_everything_is_proven_from_the_nat_address_and_a_stranger(looking: Looking) -> None:
    """IPv4 uses the allowed address, IPv6 another."""
    seen = looking.verify()
    assert seen.code == 0
    assert seen.having("WRONG") == seen.having("not checked") == []
    right = [what.split(",")[0] for what in seen.having("ok")]
    for one in [
        f"certificate {DOMAIN}:443 at {SERVER}",
        f"certificate {DOMAIN}:443 at {SERVER_6}",
        f"renewal {DOMAIN}:443 at {SERVER}",
        "Grafana /api/health",
        *(f"{check} {loki}" for check in ("allowed push", "line in Loki", "stranger") for loki in LOKIS),
        *(f"{check} prometheus" for check in ("allowed push", "sample found", "stranger")),
        *("wrong password test", "wrong password prometheus"),
        *(f"port {port}/tcp{v6}" for port in (80, 443, 3000, 3100, 3200, 21541) for v6 in ("", " (v6)")
          if (port, v6) != (3200, " (v6)")),
    ]:  # fmt: skip
        assert one in right, one
    closed = [what for what, result in seen.lines if result == "ok: closed"]
    assert [what.split("/")[0] for what in closed if "v6" not in what] == [
        *("port 2375", "port 3000", "port 3100", "port 3200")
    ]


def test_a_campus_client_is_a_stranger_with_more_open_ports(looking: Looking) -> None:
    seen = looking.verify(CAMPUS_CLIENT)
    assert seen.code == 2
    assert seen.having("WRONG") == []
    assert seen.having("not checked") == [
        "allowed push aws, test, prometheus",
        "wrong password test, prometheus",
        UNSEEN,
    ]
    results = dict(seen.lines)
    assert results[f"port 3100/tcp, from {CAMPUS_CLIENT}"] == "ok: open"
    assert results[f"port 3200/tcp, from {CAMPUS_CLIENT}"] == "ok: let in, and nothing listens there"
    assert results[f"port 3000/tcp, from {CAMPUS_CLIENT}"] == "ok: closed"


@contextmanager
def caddyfile(looking: Looking, *faults: str) -> Iterator[None]:
    """The running Caddyfile with some faults of broken gates."""
    with edge_files(looking.deployment) as files:
        changed = files.deployed
        for fault in faults:
            [found] = [one for one in FAULTS if one.name == fault]
            changed = found.seeded(changed)
        files.apply(changed)
        yield


@contextmanager
def stopped(looking: Looking, container: str) -> Iterator[None]:
    """Stop one of the stack's containers during the block."""
    one = looking.deployment.container(container)
    one.stop()
    try:
        yield
    finally:
        one.start()


@contextmanager
def rule(looking: Looking, *words: str) -> Iterator[None]:
    """The port policy with an undeclared rule in front."""
    campus, chain = looking.deployment.rig.network.campus, ("inet", "campus_policy", "rules")
    said = json.loads(campus.run("nft", "--echo", "--json", "insert", "rule", *chain, *words).stdout)
    [inserted] = [one["insert"]["rule"]["handle"] for one in said["nftables"] if "insert" in one]
    try:
        yield
    finally:
        campus.run("nft", "delete", "rule", *chain, "handle", str(inserted))


@contextmanager
def listening(looking: Looking, port: int) -> Iterator[None]:
    """A listening program on the campus server."""
    with looking.deployment.rig.network.campus.entered():
        listener = socket.create_server(("", port))
    with listener:
        yield


def test_an_open_gate_and_ports_that_differ_from_the_policy(looking: Looking) -> None:
    """Together, as each run is slow: every fault has its own line, and no other line is wrong."""
    open_rule = ("tcp", "dport", str(GUARDED_PORT), "accept")
    with (
        caddyfile(looking, "no gate for IPv4", "no password"),
        listening(looking, GUARDED_PORT),
        rule(looking, *open_rule),
        rule(looking, "tcp", "dport", "80", "drop"),
    ):
        seen = looking.verify(NAT, STRANGER)
    assert seen.code == 1
    assert seen.having("WRONG") == [
        f"stranger aws, from {STRANGER}",
        f"wrong password test, from {NAT}",
        f"stranger test, from {STRANGER}",
        f"wrong password prometheus, from {NAT}",
        f"stranger prometheus, from {STRANGER}",
        *(f"port {port}/tcp, from {source}" for source in (NAT, STRANGER) for port in (80, GUARDED_PORT)),
    ]
    assert seen.text.count("WRONG: 204, should be 403: the gate lets somebody in") == 2


def test_forgotten_addresses(looking: Looking) -> None:
    with caddyfile(looking, "fragments forgotten"):
        seen = looking.verify(NAT, STRANGER)
    assert seen.code == 1
    assert seen.having("WRONG") == [
        f"allowed push aws, from {NAT}",
        f"allowed push test, from {NAT}, as admin",
        f"wrong password test, from {NAT}",
        f"allowed push prometheus, from {NAT}, as admin",
        f"wrong password prometheus, from {NAT}",
    ]


@pytest.mark.soak
def test_a_loki_that_accepts_no_lines(looking: Looking) -> None:
    with stopped(looking, "loki-aws"):
        seen = looking.verify(NAT, STRANGER)
    assert seen.code == 1
    assert seen.having("WRONG") == [f"allowed push aws, from {NAT}"]


@pytest.mark.parametrize(
    ("host", "begins", "ends", "said"),
    [
        (DOMAIN, -90.0, -1.0, "WRONG: certificate has expired"),
        ("other.example", -1.0, 89.0, f"not valid for '{DOMAIN}'"),
    ],
    ids=["expired", "another name"],
)
def test_a_wrong_certificate(looking: Looking, host: str, begins: float, ends: float, said: str) -> None:
    pem = made_authority(host, begins, ends).all
    put_files(looking.deployment.caddy(), "/data", {"fault.pem": HostFile(content=pem, mode=0o600)})
    own = pem[pem.index(b"-----BEGIN CERTIFICATE") :].decode()
    with edge_files(looking.deployment) as files:
        # Every name gets this certificate.
        served = files.deployed.replace("tls internal", "tls /data/fault.pem /data/fault.pem")
        files.apply(
            served.replace("\tskip_install_trust\n", f"\tskip_install_trust\n\tfallback_sni {host}\n")
        )
        seen = looking.verify(NAT, STRANGER, more_trust=own)
    assert seen.code == 1
    assert seen.having("WRONG") == [f"certificate {DOMAIN}:443 at {SERVER}"]
    assert said in seen.text
    assert seen.having("not checked") == [f"all behind it {DOMAIN}", UNSEEN]


def test_outputs_of_no_stack_are_no_answer(looking: Looking) -> None:
    looking.deployment.stack.name, kept = "nobody", looking.deployment.stack.name
    try:
        assert looking.verify().code == 2
    finally:
        looking.deployment.stack.name = kept
