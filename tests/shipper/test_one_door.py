"""Every way into a Loki goes through Caddy: tried from inside each container, and from campus."""

from __future__ import annotations

import json
import secrets
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from typing import Any, NamedTuple

import pytest

from components.loki.config import GRPC_PORT
from rig.deployment import HTTPS, LOKI, Deployment, on_readers_network
from rig.inside import inside
from rig.namespaces import CAMPUS_CLIENT, NAT, SERVER, SERVER_ON_CAMPUS, STRANGER, Namespace
from rig.probe import PUSH_PATH, Answer, Client, can_connect, push_body, wait_for_line

pytestmark = pytest.mark.docker

READER = on_readers_network("reader")
GATEWAYS = ("172.29.0.1", "172.30.0.1")
INSTANCES = {"aws": 3100, "test": 3199}
QUERY = "/loki/api/v1/query_range?query=%7Bjob%3D%22rig%22%7D"
# Loki's documentation, "Loki HTTP API": what isn't a query. In front those that change something.
OTHERS = [
    *(("POST", path) for path in ("/ingester/shutdown", "/flush", "/loki/api/v1/delete", "/otlp/v1/logs")),
    *(("GET", path) for path in ("/ingester/shutdown", "/flush", "/config", "/ready", "/metrics", "/ring")),
    *(("GET", path) for path in ("/loki/api/v1/rules", "/loki/api/v1/query/../../../../flush", "/")),
    *(("PUT", path) for path in ("/loki/api/v1/delete", QUERY)),
    ("POST", QUERY),
    ("DELETE", "/loki/api/v1/delete"),
]


class Inside(NamedTuple):
    """The network of a container, and the address that it has on the readers' network, or None."""

    namespace: Namespace
    address: str | None

    def client(self, server: tuple[str, int]) -> Client:
        """A client in it, from whatever address the kernel chooses."""
        return Client(self.namespace, self.address or "0.0.0.0", server, "loki", None)

    def ask(self, instance: str, method: str, path: str, body: bytes | None = None) -> int:
        """What the reader answers."""
        headers = {"Content-Type": "application/json"}
        return self.client((READER, INSTANCES[instance])).request(method, path, body, headers).status


@contextmanager
def foreign(deployment: Deployment, network: str) -> Iterator[Inside]:
    """A container of somebody else's on one of Docker's networks."""
    with closing(deployment.rig.engine.client()) as engine:
        made = engine.containers.run(
            deployment.settings["images"]["caddy"], ["sleep", "infinity"], detach=True, network=network
        )
        try:
            with inside(made) as namespace:
                yield Inside(namespace, None)
        finally:
            made.remove(force=True)


@pytest.fixture(scope="module")
def grafana(deployment: Deployment) -> Iterator[Inside]:
    """A Grafana that somebody has taken over."""
    with inside(deployment.container("grafana")) as namespace:
        yield Inside(namespace, on_readers_network("grafana"))


@pytest.fixture(scope="module")
def shipper(deployment: Deployment) -> Iterator[Inside]:
    """A log shipper that somebody has taken over."""
    with inside(deployment.container("log-shipper-campus")) as namespace:
        yield Inside(namespace, on_readers_network("log-shipper"))


@pytest.fixture(scope="module", params=["grafana", "shipper", "beside", "elsewhere"])
def taken(request: pytest.FixtureRequest, deployment: Deployment) -> Iterator[Inside]:
    """Each container that somebody may have taken over, one of their own beside them, and one elsewhere."""
    if request.param in ("grafana", "shipper"):
        yield request.getfixturevalue(request.param)
        return
    prefix = deployment.settings["campus"]["namePrefix"]
    with foreign(deployment, f"{prefix}readers-network" if request.param == "beside" else "bridge") as made:
        yield made


def line_in(deployment: Deployment, instance: str) -> str:
    """A line that a Loki has, pushed through the gate."""
    line = f"line-{secrets.token_hex(8)}"
    login = deployment.login() if instance == "test" else None
    assert deployment.client(NAT).push(line, f"/loki{instance}", login=login).status == 204
    wait_for_line(deployment.rig.network.campus, deployment.loki(instance), line)
    return line


