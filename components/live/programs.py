# pyright: strict
"""How each program gets new files: scripts for its container, assembled from `scripts/`.

Pure text. A script is POSIX sh and needs what the programs' own images have: Alpine's busybox (1.34
or later, for `mv -T`), or Debian's tools.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from textwrap import indent

from components.live.container_facts import (
    ADMIN_PASSWORD_FILE,
    ADMIN_SOCKET,
    GRAFANA_PORT,
    GRAFANA_SECRETS,
    GRAFANA_UID,
    OWN_QUERIES,
    PASSWORD_MARK,
    POLICY_TABLE,
)
from components.live.sh_files import read_script, with_words

# sysexits.h, EX_TEMPFAIL: the program doesn't answer yet.
NOT_READY = 75
# EX_PROTOCOL: another run cleared the staged files away.
NOT_STAGED = 76
# Not from sysexits.h: the program runs with the new files on trial.
ON_TRIAL = 80
# The files should have stayed, but the trial was over: the former files are applied.
NOT_CONFIRMED = 81
# EX_SOFTWARE: neither the new files nor the former ones could be applied.
NOT_RESTORED = 70

# The age of a staging directory whose run must have died: no run stages for so long.
STALE_MINUTES = 60

# Caddy's default authority (caddyserver/certmagic, DefaultACME).
LETS_ENCRYPT = "https://acme-v02.api.letsencrypt.org/directory"
# How long another ACME authority may take: some seconds if it validates from several places. Less than the
# 60 s until Caddy tries again (caddyserver/certmagic, retryIntervals): the authority would count a second
# failure too.
CERTIFICATE_SECONDS = 55


@dataclass(frozen=True, kw_only=True)
class Program:
    """Snippets of sh. `$dir` is the directory with the files."""

    # Succeeds as soon as the program takes a configuration.
    ready: str
    # Prints a fingerprint of the configuration in the files; fails, with the program's own words, if
    # they are wrong. Changes nothing that runs.
    wanted: str
    # Makes the program run with the files, and returns when it does.
    apply: str
    # Prints the fingerprint of the configuration that runs.
    running: str
    # Makes the program run with the files for `$seconds`, and then go back to the former files by itself,
    # even if we are gone; the directory's own files don't change. `apply` ends the trial, too.
    trial: str | None = None
    # Ends the trial: the program keeps its new files.
    confirm: str | None = None
    # Whether the program reads its files from the directory alone: then they are swapped before it reloads,
    # and swapped back if it refuses them.
    swaps_first: bool = False
    # The program's uid, which has to own its private files.
    uid: int = 0
    # How many times longer than others it may take to answer.
    patience: int = 1
    # What to check if the trial wasn't confirmed.
    unconfirmed: str = ""
    # Whether it gives its reasons for a refusal only in its log, as `level=error`.
    reasons_in_log: bool = False


_SCRIPTS = Path(__file__).with_name("scripts")
# The lock is held already, and the guard takes it too.
_GUARD = "PORT_GUARD_LOCKED=yes /usr/local/bin/port-guard"
# Values for the scripts' placeholders.
_WORDS = {
    "ADMIN_SOCKET": ADMIN_SOCKET,
    "CERTIFICATE_SECONDS": CERTIFICATE_SECONDS,
    "GRAFANA_PORT": GRAFANA_PORT,
    "GUARD": _GUARD,
    "LETS_ENCRYPT": LETS_ENCRYPT,
    "NFT_TABLE": POLICY_TABLE,
    "OWN_QUERIES": OWN_QUERIES,
    "PASSWORD_FILE": f"{GRAFANA_SECRETS}/{ADMIN_PASSWORD_FILE}",
    "PASSWORD_MARK": PASSWORD_MARK,
    "STALE_MINUTES": STALE_MINUTES,
}


def _script(name: str) -> str:
    return read_script(_SCRIPTS / f"{name}.sh", _WORDS)


def _snippet(*names: str) -> str:
    """Scripts one after the other, as the body of a function."""
    return indent("".join(map(_script, names)), "    ").strip()


PROGRAMS = {
    "caddy": Program(
        # The kernel lists the socket only while a process listens: the file may be a dead process'.
        ready=f"test -S {ADMIN_SOCKET} && grep -q ' {ADMIN_SOCKET}$' /proc/net/unix",
        wanted=_snippet("caddy-flat", "caddy-wanted"),
        apply=_snippet("caddy-apply"),
        running=_snippet("caddy-flat", "caddy-running"),
    ),
    "nft": Program(
        ready=f"{_GUARD} running >/dev/null && ! {_GUARD} on-trial",
        wanted=_snippet("nft-wanted"),
        apply=f'{_GUARD} apply "$dir/policy.nft"',
        running=f"{_GUARD} running | sed '/^$/d' | sha256sum",
        trial=f'{_GUARD} trial "$dir/policy.nft" "$seconds"',
        confirm=f"{_GUARD} confirm",
        unconfirmed="do portPolicy's rules let SSH in from where you, or confirmTarget, come from? "
        "(docs/port-policy.md)",
    ),
    # Grafana doesn't report its provisioned state, and nobody can change that in Grafana: the files' own
    # hashes are all there is to compare.
    "grafana": Program(
        ready=f"curl -sf --max-time 10 -o /dev/null http://127.0.0.1:{GRAFANA_PORT}/api/health",
        wanted=_snippet("grafana-wanted"),
        apply=_snippet("grafana-apply"),
        running=":",
        swaps_first=True,
        uid=GRAFANA_UID,
        # The first start creates its database.
        patience=5,
        reasons_in_log=True,
    ),
    # It polls its files every few seconds.
    "grafana-dashboards": Program(
        ready=":", wanted=":", apply=":", running=":", swaps_first=True, uid=GRAFANA_UID
    ),
}

_FUNCTIONS = _script("functions")
_TREES = _script("trees")
_APPLY = _script("apply")
_END = _script("end")
_READ = _script("read")


def render_apply_script(program: Program) -> str:
    """The script that checks, swaps and applies files and verifies that they run, or changes nothing.

    It ends with NOT_READY or NOT_STAGED, having changed nothing, if it has to be run again; with
    NOT_RESTORED if it failed and could not go back; with 1 if it failed and went back. Given more than
    0 seconds it ends with ON_TRIAL: then the script that ends a trial decides.
    """
    return _functions(program) + _TREES + _APPLY


def render_end_script(program: Program) -> str:
    """The script that ends a trial: the files stay, or the former files are applied again.

    It ends with NOT_CONFIRMED if the files were to stay and the trial was over already; with NOT_RESTORED
    if the former files could not be applied again.
    """
    return _functions(program) + _TREES + _END


def render_read_script(program: Program) -> str:
    """The script that prints the files' hashes, and `applied` if the program runs with the files.

    It doesn't print `applied` if there are files in folders that no resource has written.
    """
    return _functions(program) + _READ


def _functions(program: Program) -> str:
    snippets = {
        "READY": program.ready,
        "WANTED": program.wanted,
        "APPLY": program.apply,
        "RUNNING": program.running,
        "TRIAL": program.trial or "exit 1",
        "CONFIRM": program.confirm or "exit 1",
    }
    return with_words(_FUNCTIONS, snippets | {"SWAPS_FIRST": "yes" if program.swaps_first else ""})
