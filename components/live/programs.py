"""The programs whose files LiveFiles keeps: how each one validates, applies and tells what runs.

Every command is POSIX shell, run inside the program's own container with `$dir` naming the directory
to look at. It prints to stderr what a person should read when it fails.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Program:
    """The commands of one program."""

    ready: str
    """Succeeds once the program takes changes."""
    validate: str
    """Succeeds if the program would take the files in `$dir`; changes nothing."""
    apply: str
    """Makes the files in `$dir` the running configuration, wholly or not at all."""
    running: str
    """Prints the running configuration, the same text as long as nobody changes it."""
    confirm: str
    """Succeeds if the running configuration is the one in `$dir`."""


_ADMIN_SOCKET = "/run/caddy/admin.sock"
# Caddy writes every configuration that it loads here, also one sent to its admin API.
_AUTOSAVE = '"$XDG_CONFIG_HOME/caddy/autosave.json"'
_CADDYFILE = '--config "$dir/Caddyfile" --adapter caddyfile'
# The same JSON in another order of keys: compared as sorted tokens, for the image has no tool for JSON.
_TOKENS = "tr -s ',{}[]\\n' '\\n' | sort"

PROGRAMS = {
    "caddy": Program(
        ready=f"test -S {_ADMIN_SOCKET}",
        validate=f"caddy validate {_CADDYFILE}",
        apply=f"caddy reload {_CADDYFILE} --address unix/{_ADMIN_SOCKET}",
        running=f"cat {_AUTOSAVE}",
        confirm=(
            f'test "$(caddy adapt {_CADDYFILE} 2>/dev/null | {_TOKENS})" = "$(cat {_AUTOSAVE} | {_TOKENS})" '
            "|| { echo 'the running configuration is not the one in the files' >&2; false; }"
        ),
    ),
    "nft": Program(
        ready="true",
        validate='port-guard check "$dir/policy.nft"',
        apply='port-guard apply "$dir/policy.nft"',
        running="port-guard running",
        # `nft -f` is one transaction: it has loaded all, or failed and loaded nothing.
        confirm="port-guard running >/dev/null",
    ),
}
