"""A stack's costs: the sums, the prices, and how they are fetched."""

from __future__ import annotations

import datetime
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from components.stack.settings import AwsHalf, parse_part
from components.values.errors import SettingsError
from local.paths import ROOT
from ops.costs import PRICES, CostError, costs, of_stack, prices_of, table
from ops.prices import WANTED, PriceError, fetched, written
from rig.stack import settings_of

REGIONS = sorted(path.stem for path in PRICES.glob("*.json"))
ZONES = {"ap-northeast-2": ["ap-northeast-2a", "ap-northeast-2c"], "us-east-1": ["us-east-1a", "us-east-1b"]}


def half(region: str = "ap-northeast-2", services: dict[str, Any] | None = None, **create: Any) -> Any:
    """The AWS half of a stack with two zones."""
    egress = {"create": {"zones": ZONES[region], **create}}
    return parse_part(AwsHalf, {"egress": egress, "services": services or {}, "aws": {"region": region}})


def documented() -> list[list[str]]:
    """The rows of docs/costs.md's table: setting, and its costs by region."""
    text = (ROOT / "docs" / "costs.md").read_text()
    rows = [line for line in text.splitlines() if line.startswith("| `")]
    return [[cell.strip() for cell in row[1:-1].split("|")] for row in rows]


@pytest.mark.parametrize("row", documented(), ids=lambda row: row[0])
def test_the_documentation_has_the_calculated_sums(row: list[str]) -> None:
    setting, *sums = row
    create = yaml.safe_load("{" + setting.replace("`", "") + "}")
    for region, said in zip(("ap-northeast-2", "us-east-1"), sums, strict=True):
        assert f"{costs(half(region, **create), prices_of(region)).sum:.2f}" == said


def test_an_instance_costs_a_sixth_of_a_gateway() -> None:
    prices = prices_of("ap-northeast-2")
    gateway, instance = (costs(half(nat=nat), prices) for nat in ("gateway", "instance"))
    assert instance.sum < gateway.sum / 5
    assert [one.what.split(" (")[0] for one in instance.fixed] == ["NAT instance", "its public IPv4 address"]


APP = {"app": {"image": "app:1", "memoryMib": 128}}


@pytest.mark.parametrize(
    ("architecture", "vcpu", "memory"), [("x86_64", 0.04656, 0.00511), ("arm64", 0.03725, 0.00409)]
)
def test_a_task_on_fargate_is_paid_by_its_size(architecture: str, vcpu: float, memory: float) -> None:
    router = {"image": "team/fluent-bit:1"}
    service = {"launch": "fargate", "architecture": architecture, "cpuUnits": 512, "memoryMib": 1024}
    found = costs(
        half(services={"api": {**service, "containers": APP, "logRouter": router}}),
        prices_of("ap-northeast-2"),
    )
    [task] = [one for one in found.by_use if "Fargate" in one.what]
    assert task.usd == pytest.approx((0.5 * vcpu + memory) * 730)
    # Costs per running task aren't in the sum.
    assert all(one not in found.fixed for one in found.by_use)


@pytest.mark.parametrize(
    ("egress", "each"),
    [
        ({"create": {"zones": ZONES["ap-northeast-2"]}}, 0.126 + 0.059),
        ({"create": {"zones": ZONES["ap-northeast-2"], "nat": "instance"}}, 0.126),
        ({"lookup": {"addressTags": {"for": "tasks"}}}, 0.126 + 0.059),
        ({"given": {"addresses": ["203.0.113.7"]}}, 0.126),
    ],
)
def test_lines_are_paid_by_the_way_that_they_go(egress: dict[str, Any], each: float) -> None:
    rate = {"linesPerSecond": 100, "bytesPerLine": 1000}
    service = {"cpuUnits": 512, "memoryMib": 1024, "containers": APP, "logRate": rate}
    tree = {"egress": egress, "services": {"api": service}, "aws": {"region": "ap-northeast-2"}}
    found = costs(parse_part(AwsHalf, tree), prices_of("ap-northeast-2"))
    lines = found.by_use[0]
    gigabytes = 100 * 1000 * 3600 * 730 / 1e9
    assert (lines.many, lines.usd) == (f"{gigabytes:.0f} GB", pytest.approx(gigabytes * each))
    # An existing network isn't counted; a service's alarms are.
    assert sum("NAT" in one.what for one in found.fixed) == ("create" in egress)
    assert sum("alarm" in one.what for one in found.fixed) == 1


def test_metrics_cost_one_alarm_more_for_each_service() -> None:
    service = {"cpuUnits": 512, "memoryMib": 1024, "containers": APP}
    measured = {**service, "metrics": {"enabled": True}}
    router = {"logRouter": {"image": "team/fluent-bit:1"}}
    found = costs(half(services={"api": service | router, "judge": measured}), prices_of("ap-northeast-2"))
    assert [one.many for one in found.fixed if "alarm" in one.what] == ["5"]
    [samples] = [one for one in found.by_use if "samples" in one.what]
    assert samples.what.startswith("judge: ")
    gigabytes = (500 * 200 + 2 * 4 * 1300) * 60 * 730 / 1e9
    assert samples.usd == pytest.approx(gigabytes * (0.126 + 0.059))


