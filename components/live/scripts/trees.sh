# shellcheck shell=sh disable=SC2154
# All files are in a tree, .tree-X; the link .live leads to the tree in use, and each name in the directory
# is a link through .live. So one rename swaps them all: a program that restarts finds a whole set that it
# has run with before. The link .trial leads to a tree on trial.

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
