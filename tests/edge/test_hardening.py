"""Caddy's rights on its host, and its timeouts for slow clients."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest

from components.live.docker_host import read_by_script
from rig.deployment import HTTPS, LOKI, Deployment
from rig.namespaces import NAT, SERVER, STRANGER

pytestmark = pytest.mark.docker

# linux/capability.h: CAP_NET_BIND_SERVICE is the tenth bit.
NET_BIND_SERVICE = 1 << 10
# The Caddyfile's read_header and read_body, and time for a busy machine.
PATIENCE_SECONDS = 60.0


def inside(edge: Deployment, command: str) -> tuple[int, str]:
    """A shell command's exit code and output in Caddy's container. Caddy is process 1 there."""
    ran = read_by_script(edge.caddy(), command)
    assert ran is not None, "Caddy doesn't run"
    return ran.status, ran.output + ran.errors


def test_caddy_has_one_capability_and_can_gain_none(edge: Deployment) -> None:
    _, text = inside(edge, "cat /proc/1/status")
    status = {key: value.strip() for key, _, value in (line.partition(":") for line in text.splitlines())}
    assert status["Name"] == "caddy"
    for kind in ("CapPrm", "CapEff", "CapBnd"):
        assert int(status[kind], 16) == NET_BIND_SERVICE, kind
    assert int(status["CapInh"], 16) & ~NET_BIND_SERVICE == 0
    assert status["NoNewPrivs"] == "1"


@pytest.mark.parametrize("path", ["/x", "/usr/bin/x", "/etc/caddy/x", "/etc/passwd"])
def test_its_root_is_read_only(edge: Deployment, path: str) -> None:
    status, said = inside(edge, f": >>{path}")
    assert status != 0
    assert "Read-only file system" in said


def test_it_listens_on_its_ports_and_nowhere_else(edge: Deployment) -> None:
    listening = edge.rig.network.campus.run("ss", "-Hlntup").stdout.splitlines()
    caddys = [line.split() for line in listening if '"caddy"' in line]
    # Its own two, and that of the published Loki.
    ports = {("tcp", str(port)) for port in (80, HTTPS, LOKI)}
    assert {(one[0], one[4].rpartition(":")[2]) for one in caddys} == ports


def test_only_the_container_sees_its_admin_socket(edge: Deployment) -> None:
    _, said = inside(edge, "stat -c '%a %U' /run/caddy /run/caddy/admin.sock")
    assert said.split() == ["700", "root", "600", "root"]
    _, mounts = inside(edge, "cat /proc/1/mountinfo")
    [kind] = [line.partition(" - ")[2].split()[0] for line in mounts.splitlines() if "/run/caddy" in line]
    assert kind == "tmpfs"


NEVER_ENDING = {
    "half a header": (b"POST /lokiaws/loki/api/v1/push HTTP/1.1\r\nHost: ", NAT),
    "headers without an end": (b"POST /x HTTP/1.1\r\nHost: campus.localhost\r\n", NAT),
    "a stranger's body": (
        b"POST /lokiaws/loki/api/v1/push HTTP/1.1\r\nHost: campus.localhost\r\nContent-Length: 100\r\n\r\n{",
        STRANGER,
    ),
}


def test_a_client_that_never_ends_its_request_is_cut_off(edge: Deployment) -> None:
    with ThreadPoolExecutor(len(NEVER_ENDING)) as threads:
        waits = [threads.submit(is_cut_off, edge, sent, source) for sent, source in NEVER_ENDING.values()]
    cut_off = dict(zip(NEVER_ENDING, [one.result() for one in waits], strict=True))
    assert cut_off == dict.fromkeys(NEVER_ENDING, True)


def is_cut_off(edge: Deployment, sent: bytes, source: str) -> bool:
    """Whether the server closes the connection by itself."""
    plain = edge.rig.network.world.connect((SERVER, HTTPS), source)
    with edge.trust.wrap_socket(plain, server_hostname=edge.settings["edge"]["domain"]) as connection:
        connection.settimeout(PATIENCE_SECONDS)
        connection.sendall(sent)
        try:
            while connection.recv(4096):
                pass
        except ConnectionResetError:
            return True
        except TimeoutError:
            return False
        return True