@pytest.mark.parametrize(("heartbeat", "usd"), [(True, 2.95), (False, 2.85)])
def test_the_watch_is_paid_by_the_month(heartbeat: bool, usd: float) -> None:
    tree = {
        "egress": {"given": {"addresses": ["203.0.113.7"]}},
        "aws": {"region": "ap-northeast-2"},
        "watch": {"mails": ["team@example.org"], "heartbeat": heartbeat},
    }
    found = costs(parse_part(AwsHalf, tree), prices_of("ap-northeast-2"))
    assert found.sum == pytest.approx(usd)
    assert f"{usd:.2f}" in (ROOT / "docs" / "costs.md").read_text()


@pytest.mark.parametrize("region", REGIONS)
def test_each_price_has_a_source_and_a_date(region: str) -> None:
    prices = prices_of(region)
    assert prices.keys() == WANTED.keys()
    for price in prices.values():
        assert price.usd > 0
        assert price.source
        assert datetime.date.fromisoformat(price.date) <= datetime.datetime.now(datetime.UTC).date()


@pytest.mark.parametrize("stack", ["stage", "prod"])
def test_a_stacks_file_is_read_and_none_of_its_secrets(stack: str, tmp_path: Path) -> None:
    tree = settings_of(stack) | {"grafana": {"adminPassword": {"secure": "v1:unreadable"}}}
    config = {f"campus-monitor:{area}": value for area, value in tree.items()}
    (tmp_path / f"Pulumi.{stack}.yaml").write_text(yaml.safe_dump({"config": config}))
    said = of_stack(stack, tmp_path)
    prices = prices_of("ap-northeast-2")
    assert said == table(costs(parse_part(AwsHalf, tree), prices), prices, "ap-northeast-2")
    assert f"| NAT gateway | {2 if stack == 'prod' else 1} | " in said
    assert "| **sum** | | **" in said


def test_what_is_wrong_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"there is no Pulumi\.nowhere\.yaml"):
        of_stack("nowhere", tmp_path)
    with pytest.raises(CostError, match=r"no prices of eu-north-1 yet: `make prices REGION=eu-north-1`"):
        prices_of("eu-north-1")
    with pytest.raises(SettingsError, match=r"egress\.create\.zones: at least two"):
        parse_part(AwsHalf, {"egress": {"create": {"zones": ["us-east-1a"]}}, "aws": {"region": "us-east-1"}})


def product(usage: str, *steps: tuple[str, str]) -> str:
    """A product in AWS' price list: the start of each step, and its price per unit."""
    dimensions = {f"d{begin}": {"beginRange": begin, "pricePerUnit": {"USD": usd}} for begin, usd in steps}
    attributes = {"attributes": {"usagetype": usage}}
    return json.dumps({"product": attributes, "terms": {"OnDemand": {"t": {"priceDimensions": dimensions}}}})


class PriceList:
    """A fake of boto3's client for the price list: every product of a region in pages of one."""

    def __init__(self, prefix: str, **more: list[tuple[str, str]]) -> None:
        self.asked: list[tuple[str, dict[str, str]]] = []
        self._products = [
            product(f"{prefix}{wanted.usage}", *more.get(name, [("0", f"0.0{number + 1}")]))
            for number, (name, wanted) in enumerate(WANTED.items())
        ]
        # Other products with the same suffix.
        self._products += [product(f"{prefix}Regional{one.usage}", ("0", "9")) for one in WANTED.values()]

    def get_paginator(self, operation: str) -> PriceList:
        assert operation == "get_products"
        return self

    def paginate(self, *, ServiceCode: str, Filters: list[dict[str, str]]) -> Iterator[dict[str, Any]]:  # noqa: N803
        self.asked.append((ServiceCode, {one["Field"]: one["Value"] for one in Filters}))
        yield from ({"PriceList": [text]} for text in self._products)


@pytest.mark.parametrize(("region", "prefix"), [("us-east-1", ""), ("ap-northeast-2", "APN2-")])
def test_prices_are_fetched_as_the_files_have_them(region: str, prefix: str, tmp_path: Path) -> None:
    steps = [("0", "0.0000000000"), ("100", "0.1260000000"), ("10240", "0.1220000000")]
    client = PriceList(prefix, egressGb=steps)
    found = fetched(client, region, "2026-11-30")
    assert found.keys() == WANTED.keys()
    assert found["natGatewayHour"] == {"usd": 0.01, "source": "AWS Price List API", "date": "2026-11-30"}
    # The free step isn't the price.
    assert found["egressGb"]["usd"] == 0.126
    # Route 53 has the same prices everywhere.
    asked = [filters for service, filters in client.asked if service != "AmazonRoute53"]
    assert {filters.get("regionCode", filters.get("fromRegionCode")) for filters in asked} == {region}
    assert len(asked) == len(WANTED) - 2
    (tmp_path / "file").write_text(written(found))
    assert json.loads((tmp_path / "file").read_text()) == found
    assert (tmp_path / "file").read_text().count("\n") == len(WANTED) + 2


def test_a_price_that_isnt_found_is_named() -> None:
    client = PriceList("APN2-", logsGb=[("0", "0")])
    with pytest.raises(
        PriceError, match=r"logsGb: one price is needed for DataProcessing-Bytes in ap-northeast-2"
    ):
        fetched(client, "ap-northeast-2", "2026-11-30")
