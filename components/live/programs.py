# pyright: strict
"""How each program is told its new files: the scripts that run in its container.

Pure text. A script is POSIX sh and needs what the programs' own images have: Alpine's busybox (1.34
or later, for `mv -T`), or Debian's tools.
"""

from __future__ import annotations

from dataclasses import dataclass

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


# JSON from the standard input as one line per value, each with its whole path: equal for equal
# documents, in whatever order their keys are written. Their order in a list counts: it is the order
# of Caddy's handlers.
_FLAT_JSON = r"""flat() {
        grep -oE '"([^"\\]|\\.)*"|[][{},:]|[^][{},:"[:space:]]+' | awk '
            function path(i, made) {
                for (i = 1; i <= depth; i++) made = made "/" (kind[i] == "{" ? key[i] : place[i])
                return made
            }
            /^[[{]$/ { print path() $0; kind[++depth] = $0; place[depth] = 0; key[depth] = ""; next }
            /^[]}]$/ { depth--; next }
            /^,$/ { place[depth]++; key[depth] = ""; next }
            /^:$/ { next }
            kind[depth] == "{" && key[depth] == "" { key[depth] = $0; next }
            { print path() " " $0 }' | sort
    }"""

# With another ACME authority Caddy goes on with the certificate that it has, and never renews it
# (caddyserver/caddy#6732). So in between it runs for a moment without any: then it asks the new one. If
# that gives none, the files from before come back, and with them the certificate that Caddy has kept.
# Nothing is waited for where there was none to lose. Beside each certificate lies a file that names its
# authority (mholt/acmez, acme/certificate.go).
_RELOAD_CADDY = r"""authorities() {
        printf '%s\n' "$1" | grep -oE '"ca":"https:[^"]*"|"module":"acme"' | awk -F'"' '
            $2 == "ca" { directory = $4; next }
            { print directory ? directory : "LETS_ENCRYPT"; directory = "" }'
    }
    site_of() {
        printf '%s\n' "$1" | grep -oE '"host":\["[^"]*"' | head -n 1 | cut -d'"' -f4
    }
    has_certificate() {
        site=$(site_of "$1")
        authorities "$1" | sed 's/.*/"ca": "&"/' |
            grep -qFf - /data/caddy/certificates/*/"$site/$site.json" 2>/dev/null
    }
    load() {
        caddy reload "$@" --address unix//run/caddy/admin.sock
    }
    config=$(caddy adapt --config "$dir/Caddyfile" --adapter caddyfile 2>/dev/null)
    running=$(cat /config/caddy/autosave.json)
    before=$(authorities "$running")
    after=$(authorities "$config")
    to_lose=
    if [ "$before" ] && [ "$after" ] && [ "$before" != "$after" ]; then
        ! has_certificate "$running" || to_lose=1
        printf '%s\n' "$config" |
            sed 's/"automatic_https":{/&"disable_certificates":true,/g' |
            load --config - || exit 1
    fi
    load --config "$dir/Caddyfile" --adapter caddyfile || exit 1
    [ "$to_lose" ] || exit 0
    waited=0
    until has_certificate "$config"; do
        if [ "$waited" -ge CERTIFICATE_SECONDS ]; then
            echo "Error: no certificate for $(site_of "$config") came within $waited s from" $after \
                "(Caddy says why: docker logs caddy 2>&1 | grep 'could not get')" >&2
            exit 1
        fi
        sleep 1
        waited=$((waited + 1))
    done""".replace("CERTIFICATE_SECONDS", str(CERTIFICATE_SECONDS)).replace("LETS_ENCRYPT", LETS_ENCRYPT)

# A file among Grafana's: what changes with its admin's password.
PASSWORD_MARK = "admin-password.hmac"
_NFT_TABLE = "inet campus_policy"
# The scripts hold the lock that the guard takes too.
_GUARD = "PORT_GUARD_LOCKED=yes /usr/local/bin/port-guard"

