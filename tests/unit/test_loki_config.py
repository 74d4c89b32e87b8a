"""Loki's configuration: as agreed, and taken by the real Loki."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from components.campus.loki_config import render_loki_config
from tests.unit.programs import assert_golden, program_of_image, run


def test_the_configuration_is_the_agreed_one() -> None:
    assert_golden("loki.yaml", render_loki_config(port=3199, retention="31d"))


@pytest.fixture(scope="module")
def loki(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The real Loki."""
    return program_of_image("loki", "usr/bin/loki", tmp_path_factory.mktemp("loki"))


@pytest.mark.programs
@pytest.mark.parametrize("retention", ["36h", "31d", "2w", "1y"])
def test_loki_takes_it(loki: str, retention: str, tmp_path: Path) -> None:
    config = tmp_path / "config.yaml"
    config.write_text(render_loki_config(port=3100, retention=retention))
    run(loki, "-verify-config", f"-config.file={config}")


def test_lines_are_kept_on_the_data_volume_and_no_longer_than_asked() -> None:
    config = json.loads(render_loki_config(port=3100, retention="7d"))
    assert config["limits_config"]["retention_period"] == "7d"
    assert config["compactor"]["retention_enabled"] is True
    folders = [
        config["common"]["path_prefix"],
        config["ingester"]["wal"]["dir"],
        config["compactor"]["working_directory"],
        *config["common"]["storage"]["filesystem"].values(),
    ]
    assert all(folder.startswith("/loki") for folder in folders)
