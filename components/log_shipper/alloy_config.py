# pyright: strict
"""Alloy's configuration as text: a Docker host's containers to one Loki. Pure: values in, text out."""

from __future__ import annotations

import json

from components.docker_hosts.docker_reader import SOCKET
from components.docker_hosts.push_destination import PASSWORD_FILE, Destination

# The user `alloy` in Grafana's image, which owns the data directory.
ALLOY_UID = 473
DIRECTORY = "/etc/log-shipper"
CONFIG_FILE = "config.alloy"


def render_alloy_config(host: str, destination: Destination) -> str:
    """The configuration: lines unchanged, with the labels `source`, `host` and `container`."""
    return f"""\
// A line about each line that was shipped would be a line to ship.
logging {{
  level = "warn"
}}

discovery.docker "containers" {{
  host = {_text(f"unix://{SOCKET}")}

  // A container that ends sooner is never seen.
  refresh_interval = "5s"
}}

discovery.relabel "containers" {{
  targets = discovery.docker.containers.targets

  rule {{
    source_labels = ["__meta_docker_container_name"]
    regex         = "/(.*)"
    target_label  = "container"
  }}

  // A position is kept under all labels: with the addresses among them, a restart would begin anew.
  rule {{
    action = "labelkeep"
    regex  = "__meta_docker_container_id|container"
  }}
}}

loki.source.docker "containers" {{
  host       = {_text(f"unix://{SOCKET}")}
  targets    = discovery.relabel.containers.output
  labels     = {{"source" = "docker", "host" = {_text(host)}}}
  forward_to = [loki.write.loki.receiver]
}}

{_endpoint(destination)}"""


def _endpoint(destination: Destination) -> str:
    return f"""\
loki.write "loki" {{
  endpoint {{
    url = {_text(destination.url)}

    // Without an end: Docker's own log files are the queue.
    max_backoff_retries = 0
    max_backoff_period  = "30s"

    // With lines of two bytes that is a push of 1.3 MiB, and a Loki takes 1.5 MiB.
    batch_size = "128KiB"
{_login(destination)}  }}
}}
"""


def _login(destination: Destination) -> str:
    if destination.user is None:
        return ""
    return f"""
    basic_auth {{
      username      = {_text(destination.user)}
      password_file = {_text(f"{DIRECTORY}/{PASSWORD_FILE}")}
    }}
"""


def _text(value: str) -> str:
    """A string in Alloy's syntax: in double quotes, escaped as in Go, and thus as in JSON."""
    return json.dumps(value)
