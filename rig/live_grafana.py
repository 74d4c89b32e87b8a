"""A fake Grafana for LiveFiles, made of two programs: Grafana's own image isn't available here.

A container has the tools of Grafana's image, its user and its directories. In the same network a Caddy acts
as Grafana's admin API: it asks for the admin's password, accepts or refuses by the directory's content at
that moment, and logs its requests. A fake `grafana cli` sets a new password.
"""

from __future__ import annotations

import json
import secrets
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from typing import Any

import bcrypt
import docker
from docker.models.containers import Container
from docker.models.volumes import Volume

from components.grafana.component import DASHBOARDS, LIVE, PROVISIONING
from components.live.container_facts import GRAFANA_SECRETS, GRAFANA_UID
from components.live.docker_host import HostFile, put_files, read_file
from components.live.files import LiveFilesProvider
from components.live.volume_files import VolumeFilesProvider
from rig.live_caddy import IMAGE as CADDY
from rig.live_caddy import leftovers, live_props, printed
from rig.processes import wait_for
from rig.rig import Rig

# It has curl, like Grafana's image.
TOOLS = "campus-monitor/probe:dev"
# A shell must not change any of its characters.
PASSWORD = "p%s \\n'\"$(id) ü"
# The password that `grafana cli` can set: the Caddy has its hash.
NEW_PASSWORD = "another one, not told"
# The mark that this password is set.
GIVEN = f"{PROVISIONING}/.given"
CLI = f"""#!/bin/sh
[ "$*" = "cli --homepath /usr/share/grafana admin reset-admin-password --password-from-stdin" ] || exit 1
[ "$(cat)" = "{NEW_PASSWORD}" ] && : >{GIVEN}
"""
# If a file of this name exists, Grafana refuses its alerting files.
REFUSED = "alerting/refused.yaml"
ANSWER_SECONDS = 60.0


@dataclass
class LiveGrafana:
    """The fake: what LiveFiles sees of Grafana, and what Grafana sees of LiveFiles."""

    docker_host: str
    engine: docker.DockerClient
    live: Volume
    secrets: Volume
    name: str
    container: Container | None = None
    api: Container | None = None

    def start(self) -> None:
        """Run both as new containers."""
        self.stop()
        options: dict[str, Any] = {
            "name": self.name,
            "detach": True,
            "user": str(GRAFANA_UID),
            "environment": {
                "PATH": f"{GRAFANA_SECRETS}/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
            },
            "network_mode": "none",
            "read_only": True,
            "cap_drop": ["ALL"],
            "security_opt": ["no-new-privileges"],
            "volumes": {
                self.live.name: {"bind": LIVE, "mode": "rw"},
                self.secrets.name: {"bind": GRAFANA_SECRETS, "mode": "ro"},
            },
        }
        container = self.engine.containers.run(TOOLS, ["sleep", "infinity"], **options)
        self.container = container
        script = 'printf %s "$1" >/tmp/Caddyfile && exec caddy run --config /tmp/Caddyfile'
        self.api = self.engine.containers.run(
            CADDY,
            ["sh", "-c", script, "sh", _admin_api()],
            detach=True,
            network_mode=f"container:{container.id}",
            volumes={self.live.name: {"bind": LIVE, "mode": "ro"}},
        )

    def stop(self) -> None:
        """Remove both."""
        for one in (self.api, self.container):
            if one is not None:
                one.remove(force=True, v=True)
        self.api = self.container = None

    def put(self, volume: Volume, contents: Mapping[str, str], mode: int = 0o400) -> None:
        """Put files into a volume through VolumeFiles, owned by Grafana."""
        owned = {"uid": float(GRAFANA_UID), "gid": 0.0, "mode": float(mode)}
        VolumeFilesProvider().create(
            {
                "docker_host": self.docker_host,
                "volume_name": volume.name,
                "image": CADDY,
                "files": {path: {"content": text, **owned} for path, text in contents.items()},
            }
        )

    def props(self, contents: Mapping[str, str], program: str = "grafana") -> dict[str, Any]:
        """The properties of a LiveFiles."""
        assert self.container is not None
        directory = {"grafana": PROVISIONING, "grafana-dashboards": DASHBOARDS}[program]
        made = live_props(self.docker_host, self.name, contents)
        return made | {"container_id": self.container.id, "program": program, "directory": directory}

    def write(self, contents: Mapping[str, str], program: str = "grafana") -> None:
        """Apply files through LiveFiles."""
        LiveFilesProvider().create(self.props(contents, program))

    def reloads(self) -> list[tuple[str, int]]:
        """The reloads that the API was asked for since its start, and its answers."""
        assert self.api is not None
        text: bytes = self.api.logs()
        entries = [json.loads(line) for line in text.decode().splitlines() if '"method":"POST"' in line]
        return [(one["request"]["uri"].split("/")[4], one["status"]) for one in entries]

    def refused(self) -> int:
        """The number of wrong passwords since its start."""
        assert self.api is not None
        return self.api.logs().decode().count('"status":401')

    def sh(self, command: str) -> str:
        """A command's output in the container."""
        assert self.container is not None
        return printed(self.container, command)

    def files(self, directory: str = PROVISIONING) -> dict[str, str]:
        """The files that Grafana finds in a directory: contents by path."""
        names = self.sh(f"cd {directory} && find -L ./* -type f | sort").split()
        return {name[2:]: self.sh(f"cat {directory}/{name}") for name in names}

    def leftovers(self, directory: str = PROVISIONING) -> list[str]:
        """LiveFiles' own entries there beside its lock, its link and the tree, and dangling links."""
        assert self.container is not None
        dead = self.sh(f"cd {directory} && for one in *; do [ -e $one ] || echo $one; done").split()
        return leftovers(self.container, directory) + dead