# The admin's password goes from file to pipe to pipe: an argument could be read by others. One that is new in
# the settings is put in by Grafana's own command, unless Grafana has it already; the mark beside the files,
# which changes with it, says so. One that was changed in Grafana, and not in the settings, is left alone.
_RELOAD_GRAFANA = r"""ask() {
        login=$(printf 'admin:%s' "$(cat /run/secrets/grafana/admin-password)" | base64 | tr -d '\n')
        status=$(printf 'Authorization: Basic %s\n' "$login" |
            curl -sS -X "$1" --max-time 60 -H @- -o /dev/null -w '%{http_code}' "http://127.0.0.1:3000/api/$2")
    }
    is_refused() { [ "$status" = 401 ] || [ "$status" = 403 ]; }
    is_new() {
        [ -e "$dir/$before/PASSWORD_MARK" ] && ! cmp -s "$dir/$before/PASSWORD_MARK" "$dir/PASSWORD_MARK"
    }
    put_in() {
        echo "Grafana is given its user admin's new password" >&2
        grafana cli --homepath "${GF_PATHS_HOME:-/usr/share/grafana}" admin reset-admin-password \
            --password-from-stdin </run/secrets/grafana/admin-password >/dev/null
    }
    tell() {
        ask POST "admin/provisioning/$1/reload" || return 1
        [ "$status" != 200 ] || return 0
        echo "Error: Grafana refuses its new $1 (HTTP $status)" >&2
        return 1
    }
    ask GET plugins/loki/settings || exit 1
    ! is_refused || ! is_new || { put_in && ask GET plugins/loki/settings; } || exit 1
    if is_refused; then
        echo "Error: Grafana refuses its user admin's password. It was changed in Grafana: write the" \
            "present one as grafana.adminPassword. Or somebody's wrong logins have shut admin out for" \
            "some minutes: wait, then run the update again" >&2
        exit 77
    elif [ "$status" != 200 ]; then
        echo "Error: Grafana has no data source for Loki (HTTP $status): is its image a whole one?" >&2
        exit 1
    fi
    # Alert rules name data sources.
    tell datasources && tell dashboards && tell alerting""".replace("PASSWORD_MARK", PASSWORD_MARK)

PROGRAMS = {
    "caddy": Program(
        # The kernel lists the socket only while somebody listens: a file may be a dead one's.
        ready="test -S /run/caddy/admin.sock && grep -q ' /run/caddy/admin.sock$' /proc/net/unix",
        wanted=f"""{_FLAT_JSON}
    config=$(caddy adapt --validate --config "$dir/Caddyfile" --adapter caddyfile) || exit 1
    printf '%s\\n' "$config" | flat | sha256sum""",
        apply=_RELOAD_CADDY,
        # Caddy writes each configuration that it runs with, whoever sent it.
        running=f"""{_FLAT_JSON}
    flat </config/caddy/autosave.json | sha256sum""",
    ),
    "nft": Program(
        ready=f"{_GUARD} running >/dev/null && ! {_GUARD} on-trial",
        # The kernel itself words the file: in a table beside the policy's, for a moment, and dormant,
        # so that no packet passes it.
        wanted=f"""{_GUARD} check "$dir/policy.nft" || exit 1
    text=$(sed -e 's/{_NFT_TABLE}/&_wanted/' -e 's/^table .* {{$/&\\n\\tflags dormant/' "$dir/policy.nft")
    case $text in *"flags dormant"*) ;; *) exit 1 ;; esac
    printf '%s\\n' "$text" | nft -f - && listed=$(nft -s -t list table {_NFT_TABLE}_wanted) || exit 1
    nft delete table {_NFT_TABLE}_wanted || exit 1
    printf '%s\\n' "$listed" | sed -e '1s/_wanted//' -e '/^\\tflags dormant$/d' -e '/^$/d' | sha256sum""",
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
        ready="curl -sf --max-time 10 -o /dev/null http://127.0.0.1:3000/api/health",
        wanted=":",
        apply=_RELOAD_GRAFANA,
        running=":",
        swaps_first=True,
        uid=472,
        # Its first start makes its database.
        patience=5,
        reasons_in_log=True,
    ),
    # It looks every few seconds whether there are others.
    "grafana-dashboards": Program(ready=":", wanted=":", apply=":", running=":", swaps_first=True, uid=472),
}

# Each snippet in a shell of its own: an `exit` in it ends no more than it.
_FUNCTIONS = """\
set -u
umask 077
ready() (
    {ready}
)
wanted() (
    {wanted}
)
apply() (
    {apply}
)
running() (
    {running}
)
trial() (
    {trial}
)
confirm() (
    {confirm}
)
# strange ROOT OWNERS: the files in folders of ROOT that no resource has written. Directly in ROOT may be
# first files, which have no owner.
strange() (
    cd "$1" && find -L ./* -mindepth 1 ! -type d -exec \
        sh -c 'for name; do [ -e "$0/$name" ] || echo "$name"; done' "$2" {{}} + 2>/dev/null
)
swaps_first={swaps_first}
dir=$1
# One at a time: the files of several resources make one configuration.
exec 9>"$dir/.lock" && flock 9 || exit 1
"""

