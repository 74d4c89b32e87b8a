# shellcheck shell=sh disable=SC2154
# Arguments: directory, staging directory's name, keep|drop. Ends the trial of that run's files.

mkdir -p "$staging" && : >"$staging/whole" || exit 1
trap 'rm -f "$dir/.trial"; mv "$staging" "$dir/.dead-$id"; clear_up' EXIT
# The files are swapped first: a trial that ends unconfirmed goes back to what they say.
if [ "$3" = keep ] && asked=$(dir=$dir/$tree && wanted 2>/dev/null) && runs "$asked" 2>/dev/null && swap; then
    confirm >&2 || apply >&2 || exit 70
    exit 0
fi
apply >&2 && asked=$(wanted) && runs "$asked" || exit 70
[ "$3" = drop ] || exit 81
