# shellcheck shell=sh
# JSON from the standard input as one line per value, each with its whole path: equal for equal
# documents, in whatever order their keys are written. Their order in a list counts: it is the order
# of Caddy's handlers.

flat() {
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
}
