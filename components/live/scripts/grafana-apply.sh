# shellcheck shell=sh disable=SC2154
# The admin's password goes from file to pipe to pipe: an argument could be read by others. One that is new
# in the settings is put in by Grafana's own command, unless Grafana has it already; the mark beside the
# files, which changes with it, says so. One that was changed in Grafana, and not in the settings, is left
# alone.

ask() {
    login=$(printf 'admin:%s' "$(cat PASSWORD_FILE)" | base64 | tr -d '\n')
    status=$(printf 'Authorization: Basic %s\n' "$login" |
        curl -sS -X "$1" --max-time 60 -H @- -o /dev/null -w '%{http_code}' "http://127.0.0.1:GRAFANA_PORT/api/$2")
}
is_refused() { [ "$status" = 401 ] || [ "$status" = 403 ]; }
is_new() {
    [ -e "$dir/$before/PASSWORD_MARK" ] && ! cmp -s "$dir/$before/PASSWORD_MARK" "$dir/PASSWORD_MARK"
}
put_in() {
    echo "Grafana is given its user admin's new password" >&2
    grafana cli --homepath "${GF_PATHS_HOME:-/usr/share/grafana}" admin reset-admin-password \
        --password-from-stdin <PASSWORD_FILE >/dev/null
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
tell datasources && tell dashboards && tell alerting
