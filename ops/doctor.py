"""`make doctor`: what a stack needs of this machine, what is missing, and what to do. Changes nothing."""

from __future__ import annotations

import argparse
import json
import os
import platform
import sys
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import urlsplit

from components.docker_hosts.engines import unfit
from local import cache, commands, docker, pulumi_cli, pulumi_plugins, say, settings, venv
from local.paths import LOCAL, ROOT
from local.paths import cache as cache_folder
from local.pulumi import STACK
from local.say import Problem
from local.settings import Place
from ops import machine
from ops.machine import Row, shown
from ops.verify.checks import NO_AAAA
from ops.verify.places import addresses

# docs/local.md, "Needs": with Pulumi and Loki to be built, and without.
COLD_DISK_GIB, WARM_DISK_GIB = 12, 4
# AWS' own tools read one of these sets.
AWS_VARIABLES = (
    ("AWS_PROFILE",),
    ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"),
    ("AWS_ROLE_ARN", "AWS_WEB_IDENTITY_TOKEN_FILE"),
)

# Run with the server's own docker client: an older one leaves out fields that it doesn't know.
_ASKED = "docker info --format '{{json .}}'; cat /etc/ufw/ufw.conf /etc/default/ufw 2>/dev/null"
ASK_SECONDS = 30


def run(stack: str) -> int:
    """Print a row for each thing that the stack needs; 1 if a person has to act first."""
    path = ROOT / f"Pulumi.{stack}.yaml"
    if not path.exists():
        raise Problem(f"there is no {path.name}: name a stack that has one, as in make doctor STACK=stage")
    rows = for_local() if stack == STACK else for_real(stack, os.environ)
    for row in rows:
        print(f"{row.state:<8} {row.name:<12} {row.words}")
    stopping = [row.name for row in rows if row.stops]
    print(f"see to these first: {', '.join(stopping)}" if stopping else f"nothing stops the stack {stack}")
    return 1 if stopping else 0


def place_of(stack: str) -> tuple[list[Row], Place | None]:
    """Where a stack is, or None and why that isn't known."""
    if not venv.python().exists():
        do = "`make venv` installs what reads the settings; then run make doctor again"
        return [Row("settings", "missing", do, stops=stack != STACK)], None
    try:
        return [], settings.place(stack)
    except Problem as problem:
        return [Row("settings", "missing", " ".join(str(problem).split()), stops=True)], None


def for_local() -> list[Row]:
    """What `make up` and `make test` need, by the settings of the local stack."""
    unread, place = place_of(STACK)
    if place is not None:
        docker.use(place.docker_host)
    has_pulumi = pulumi_cli.find() is not None
    places = [cache_folder(), ROOT, Path("/var/lib/docker")]
    return [
        machine.python(sys.executable),
        machine.by_hand("git", "git", stops=False),
        *unread,
        machine.docker_engine(),
        machine.pulumi(),
        machine.plugins(cache.Refusals()),
        machine.disk(places, WARM_DISK_GIB if has_pulumi else COLD_DISK_GIB),
        machine.memory(Path("/proc/meminfo")),
        *(machine.ports(place) if place is not None else []),
        machine.kernel(platform.system(), platform.release(), Path("/")),
        machine.rights(Path("/proc/self/status")),
        machine.test_programs(),
    ]


def for_real(stack: str, environment: Mapping[str, str]) -> list[Row]:
    """What `pulumi up` of a stack in the real AWS needs."""
    unread, place = place_of(stack)
    return [
        machine.python(sys.executable, by_make=False),
        machine.by_hand("git", "git", stops=False),
        official_pulumi(),
        shell(environment),
        *unread,
        *([secrets(stack, place.decrypted_by, environment)] if place is not None else []),
        aws(environment, Path.home() / ".aws"),
        # The documents' commands want it, Pulumi doesn't.
        machine.by_hand("aws", "awscli", stops=False),
        *([site(place.domain), *engines(place.docker_hosts)] if place is not None else []),
    ]


def engines(hosts: list[str]) -> list[Row]:
    """The Docker hosts' rows; their engines are asked only if SSH can reach them."""
    way = ssh(hosts, Path.home() / ".ssh" / "known_hosts")
    return way if any(row.stops for row in way) else [*way, *(row for host in hosts for row in engine(host))]


def engine(host: str) -> list[Row]:
    """Whether a Docker host's engine and its ufw are fit for the port policy (docs/port-policy.md)."""
    done = say.capture([*_there(host), _ASKED], seconds=ASK_SECONDS)
    asked, _, ufw = done.stdout.partition("\n")
    try:
        info = json.loads(asked)
    except ValueError:
        info = {}
    # The client prints JSON even if no engine answers.
    if not info.get("ServerVersion"):
        errors = info.get("ServerErrors") or [say.last_line(done.stderr)]
        words = f"{host}: {' '.join('; '.join(errors).split())}"
        return [Row("docker", "missing", words, stops=True)]
    # Engines before 28 don't say: they have iptables alone.
    backend = (info.get("FirewallBackend") or {}).get("Driver", "")
    words = f"{host}: {info['ServerVersion']}{' with ' if backend else ''}{backend}"
    rows = [Row("docker", "ok", words)]
    if backend == "nftables" and "ENABLED=yes" in ufw and 'DEFAULT_FORWARD_POLICY="ACCEPT"' not in ufw:
        words = f"{host}: cuts Docker's nftables backend off: `ufw default allow routed`, then `ufw reload`"
        rows.append(Row("ufw", "missing", words, stops=True))
    what = unfit(info.get("SecurityOptions") or [])
    if what is not None:
        words = f"{host} {what}: no container can be on its network (docs/port-policy.md, Docker versions)"
        rows.append(Row("docker users", "missing", words, stops=True))
    if say.have("docker"):
        mine = say.capture(["docker", "--host", host, "version"], seconds=ASK_SECONDS)
        if "too old" in mine.stderr:
            words = f"the docker command here is too old for {host}: Pulumi doesn't use it, people do"
            rows.append(Row("docker here", "old", words))
    return rows


