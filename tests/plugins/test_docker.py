"""The behaviour of Docker's provider that the stack relies on, call by call, with a real Docker Engine."""

from __future__ import annotations

import inspect
import re
import sys
from collections.abc import Iterator
from typing import Any

import docker
import pulumi_docker
import pytest
from pulumi import _types as sdk_types

from rig.plugins.values import UNKNOWN
from tests.plugins.client import Plugin, Refused, half_made, running_plugin
from tests.plugins.conftest import IMAGE

pytestmark = pytest.mark.docker

Values = dict[str, Any]

CONTAINER = "docker:index/container:Container"
REMOTE_IMAGE = "docker:index/remoteImage:RemoteImage"
NETWORK = "docker:index/network:Network"
VOLUME = "docker:index/volume:Volume"

POOL = {"subnet": "172.30.78.0/24", "gateway": "172.30.78.1"}
SLEEPER: Values = {"image": IMAGE, "command": ["/bin/sleep", "600"], "name": "plugin-test"}
PORT = {"internal": 8081, "external": 18081, "ip": "127.0.0.1", "protocol": "tcp"}
# With every input that the stack's containers have.
EVERYTHING: Values = {
    **SLEEPER,
    "user": "1000:1000",
    "restart": "unless-stopped",
    "envs": ["B=2", "A=1"],
    "labels": [{"label": "b", "value": "2"}, {"label": "a", "value": "1"}],
    "networksAdvanced": [{"name": "plugin-net", "ipv4Address": "172.30.78.9", "aliases": ["zz"]}],
    "hosts": [{"host": "loki", "ip": "172.30.78.10"}, {"host": "caddy", "ip": "172.30.78.11"}],
    "volumes": [
        {"volumeName": "plugin-vol", "containerPath": "/data", "readOnly": True},
        {"hostPath": "/etc", "containerPath": "/host-etc", "readOnly": True},
    ],
    "ports": [{"internal": 8082, "external": 18082, "ip": "127.0.0.1", "protocol": "udp"}, PORT],
    "capabilities": {"drops": ["ALL"], "adds": ["CAP_NET_BIND_SERVICE", "CAP_CHOWN"]},
    "securityOpts": ["no-new-privileges:true"],
    "readOnly": True,
    "tmpfs": {"/tmp": "size=1m"},
    "memory": 64,
    "memorySwap": 64,
    "cpuShares": 512,
    "logDriver": "json-file",
    "logOpts": {"max-size": "1m", "max-file": "2"},
    "healthcheck": {"tests": ["CMD", "/bin/true"], "interval": "1m30s", "retries": 2},
    "stopTimeout": 3,
    "destroyGraceSeconds": 1,
}
REPLACING: Values = {
    "name": "other",
    "image": "sha256:1",
    "command": ["/bin/sleep", "601"],
    "user": "1000",
    "envs": ["B=2"],
    "labels": [{"label": "b", "value": "3"}],
    "networkMode": "none",
    "networksAdvanced": [{"name": "plugin-net", "ipv4Address": "172.30.78.8"}],
    "hosts": [{"host": "loki", "ip": "172.30.78.11"}],
    "volumes": [],
    "ports": [PORT],
    "capabilities": {"drops": ["ALL"]},
    "securityOpts": [],
    "readOnly": False,
    "logDriver": "local",
    "logOpts": {"max-size": "2m", "max-file": "2"},
    "stopTimeout": 4,
}
IN_PLACE: Values = {
    "restart": "always",
    "memory": 65,
    "memorySwap": 65,
    "cpuShares": 513,
    "tmpfs": {"/tmp": "size=2m"},
    "healthcheck": {"tests": ["CMD", "/bin/false"], "interval": "1m30s", "retries": 2},
    "wait": True,
    "waitTimeout": 9,
    "destroyGraceSeconds": 2,
}


@pytest.fixture
def everything(docker_plugin: Plugin) -> tuple[str, Values]:
    docker_plugin.create(NETWORK, {"name": "plugin-net", "driver": "bridge", "ipamConfigs": [POOL]})
    docker_plugin.create(VOLUME, {"name": "plugin-vol"})
    return docker_plugin.create(CONTAINER, EVERYTHING)


@pytest.fixture
def sleeper(docker_plugin: Plugin) -> tuple[str, Values]:
    return docker_plugin.create(CONTAINER, SLEEPER)


