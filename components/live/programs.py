# pyright: strict
"""How each program is told its new files: the scripts that run in its container, put together of `scripts/`.

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
    PASSWORD_MARK,
    POLICY_TABLE,
)
from components.live.sh_files import read_script, with_words

# sysexits.h, EX_TEMPFAIL: the program doesn't answer yet.
NOT_READY = 75
# EX_PROTOCOL: another run cleared the staged files away.
NOT_STAGED = 76
# Not of sysexits.h: the program runs with the new files for now, and waits to hear that they may stay.
ON_TRIAL = 80
# The files should have stayed, but the trial was over: those from before are applied.
NOT_CONFIRMED = 81
# EX_SOFTWARE: neither the new files nor those from before could be applied.
NOT_RESTORED = 70

# A staging directory whose run died before all was in it; no run stages for as long as that.
STALE_MINUTES = 60

# Whom Caddy asks first where nobody is named (caddyserver/certmagic, DefaultACME).
LETS_ENCRYPT = "https://acme-v02.api.letsencrypt.org/directory"
# How long another ACME authority may take: some seconds, where it comes to see from several places. Less
# than the 60 s until Caddy tries again (caddyserver/certmagic, retryIntervals): a second failure would
# count at the authority, too.
CERTIFICATE_SECONDS = 55


@dataclass(frozen=True, kw_only=True)
class Program:
    """Snippets of sh. `$dir` is the directory with the files that are meant."""

    # Succeeds as soon as the program takes a configuration.
    ready: str
    # Prints a fingerprint of the configuration that the files ask for; fails, with the program's own
    # words, if they are wrong. Changes nothing that runs.
    wanted: str
    # Makes the program run with the files, and returns when it does.
    apply: str
    # Prints the fingerprint of the configuration that runs.
    running: str
    # Makes the program run with the files for `$seconds`, and then go back to those from before by itself,
    # whatever becomes of us; what the directory's own files say doesn't change. `apply` ends it, too.
    trial: str | None = None
    # Ends the trial: the program goes on as it runs.
    confirm: str | None = None
    # Whether the program looks for its files in the directory alone, and can't be shown others: they are
    # swapped before it is told, and back if it refuses them.
    swaps_first: bool = False
    # As whom the program runs: what is its alone has to be its own.
    uid: int = 0
    # How many times longer than others it may take until it answers.
    patience: int = 1
    # What to look at when nobody confirmed the trial.
    unconfirmed: str = ""
    # Whether it writes why it refuses something to its log alone, as `level=error`.
    reasons_in_log: bool = False


_SCRIPTS = Path(__file__).with_name("scripts")
# Holds the lock already that the guard takes too.
_GUARD = "PORT_GUARD_LOCKED=yes /usr/local/bin/port-guard"
# What the scripts leave to be filled in.
_WORDS = {
    "ADMIN_SOCKET": ADMIN_SOCKET,
    "CERTIFICATE_SECONDS": CERTIFICATE_SECONDS,
    "GRAFANA_PORT": GRAFANA_PORT,
    "GUARD": _GUARD,
    "LETS_ENCRYPT": LETS_ENCRYPT,
    "NFT_TABLE": POLICY_TABLE,
    "PASSWORD_FILE": f"{GRAFANA_SECRETS}/{ADMIN_PASSWORD_FILE}",
    "PASSWORD_MARK": PASSWORD_MARK,
    "STALE_MINUTES": STALE_MINUTES,
}


def _script(name: str) -> str:
    return read_script(_SCRIPTS / f"{name}.sh", _WORDS)


def _snippet(*names: str) -> str:
    """Scripts one after the other, as they stand in a function."""
    return indent("".join(map(_script, names)), "    ").strip()


PROGRAMS = {
    "caddy": Program(
        # The kernel lists the socket only while somebody listens: a file may be a dead one's.
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
    # What it was provisioned with can't be changed in Grafana itself, and it doesn't tell: that the files
    # are as they were delivered is all there is to compare.
    "grafana": Program(
        ready=f"curl -sf --max-time 10 -o /dev/null http://127.0.0.1:{GRAFANA_PORT}/api/health",
        wanted=":",
        apply=_snippet("grafana-apply"),
        running=":",
        swaps_first=True,
        uid=GRAFANA_UID,
        # Its first start makes its database.
        patience=5,
        reasons_in_log=True,
    ),
    # It looks every few seconds whether there are others.
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
    """The script that checks, swaps and applies files and confirms that they run, or leaves all as it was.

    It ends with NOT_READY or NOT_STAGED, having changed nothing, when it has to be run again; with
    NOT_RESTORED if it failed and could not go back; with 1 if it failed and went back. Given more than
    0 seconds it ends with ON_TRIAL: then the script that ends a trial has the last word.
    """
    return _functions(program) + _TREES + _APPLY


def render_end_script(program: Program) -> str:
    """The script that ends a trial: the files stay, or what was before is applied again.

    It ends with NOT_CONFIRMED when the files were to stay and the trial was over already; with NOT_RESTORED
    if what was before could not be applied again.
    """
    return _functions(program) + _TREES + _END


def render_read_script(program: Program) -> str:
    """The script that prints the files' hashes, and `applied` if the program runs with the files.

    It doesn't count as applied when there are files in folders that no resource has written.
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
