"""How a stand-in starts: quickly, with nothing that it doesn't need, and with clear words."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
import time
from pathlib import Path
from threading import Thread

import pytest

from tests.plugins.client import Refused, running_plugin
from toolchain.paths import ROOT, STAND_IN_PLUGINS

# What a preview without changes asks of a plugin; says which packages that loaded.
QUIET = """
import sys
sys.path.insert(0, {root!r})
from toolchain.plugins.protos import provider_pb2 as pb
from toolchain.plugins.server import Server
from toolchain.plugins.values import to_struct
if {name!r} == "aws":
    from toolchain.plugins.aws_things.provider import AwsProvider as Provider
    token, inputs = "aws:ec2/vpc:Vpc", {{"cidrBlock": "10.0.0.0/16"}}
    config = {{"region": "r", "endpoints": '[{{"ec2": "http://127.0.0.1:1"}}]'}}
else:
    from toolchain.plugins.docker_things.provider import DockerProvider as Provider
    token, inputs = "docker:index/container:Container", {{"name": "a", "image": "b"}}
    config = {{"host": {host!r}}}
server, urn = Server(Provider()), "urn:pulumi:s::p::" + token + "::x"
server.GetPluginInfo(None, None)
server.CheckConfig(pb.CheckRequest(urn=urn, news=to_struct(config)), None)
server.Configure(pb.ConfigureRequest(args=to_struct(config)), None)
news = to_struct(inputs)
server.Check(pb.CheckRequest(urn=urn, news=news), None)
server.Diff(pb.DiffRequest(urn=urn, olds=news, news=news), None)
print(" ".join(sorted({{name.split(".")[0] for name in sys.modules}})))
"""


@pytest.fixture
def pinged(tmp_path: Path) -> str:
    """The address of something that answers pings as a Docker Engine does."""
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(str(tmp_path / "docker.sock"))
    listener.listen()

    def answer() -> None:
        connection, _ = listener.accept()
        with connection, listener:
            connection.recv(1024)
            connection.sendall(b"HTTP/1.0 200 OK\r\n\r\nOK")

    Thread(target=answer, daemon=True).start()
    return f"unix://{tmp_path}/docker.sock"


@pytest.mark.parametrize("name", ["docker", "aws"])
def test_a_preview_without_changes_loads_no_sdk(name: str, pinged: str) -> None:
    script = QUIET.format(root=str(ROOT), name=name, host=pinged)
    command = [sys.executable, "-I", "-c", script]
    loaded = subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()
    assert "grpc" in loaded
    assert not {"docker", "boto3", "botocore", "requests", "pulumi"} & set(loaded)


@pytest.mark.parametrize("name", ["docker", "aws"])
def test_the_plugin_ends_with_the_engine(name: str) -> None:
    """Killed engines leave no plugin behind."""
    starter = (
        "import subprocess, sys\n"
        f"plugin = subprocess.Popen([{str(STAND_IN_PLUGINS / f'pulumi-resource-{name}')!r}],"
        " stdout=subprocess.PIPE)\n"
        "plugin.stdout.readline()\n"
        "print(plugin.pid)\n"
    )
    done = subprocess.run([sys.executable, "-c", starter], capture_output=True, text=True, check=True)
    folder = Path("/proc") / done.stdout.strip()
    deadline = time.monotonic() + 30
    while folder.exists() and "Z" not in (folder / "stat").read_text().split()[2]:
        assert time.monotonic() < deadline, "the plugin outlived the engine"
        time.sleep(0.1)


@pytest.mark.parametrize("name", ["docker", "aws"])
def test_the_schema_names_what_there_is(name: str) -> None:
    from toolchain.plugins.protos import provider_pb2

    with running_plugin(name) as plugin:
        schema = json.loads(plugin.stub.GetSchema(provider_pb2.GetSchemaRequest()).schema)
    assert schema["name"] == name
    known = {"docker": "docker:index/container:Container", "aws": "aws:ecs/taskDefinition:TaskDefinition"}
    assert known[name] in schema["resources"]
    assert all(token.startswith(f"{name}:") for token in schema["resources"])


@pytest.mark.parametrize("host", ["unix:///nowhere/docker.sock", "tcp://127.0.0.1:1", "nonsense"])
def test_without_a_docker_engine_configure_fails_as_the_real_plugin_does(host: str) -> None:
    with (
        running_plugin("docker") as plugin,
        pytest.raises(Refused, match=r"^failed to connect to any docker daemon$"),
    ):
        plugin.configure({"host": host})


def test_a_preview_of_a_remote_host_needs_no_host() -> None:
    with running_plugin("docker") as plugin:
        plugin.configure({"host": "ssh://nobody@campus.invalid", "sshOpts": '["-i", "key"]'})
        token, inputs = "docker:index/volume:Volume", {"name": "a"}
        assert plugin.create(token, inputs, preview=True)[1]["name"] == "a"
        with pytest.raises(Refused, match="works on no remote host"):
            plugin.create(token, inputs)


@pytest.mark.parametrize("name", ["registryAuth", "context", "certPath"])
def test_unsupported_settings_are_refused(name: str) -> None:
    with running_plugin("docker") as plugin:
        assert list(plugin.check_config({"host": "unix:///x", name: "x"})) == [name]
