# pyright: strict
"""`make costs`: what a stack's AWS half costs a month, by its settings and a file of prices per region.

The files are in `price_lists/`; each price has its source and its date, and
`python -m ops.prices REGION` writes a new file from AWS' own price list.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from components.aws.egress_settings import EgressCreate, EgressSettings
from components.aws.nat_boot import DISK_GIB, INSTANCE_TYPE
from components.aws.watch_settings import WatchSettings
from components.ecs.log_router_settings import LogRate
from components.ecs.loss_signs import ROUTER_ALARMS
from components.ecs.settings import ServiceSettings
from components.stack import settings_file
from components.stack.settings import AwsHalf, parse_part
from components.values.errors import SettingsError

PRICES = Path(__file__).with_name("price_lists")
# AWS' own calculator uses this number.
MONTH_HOURS = 730
GB = 10**9


class CostError(Exception):
    """Costs can't be calculated. The text is one line that says why, and what to do."""


@dataclass(frozen=True)
class Price:
    """What one unit costs: an hour, a month or a gigabyte, as the price's name says."""

    usd: float
    source: str
    date: str


@dataclass(frozen=True)
class Cost:
    """One row: an item, its quantity, and its price a month."""

    what: str
    many: str
    usd: float


@dataclass(frozen=True)
class Costs:
    """A stack's costs in US dollars a month."""

    fixed: tuple[Cost, ...]
    """What is paid even if nothing is logged, without the tasks."""
    by_use: tuple[Cost, ...]
    """What a task costs that runs, or that logs at the stated rate, all month."""

    @property
    def sum(self) -> float:
        """The fixed costs together."""
        return sum(cost.usd for cost in self.fixed)


def prices_of(region: str) -> dict[str, Price]:
    """The region's prices by name. Raises CostError where there are none."""
    path = PRICES / f"{region}.json"
    if not path.exists():
        raise CostError(
            f"aws.region: there are no prices of {region} yet: `make prices REGION={region}` fetches them, "
            "with AWS credentials"
        )
    return {name: Price(**price) for name, price in json.loads(path.read_text()).items()}


def costs(settings: AwsHalf, prices: Mapping[str, Price]) -> Costs:
    """What these settings cost with these prices."""
    usd = {name: price.usd for name, price in prices.items()}
    create = settings.egress.create
    fixed = [
        *(_network(create, usd) if create else ()),
        *_alarms(settings.services.values(), usd),
        *_watch(settings.watch, usd),
    ]
    by_use = [
        cost
        for name, service in settings.services.items()
        for cost in _service(name, service, settings.egress, usd)
    ]
    if by_use:
        by_use.append(Cost("log routers' and collectors' own logs, in CloudWatch", "1 GB", usd["logsGb"]))
    return Costs(tuple(fixed), tuple(by_use))


def _network(create: EgressCreate, usd: Mapping[str, float]) -> Iterator[Cost]:
    count = create.nat_count
    if create.nat == "gateway":
        yield Cost("NAT gateway", str(count), count * usd["natGatewayHour"] * MONTH_HOURS)
    else:
        each = usd["natInstanceHour"] * MONTH_HOURS + DISK_GIB * usd["diskGbMonth"]
        yield Cost(f"NAT instance ({INSTANCE_TYPE}, {DISK_GIB} GiB of disk)", str(count), count * each)
    yield Cost("its public IPv4 address", str(count), count * usd["publicIpv4Hour"] * MONTH_HOURS)


def _alarms(services: Collection[ServiceSettings], usd: Mapping[str, float]) -> Iterator[Cost]:
    if services:
        count = sum(len(ROUTER_ALARMS) + (service.metrics is not None) for service in services)
        yield Cost("CloudWatch alarm", str(count), count * usd["alarmMonth"])
        yield Cost("its metric, in a month in which it counts", str(count), count * usd["metricMonth"])


def _watch(watch: WatchSettings, usd: Mapping[str, float]) -> Iterator[Cost]:
    """All regions have the same price for an alarm; mails and heartbeats are within what is free."""
    if watch.is_on:
        check = usd["healthCheckMonth"] + usd["healthCheckOptionMonth"]
        yield Cost("Route 53 health check of the site, by HTTPS", "1", check)
        count = 1 + watch.hears_grafana
        yield Cost("its alarms, in CloudWatch", str(count), count * usd["alarmMonth"])


def _service(
    name: str, service: ServiceSettings, egress: EgressSettings, usd: Mapping[str, float]
) -> Iterator[Cost]:
    gigabytes = _gigabytes(service.log_rate)
    # With `given` somebody else runs a NAT instance, which has no price per gigabyte.
    by_gateway = egress.lookup is not None or (egress.create is not None and egress.create.nat == "gateway")
    per_gigabyte = usd["egressGb"] + (usd["natGatewayGb"] if by_gateway else 0.0)
    yield Cost(
        f"{name}: a task's lines, at its logRate all month", f"{gigabytes:.0f} GB", gigabytes * per_gigabyte
    )
    if service.collector_plan is not None:
        gigabytes = service.collector_plan.bytes_per_minute * 60 * MONTH_HOURS / GB
        yield Cost(
            f"{name}: a task's samples, at its samplesPerMinute all month",
            f"{gigabytes:.0f} GB",
            gigabytes * per_gigabyte,
        )
    if service.launch == "fargate":
        arm = "Arm" if service.architecture == "arm64" else ""
        hour = (
            service.cpu_units / 1024 * usd[f"fargate{arm}VcpuHour"]
            + service.memory_mib / 1024 * usd[f"fargate{arm}GbHour"]
        )
        yield Cost(f"{name}: a task on Fargate", "1", hour * MONTH_HOURS)


def _gigabytes(rate: LogRate) -> float:
    return rate.lines_per_second * rate.bytes_per_line * 3600 * MONTH_HOURS / GB


def table(found: Costs, prices: Mapping[str, Price], region: str) -> str:
    """The costs as a table in Markdown, with the sources of the prices."""
    dates = sorted({price.date for price in prices.values()})
    return (
        "| what | how much | USD a month |\n|---|---|---:|\n"
        + "".join(map(_row, found.fixed))
        + f"| **sum** | | **{found.sum:.2f}** |\n"
        + "".join(map(_row, found.by_use))
        + f"\nPrices of {region}, {dates[0]} to {dates[-1]}, with their sources: "
        f"ops/price_lists/{region}.json. Under the sum: what is paid by use. "
        "What isn't counted: docs/costs.md.\n"
    )


def _row(cost: Cost) -> str:
    return f"| {cost.what} | {cost.many} | {cost.usd:.2f} |\n"


def of_stack(stack: str, folder: Path = settings_file.ROOT) -> str:
    """The table of a stack's file. Raises CostError or SettingsError, which say why there is none."""
    settings = parse_part(AwsHalf, settings_file.read(stack, folder).areas)
    prices = prices_of(settings.aws.region)
    return table(costs(settings, prices), prices, settings.aws.region)


def main() -> int:
    """Print the table; 1 and one line if that fails."""
    parser = argparse.ArgumentParser(prog="make costs", description=__doc__)
    parser.add_argument("stack", help="such as stage or prod")
    try:
        print(of_stack(parser.parse_args().stack), end="")
    except (CostError, SettingsError) as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
