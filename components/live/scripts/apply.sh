# shellcheck shell=sh disable=SC2154,SC2115,SC2030,SC2031
# Arguments: directory, staging directory's name, owner, write|release, seconds, the files' paths.
# The new bytes lie in the staging directory's `new`; a path that isn't there is to be removed.
# With more than 0 seconds the files are tried for so long; then end.sh has the last word.
# For shellcheck: no path is empty, and `dir` is another one in subshells alone.

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
