"""What the emulator leaves out of EC2: an instance that starts, with its user data run for real.

The script's programs are played: `aws` asks the emulator, `curl` is the metadata service, and `systemctl`
does what fck-nat's service does with its configuration.
"""

from __future__ import annotations

import base64
import itertools
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.aws.nat import address_of, own_interface
from tests.rig.emulator import Emulator
from toolchain.paths import ROOT

LOOK_SECONDS = 0.2
BOOT_SECONDS = 120
_CONF = "/etc/fck-nat.conf"
_PROGRAM = """\
#!{python}
import sys
sys.path.insert(0, {root!r})
from tests.aws.nat_instances import play
sys.exit(play({name!r}, {folder!r}, {url!r}, {instance!r}, sys.argv[1:]))
"""


def play(name: str, folder: str, url: str, instance: str, words: list[str]) -> int:
    """One call of a program on an instance; its exit code."""
    emulator = Emulator(url)
    ec2 = emulator.client("ec2")
    given = dict(itertools.pairwise(words))
    if name == "curl":
        sys.stdout.write(_metadata(ec2, instance, words[-1]))
    elif words[:2] == ["ec2", "associate-address"]:
        ec2.associate_address(
            AllocationId=given["--allocation-id"],
            NetworkInterfaceId=given["--network-interface-id"],
            AllowReassociation="--allow-reassociation" in words,
        )
    elif words == ["restart", "fck-nat"]:
        interface = (Path(folder) / "fck-nat.conf").read_text().strip().removeprefix("eni_id=")
        ec2.attach_network_interface(NetworkInterfaceId=interface, InstanceId=instance, DeviceIndex=1)
    elif words[:2] == ["autoscaling", "complete-lifecycle-action"]:
        groups = emulator.client("autoscaling").describe_auto_scaling_groups(
            AutoScalingGroupNames=[given["--auto-scaling-group-name"]]
        )["AutoScalingGroups"]
        return 0 if groups and given["--instance-id"] == instance else 255
    else:
        return 2
    return 0


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
        self._emulator, self._folder = emulator, folder
        self._ec2, self._scaling = emulator.client("ec2"), emulator.client("autoscaling")
        self._stopped = threading.Event()
        # The instances that have started, in that order.
        self.started: list[str] = []
        self._broken: Exception | None = None

    @contextmanager
    def starting(self) -> Iterator[None]:
        """Start what is launched while the block runs."""
        thread = threading.Thread(target=self._look)
        thread.start()
        try:
            yield
        finally:
            self._stopped.set()
            thread.join()
        if self._broken is not None:
            raise self._broken

    def replace(self) -> None:
        """Let the one instance fail, as the Auto Scaling group sees it: another one is launched."""
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
            program = _PROGRAM.format(
                python=sys.executable,
                root=str(ROOT),
                name=name,
                folder=str(folder),
                url=self._emulator.url,
                instance=instance,
            )
            (folder / name).write_text(program)
            (folder / name).chmod(0o755)
        subprocess.run(
            ["sh", "-c", script.replace(_CONF, str(folder / "fck-nat.conf"))],
            env={**os.environ, "PATH": f"{folder}:{os.environ['PATH']}"},
            check=True,
            timeout=BOOT_SECONDS,
        )
        self.started.append(instance)
