# shellcheck shell=sh disable=SC2034
# What all scripts begin with. A program's snippets take the place of the words in capitals, each in a shell
# of its own: an `exit` in it ends no more than it.

set -u
umask 077
ready() (
    READY
)
wanted() (
    WANTED
)
apply() (
    APPLY
)
running() (
    RUNNING
)
trial() (
    TRIAL
)
confirm() (
    CONFIRM
)
# strange ROOT OWNERS: the files in folders of ROOT that no resource has written. Directly in ROOT may be
# first files, which have no owner.
strange() (
    cd "$1" && find -L ./* -mindepth 1 ! -type d -exec \
        sh -c 'for name; do [ -e "$0/$name" ] || echo "$name"; done' "$2" {} + 2>/dev/null
)
swaps_first=SWAPS_FIRST
dir=$1
# One at a time: the files of several resources make one configuration.
exec 9>"$dir/.lock" && flock 9 || exit 1
