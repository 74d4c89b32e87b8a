"""A `pulumi up` that is killed at a chosen message, and the clean-up by docs/operations.md."""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Iterator, Mapping
from typing import Any

from docker.errors import NotFound

from rig.deployment import Deployment
from rig.emulator import Emulator
from rig.processes import kill_and_wait, with_environment
from rig.run import MARK
from rig.stack import Stack

PROGRESS = re.compile(
    r"\S+:\S+ (?P<what>\S+ (?:creat|updat|delet|replac)(?:ing|ed)(?: replacement| original)?)\b"
)


def up(stack: Stack, until: str | None = None) -> list[str]:
    """Run `pulumi up`, and kill it with its children when it prints `until`; its messages."""
    workspace = stack.automation.workspace
    command = ["pulumi", "up", "--yes", "--skip-preview", "--non-interactive", "--color", "never"]
    said: list[str] = []
    with subprocess.Popen(
        [*command, "--stack", stack.name],
        cwd=workspace.work_dir,
        env=os.environ | workspace.env_vars,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    ) as process:
        assert process.stdout is not None
        for line in process.stdout:
            found = PROGRESS.search(line)
            if found is None:
                continue
            said.append(found["what"])
            if said[-1] == until:
                kill_and_wait(with_environment(MARK, workspace.env_vars[MARK]))
    return said


def spread(moments: list[str], number: int) -> list[str]:
    """This number of moments, evenly spread; all of them if there are fewer."""
    if number >= len(moments):
        return moments
    return [moments[(2 * index + 1) * len(moments) // (2 * number)] for index in range(number)]


def clear_up(deployment: Deployment, emulator: Emulator) -> None:
    """Clean up after a kill, by docs/operations.md: the killed Pulumi's lock is still there.

    Resources that aren't in Pulumi's state are deleted, as a person would.
    """
    deployment.stack.run("cancel", "--yes")
    state = deployment.stack.automation.export_stack().deployment or {}
    known = {one["id"] for one in state.get("resources", []) if "id" in one}
    _remove_from_docker(deployment, list(_begun(state)), known)
    _remove_from_aws(emulator, known)


def _begun(state: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """The type and Docker name of each resource that was being created at the kill."""
    for operation in state.get("pending_operations", []):
        made = operation["resource"]
        if operation["type"] == "creating" and made["type"].startswith("docker:"):
            yield made["type"], made["inputs"]["name"]


def _remove_from_docker(deployment: Deployment, begun: list[tuple[str, str]], known: set[str]) -> None:
    client = deployment.rig.engine.client()
    try:
        for type_, name in begun:
            try:
                if type_ == "docker:index/container:Container":
                    container = client.containers.get(name)
                    if container.id not in known:
                        container.remove(force=True)
                elif type_ == "docker:index/network:Network":
                    network = client.networks.get(name)
                    if network.id not in known:
                        network.remove()
            except NotFound:
                continue
    finally:
        client.close()


def _remove_from_aws(emulator: Emulator, known: set[str]) -> None:
    ec2, logs = emulator.client("ec2"), emulator.client("logs")
    gateways = ec2.describe_nat_gateways(Filters=[{"Name": "state", "Values": ["pending", "available"]}])
    for gateway in gateways["NatGateways"]:
        if gateway["NatGatewayId"] not in known:
            ec2.delete_nat_gateway(NatGatewayId=gateway["NatGatewayId"])
            _let_go(ec2, gateway["NatGatewayAddresses"])
    for address in ec2.describe_addresses()["Addresses"]:
        if address["AllocationId"] not in known:
            ec2.release_address(AllocationId=address["AllocationId"])
    for subnet in ec2.describe_subnets(Filters=[{"Name": "default-for-az", "Values": ["false"]}])["Subnets"]:
        if subnet["SubnetId"] not in known:
            ec2.delete_subnet(SubnetId=subnet["SubnetId"])
    for internet in ec2.describe_internet_gateways()["InternetGateways"]:
        if internet["InternetGatewayId"] not in known:
            for attached in internet["Attachments"]:
                ec2.detach_internet_gateway(
                    InternetGatewayId=internet["InternetGatewayId"], VpcId=attached["VpcId"]
                )
            ec2.delete_internet_gateway(InternetGatewayId=internet["InternetGatewayId"])
    for table in ec2.describe_route_tables()["RouteTables"]:
        is_main = any(one["Main"] for one in table["Associations"])
        if not is_main and table["RouteTableId"] not in known:
            ec2.delete_route_table(RouteTableId=table["RouteTableId"])
    for group in logs.describe_log_groups()["logGroups"]:
        if group["logGroupName"] not in known:
            logs.delete_log_group(logGroupName=group["logGroupName"])


def _let_go(ec2: Any, gateway_addresses: list[dict[str, str]]) -> None:
    """Disassociate a deleted gateway from its addresses, as AWS does and the emulator doesn't."""
    ids = [one["AllocationId"] for one in gateway_addresses]
    for address in ec2.describe_addresses(AllocationIds=ids)["Addresses"]:
        if "AssociationId" in address:
            ec2.disassociate_address(AssociationId=address["AssociationId"])