@pytest.fixture
def other_tag(engine: docker.APIClient) -> Iterator[str]:
    """The tiny image under another name, which is removed afterwards."""
    engine.tag(IMAGE, "plugin-test-copy", "v1")
    yield "plugin-test-copy:v1"
    if engine.images("plugin-test-copy"):
        engine.remove_image("plugin-test-copy:v1", force=True)


def sdk_inputs(arguments: type) -> Values:
    """Every input of the SDK, by its name on the wire, in the SDK's shape."""
    parameters = inspect.signature(arguments).parameters
    inputs: Values = {}
    for python, wire in sdk_types.input_type_py_to_pulumi_names(arguments).items():
        hint = str(parameters[python].annotation)
        inner = re.search(r"\b\w+Args\b", hint)
        value = sdk_inputs(getattr(pulumi_docker, inner[0])) if inner else UNKNOWN
        inputs[wire] = [value] if inner and "Sequence" in hint else value
    return inputs


def paths(value: Any, path: str = "") -> set[str]:
    """The path of every value inside."""
    parts = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return {path}.union(*(paths(part, f"{path}.{key}") for key, part in parts))


@pytest.mark.parametrize("token", [CONTAINER, REMOTE_IMAGE, NETWORK, VOLUME])
def test_the_plugin_knows_every_input_of_the_sdk(docker_plugin: Plugin, token: str) -> None:
    resource = getattr(pulumi_docker, token.rpartition(":")[2])
    inputs = sdk_inputs(getattr(sys.modules[resource.__module__], f"{resource.__name__}Args"))
    # It also takes Terraform's names, but outputs have Pulumi's names.
    assert paths(inputs) <= paths(docker_plugin.create(token, inputs, preview=True)[1])
    assert "colour" in docker_plugin.failures(token, {**inputs, "colour": "red"}).popitem()[1]


def test_dockers_inputs(engine: docker.APIClient, everything: tuple[str, Values]) -> None:
    real = engine.inspect_container(everything[0])
    config, host, network = real["Config"], real["HostConfig"], real["NetworkSettings"]["Networks"]
    assert real["Name"] == "/plugin-test"
    assert real["State"]["Running"]
    assert set(config["Env"]) >= {"A=1", "B=2"}
    assert config["Labels"] == {"a": "1", "b": "2"}
    assert config["User"] == "1000:1000"
    assert config["Healthcheck"]["Interval"] == 90 * 10**9
    assert config["StopTimeout"] == 3
    assert list(network) == ["plugin-net"]
    assert network["plugin-net"]["IPAddress"] == "172.30.78.9"
    assert "zz" in network["plugin-net"]["Aliases"]
    assert set(host["Binds"]) == {"plugin-vol:/data:ro", "/etc:/host-etc:ro"}
    assert host["PortBindings"] == {
        "8081/tcp": [{"HostIp": "127.0.0.1", "HostPort": "18081"}],
        "8082/udp": [{"HostIp": "127.0.0.1", "HostPort": "18082"}],
    }
    assert set(host["ExtraHosts"]) == {"loki:172.30.78.10", "caddy:172.30.78.11"}
    assert (host["CapDrop"], set(host["CapAdd"])) == (["ALL"], {"CAP_NET_BIND_SERVICE", "CAP_CHOWN"})
    assert host["SecurityOpt"] == ["no-new-privileges:true"]
    assert host["ReadonlyRootfs"]
    assert host["Tmpfs"] == {"/tmp": "size=1m"}
    assert host["LogConfig"] == {"Type": "json-file", "Config": {"max-size": "1m", "max-file": "2"}}
    assert host["RestartPolicy"]["Name"] == "unless-stopped"
    assert (host["Memory"], host["MemorySwap"], host["CpuShares"]) == (64 << 20, 64 << 20, 512)


def test_what_a_change_does(docker_plugin: Plugin, everything: tuple[str, Values]) -> None:
    made, outputs = everything
    # Unchanged, also after a refresh, and in another order.
    assert docker_plugin.diff(CONTAINER, outputs, EVERYTHING).paths == {}
    refreshed = docker_plugin.read(CONTAINER, made, outputs)[1]
    assert docker_plugin.diff(CONTAINER, refreshed, EVERYTHING).paths == {}
    turned = {key: one[::-1] if isinstance(one, list) else one for key, one in EVERYTHING.items()}
    assert docker_plugin.diff(CONTAINER, outputs, {**turned, "command": SLEEPER["command"]}).paths == {}

    assert docker_plugin.diff(CONTAINER, outputs, {**EVERYTHING, "labels": []}).paths == {}

    assert EVERYTHING.keys() < {*REPLACING, *IN_PLACE}
    for name, value in {**REPLACING, **IN_PLACE}.items():
        diff = docker_plugin.diff(CONTAINER, outputs, {**EVERYTHING, name: value})
        assert {re.split(r"[.[]", path)[0] for path in diff.paths} == {name}
        replaced = name in REPLACING
        assert (set(diff.replaces), diff.delete_first) == ({name} if replaced else set(), replaced), name


