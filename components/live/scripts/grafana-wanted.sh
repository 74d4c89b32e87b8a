# shellcheck shell=sh disable=SC2154
# Asks each source whether it takes the new queries of one's own rules: Grafana would take any, and fail
# at each evaluation. What is in force was asked before. A source that starts is waited for.

now=${dir%/.tree-*}/.live/OWN_QUERIES
[ -e "$dir/OWN_QUERIES" ] && ! cmp -s "$dir/OWN_QUERIES" "$now" || exit 0
while read -r rule url query; do
    ! grep -qxF "$rule $url $query" "$now" 2>/dev/null || continue
    answer=$(printf %s "$query" | base64 -d | curl -sS -G --max-time 30 --retry 30 --retry-delay 2 \
        --retry-max-time 120 --retry-connrefused --data-urlencode query@- -w '\nHTTP %{http_code}' "$url" 2>&1)
    case $answer in *"HTTP 200") continue ;; esac
    echo "Error: grafana.alertRules.$rule.query: its source refuses it, or can't be asked:" \
        "$(printf %s "$answer" | tr '\n' ' ' | cut -c1-400), asked: $(printf %s "$query" | base64 -d | tr '\n' ' ')" >&2
    exit 1
done <"$dir/OWN_QUERIES"