# All files lie in a tree, .tree-X; the link .live leads to the tree in use, and each name in the
# directory is a link through .live. So one rename swaps them all: whenever the program starts anew,
# it finds a whole set that it has run with before. The link .trial leads to a tree on trial.
_TREES = """\
staging=$dir/$2
work=${2%-*} id=${2##*-}
tree=.tree-$id

# link NAME TO: makes the link in one step, whatever file or link had the name.
link() {
    rm -f "$staging/link" && ln -s "$2" "$staging/link" && mv -fT "$staging/link" "$dir/$1"
}

# Removes what no run needs any more, and links that lead nowhere. Others may be staging meanwhile:
# who finds its staging gone stages again, and so it goes whole.
clear_up() {
    for left in "$dir/$work"-*; do
        [ "$left" = "$staging" ] || [ ! -e "$left/whole" ] || mv "$left" "$dir/.dead-${left##*-}"
    done
    for left in "$dir"/.dead-* "$dir"/.tree-*; do
        [ "$left" -ef "$dir/.live" ] || [ "$left" -ef "$dir/.trial" ] || rm -rf "$left"
    done
    find "$dir" -maxdepth 1 -name '.staging-*' -cmin +STALE_MINUTES -exec rm -rf {} +
    for name in "$dir"/*; do
        [ -e "$name" ] || [ "$(readlink "$name")" != ".live/${name##*/}" ] || rm -f "$name"
    done
}

is_plain() { [ -e "$1" ] && [ "$(readlink "$1")" != ".live/${1##*/}" ]; }

runs() {
    [ "$(running)" = "$1" ] || { echo "Error: what runs is not what the files say" >&2; return 1; }
}

swap() {
    for name in "$dir/$tree"/*; do
        name=${name##*/}
        [ ! -e "$dir/$tree/$name" ] || [ -L "$dir/$name" ] || link "$name" ".live/$name" || return 1
    done
    link .live "$tree"
}
""".replace("STALE_MINUTES", str(STALE_MINUTES))

