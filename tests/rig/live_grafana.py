"""What Grafana's admin API is for LiveFiles, played by a Caddy: Grafana's own image can't be had here.

A container with the tools of Grafana's image and a directory for its files, run as Grafana is. In the same
network a Caddy answers as Grafana does: it takes or refuses by what lies in the directory at that moment,
asks for the admin's password, and writes down what it was asked.
"""

from __future__ import annotations

import json
import secrets
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import docker
from docker.models.containers import Container
from docker.models.volumes import Volume

from components.campus.grafana import DASHBOARDS, GRAFANA_UID, LIVE, PROVISIONING, SECRETS
from components.live.files import LiveFilesProvider
from components.live.password_hash import bcrypt_hash
from components.live.volume_files import VolumeFilesProvider
from tests.rig.live_caddy import IMAGE as CADDY
from tests.rig.live_caddy import leftovers, live_props, printed
from tests.rig.processes import wait_for
from tests.rig.rig import Rig

# It has curl, as Grafana's image does.
TOOLS = "campus-monitor/probe:dev"
# Such as a person might choose: nothing of it may be lost on its way through a shell.
PASSWORD = "p%s \\n'\"$(id) ü"
REFUSED = "refused"
