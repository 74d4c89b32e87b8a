"""The Caddyfile: as agreed, valid for the real Caddy, and closed by default."""

from __future__ import annotations

import json
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from components.edge.caddyfile import (
    CONFIG_DIRECTORY,
    render_allowed_address,
    render_caddyfile,
    render_closed,
    site_url,
)
from components.edge.settings import AcmeSettings, EdgeSettings
from rig.certificates import made_authority
from tests.support.golden import assert_golden, assert_golden_variant
from tests.support.programs import program, run
from tests.support.running_caddy import (
    AWS,
    SITE,
    TEST,
)

ACME = AcmeSettings.model_construct(
    directory="https://ca.example.org:9000/acme/directory", root="a root as PEM"
)
unmeasured = partial(render_caddyfile, is_measured=False)
PAGES = {
    "caddyfile": unmeasured(SITE, [TEST, AWS], None, []),
    "caddyfile_grafana": unmeasured(
        EdgeSettings(
            domain="grafana.codedang.com",
            tls="acme",
            email="operator@codedang.com",
            http_port=80,
            https_port=443,
            http3=True,
        ),
        [AWS],
        "grafana:3000",
        [],
    ),
    "caddyfile_replicas": unmeasured(
        SITE, [replace(AWS, more_upstreams=("loki-aws-2:3100", "loki-aws-3:3100")), TEST], None, []
    ),
    "caddyfile_acme": unmeasured(
        SITE.model_copy(update={"tls": "acme", "email": "a@example.com", "acme": ACME}),
        [AWS],
        "grafana:3000",
        [],
    ),
    "caddyfile_closed": render_closed(
        SITE.model_copy(update={"tls": "acme-staging", "email": "a@example.com"})
    ),
}


# Pages stored as a diff from another one.
VARIANTS = {"caddyfile_replicas": "caddyfile", "caddyfile_acme": "caddyfile_grafana"}


@pytest.mark.parametrize("name", PAGES)
def test_the_caddyfile_is_the_agreed_one(name: str) -> None:
    if name in VARIANTS:
        assert_golden_variant(VARIANTS[name], f"{name}.diff", PAGES[name])
    else:
        assert_golden(name, PAGES[name])


@pytest.mark.parametrize("name", PAGES)
def test_caddy_accepts_it_and_its_formatting(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    (tmp_path / ACME.root_file).write_text(made_authority("ca.example.org").root)
    page = PAGES[name].replace(f"{CONFIG_DIRECTORY}/acme", f"{tmp_path}/acme")
    (tmp_path / "Caddyfile").write_text(page)
    caddy = program("caddy")
    run(caddy, "validate", "--config", "Caddyfile", "--adapter", "caddyfile", cwd=tmp_path)
    assert run(caddy, "fmt", "Caddyfile", cwd=tmp_path) == page


def remote_ip_ranges(folder: Path) -> list[list[str]]:
    """The ranges of each address matcher in the folder's Caddyfile, as Caddy reads it."""
    adapted = run(program("caddy"), "adapt", "--config", "Caddyfile", cwd=folder)
    found: list[list[str]] = []

    def look(node: Any) -> None:
        if isinstance(node, dict):
            # Alone, it only chooses the log of a refusal.
            if "remote_ip" in node and "method" in node:
                found.append(node["remote_ip"]["ranges"])
            for value in node.values():
                look(value)
        elif isinstance(node, list):
            for value in node:
                look(value)

    look(json.loads(adapted))
    return found


def test_without_a_fragment_a_gate_lets_nobody_in(tmp_path: Path) -> None:
    (tmp_path / "Caddyfile").write_text(unmeasured(SITE, [AWS], None, []))
    assert remote_ip_ranges(tmp_path) == [["255.255.255.255/32"]]


def test_fragments_and_the_routes_own_list_are_a_union(tmp_path: Path) -> None:
    (tmp_path / "Caddyfile").write_text(
        unmeasured(SITE, [AWS, TEST, replace(TEST, name="own", allow_nat=False)], None, [])
    )
    fragments = tmp_path / "allowed/nat"
    fragments.mkdir(parents=True)
    for ip in ("203.0.113.7", "203.0.113.9"):
        (fragments / f"{ip}.caddy").write_text(render_allowed_address(ip))
    nat = ["203.0.113.7/32", "203.0.113.9/32"]
    own = ["255.255.255.255/32", "198.51.100.0/24", "2001:db8::/64"]
    both = [*own, *nat]
    assert remote_ip_ranges(tmp_path) == [["255.255.255.255/32", *nat], own, both]


def test_urls_have_the_port_only_if_it_is_not_443() -> None:
    assert site_url(SITE) == "https://campus.localhost:18443"
    usual = SITE.model_copy(update={"https_port": 443})
    assert site_url(usual) == "https://campus.localhost"


def test_a_fragment_is_one_address() -> None:
    assert render_allowed_address("203.0.113.7") == "remote_ip 203.0.113.7/32\n"
    with pytest.raises(ValueError, match="does not appear to be"):
        render_allowed_address("203.0.113.7 0.0.0.0/0")


# --- the real Caddy in front of a fake Loki ---
