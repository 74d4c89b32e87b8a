"""EC2 instances that start and really run their user data, which the emulator lacks.

The script's programs are fakes: `aws` calls the emulator, `curl` is the metadata service, and `systemctl`
does what fck-nat's service does with its configuration.
"""

from __future__ import annotations

import base64
import itertools
import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from rig.emulator import Emulator
from tests.aws.nat import address_of, own_interface

LOOK_SECONDS = 0.2
BOOT_SECONDS = 120
_CONF = "/etc/fck-nat.conf"
# Small, since a start runs a dozen of them: the test's process does their work.
_PROGRAM = """\
#!{python} -IS
import json, sys, urllib.request
asked = json.dumps([{name!r}, {instance!r}, sys.argv[1:]]).encode()
with urllib.request.urlopen({url!r}, asked) as answer:
    code, text = json.load(answer)
sys.stdout.write(text)
sys.exit(code)
"""


class _Programs(ThreadingHTTPServer):
    """Does the work of an instance's programs."""

    def __init__(self, emulator: Emulator, folder: Path) -> None:
        super().__init__(("127.0.0.1", 0), _Calling)
        self._ec2, self._scaling = emulator.client("ec2"), emulator.client("autoscaling")
        self._folder = folder

    def play(self, name: str, instance: str, words: list[str]) -> tuple[int, str]:
        """One call of a program on an instance: its exit code and its output."""
        given = dict(itertools.pairwise(words))
        if name == "curl":
            return 0, _metadata(self._ec2, instance, words[-1])
        if words[:2] == ["ec2", "associate-address"]:
            self._ec2.associate_address(
                AllocationId=given["--allocation-id"],
                NetworkInterfaceId=given["--network-interface-id"],
                AllowReassociation="--allow-reassociation" in words,
            )
            return 0, ""
        if words == ["restart", "fck-nat"]:
            conf = (self._folder / instance / "fck-nat.conf").read_text()
            self._ec2.attach_network_interface(
                NetworkInterfaceId=conf.strip().removeprefix("eni_id="), InstanceId=instance, DeviceIndex=1
            )
            return 0, ""
        assert words[:2] == ["autoscaling", "complete-lifecycle-action"], words
        groups = self._scaling.describe_auto_scaling_groups(
            AutoScalingGroupNames=[given["--auto-scaling-group-name"]]
        )["AutoScalingGroups"]
        return 0 if groups and given["--instance-id"] == instance else 255, ""


class _Calling(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        assert isinstance(self.server, _Programs)
        asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        content = json.dumps(self.server.play(*asked)).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002  http.server's name
        """Log nothing."""


def _metadata(ec2: Any, instance: str, url: str) -> str:
    path = url.partition("/latest/")[2]
    own = own_interface(ec2, instance)
    answers = {
        "api/token": "TOKEN",
        "meta-data/instance-id": instance,
        "meta-data/mac": "0a:00:00:00:00:01",
        "meta-data/network/interfaces/macs/0a:00:00:00:00:01/interface-id": own,
    }
    return address_of(ec2, own) if path == "meta-data/public-ipv4" else answers[path]


class Instances:
    """The instances of every Auto Scaling group, each started once."""

    def __init__(self, emulator: Emulator, folder: Path) -> None:
        self._folder, self._programs = folder, _Programs(emulator, folder)
        self._ec2, self._scaling = emulator.client("ec2"), emulator.client("autoscaling")
        self._stopped = threading.Event()
        # The started instances, in order.
        self.started: list[str] = []
        self._broken: Exception | None = None

    @contextmanager
    def starting(self) -> Iterator[None]:
        """Start the instances that are launched during the block."""
        looking, answering = (
            threading.Thread(target=one) for one in (self._look, self._programs.serve_forever)
        )
        looking.start()
        answering.start()
        try:
            yield
        finally:
            self._stopped.set()
            looking.join()
            self._programs.shutdown()
            answering.join()
            self._programs.server_close()
        if self._broken is not None:
            raise self._broken

    def replace(self) -> None:
        """Let the instance fail: its Auto Scaling group launches another."""
        self._scaling.terminate_instance_in_auto_scaling_group(
            InstanceId=self.started[-1], ShouldDecrementDesiredCapacity=False
        )

    def _look(self) -> None:
        try:
            while not self._stopped.wait(LOOK_SECONDS):
                for group in self._scaling.describe_auto_scaling_groups()["AutoScalingGroups"]:
                    for one in group["Instances"]:
                        if one["InstanceId"] not in self.started:
                            self._start(one["InstanceId"], group["LaunchTemplate"])
        except Exception as error:
            self._broken = error

    def _start(self, instance: str, template: dict[str, str]) -> None:
        [version] = self._ec2.describe_launch_template_versions(
            LaunchTemplateId=template["LaunchTemplateId"], Versions=["$Latest"]
        )["LaunchTemplateVersions"]
        script = base64.b64decode(version["LaunchTemplateData"]["UserData"]).decode()
        folder = self._folder / instance
        folder.mkdir()
        for name in ("aws", "curl", "systemctl"):
            url = f"http://127.0.0.1:{self._programs.server_port}"
            program = _PROGRAM.format(python=sys.executable, name=name, instance=instance, url=url)
            (folder / name).write_text(program)
            (folder / name).chmod(0o755)
        subprocess.run(
            ["sh", "-c", script.replace(_CONF, str(folder / "fck-nat.conf"))],
            env={**os.environ, "PATH": f"{folder}:{os.environ['PATH']}"},
            check=True,
            timeout=BOOT_SECONDS,
        )
        self.started.append(instance)
