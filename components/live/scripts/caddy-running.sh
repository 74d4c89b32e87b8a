# shellcheck shell=sh
# After caddy-flat.sh. Caddy writes each configuration that it runs with, whoever sent it.

flat </config/caddy/autosave.json | sha256sum
