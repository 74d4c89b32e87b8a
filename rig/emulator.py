"""The AWS emulator (moto's server) of a test session, on a free loopback port."""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any
from urllib.request import Request, urlopen

import boto3

from local.emulated_aws import made_server

REGION = "ap-northeast-2"


@dataclass(frozen=True)
class Emulator:
    """A running emulator."""

    url: str

    def client(self, service: str, region: str = REGION) -> Any:
        """A client of one AWS service in the emulator."""
        return boto3.client(
            service,  # type: ignore[call-overload]
            region_name=region,
            endpoint_url=self.url,
            aws_access_key_id="emulated",
            aws_secret_access_key="emulated",
        )

    def reset(self) -> None:
        """Forget all its resources."""
        with urlopen(Request(f"{self.url}/moto-api/reset", method="POST"), timeout=30):
            return

    def contents(self) -> dict[str, int]:
        """How many resources of each kind a stack left in it.

        Without its default network, and without task definitions, which are to outlive a stack.
        """
        ec2, iam = self.client("ec2"), self.client("iam")
        own_networks = [{"Name": "is-default", "Values": ["false"]}]
        gateways = [{"Name": "state", "Values": ["pending", "available"]}]
        # Each network has a group named `default`, which is deleted with it.
        groups = [
            one for one in ec2.describe_security_groups()["SecurityGroups"] if one["GroupName"] != "default"
        ]
        return {
            "addresses": len(ec2.describe_addresses()["Addresses"]),
            "vpcs": len(ec2.describe_vpcs(Filters=own_networks)["Vpcs"]),
            "nat gateways": len(ec2.describe_nat_gateways(Filters=gateways)["NatGateways"]),
            "security groups": len(groups),
            "launch templates": len(ec2.describe_launch_templates()["LaunchTemplates"]),
            # The emulator doesn't delete its NAT gateways' interfaces, which have no tags.
            "network interfaces": sum(
                bool(one["TagSet"]) for one in ec2.describe_network_interfaces()["NetworkInterfaces"]
            ),
            "scaling groups": len(
                self.client("autoscaling").describe_auto_scaling_groups()["AutoScalingGroups"]
            ),
            "instance profiles": len(iam.list_instance_profiles()["InstanceProfiles"]),
            "roles": len(iam.list_roles()["Roles"]),
            "log groups": len(self.client("logs").describe_log_groups()["logGroups"]),
            "metric filters": len(self.client("logs").describe_metric_filters()["metricFilters"]),
            "alarms": len(self.client("cloudwatch").describe_alarms()["MetricAlarms"]),
            "parameters": len(self.client("ssm").describe_parameters()["Parameters"]),
        }


@contextmanager
def running_emulator() -> Iterator[Emulator]:
    """An emulator for the duration of the block."""
    # A line per request would bury a failed test's message.
    logging.getLogger("werkzeug").setLevel(logging.WARNING)
    server = made_server("127.0.0.1", 0)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield Emulator(f"http://127.0.0.1:{server.port}")
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
