# shellcheck shell=sh disable=SC2154
# After caddy-flat.sh.

config=$(caddy adapt --validate --config "$dir/Caddyfile" --adapter caddyfile) || exit 1
printf '%s\n' "$config" | flat | sha256sum
