"""An S3 (moto's) on a machine of the campus: a process in the world's namespace."""

from __future__ import annotations

import logging
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import boto3
from moto.server import ThreadedMotoServer

from rig.namespaces import CAMPUS_CLIENT, Namespace
from rig.processes import die_with_parent
from rig.rig import Rig
from rig.stack import ROOT

PORT = 9000
BUCKET = "loki-lines"
REGION = "us-east-1"
ACCESS_KEY_ID = "emulated"
SECRET_ACCESS_KEY = "emulated-secret-key"


@dataclass(frozen=True)
class ObjectStore:
    """A running store with one empty bucket."""

    world: Namespace
    process: subprocess.Popen[str]

    @property
    def settings(self) -> dict[str, Any]:
        """The bucket in a Loki's settings."""
        return {
            "bucket": BUCKET,
            "region": REGION,
            "endpoint": f"http://{CAMPUS_CLIENT}:{PORT}",
            "pathStyle": True,
            "accessKeyId": ACCESS_KEY_ID,
            "secretAccessKey": SECRET_ACCESS_KEY,
        }

    def objects(self) -> list[str]:
        """The names of the bucket's objects."""
        asked = self.world.run(sys.executable, "-m", "rig.object_store", "list")
        return asked.stdout.split()


@contextmanager
def running_object_store(rig: Rig) -> Iterator[ObjectStore]:
    """A store for the duration of the block."""
    world = rig.network.world
    process = subprocess.Popen(
        ["nsenter", f"--net={world.path}", sys.executable, "-m", "rig.object_store", "serve"],
        stdout=subprocess.PIPE,
        text=True,
        cwd=ROOT,
        env={**os.environ, **rig.run.mark},
        preexec_fn=die_with_parent,
    )
    try:
        assert process.stdout is not None
        said = process.stdout.readline()
        if said != "ready\n":
            raise RuntimeError(f"the object store ended with {process.wait()}")
        yield ObjectStore(world, process)
    finally:
        process.kill()
        process.wait()


def _client() -> Any:
    return boto3.client(
        "s3",
        region_name=REGION,
        endpoint_url=f"http://{CAMPUS_CLIENT}:{PORT}",
        aws_access_key_id=ACCESS_KEY_ID,
        aws_secret_access_key=SECRET_ACCESS_KEY,
    )


def _serve() -> None:
    # A line per request would bury a failed test's message.
    logging.getLogger("werkzeug").setLevel(logging.WARNING)
    ThreadedMotoServer(ip_address=CAMPUS_CLIENT, port=PORT, verbose=False).start()
    _client().create_bucket(Bucket=BUCKET)
    print("ready", flush=True)
    # The process that started this ends it.
    signal.pause()


def _list() -> None:
    pages = _client().get_paginator("list_objects_v2").paginate(Bucket=BUCKET)
    for page in pages:
        for one in page.get("Contents", []):
            print(one["Key"])


if __name__ == "__main__":
    {"serve": _serve, "list": _list}[sys.argv[1]]()