def _there(host: str) -> list[str]:
    """The command that runs a line of shell on a Docker host, without asking for a password."""
    if not host.startswith("ssh://"):
        return ["env", f"DOCKER_HOST={host}", "sh", "-c"]
    url = urlsplit(host)
    login = f"{url.username}@{url.hostname}" if url.username else url.hostname or ""
    return ["ssh", "-o", "BatchMode=yes", "-p", str(url.port or 22), "--", login]


def official_pulumi() -> Row:
    """Real stacks need the official Pulumi, on PATH, with the official plugins."""
    folder = pulumi_cli.on_path()
    if folder is None:
        do = f"{shown(pulumi_cli.OLDEST)} or newer: https://www.pulumi.com/docs/install/"
        return Row("pulumi", "missing", do, stops=True)
    version = shown(pulumi_cli.version_of(folder / "pulumi"))
    absent = pulumi_plugins.missing(folder)
    if absent:
        return Row(
            "pulumi", "missing", f"{version} without {', '.join(absent)}: `pulumi install`", stops=True
        )
    return Row("pulumi", "ok", f"{version} with its plugins")


def shell(environment: Mapping[str, str]) -> Row:
    """A shell that has sourced .local/env would keep the state where `make down` removes it."""
    if str(LOCAL) in environment.get("PULUMI_BACKEND_URL", ""):
        return Row("shell", "missing", "this shell has sourced .local/env: open a new one", stops=True)
    return Row("shell", "ok", "not the local stack's")


def secrets(stack: str, decrypted_by: str | None, environment: Mapping[str, str]) -> Row:
    """What decrypts the stack's secrets; never its value."""
    if decrypted_by == "secretsprovider":
        return Row("secrets", "ok", f"by the key that Pulumi.{stack}.yaml names (not tried)")
    if decrypted_by is None:
        do = f"`pulumi stack init {stack}`, docs/state.md"
        return Row("secrets", "missing", f"the stack doesn't exist yet: {do}", stops=True)
    if environment.get("PULUMI_CONFIG_PASSPHRASE"):
        return Row("secrets", "ok", "by PULUMI_CONFIG_PASSPHRASE")
    file = environment.get("PULUMI_CONFIG_PASSPHRASE_FILE")
    if file and os.access(file, os.R_OK):
        return Row("secrets", "ok", "by PULUMI_CONFIG_PASSPHRASE_FILE")
    do = "set PULUMI_CONFIG_PASSPHRASE_FILE to a file with the stack's passphrase"
    return Row("secrets", "missing", do, stops=True)


def aws(environment: Mapping[str, str], folder: Path) -> Row:
    """Where AWS' own tools find credentials; never their values."""
    for names in AWS_VARIABLES:
        if all(environment.get(name) for name in names):
            return Row("credentials", "ok", f"by {', '.join(names)} (not tried)")
    if (folder / "credentials").exists() or (folder / "config").exists():
        return Row("credentials", "ok", f"by {folder} (not tried)")
    return Row("credentials", "missing", "no credentials: `aws configure`, or set AWS_PROFILE", stops=True)


def site(domain: str) -> Row:
    """The addresses of the site's name: a shipper that uses an IPv6 address is refused."""
    try:
        found = sorted(addresses(domain, 443))
    except Problem as problem:
        return Row("domain", "missing", str(problem))
    others = [one for one in found if ":" in one]
    if others:
        words = f"{domain} also has {', '.join(others)}: shippers that use it get 403: {NO_AAAA}"
        return Row("domain", "old", words)
    return Row("domain", "ok", f"{domain} is {', '.join(found)}")


def ssh(hosts: list[str], known_hosts: Path) -> list[Row]:
    """What is needed to reach the Docker hosts over SSH."""
    client = machine.by_hand("ssh-keygen", "openssh-client", stops=True)
    if client.stops and any(host.startswith("ssh://") for host in hosts):
        return [client]
    return [known_host(host, known_hosts) for host in hosts]


def known_host(value: str, known_hosts: Path) -> Row:
    """Whether a Docker host's key is known: Pulumi's Docker plugin asks nobody."""
    if value.startswith("unix:///"):
        return Row("ssh", "ok", f"{value} isn't ssh://")
    url = urlsplit(value)
    host, port = url.hostname or "", url.port or 22
    name = host if port == 22 else f"[{host}]:{port}"
    if say.capture(["ssh-keygen", "-F", name, "-f", known_hosts]).returncode == 0:
        return Row("ssh", "ok", f"{name} is in {known_hosts}")
    login = f"{url.username}@{host}" if url.username else host
    do = f"`ssh -p {port} {login} docker version`, and compare the key with the server's"
    return Row("ssh", "missing", f"{name} isn't in {known_hosts}: {do}", stops=True)


def main() -> int:
    """Print the rows of the stack that the argument names."""
    parser = argparse.ArgumentParser(prog="make doctor", description=__doc__)
    parser.add_argument("stack", help="such as local, stage or prod")
    stack = parser.parse_args().stack
    return commands.ended(lambda: run(stack))


if __name__ == "__main__":
    sys.exit(main())
