# shellcheck shell=sh
# After caddy-flat.sh. Caddy writes every configuration that it loads, from any sender.

flat </config/caddy/autosave.json | sha256sum
