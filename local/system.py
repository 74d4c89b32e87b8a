"""The machine: Python, Debian's packages, Docker, ports."""

from __future__ import annotations

import os
import platform
import socket
import sys
from pathlib import Path

from local import docker, processes, say
from local.paths import LOCAL
from local.say import Problem

START_SECONDS = 60
TEST_PROGRAMS = {
    "nft": "nftables",
    "ip": "iproute2",
    "ufw": "ufw",
    "jq": "jq",
    "ssh": "openssh-client",
}
_apt_lists_are_fresh = False


def check_machine() -> None:
    """Linux and Python 3.11 or newer, or a Problem."""
    if platform.system() != "Linux":
        raise Problem(
            f"the local stack needs Linux with a Docker Engine, this is {platform.system()}: "
            "run it in a Linux virtual machine"
        )
    if sys.version_info < (3, 11):  # noqa: UP036  the machine's own python3 runs this
        found = ".".join(str(part) for part in sys.version_info[:3])
        raise Problem(f"python3 is {found}, 3.11 or newer is needed: make PYTHON=/path/to/python3")


def is_root() -> bool:
    """Whether this process may do everything."""
    return os.geteuid() == 0


def is_debian() -> bool:
    """Whether Debian's package tools are there (Debian, Ubuntu)."""
    return say.have("apt-get") and say.have("dpkg")


def install_packages(packages: list[str], reason: str) -> None:
    """Install Debian packages without asking; a Problem if that isn't possible."""
    wanted = " ".join(packages)
    if not is_debian():
        raise Problem(f"{reason}: install {wanted} (or what your distribution calls them)")
    if not is_root():
        raise Problem(f"{reason}: run `sudo apt-get install {wanted}`, then again")
    say.step(f"installing Debian packages: {wanted} ({reason})")
    environment = os.environ | {"DEBIAN_FRONTEND": "noninteractive"}
    log = LOCAL / "apt.log"
    _refresh_package_lists(environment)
    say.watched(
        f"apt-get install {wanted}",
        ["apt-get", "install", "--yes", "--no-install-recommends", *packages],
        log,
        usual=30,
        env=environment,
    )
    log.unlink()


def _refresh_package_lists(environment: dict[str, str]) -> None:
    """Once per run; a failing mirror only matters if the packages aren't available."""
    global _apt_lists_are_fresh
    if not _apt_lists_are_fresh:
        done = say.capture(["apt-get", "update", "-q"], env=environment, seconds=300)
        if done.returncode != 0:
            say.note(f"apt-get update: {say.last_line(done.stderr)}")
        _apt_lists_are_fresh = True


def ensure_programs(programs: dict[str, str], reason: str) -> None:
    """Install these programs if they are missing (program: its Debian package)."""
    missing = {package for program, package in programs.items() if not have_program(program)}
    if missing:
        install_packages(sorted(missing), reason)


def have_program(program: str) -> bool:
    """Whether a program is on PATH or in the folders for root."""
    return say.have(program) or any(Path(folder, program).exists() for folder in ("/usr/sbin", "/sbin"))


def ensure_docker() -> None:
    """Have a Docker Engine that answers; install and start it if we may, else a Problem."""
    if docker.answers():
        return
    if not say.have("docker") and not have_program("dockerd"):
        install_packages(["docker.io", "iptables", "iproute2", "nftables"], "Docker is not installed")
    if not say.have("docker"):
        install_packages(["docker-cli"], "the docker command is not installed")
    if not docker.answers():
        _start_docker()


def _start_docker() -> None:
    words = docker.complaint()
    if docker.host() != docker.SOCKET:
        raise Problem(
            f"no Docker Engine answers at {docker.host()} (campus-monitor:campus.dockerHost in "
            f"Pulumi.local.yaml): start it or fix the setting ({words})"
        )
    if "permission denied" in words.lower():
        raise Problem(
            "you may not use Docker here: `sudo usermod -aG docker $USER`, log in again, then make up again"
        )
    if not is_root():
        raise Problem(f"Docker is not running: `sudo systemctl start docker`, then again ({words})")
    if Path("/run/systemd/system").is_dir():
        say.step("starting Docker (systemctl start docker)")
        done = say.capture(["systemctl", "start", "docker"])
        if processes.wait_until(docker.answers, START_SECONDS):
            return
        raise Problem(f"Docker does not start: see `journalctl -u docker` ({say.last_line(done.stderr)})")
    _start_own_docker()


def _start_own_docker() -> None:
    if not have_program("dockerd"):
        install_packages(["docker.io", "iptables", "iproute2"], "Docker's engine is not installed")
    say.step("starting Docker (no systemd here: dockerd, until make down)")
    path = os.environ.get("PATH", "") + ":/usr/sbin:/sbin"
    processes.start("dockerd", ["dockerd", "--host", docker.SOCKET], env=os.environ | {"PATH": path})
    processes.wait_for_start("dockerd", docker.answers, START_SECONDS)


def port_is_free(port: int, address: str = "") -> bool:
    """Whether a program could listen there (if we may not even try, the port counts as free)."""
    families = [(socket.AF_INET, address or "0.0.0.0")]
    if not address and socket.has_ipv6:
        families.append((socket.AF_INET6, "::"))
    return all(_can_listen(family, where, port) for family, where in families)


def _can_listen(family: socket.AddressFamily, address: str, port: int) -> bool:
    try:
        with socket.socket(family, socket.SOCK_STREAM) as probe:
            if family == socket.AF_INET6:
                probe.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind((address, port))
            probe.listen(1)
    except OSError as error:
        return "in use" not in str(error)
    return True


def port_taken(port: int, key: str) -> Problem:
    """The Problem of a port that another program has."""
    return Problem(
        f"port {port} is taken by another program (`ss -ltnp 'sport = :{port}'` names it): "
        f"stop it, or set {key} in Pulumi.local.yaml to another port"
    )