# Arguments: directory, staging directory's name, owner, write|release, seconds, the files' paths.
# The new bytes lie in the staging directory's `new`; a path that isn't there is to be removed.
# With more than 0 seconds the files are tried for so long; then _END has the last word.
_APPLY = """\
owner=$3 action=$4 seconds=$5 mine=
shift 5
new=$staging/new

[ -e "$staging/whole" ] || exit 76
trap '[ ! "$mine" ] || rm -f "$dir/.trial"; mv "$staging" "$dir/.dead-$id"; clear_up' EXIT
clear_up

if [ "$action" = release ]; then
    # A file that another resource wrote since is that one's now.
    for path; do
        shift
        last=$(cat "$dir/.live/.owners/$path" 2>/dev/null)
        case $last in "" | "$owner") set -- "$@" "$path" ;; esac
    done
    [ $# -gt 0 ] || exit 0
    owner=nobody
fi

# Of files that only go, a program that isn't told needs not know.
[ "$action$swaps_first" = releaseyes ] || ready >/dev/null 2>&1 || exit 75
# Nothing is on trial: such a link is one that a killed run left.
rm -f "$dir/.trial"

# Names that don't lead into the tree yet (the first files, or such as an editor put there) are taken
# into it. What the program reads stays the same.
plain=
for name in "$dir"/*; do
    ! is_plain "$name" || plain=1
done
if [ "$plain" ] || [ ! -d "$dir/.live/" ]; then
    mkdir "$dir/$tree-seen" || exit 1
    [ ! -d "$dir/.live/" ] || cp -Rp "$dir/.live/." "$dir/$tree-seen/" || exit 1
    for name in "$dir"/*; do
        is_plain "$name" || continue
        rm -rf "$dir/$tree-seen/${name##*/}" && cp -RpL "$name" "$dir/$tree-seen/" || exit 1
    done
    link .live "$tree-seen" || exit 1
    for name in "$dir"/*; do
        is_plain "$name" || continue
        # No rename puts a link where a directory is.
        [ -L "$name" ] || [ ! -d "$name" ] || mv "$name" "$staging/aside-${name##*/}" || exit 1
        link "${name##*/}" ".live/${name##*/}" || exit 1
    done
fi

mkdir "$dir/$tree" && cp -Rp "$dir/.live/." "$dir/$tree/" || exit 1
for path; do
    rm -rf "$dir/$tree/$path" "$dir/$tree/.owners/$path" || exit 1
    if [ -e "$new/$path" ]; then
        mkdir -p "$dir/$tree/${path%"${path##*/}"}" "$dir/$tree/.owners/${path%"${path##*/}"}" &&
            mv "$new/$path" "$dir/$tree/$path" && echo "$owner" >"$dir/$tree/.owners/$path" || exit 1
    fi
done
strange "$dir/$tree" "$dir/$tree/.owners" | while read -r name; do rm -f "$dir/$tree/$name"; done
asked=$(dir=$dir/$tree && wanted) || exit 1

if [ "$swaps_first" ]; then
    [ "$action" != release ] || { swap && exit 0; exit 1; }
    # The mark of files that the program wasn't told of, left where a run is killed.
    untold=$(ls "$dir/.untold" 2>/dev/null)
    # What it found at its start, or was told of, it needs not hear again: as in a new container.
    [ "$untold" ] || ! diff -r "$dir/.live/" "$dir/$tree/" >/dev/null || exit 0
    before=$(readlink "$dir/.live")
    : >"$dir/.untold" || exit 1
    swap && apply >&2
    told=$?
    if [ "$told" -gt 0 ]; then
        link .live "$before" && clear_up || exit 70
        # One that didn't listen (sysexits.h, EX_NOPERM) goes on as it was, and with nothing to hear.
        [ "$told" != 77 ] || { [ "$untold" ] || rm -f "$dir/.untold"; exit 1; }
        apply >/dev/null 2>&1 || exit 70
    fi
    rm -f "$dir/.untold" && [ "$told" = 0 ] || exit 1
    exit 0
fi

# The files are swapped when the program runs with them, no earlier: it may refuse what passed the check,
# and would not start with it.
ran=$(running 2>/dev/null) taken=
if [ "$seconds" -gt 0 ]; then
    mine=1
    ln -s "$tree" "$dir/.trial" || exit 1
    if (dir=$dir/$tree && trial) >&2; then
        taken=1
        if runs "$asked"; then mine= && exit 80; fi
    fi
elif (dir=$dir/$tree && apply) >&2; then
    taken=1
    if runs "$asked" && swap; then exit 0; fi
fi
# What runs is left alone if the program itself did so, be it the files from before or not.
[ "$taken" ] || [ "$(running 2>/dev/null)" != "$ran" ] || exit 1
apply >/dev/null 2>&1 && asked=$(wanted 2>/dev/null) && runs "$asked" 2>/dev/null || exit 70
exit 1
"""

# Arguments: directory, staging directory's name, keep|drop. Ends the trial of that run's files.
_END = """\
mkdir -p "$staging" && : >"$staging/whole" || exit 1
trap 'rm -f "$dir/.trial"; mv "$staging" "$dir/.dead-$id"; clear_up' EXIT
# The files are swapped first: a trial that ends unconfirmed goes back to what they say.
if [ "$3" = keep ] && asked=$(dir=$dir/$tree && wanted 2>/dev/null) && runs "$asked" 2>/dev/null && swap; then
    confirm >&2 || apply >&2 || exit 70
    exit 0
fi
apply >&2 && asked=$(wanted) && runs "$asked" || exit 70
[ "$3" = drop ] || exit 81
"""

# Arguments: directory, the files' paths.
_READ = """\
shift
cd "$dir" || exit 1
for path; do
    [ ! -f "$path" ] || sha256sum "$path" || exit 1
done
if ready >/dev/null 2>&1 && [ -z "$(strange . "$dir/.live/.owners")" ] &&
    asked=$(wanted 2>/dev/null) && [ "$(running 2>/dev/null)" = "$asked" ]; then
    echo applied
fi
"""


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
    snippets = {name: snippet or "exit 1" for name, snippet in vars(program).items()}
    return _FUNCTIONS.format(**snippets | {"swaps_first": "yes" if program.swaps_first else ""})
