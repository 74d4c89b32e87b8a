# shellcheck shell=sh disable=SC2154,SC2062,SC2086,SC2170
# With another ACME authority Caddy goes on with the certificate that it has, and never renews it
# (caddyserver/caddy#6732). So in between it runs for a moment without any: then it asks the new one. If
# that gives none, the files from before come back, and with them the certificate that Caddy has kept.
# Nothing is waited for where there was none to lose. Beside each certificate lies a file that names its
# authority (mholt/acmez, acme/certificate.go).
# For shellcheck: the pattern of files is meant, and so are several words of $after; the words in capitals
# are numbers when this runs.

authorities() {
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
    caddy reload "$@" --address unix/ADMIN_SOCKET
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
done