def _admin_api() -> str:
    before, given = (
        bcrypt.hashpw(password.encode(), bcrypt.gensalt(4)).decode() for password in (PASSWORD, NEW_PASSWORD)
    )
    return f"""{{
    admin off
    auto_https off
}}
http://127.0.0.1:3000 {{
    log {{
        output stdout
        format json
    }}
    route {{
        respond /api/health 200
        @reload {{
            method POST
            path /api/admin/provisioning/datasources/reload /api/admin/provisioning/dashboards/reload
            path /api/admin/provisioning/alerting/reload
        }}
        @given file {{
            root /
            try_files {GIVEN}
        }}
        @before not file {{
            root /
            try_files {GIVEN}
        }}
        basic_auth @given {{
            admin {given}
        }}
        basic_auth @before {{
            admin {before}
        }}
        @refused {{
            path /api/admin/provisioning/alerting/reload
            file {{
                root {PROVISIONING}
                try_files /{REFUSED}
            }}
        }}
        respond @refused 500
        respond @reload 200
        respond /api/plugins/loki/settings 200
        respond 404
    }}
}}
"""


@contextmanager
def live_grafana(rig: Rig) -> Iterator[LiveGrafana]:
    """Both containers and their volumes, with the first files in place; all removed at the end."""
    for image in (TOOLS, CADDY):
        rig.engine.load(image)
    name = f"live-grafana-{secrets.token_hex(4)}"
    with closing(rig.engine.client()) as engine:
        volumes = [engine.volumes.create(f"{name}-{role}") for role in ("live", "secrets")]
        made = LiveGrafana(rig.engine.url, engine, volumes[0], volumes[1], name)
        try:
            made.put(
                made.live, {"provisioning/dashboards/campus.yaml": "first", "dashboards/README": "first"}
            )
            made.put(made.secrets, {"admin-password": PASSWORD})
            made.put(made.secrets, {"bin/grafana": CLI}, mode=0o555)
            made.start()
            health = "curl -s -o /dev/null -w '%{http_code}' http://127.0.0.1:3000/api/health || true"
            wait_for("the API answers", lambda: made.sh(health) == "200", ANSWER_SECONDS)
            yield made
        finally:
            made.stop()
            for volume in volumes:
                volume.remove(force=True)


PLAYED = "campus-monitor/played-grafana:test"
_PLAYED_CADDYFILE = """{
    admin off
    auto_https off
    persist_config off
}
http://:3000 {
    log {
        output stdout
        format json
    }
    @reload {
        method POST
        path /api/admin/provisioning/*
        header Authorization "Basic *"
    }
    respond @reload 200
    respond /api/plugins/loki/settings 200
    respond /api/health 200
    # more
    respond 404
}
"""


def make_played_image(rig: Rig, more: str = "") -> None:
    """A fake of Grafana's image, for the whole stack, that accepts any login.

    `more` are Caddy directives for more answers.
    """
    caddyfile = _PLAYED_CADDYFILE.replace("# more", more)
    for image in (TOOLS, CADDY):
        rig.engine.load(image)
    with closing(rig.engine.client()) as engine:
        caddy, made = engine.containers.create(CADDY), engine.containers.create(TOOLS)
        try:
            program = read_file(caddy, "/usr/bin/caddy")
            assert program is not None
            # Copied without its file capability: a container without capabilities couldn't start it.
            files = {"usr/bin/caddy": replace(program, mode=0o755)}
            put_files(made, "/", files | {"etc/Caddyfile": HostFile(content=caddyfile.encode(), mode=0o644)})
            repository, _, tag = PLAYED.partition(":")
            run = 'CMD ["caddy", "run", "--config", "/etc/Caddyfile"]'
            made.commit(repository, tag, changes=f"{run}\nENV XDG_DATA_HOME=/tmp")
        finally:
            for one in (caddy, made):
                one.remove(force=True)
