# pyright: strict
"""AWS' partitions, with their names in ARNs and hosts. Pure.

Source: botocore's `partitions.json`, which a test compares.
"""

from __future__ import annotations

from typing import NamedTuple


class Partition(NamedTuple):
    """One partition: its name in ARNs, and its hosts' suffix."""

    name: str
    dns_suffix: str


_AWS = Partition("aws", "amazonaws.com")
# By the prefix of a region's name; all other regions are in `aws`.
_BY_REGION = {
    "cn-": Partition("aws-cn", "amazonaws.com.cn"),
    "us-gov-": Partition("aws-us-gov", "amazonaws.com"),
    "eusc-": Partition("aws-eusc", "amazonaws.eu"),
    "us-iso-": Partition("aws-iso", "c2s.ic.gov"),
    "us-isob-": Partition("aws-iso-b", "sc2s.sgov.gov"),
    "eu-isoe-": Partition("aws-iso-e", "cloud.adc-e.uk"),
    "us-isof-": Partition("aws-iso-f", "csp.hci.ic.gov"),
}


def partition_of(region: str) -> Partition:
    """The partition that a region is in."""
    return next((one for begin, one in _BY_REGION.items() if region.startswith(begin)), _AWS)