def test_what_is_changed_in_place(
    docker_plugin: Plugin, engine: docker.APIClient, everything: tuple[str, Values]
) -> None:
    """A health check and tmpfs count as changed, and the container keeps what it has."""
    made, outputs = everything
    before = engine.inspect_container(made)
    changed = {name: IN_PLACE[name] for name in ("restart", "cpuShares", "tmpfs", "healthcheck")}
    after = {**EVERYTHING, **changed, "memory": 96, "memorySwap": 96}
    outputs = docker_plugin.update(CONTAINER, made, outputs, after)
    real = engine.inspect_container(made)
    host = real["HostConfig"]
    assert host["RestartPolicy"]["Name"] == "always"
    assert (host["Memory"], host["MemorySwap"], host["CpuShares"]) == (96 << 20, 96 << 20, 513)
    assert real["State"]["StartedAt"] == before["State"]["StartedAt"]
    assert real["Config"]["Healthcheck"] == before["Config"]["Healthcheck"]
    assert host["Tmpfs"] == before["HostConfig"]["Tmpfs"]
    assert docker_plugin.diff(CONTAINER, outputs, after).paths == {}


def test_more_memory_without_memory_swap_is_refused(
    docker_plugin: Plugin, everything: tuple[str, Values]
) -> None:
    with pytest.raises(Refused, match=r"Unable to update a container: .*memoryswap"):
        docker_plugin.update(CONTAINER, *everything, {**EVERYTHING, "memory": 128})


def test_a_stopped_container_is_started_by_an_update(
    docker_plugin: Plugin, engine: docker.APIClient, sleeper: tuple[str, Values]
) -> None:
    made, outputs = sleeper
    engine.stop(made, timeout=0)
    _, stopped, _ = docker_plugin.read(CONTAINER, made, outputs)
    diff = docker_plugin.diff(CONTAINER, stopped, SLEEPER)
    assert (diff.paths, diff.replaces) == ({"mustRun": "UPDATE"}, ())
    docker_plugin.update(CONTAINER, made, stopped, SLEEPER)
    assert engine.inspect_container(made)["State"]["Running"]


def test_a_stopped_container_with_a_port_is_replaced(docker_plugin: Plugin, engine: docker.APIClient) -> None:
    inputs = {**SLEEPER, "ports": [PORT]}
    made, outputs = docker_plugin.create(CONTAINER, inputs)
    engine.stop(made, timeout=0)
    _, stopped, _ = docker_plugin.read(CONTAINER, made, outputs)
    assert docker_plugin.diff(CONTAINER, stopped, inputs).replaces == ("ports",)


def test_a_container_that_cannot_start_is_remembered(docker_plugin: Plugin, engine: docker.APIClient) -> None:
    with pytest.raises(Refused, match="Unable to start container") as error:
        docker_plugin.create(CONTAINER, {**SLEEPER, "command": ["/no/such/program"]})
    half = half_made(error.value)
    assert half is not None
    assert engine.inspect_container(half[0])["State"]["Status"] == "created"


def test_a_new_container_is_waited_for(docker_plugin: Plugin, engine: docker.APIClient) -> None:
    check = {"tests": ["CMD", "/bin/true"], "interval": "1s"}
    inputs = {**SLEEPER, "wait": True, "waitTimeout": 30, "healthcheck": check}
    made, _ = docker_plugin.create(CONTAINER, inputs)
    assert engine.inspect_container(made)["State"]["Health"]["Status"] == "healthy"

    ill = {
        **inputs,
        "name": "plugin-test-2",
        "waitTimeout": 2,
        "healthcheck": {**check, "tests": ["CMD", "/no"]},
    }
    with pytest.raises(Refused, match="container failed to be in healthy state"):
        docker_plugin.create(CONTAINER, ill)


