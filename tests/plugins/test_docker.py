"""The docker stand-in, call by call, with a real Docker Engine behind it."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import docker
import pytest

from tests.plugins.client import Plugin, Refused, half_made
from tests.plugins.conftest import IMAGE
from toolchain.plugins.values import UNKNOWN, Secret

pytestmark = pytest.mark.docker

Values = dict[str, Any]

CONTAINER = "docker:index/container:Container"
REMOTE_IMAGE = "docker:index/remoteImage:RemoteImage"
NETWORK = "docker:index/network:Network"
VOLUME = "docker:index/volume:Volume"

SLEEPER: Values = {"image": IMAGE, "command": ["/bin/sleep", "600"], "name": "plugin-test"}


def everything(network: str, volume: str) -> Values:
    """A container with every kind of input."""
    return {
        **SLEEPER,
        "hostname": "sleeper",
        "user": "1000:1000",
        "workingDir": "/tmp",
        "restart": "unless-stopped",
        "envs": ["B=2", "A=1"],
        "labels": [{"label": "b", "value": "2"}, {"label": "a", "value": "1"}],
        "networksAdvanced": [{"name": network, "ipv4Address": "172.30.78.9", "aliases": ["zz"]}],
        "hosts": [{"host": "loki", "ip": "172.30.78.10"}],
        "volumes": [
            {"volumeName": volume, "containerPath": "/data", "readOnly": True},
            {"hostPath": "/etc", "containerPath": "/host-etc", "readOnly": True},
        ],
        "ports": [
            {"internal": 8082, "external": 18082, "ip": "127.0.0.1", "protocol": "udp"},
            {"internal": 8081, "external": 18081, "ip": "127.0.0.1"},
        ],
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
        "init": False,
        "stopTimeout": 3,
        "destroyGraceSeconds": 1,
    }


@pytest.fixture
def network(docker_plugin: Plugin) -> str:
    pool = {"subnet": "172.30.78.0/24", "gateway": "172.30.78.1"}
    inputs = {"name": "plugin-net", "driver": "bridge", "ipamConfigs": [pool]}
    return docker_plugin.create(NETWORK, inputs)[1]["name"]


@pytest.fixture
def volume(docker_plugin: Plugin) -> str:
    return docker_plugin.create(VOLUME, {"name": "plugin-vol"})[0]


@pytest.fixture
def sleeper(docker_plugin: Plugin) -> tuple[str, Values]:
    return docker_plugin.create(CONTAINER, SLEEPER)


@pytest.fixture
def other_tag(engine: docker.APIClient) -> Iterator[str]:
    """The tiny image under another name, which is gone afterwards."""
    engine.tag(IMAGE, "plugin-test-copy", "v1")
    yield "plugin-test-copy:v1"
    if engine.images("plugin-test-copy"):
        engine.remove_image("plugin-test-copy:v1", force=True)


def test_the_life_of_a_container(
    docker_plugin: Plugin, engine: docker.APIClient, network: str, volume: str
) -> None:
    inputs = everything(network, volume)
    made, outputs = docker_plugin.create(CONTAINER, inputs)
    assert docker_plugin.diff(CONTAINER, outputs, inputs).paths == {}
    again, seen, program = docker_plugin.read(CONTAINER, made, outputs)
    assert (again, seen) == (made, outputs)
    assert program.keys() == outputs.keys()
    assert docker_plugin.diff(CONTAINER, seen, inputs).paths == {}

    real = engine.inspect_container(made)
    host = real["HostConfig"]
    assert real["Name"] == "/plugin-test"
    assert real["State"]["Running"]
    assert set(real["Config"]["Env"]) >= {"A=1", "B=2"}
    assert real["Config"]["Labels"] == {"a": "1", "b": "2"}
    assert real["Config"]["User"] == "1000:1000"
    assert real["Config"]["Healthcheck"]["Interval"] == 90 * 10**9
    assert real["Config"]["StopTimeout"] == 3
    assert list(real["NetworkSettings"]["Networks"]) == [network]
    assert real["NetworkSettings"]["Networks"][network]["IPAddress"] == "172.30.78.9"
    assert "zz" in real["NetworkSettings"]["Networks"][network]["Aliases"]
    assert set(host["Binds"]) == {f"{volume}:/data:ro", "/etc:/host-etc:ro"}
    assert host["PortBindings"] == {
        "8081/tcp": [{"HostIp": "127.0.0.1", "HostPort": "18081"}],
        "8082/udp": [{"HostIp": "127.0.0.1", "HostPort": "18082"}],
    }
    assert host["ExtraHosts"] == ["loki:172.30.78.10"]
    assert (host["CapDrop"], set(host["CapAdd"])) == (["ALL"], {"CAP_NET_BIND_SERVICE", "CAP_CHOWN"})
    assert host["SecurityOpt"] == ["no-new-privileges:true"]
    assert host["ReadonlyRootfs"]
    assert host["Tmpfs"] == {"/tmp": "size=1m"}
    assert host["LogConfig"] == {"Type": "json-file", "Config": {"max-size": "1m", "max-file": "2"}}
    assert host["RestartPolicy"]["Name"] == "unless-stopped"
    assert host["Memory"] == 64 * 1024 * 1024

    docker_plugin.delete(CONTAINER, made, outputs)
    assert docker_plugin.read(CONTAINER, made, outputs)[0] == ""
    docker_plugin.delete(CONTAINER, made, outputs)


def test_a_shuffled_container_is_the_same(docker_plugin: Plugin, network: str, volume: str) -> None:
    inputs = everything(network, volume)
    _, outputs = docker_plugin.create(CONTAINER, inputs)
    shuffled = {
        key: value[::-1] if isinstance(value, list) and key != "command" else value
        for key, value in inputs.items()
    }
    assert docker_plugin.diff(CONTAINER, outputs, shuffled).paths == {}


def test_what_is_changed_in_place(
    docker_plugin: Plugin, engine: docker.APIClient, sleeper: tuple[str, Values]
) -> None:
    made, outputs = sleeper
    after = {**SLEEPER, "restart": "always", "memory": 96, "memorySwap": 96, "cpuShares": 256}
    diff = docker_plugin.diff(CONTAINER, outputs, after)
    assert set(diff.paths) == {"restart", "memory", "memorySwap", "cpuShares"}
    assert diff.replaces == ()
    outputs = docker_plugin.update(CONTAINER, made, outputs, after)
    host = engine.inspect_container(made)["HostConfig"]
    assert host["RestartPolicy"]["Name"] == "always"
    assert (host["Memory"], host["CpuShares"]) == (96 * 1024 * 1024, 256)
    assert docker_plugin.diff(CONTAINER, outputs, after).paths == {}
    assert docker_plugin.read(CONTAINER, made, outputs)[1]["restart"] == "always"


def test_memory_without_memory_swap_fails(docker_plugin: Plugin) -> None:
    inputs = {**SLEEPER, "memory": 64, "memorySwap": 64}
    made, outputs = docker_plugin.create(CONTAINER, inputs)
    with pytest.raises(Refused, match=r"Unable to update a container: .*memoryswap"):
        docker_plugin.update(CONTAINER, made, outputs, {**SLEEPER, "memory": 128, "memorySwap": 64})


def test_a_healthcheck_alone_is_an_update_that_reaches_nobody(
    docker_plugin: Plugin, engine: docker.APIClient, sleeper: tuple[str, Values]
) -> None:
    made, outputs = sleeper
    after = {**SLEEPER, "healthcheck": {"tests": ["CMD", "/bin/true"]}}
    diff = docker_plugin.diff(CONTAINER, outputs, after)
    assert diff.paths
    assert diff.replaces == ()
    outputs = docker_plugin.update(CONTAINER, made, outputs, after)
    assert "Healthcheck" not in engine.inspect_container(made)["Config"]
    assert docker_plugin.diff(CONTAINER, outputs, after).paths == {}


def test_a_replacement_deletes_first(docker_plugin: Plugin, sleeper: tuple[str, Values]) -> None:
    diff = docker_plugin.diff(CONTAINER, sleeper[1], {**SLEEPER, "envs": ["A=1"]})
    assert (diff.replaces, diff.delete_first) == (("envs",), True)
    assert diff.paths == {"envs": "ADD_REPLACE"}


def test_a_stopped_container_is_started_by_an_update(
    docker_plugin: Plugin, engine: docker.APIClient, sleeper: tuple[str, Values]
) -> None:
    made, outputs = sleeper
    engine.stop(made, timeout=0)
    _, stopped, _ = docker_plugin.read(CONTAINER, made, outputs)
    assert stopped["mustRun"] is False
    diff = docker_plugin.diff(CONTAINER, stopped, SLEEPER)
    assert (diff.paths, diff.replaces) == ({"mustRun": "UPDATE"}, ())
    outputs = docker_plugin.update(CONTAINER, made, stopped, SLEEPER)
    assert outputs["mustRun"] is True
    assert engine.inspect_container(made)["State"]["Running"]


def test_a_container_that_cannot_start_is_remembered(docker_plugin: Plugin, engine: docker.APIClient) -> None:
    inputs = {**SLEEPER, "command": ["/no/such/program"], "envs": Secret(["A=hunter2"])}
    with pytest.raises(Refused, match="Unable to start container") as error:
        docker_plugin.create(CONTAINER, inputs)
    half = half_made(error.value)
    assert half is not None
    assert engine.inspect_container(half[0])["State"]["Status"] == "created"
    assert half[1]["envs"] == Secret(["A=hunter2"])


def test_waiting_for_health(docker_plugin: Plugin) -> None:
    check = {"tests": ["CMD", "/bin/true"], "interval": "1s", "startPeriod": "0s"}
    inputs = {**SLEEPER, "wait": True, "waitTimeout": 30, "healthcheck": check}
    began = time.monotonic()
    docker_plugin.create(CONTAINER, inputs)
    assert time.monotonic() - began >= 1

    with pytest.raises(Refused, match="does not have a healthcheck defined"):
        docker_plugin.create(CONTAINER, {**SLEEPER, "name": "plugin-test-2", "wait": True})
    never = {**check, "tests": ["CMD", "/bin/no"]}
    with pytest.raises(Refused, match="container failed to be in healthy state"):
        docker_plugin.create(
            CONTAINER, {**inputs, "name": "plugin-test-3", "waitTimeout": 2, "healthcheck": never}
        )


def test_files_are_uploaded(docker_plugin: Plugin, engine: docker.APIClient) -> None:
    upload = {"file": "/tmp-file", "content": "hello", "permissions": "0600"}
    made, outputs = docker_plugin.create(CONTAINER, {**SLEEPER, "uploads": [upload]})
    _, stat = engine.get_archive(made, "/tmp-file")
    assert (stat["size"], stat["mode"] & 0o777) == (5, 0o600)
    changed = {**SLEEPER, "uploads": [{**upload, "content": "bye"}]}
    assert docker_plugin.diff(CONTAINER, outputs, changed).replaces == ("uploads",)


def test_secrets_stay_secret(docker_plugin: Plugin) -> None:
    inputs = {**SLEEPER, "envs": Secret(["PASSWORD=hunter2"])}
    made, outputs = docker_plugin.create(CONTAINER, inputs)
    assert outputs["envs"] == Secret(["PASSWORD=hunter2"])
    assert docker_plugin.diff(CONTAINER, outputs, inputs).paths == {}
    assert isinstance(docker_plugin.read(CONTAINER, made, outputs)[1]["envs"], Secret)
    updated = docker_plugin.update(CONTAINER, made, outputs, {**inputs, "restart": "always"})
    assert isinstance(updated["envs"], Secret)


def test_a_container_is_imported(
    docker_plugin: Plugin, network: str, volume: str, engine: docker.APIClient
) -> None:
    made, _ = docker_plugin.create(CONTAINER, everything(network, volume))
    found, outputs, program = docker_plugin.read(CONTAINER, made)
    assert found == made
    assert outputs["capabilities"]["drops"] == ["ALL"]
    assert docker_plugin.failures(CONTAINER, program) == {}
    # As with the real plugin, what it doesn't read back isn't imported.
    assert not {"envs", "labels", "volumes", "networksAdvanced"} & outputs.keys()


def test_a_missing_image_is_named(docker_plugin: Plugin) -> None:
    with pytest.raises(Refused, match=r"Unable to create container with image no-such-image.invalid/x:1"):
        docker_plugin.create(CONTAINER, {**SLEEPER, "image": "no-such-image.invalid/x:1"})


def test_names_are_made_up(docker_plugin: Plugin) -> None:
    for token, inputs in ((CONTAINER, {"image": IMAGE}), (NETWORK, {}), (VOLUME, {})):
        name = docker_plugin.check(token, inputs)["name"]
        assert name.startswith("thing-")
        assert len(name) == len("thing-") + 7


def test_a_preview_knows_the_inputs_and_nothing_more(docker_plugin: Plugin) -> None:
    made, outputs = docker_plugin.create(CONTAINER, {**SLEEPER, "image": UNKNOWN}, preview=True)
    assert made == ""
    assert (outputs["image"], outputs["networkDatas"]) == (UNKNOWN, UNKNOWN)
    assert outputs["name"] == "plugin-test"
    made, outputs = docker_plugin.create(REMOTE_IMAGE, {"name": IMAGE}, preview=True)
    assert outputs["imageId"] is UNKNOWN


def test_the_life_of_an_image(docker_plugin: Plugin, engine: docker.APIClient, other_tag: str) -> None:
    inputs = {"name": other_tag, "keepLocally": True}
    made, outputs = docker_plugin.create(REMOTE_IMAGE, inputs)
    identity = engine.inspect_image(IMAGE)["Id"]
    assert (made, outputs["imageId"], outputs["repoDigest"]) == (identity + other_tag, identity, "")
    assert docker_plugin.diff(REMOTE_IMAGE, outputs, inputs).paths == {}
    assert docker_plugin.read(REMOTE_IMAGE, made, outputs)[:2] == (made, outputs)

    after = {"name": other_tag}
    assert docker_plugin.diff(REMOTE_IMAGE, outputs, after).paths == {"keepLocally": "DELETE"}
    assert docker_plugin.diff(REMOTE_IMAGE, outputs, {"name": IMAGE}).replaces == ("name",)
    docker_plugin.delete(REMOTE_IMAGE, made, outputs)
    assert engine.images(other_tag), "keepLocally keeps it"
    outputs = docker_plugin.update(REMOTE_IMAGE, made, outputs, after)
    docker_plugin.delete(REMOTE_IMAGE, made, outputs)
    assert not engine.images(other_tag)
    assert docker_plugin.read(REMOTE_IMAGE, made, outputs)[0] == ""
    docker_plugin.delete(REMOTE_IMAGE, made, outputs)


def test_an_image_is_neither_guessed_nor_imported(docker_plugin: Plugin) -> None:
    with pytest.raises(Refused, match=r"unable to pull image no-such-image.invalid/x:1"):
        docker_plugin.create(REMOTE_IMAGE, {"name": "no-such-image.invalid/x:1"})
    with pytest.raises(Refused, match="can't be imported"):
        docker_plugin.read(REMOTE_IMAGE, IMAGE)


def test_the_life_of_a_network(docker_plugin: Plugin, engine: docker.APIClient) -> None:
    pool = {"subnet": "172.30.79.0/24", "gateway": "172.30.79.1"}
    inputs = {
        "name": "plugin-net-2",
        "driver": "bridge",
        "ipamConfigs": [pool],
        "internal": True,
        "options": {"com.docker.network.bridge.name": "br-plugin"},
    }
    made, outputs = docker_plugin.create(NETWORK, inputs)
    assert outputs["scope"] == "local"
    assert engine.inspect_network(made)["IPAM"]["Config"] == [
        {"Subnet": "172.30.79.0/24", "Gateway": "172.30.79.1"}
    ]
    assert docker_plugin.diff(NETWORK, outputs, inputs).paths == {}
    assert docker_plugin.read(NETWORK, made, outputs)[:2] == (made, outputs)
    _, seen, program = docker_plugin.read(NETWORK, made)
    assert docker_plugin.diff(NETWORK, seen, program).paths == {}

    for name, value in (
        ("name", "x"),
        ("driver", "macvlan"),
        ("internal", False),
        ("options", {"com.docker.network.bridge.name": "br-x"}),
        ("ipamConfigs", [{**pool, "gateway": "172.30.79.2"}]),
    ):
        diff = docker_plugin.diff(NETWORK, outputs, {**inputs, name: value})
        assert (diff.replaces, diff.delete_first) == ((name,), name != "name")

    docker_plugin.delete(NETWORK, made, outputs)
    assert docker_plugin.read(NETWORK, made, outputs)[0] == ""
    docker_plugin.delete(NETWORK, made, outputs)


def test_the_life_of_a_volume(docker_plugin: Plugin) -> None:
    inputs = {"name": "plugin-vol-2"}
    made, outputs = docker_plugin.create(VOLUME, inputs)
    assert (made, outputs["driver"]) == ("plugin-vol-2", "local")
    assert outputs["mountpoint"].endswith("/plugin-vol-2/_data")
    assert docker_plugin.diff(VOLUME, outputs, inputs).paths == {}
    assert docker_plugin.read(VOLUME, made, outputs)[:2] == (made, outputs)
    _, seen, program = docker_plugin.read(VOLUME, made)
    assert docker_plugin.diff(VOLUME, seen, program).paths == {}
    for name, value in (("name", "x"), ("labels", [{"label": "a", "value": "1"}])):
        assert docker_plugin.diff(VOLUME, outputs, {**inputs, name: value}).replaces == (name,)
    docker_plugin.delete(VOLUME, made, outputs)
    assert docker_plugin.read(VOLUME, made, outputs)[0] == ""
    docker_plugin.delete(VOLUME, made, outputs)


def test_what_does_not_exist_is_refused(docker_plugin: Plugin) -> None:
    with pytest.raises(Refused, match="docker:index/service:Service"):
        docker_plugin.check("docker:index/service:Service", {})
    assert list(docker_plugin.failures(VOLUME, {"colour": "red"})) == ["colour"]
    assert list(docker_plugin.failures(CONTAINER, {**SLEEPER, "volumes": [{"volumeName": "a"}]})) == [
        "volumes[0]"
    ]
