"""Loki's configuration: as agreed, valid for the real Loki, and read by it as intended."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from components.loki.config import render_loki_config
from components.loki.push_paths import pushes
from tests.support.golden import assert_golden, assert_golden_variant
from tests.support.loki import loki_instance, verify

BASE = "loki.yaml"
OLD_PERIOD = {"from": "2023-01-01", "store": "boltdb-shipper", "version": "v11"}

# All variants of the rendered text, by the name of their golden files.
VARIANTS: dict[str, dict[str, Any]] = {
    "loki_port": {"port": 3199},
    "loki_limits": {
        "retention": "1y",
        "memoryBytes": 512 << 20,
        "limits": {
            "rateMib": 1,
            "burstMib": 2,
            "streamRateMib": 3,
            "streamBurstMib": 4,
            "streams": 5,
            "lineKib": 4096,
            "maxAge": "6h",
        },
    },
    "loki_upgraded": {"schemaPeriods": [OLD_PERIOD, {"from": "2024-01-01"}]},
    # The old period still applies at the update; the new one begins on a future day.
    "loki_to_upgrade": {"schemaPeriods": [OLD_PERIOD, {"from": "2999-12-31"}]},
    "loki_three_periods": {
        "schemaPeriods": [OLD_PERIOD, {"from": "2023-06-01", "version": "v12"}, {"from": "2024-01-01"}]
    },
}


def test_the_simplest_configuration_is_the_agreed_one() -> None:
    assert_golden(BASE, render_loki_config(loki_instance()))


@pytest.mark.parametrize("name", VARIANTS)
def test_the_configuration_is_the_agreed_one(name: str) -> None:
    assert_golden_variant(BASE, f"{name}.diff", render_loki_config(loki_instance(**VARIANTS[name])))


@pytest.mark.programs
@pytest.mark.parametrize("name", VARIANTS)
def test_loki_accepts_every_variant(loki: str, name: str, tmp_path: Path) -> None:
    verify(loki, tmp_path, render_loki_config(loki_instance(**VARIANTS[name])))


@pytest.mark.programs
@pytest.mark.parametrize("retention", ["24h", "36h", "31d", "2w", "1y", "100y"])
def test_loki_accepts_every_retention(loki: str, retention: str, tmp_path: Path) -> None:
    verify(loki, tmp_path, render_loki_config(loki_instance(retention=retention)))


@pytest.mark.programs
def test_loki_reads_the_units_as_intended(loki: str, tmp_path: Path) -> None:
    found = yaml.safe_load(
        verify(loki, tmp_path, render_loki_config(loki_instance(**VARIANTS["loki_limits"])))
    )
    limits, wal = found["limits_config"], found["ingester"]["wal"]
    assert (limits["ingestion_rate_mb"], limits["ingestion_burst_size_mb"]) == (1, 2)
    assert (limits["per_stream_rate_limit"], limits["per_stream_rate_limit_burst"]) == ("3MB", "4MB")
    assert (limits["max_global_streams_per_user"], limits["max_line_size"]) == (5, "4MB")
    assert (limits["retention_period"], limits["reject_old_samples_max_age"]) == ("1y", "6h")
    assert limits["max_query_length"] == "0s"
    assert (wal["replay_memory_ceiling"], wal["disk_full_threshold"]) == ("256MB", 0.9)


@pytest.mark.parametrize(("memory_mib", "at_once"), [(512, 1), (1024, 2), (1280, 3), (2048, 4), (8192, 4)])
def test_a_loki_gets_as_many_pushes_at_once_as_fit_into_its_memory(memory_mib: int, at_once: int) -> None:
    """`tests/loki/test_push_bombs.py` tries the worst, with the usual memory and the least."""
    assert pushes(loki_instance(memoryBytes=memory_mib << 20)).at_once == at_once


def test_lines_are_on_the_data_volume_and_kept_no_longer_than_the_retention() -> None:
    config = json.loads(render_loki_config(loki_instance(retention="7d")))
    assert config["limits_config"]["retention_period"] == "7d"
    assert config["compactor"]["retention_enabled"] is True
    folders = [
        config["common"]["path_prefix"],
        config["ingester"]["wal"]["dir"],
        config["compactor"]["working_directory"],
        *config["common"]["storage"]["filesystem"].values(),
    ]
    assert all(folder.startswith("/loki") for folder in folders)
