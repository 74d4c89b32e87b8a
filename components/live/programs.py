"""How each program is told its new files: the scripts that run in its container.

Pure text. A script is POSIX sh and needs cat, cp, mv, mkdir, rm, sha256sum and flock, no more: that
is what the programs' own images have.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass

# sysexits.h, EX_TEMPFAIL: the program doesn't answer yet.
NOT_READY = 75


@dataclass(frozen=True, kw_only=True)
class Program:
    """Snippets of sh. `$dir` is the directory with the files that are meant."""

    # Succeeds as soon as the program takes a configuration.
    ready: str
    # Succeeds if the files in `$dir` are right; changes nothing.
    validate: str
    # Makes the program run with the files in `$dir`, and returns when it does.
    apply: str
    # Prints what the program runs with.
    running: str


PROGRAMS = {
    "caddy": Program(
        # The kernel lists the socket only while somebody listens: a file may be a dead one's.
        ready="test -S /run/caddy/admin.sock && grep -q ' /run/caddy/admin.sock$' /proc/net/unix",
        validate='caddy validate --config "$dir/Caddyfile" --adapter caddyfile',
        apply='caddy reload --config "$dir/Caddyfile" --adapter caddyfile'
        " --address unix//run/caddy/admin.sock",
        # Caddy writes each configuration that it runs with, whoever sent it.
        running="cat /config/caddy/autosave.json",
    ),
    "nft": Program(
        ready="/usr/local/bin/port-guard running >/dev/null",
        validate='/usr/local/bin/port-guard check "$dir/policy.nft"',
        apply='/usr/local/bin/port-guard apply "$dir/policy.nft"',
        running="/usr/local/bin/port-guard running",
    ),
}

# Each snippet in a shell of its own: an `exit` in it ends no more than it.
_FUNCTIONS = """\
set -u
umask 077
ready() (
    {ready}
)
validate() (
    {validate}
)
apply() (
    {apply}
)
running() (
    {running}
)
dir=$1
# One at a time: the files of several resources make one configuration.
exec 9>"$dir/.lock" && flock 9 || exit 1
"""

# Arguments: directory, staging directory's name, owner, write|release, the files' paths.
# The new bytes lie in the staging directory's `new`; a path that isn't there is to be removed.
_APPLY = """\
staging=$dir/$2 owner=$3 action=$4
shift 4
new=$staging/new tree=$staging/tree old=$staging/old
trap 'rm -rf "$staging"' EXIT

# put ROOT FROM PATH...: makes these files below ROOT as they are below FROM, absent ones too.
put() {
    root=$1 from=$2
    shift 2
    for path; do
        if [ -e "$from/$path" ]; then
            mkdir -p "$root/${path%"${path##*/}"}" && cp -p "$from/$path" "$staging/part" &&
                mv -f "$staging/part" "$root/$path" || return 1
        else
            rm -f "$root/$path" || return 1
        fi
    done
}

remember_running() {
    running >"$staging/running" && sha256sum <"$staging/running" >"$staging/part" &&
        mv -f "$staging/part" "$dir/.applied"
}

if [ "$action" = release ]; then
    # A file that another resource wrote since is that one's now.
    for path; do
        shift
        last=$(cat "$dir/.owners/$path" 2>/dev/null)
        case $last in "" | "$owner") set -- "$@" "$path" ;; esac
    done
    [ $# -gt 0 ] || exit 0
fi

ready >/dev/null 2>&1 || exit 75
rm -rf "$tree" "$old"
mkdir -p "$tree" "$old" || exit 1
for entry in "$dir"/*; do
    [ ! -e "$entry" ] || cp -R "$entry" "$tree/" || exit 1
done
put "$tree" "$new" "$@" || exit 1
(dir=$tree && validate) >&2 || exit 1

put "$old" "$dir" "$@" || exit 1
if ! { put "$dir" "$new" "$@" && apply >&2 && remember_running; }; then
    put "$dir" "$old" "$@" && apply >/dev/null 2>&1 && remember_running ||
        echo "Error: the files from before could not be applied again either" >&2
    exit 1
fi
for path; do
    if [ "$action" = release ]; then
        rm -f "$dir/.owners/$path"
    else
        mkdir -p "$dir/.owners/${path%"${path##*/}"}" && echo "$owner" >"$dir/.owners/$path" || exit 1
    fi
done
"""

# Arguments: directory, the files' paths.
_READ = """\
shift
cd "$dir" || exit 1
for path; do
    [ ! -f "$path" ] || sha256sum "$path" || exit 1
done
if [ "$(running 2>/dev/null | sha256sum)" = "$(cat .applied 2>/dev/null)" ]; then echo applied; fi
"""


def render_apply_script(program: Program) -> str:
    """The script that validates, swaps and applies files, or leaves all as it was.

    It ends with NOT_READY, having changed nothing, while the program doesn't answer.
    """
    return _functions(program) + _APPLY


def render_read_script(program: Program) -> str:
    """The script that prints the files' hashes, and `applied` if the program runs with our last."""
    return _functions(program) + _READ


def readable(errors: str, staging: str) -> str:
    """What a program said about its failure, without its notices, our staging's path or a secret."""
    lines = [text for line in errors.splitlines() if (text := _told(line))]
    told = [line for line in lines if line.startswith("Error:")] or lines[-10:] or ["no reason given"]
    return _without_secrets("\n".join(told).replace(f"/{staging}/tree", ""))


def _functions(program: Program) -> str:
    return _FUNCTIONS.format(**vars(program))


def _told(line: str) -> str:
    """A line as a person reads it; nothing for a notice. Caddy's may be an entry of its JSON log."""
    try:
        entry = json.loads(line)
        level, message = entry["level"], entry["msg"]
    except (ValueError, KeyError, TypeError):
        return "" if re.search(r"\t(DEBUG|INFO|WARN)\t", line) else line.strip()
    return "" if level in ("debug", "info", "warn") else f"Error: {message}"


def _without_secrets(text: str) -> str:
    text = re.sub(r"\$2[abxy]?\$[0-9]{2}\$[./A-Za-z0-9]*", "[hash]", text)
    return re.sub(r"://[^/\s:@]*:[^/\s@]*@", "://[login]@", text)
