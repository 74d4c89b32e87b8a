"""The fake plugin starts quickly, loads only what it needs, and reports errors clearly."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path

from local.paths import ROOT, STAND_IN_PLUGINS
from rig.emulator import Emulator
from tests.plugins.client import running_plugin

# The calls of a preview without changes; prints the packages that they loaded.
QUIET = """
import sys
sys.path.insert(0, {root!r})
from rig.plugins.protos import provider_pb2 as pb
from rig.plugins.server import Server
from rig.plugins.values import to_struct
from rig.plugins.aws_things.provider import AwsProvider
inputs = {{"cidrBlock": "10.0.0.0/16"}}
config = {{"region": "r", "endpoints": '[{{"sts": "{url}"}}]'}}
server, urn = Server(AwsProvider()), "urn:pulumi:s::p::aws:ec2/vpc:Vpc::x"
server.GetPluginInfo(None, None)
server.CheckConfig(pb.CheckRequest(urn=urn, news=to_struct(config)), None)
server.Configure(pb.ConfigureRequest(args=to_struct(config)), None)
news = to_struct(inputs)
server.Check(pb.CheckRequest(urn=urn, news=news), None)
server.Diff(pb.DiffRequest(urn=urn, olds=news, news=news), None)
asked = pb.InvokeRequest(tok="aws:index/getCallerIdentity:getCallerIdentity", args=to_struct({{}}))
assert "123456789012" in str(server.Invoke(asked, None))
print(" ".join(sorted({{name.split(".")[0] for name in sys.modules}})))
"""


def test_a_preview_without_changes_loads_no_sdk(emulator: Emulator) -> None:
    script = QUIET.format(root=str(ROOT), url=emulator.url)
    command = [sys.executable, "-I", "-c", script]
    loaded = subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()
    assert "grpc" in loaded
    assert not {"boto3", "botocore", "requests", "pulumi"} & set(loaded)


def test_the_plugin_ends_with_the_engine() -> None:
    """Killed engines leave no plugin behind."""
    starter = (
        "import subprocess, sys\n"
        f"plugin = subprocess.Popen([{str(STAND_IN_PLUGINS / 'pulumi-resource-aws')!r}],"
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


def test_the_schema_names_what_there_is() -> None:
    from rig.plugins.protos import provider_pb2

    with running_plugin("aws") as plugin:
        schema = json.loads(plugin.stub.GetSchema(provider_pb2.GetSchemaRequest()).schema)
    assert schema["name"] == "aws"
    assert "aws:ecs/taskDefinition:TaskDefinition" in schema["resources"]
    assert all(token.startswith("aws:") for token in schema["resources"])
