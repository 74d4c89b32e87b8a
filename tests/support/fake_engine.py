"""A fake of Pulumi's engine: a component's registrations, without providers."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any
from unittest.mock import patch

import pulumi
from pulumi.runtime import mocks, resource
from pulumi.runtime.proto import source_pb2

from components.stack.campus_server import CampusServer, CampusServerArgs
from components.stack.settings import parse
from tests.support.settings import TREE

ACCOUNT = "123456789012"
CONTAINER = "docker:index/container:Container"


@dataclass
class Engine(mocks.Mocks):
    """Records registrations, and gives every resource an id."""

    made: dict[str, mocks.MockResourceArgs] = field(default_factory=dict)
    # By the first word of their names: a component's own children.
    registered: dict[str, list[mocks.MockResourceArgs]] = field(default_factory=lambda: defaultdict(list))

    def new_resource(self, args: mocks.MockResourceArgs) -> tuple[str | None, dict[str, Any]]:
        self.made[args.name] = args
        if not args.typ.startswith(("campus-monitor:", "pulumi:")):
            self.registered[args.name.split("-")[0]].append(args)
        outputs = {"arn": f"arn:{args.name}", **args.inputs}
        if "imageId" not in outputs:
            outputs["imageId"] = f"sha256:{args.name}"
        # A dynamic resource's outputs; its inputs have the names already.
        outputs |= {"bcrypt_hash": "$2b$14$hash", "value": "generated", "content_sha256": "0" * 64}
        return f"{args.name}-id", outputs

    def call(self, args: mocks.MockCallArgs) -> tuple[dict[Any, Any], list[tuple[str, str]]]:
        return {"accountId": ACCOUNT} if "getCallerIdentity" in args.token else {}, []

    def containers(self) -> dict[str, dict[str, Any]]:
        """The containers' inputs by physical name."""
        found = [one.inputs for one in self.made.values() if one.typ == CONTAINER]
        return {one["name"]: one for one in found}


@contextmanager
def running_engine(
    engine: Engine | None = None, stack: str = "test", monitor: mocks.MockMonitor | None = None
) -> Iterator[Engine]:
    """Pulumi's runtime on the fake during the block; `monitor` sees each registration."""
    asyncio.set_event_loop(asyncio.new_event_loop())
    engine = engine or Engine()
    mocks.set_mocks(engine, project="campus-monitor", stack=stack, monitor=monitor)
    # Pulumi sends a stack trace with each resource: a fifth of the time, and useless to a fake.
    with patch.object(resource, "_get_stack_trace", source_pb2.StackTrace):
        yield engine
    asyncio.get_event_loop().close()


def plain(secret: dict[str, Any]) -> dict[str, Any]:
    """A secret input's value; it must be marked as secret."""
    return secret["value"]


def known(make: Callable[[], pulumi.Output[Any]]) -> Any:
    """The value of an output of some resources."""
    found: list[Any] = []

    @pulumi.runtime.test
    def program() -> pulumi.Output[Any]:
        return make().apply(found.append)

    program()
    return found[0]


def build(**changes: Any) -> CampusServer:
    """The campus server, and one allowed address."""
    made: list[CampusServer] = []

    @pulumi.runtime.test
    def program() -> pulumi.Output[Any]:
        server = CampusServer("campus", CampusServerArgs(settings=parse(TREE | changes)))
        server.allow_address("nat-0", pulumi.Output.from_input("203.0.113.7"))
        made.append(server)
        return pulumi.Output.all(
            server.edge.container_id,
            server.caddy_config_sha256(["203.0.113.7"]),
            server.port_policy_rows,
            server.shipper_credentials,
        )

    program()
    return made[0]