def test_a_container_that_is_gone_is_recreated(docker_plugin: Plugin, sleeper: tuple[str, Values]) -> None:
    docker_plugin.delete(CONTAINER, *sleeper)
    assert docker_plugin.read(CONTAINER, *sleeper)[0] == ""
    docker_plugin.delete(CONTAINER, *sleeper)


def test_a_preview_knows_the_inputs_and_nothing_more() -> None:
    """It doesn't contact the host either."""
    with running_plugin("docker") as plugin:
        plugin.configure({"host": "ssh://nobody@campus.invalid", "sshOpts": '["-i", "key"]'})
        made, outputs = plugin.create(CONTAINER, {**SLEEPER, "image": UNKNOWN}, preview=True)
        assert (made, outputs["image"], outputs["name"]) == ("", UNKNOWN, "plugin-test")
        assert outputs["networkDatas"] is UNKNOWN
        _, outputs = plugin.create(REMOTE_IMAGE, {"name": IMAGE}, preview=True)
        assert outputs["imageId"] is UNKNOWN


def test_the_life_of_an_image(docker_plugin: Plugin, engine: docker.APIClient, other_tag: str) -> None:
    inputs = {"name": other_tag, "keepLocally": True}
    made, outputs = docker_plugin.create(REMOTE_IMAGE, inputs)
    assert outputs["imageId"] == engine.inspect_image(IMAGE)["Id"]
    for state in (outputs, docker_plugin.read(REMOTE_IMAGE, made, outputs)[1]):
        assert docker_plugin.diff(REMOTE_IMAGE, state, inputs).paths == {}
    assert docker_plugin.diff(REMOTE_IMAGE, outputs, {**inputs, "name": IMAGE}).replaces == ("name",)
    docker_plugin.delete(REMOTE_IMAGE, made, outputs)
    assert engine.images(other_tag), "keepLocally keeps it"


@pytest.mark.parametrize(
    ("token", "inputs"),
    [
        (CONTAINER, {**SLEEPER, "image": "registry.invalid/x:1"}),
        (REMOTE_IMAGE, {"name": "registry.invalid/x:1"}),
    ],
)
def test_an_image_that_is_not_available_is_named(docker_plugin: Plugin, token: str, inputs: Values) -> None:
    with pytest.raises(Refused, match=r"registry\.invalid/x:1"):
        docker_plugin.create(token, inputs)


def test_the_life_of_a_network(docker_plugin: Plugin, engine: docker.APIClient) -> None:
    options = {"com.docker.network.bridge.name": "br-plugin"}
    inputs = {"name": "plugin-net", "driver": "bridge", "ipamConfigs": [POOL], "options": options}
    made, outputs = docker_plugin.create(NETWORK, inputs)
    real = engine.inspect_network(made)
    assert real["IPAM"]["Config"] == [{"Subnet": POOL["subnet"], "Gateway": POOL["gateway"]}]
    assert real["Options"] == options
    for state in (outputs, docker_plugin.read(NETWORK, made, outputs)[1]):
        assert docker_plugin.diff(NETWORK, state, inputs).paths == {}
    changes = {
        "name": "x",
        "driver": "macvlan",
        "internal": True,
        "options": {"com.docker.network.bridge.name": "br-x"},
        "ipamConfigs": [{**POOL, "gateway": "172.30.78.2"}],
    }
    for name, value in changes.items():
        diff = docker_plugin.diff(NETWORK, outputs, {**inputs, name: value})
        assert (diff.replaces, diff.delete_first) == ((name,), True)
    docker_plugin.delete(NETWORK, made, outputs)
    assert docker_plugin.read(NETWORK, made, outputs)[0] == ""
    docker_plugin.delete(NETWORK, made, outputs)


def test_the_life_of_a_volume(docker_plugin: Plugin) -> None:
    inputs = {"name": "plugin-vol"}
    made, outputs = docker_plugin.create(VOLUME, inputs)
    assert made == "plugin-vol"
    for state in (outputs, docker_plugin.read(VOLUME, made, outputs)[1]):
        assert docker_plugin.diff(VOLUME, state, inputs).paths == {}
    for name, value in {"name": "x", "labels": [{"label": "a", "value": "1"}]}.items():
        diff = docker_plugin.diff(VOLUME, outputs, {**inputs, name: value})
        assert (diff.replaces, diff.delete_first) == ((name,), True)
    docker_plugin.delete(VOLUME, made, outputs)
    assert docker_plugin.read(VOLUME, made, outputs)[0] == ""
    docker_plugin.delete(VOLUME, made, outputs)
