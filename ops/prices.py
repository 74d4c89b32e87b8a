"""`make prices`: write a region's file of prices from AWS' price list. Needs the virtualenv.

It needs the permission `pricing:GetProducts`; one endpoint knows all regions. If a product's price has
steps, the first step that isn't free counts.
"""

from __future__ import annotations

import argparse
import datetime
import json
import re
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from components.aws.nat_boot import INSTANCE_TYPE
from ops.costs import PRICES

# The region of that endpoint (AWS Billing user guide, "Using the AWS Price List API").
ASKED_AT = "us-east-1"
SOURCE = "AWS Price List API"
# Its products have no region.
ROUTE_53 = "AmazonRoute53"


class PriceError(Exception):
    """A price isn't found. The text is one line that says which, and why."""


@dataclass(frozen=True)
class Wanted:
    """One product: its service, its usage type without the region's short name, and more."""

    service: str
    usage: str
    filters: Mapping[str, str] = field(default_factory=dict)


_NAT = {"productFamily": "NAT Gateway"}
_ON_DEMAND = {
    "tenancy": "Shared",
    "operatingSystem": "Linux",
    "capacitystatus": "Used",
    "preInstalledSw": "NA",
}
WANTED: Mapping[str, Wanted] = {
    "natGatewayHour": Wanted("AmazonEC2", "NatGateway-Hours", _NAT),
    "natGatewayGb": Wanted("AmazonEC2", "NatGateway-Bytes", _NAT),
    "natInstanceHour": Wanted(
        "AmazonEC2", f"BoxUsage:{INSTANCE_TYPE}", {"instanceType": INSTANCE_TYPE, **_ON_DEMAND}
    ),
    "diskGbMonth": Wanted("AmazonEC2", "EBS:VolumeUsage.gp3", {"volumeApiName": "gp3"}),
    "publicIpv4Hour": Wanted("AmazonVPC", "PublicIPv4:InUseAddress"),
    "egressGb": Wanted("AWSDataTransfer", "DataTransfer-Out-Bytes", {"transferType": "AWS Outbound"}),
    "alarmMonth": Wanted("AmazonCloudWatch", "CW:AlarmMonitorUsage"),
    "metricMonth": Wanted("AmazonCloudWatch", "CW:MetricMonitorUsage"),
    "healthCheckMonth": Wanted(ROUTE_53, "Health-Check-Non-AWS"),
    "healthCheckOptionMonth": Wanted(ROUTE_53, "Health-Check-Option-Non-AWS"),
    "logsGb": Wanted("AmazonCloudWatch", "DataProcessing-Bytes"),
    "fargateVcpuHour": Wanted("AmazonECS", "Fargate-vCPU-Hours:perCPU"),
    "fargateGbHour": Wanted("AmazonECS", "Fargate-GB-Hours"),
    "fargateArmVcpuHour": Wanted("AmazonECS", "Fargate-ARM-vCPU-Hours:perCPU"),
    "fargateArmGbHour": Wanted("AmazonECS", "Fargate-ARM-GB-Hours"),
}


def fetched(client: Any, region: str, today: str) -> dict[str, dict[str, Any]]:
    """The region's prices, as its file lists them; `client` is boto3's for `pricing`. Raises PriceError."""
    return {
        name: {"usd": _price(client, region, name, wanted), "source": SOURCE, "date": today}
        for name, wanted in WANTED.items()
    }


def _price(client: Any, region: str, name: str, wanted: Wanted) -> float:
    found = {_first_step(product) for product in _products(client, region, wanted)} - {0.0}
    if len(found) != 1:
        raise PriceError(f"{name}: one price is needed for {wanted.usage} in {region}, found {sorted(found)}")
    return found.pop()


def _products(client: Any, region: str, wanted: Wanted) -> Iterator[dict[str, Any]]:
    place = "fromRegionCode" if wanted.service == "AWSDataTransfer" else "regionCode"
    where = {} if wanted.service == ROUTE_53 else {place: region}
    asked = {**where, **wanted.filters}
    pages = client.get_paginator("get_products").paginate(
        ServiceCode=wanted.service,
        Filters=[{"Type": "TERM_MATCH", "Field": key, "Value": value} for key, value in asked.items()],
    )
    # `NatGateway-Hours` in us-east-1, `APN2-NatGateway-Hours` elsewhere; `Regional…` is another product.
    usage = re.compile(rf"([A-Z]+\d?-)?{re.escape(wanted.usage)}")
    for page in pages:
        for text in page["PriceList"]:
            product = json.loads(text)
            if usage.fullmatch(product["product"]["attributes"].get("usagetype", "")):
                yield product


def _first_step(product: Mapping[str, Any]) -> float:
    steps = [
        step for term in product["terms"]["OnDemand"].values() for step in term["priceDimensions"].values()
    ]
    # The first step may be free.
    paid = [step for step in steps if float(step["pricePerUnit"]["USD"])]
    first = min(paid, key=lambda step: float(step.get("beginRange", 0)), default=None)
    return 0.0 if first is None else float(first["pricePerUnit"]["USD"])


def written(prices: Mapping[str, Mapping[str, Any]]) -> str:
    """The text of a file of prices, one line each."""
    rows = ",\n".join(f"  {json.dumps(name)}: {json.dumps(price)}" for name, price in prices.items())
    return f"{{\n{rows}\n}}\n"


def main() -> int:
    """Write the file; 1 and one line if that fails."""
    parser = argparse.ArgumentParser(prog="make prices", description=__doc__)
    parser.add_argument("region", help="such as ap-northeast-2")
    region = parser.parse_args().region
    try:
        from boto3.session import Session

        client = Session().client("pricing", region_name=ASKED_AT)
        prices = fetched(client, region, datetime.datetime.now(datetime.UTC).date().isoformat())
    except (PriceError, BotoCoreError, ClientError) as error:
        print(" ".join(str(error).split()), file=sys.stderr)
        return 1
    (PRICES / f"{region}.json").write_text(written(prices))
    return 0


if __name__ == "__main__":
    sys.exit(main())