def lines_of(answer: Answer) -> list[str]:
    """The lines in an answer to a query."""
    assert answer.status == 200, answer
    found: list[dict[str, Any]] = json.loads(answer.body)["data"]["result"]
    return [line for stream in found for _, line in stream["values"]]


@pytest.mark.parametrize("instance", INSTANCES)
def test_grafana_asks_every_loki_and_does_nothing_else(
    deployment: Deployment, grafana: Inside, instance: str
) -> None:
    line = line_in(deployment, instance)
    since = deployment.running_since(f"loki-{instance}")
    assert line in lines_of(grafana.client((READER, INSTANCES[instance])).request("GET", QUERY))
    for method, path in (*OTHERS, ("POST", PUSH_PATH)):
        assert grafana.ask(instance, method, path, push_body("no line", {"job": "rig"})) == 403, path
    assert "no line" not in lines_of(grafana.client((READER, INSTANCES[instance])).request("GET", QUERY))
    assert deployment.running_since(f"loki-{instance}") == since


def test_the_shipper_pushes_to_its_loki_and_does_nothing_else(
    deployment: Deployment, shipper: Inside
) -> None:
    line = f"line-{secrets.token_hex(8)}"
    line_in(deployment, "test")
    assert shipper.ask("test", "POST", PUSH_PATH, push_body(line, {"job": "rig"})) == 204
    wait_for_line(deployment.rig.network.campus, deployment.loki("test"), line)
    assert shipper.ask("aws", "POST", PUSH_PATH, push_body(line, {"job": "rig"})) == 403
    for instance in INSTANCES:
        for method, path in (*OTHERS, ("GET", QUERY)):
            assert shipper.ask(instance, method, path) == 403, path


def test_no_container_reaches_a_loki_itself(deployment: Deployment, taken: Inside) -> None:
    lokis = [deployment.loki(instance) for instance in INSTANCES]
    # Somebody does, so that the ports are the right ones.
    assert all(can_connect(deployment.rig.network.campus, None, one) for one in lokis)
    doors = [
        *lokis,
        *((address, GRPC_PORT) for address, _ in lokis),
        *(
            (host, port)
            for host in ("172.29.0.2", *GATEWAYS, SERVER, SERVER_ON_CAMPUS)
            for port in INSTANCES.values()
        ),
    ]
    with ThreadPoolExecutor(len(doors)) as pool:
        reached = pool.map(lambda door: can_connect(taken.namespace, None, door), doors)
        assert [door for door, is_open in zip(doors, reached, strict=True) if is_open] == []


def test_a_container_meets_the_gate_as_a_stranger_does(deployment: Deployment, grafana: Inside) -> None:
    domain = deployment.settings["edge"]["domain"]
    client = Client(grafana.namespace, "172.30.0.3", (SERVER, HTTPS), domain, deployment.trust)
    assert client.push("no line", "/lokiaws").status == 403


def test_what_is_beside_grafana_is_answered_nothing(deployment: Deployment) -> None:
    prefix = deployment.settings["campus"]["namePrefix"]
    with foreign(deployment, f"{prefix}readers-network") as stranger:
        for instance in INSTANCES:
            for method, path in (("GET", QUERY), ("POST", PUSH_PATH)):
                assert stranger.ask(instance, method, path) == 403


def test_a_campus_host_asks_a_published_loki_and_does_nothing_else(deployment: Deployment) -> None:
    line = line_in(deployment, "aws")
    since = deployment.running_since("loki-aws")
    world = deployment.rig.network.world
    client = Client(world, CAMPUS_CLIENT, (SERVER, LOKI), SERVER, None)
    assert line in lines_of(client.request("GET", QUERY))
    headers = {"Content-Type": "application/json"}
    for method, path in (*OTHERS, ("POST", PUSH_PATH)):
        answer = client.request(method, path, push_body("no line", {"job": "rig"}), headers)
        assert answer.status == 403, path
    assert "no line" not in lines_of(client.request("GET", QUERY))
    assert deployment.running_since("loki-aws") == since
    assert not can_connect(world, STRANGER, (SERVER, LOKI))
    # The other Loki isn't published.
    assert not can_connect(world, CAMPUS_CLIENT, (SERVER, INSTANCES["test"]))
