"""A stack's file: its content, invalid files, and the secrets that its JSON never contains."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from components.stack import settings_file
from components.stack.settings import parse
from components.values.errors import SettingsError
from rig.stack import local_settings, merged

PASSWORD = "correct horse battery staple"


def written(folder: Path, tree: dict[str, Any], **beside: str) -> None:
    config = {f"campus-monitor:{area}": value for area, value in tree.items()}
    (folder / "Pulumi.x.yaml").write_text(yaml.safe_dump({"config": config, **beside}))


def test_other_projects_keys_are_ignored(tmp_path: Path) -> None:
    text = "config: {aws:region: x, campus-monitor:aws: {region: y}}\nsecretsprovider: awskms://alias/x\n"
    (tmp_path / "Pulumi.x.yaml").write_text(text)
    found = settings_file.read("x", tmp_path)
    assert found.areas == {"aws": {"region": "y"}}
    assert found.decrypted_by == "secretsprovider"


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        (None, r"^there is no Pulumi\.x\.yaml$"),
        ("config: [", r"^Pulumi\.x\.yaml is not YAML: .* line 1"),
        ("", r"^Pulumi\.x\.yaml: config must be a mapping$"),
        ("[]", r"^Pulumi\.x\.yaml: config must be a mapping$"),
        ("config: []", r"^Pulumi\.x\.yaml: config must be a mapping$"),
    ],
)
def test_a_file_without_settings_is_one_line(tmp_path: Path, text: str | None, problem: str) -> None:
    if text is not None:
        (tmp_path / "Pulumi.x.yaml").write_text(text)
    with pytest.raises(SettingsError, match=problem) as caught:
        settings_file.read("x", tmp_path)
    assert len(caught.value.problems) == 1


def printed(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], *options: str
) -> tuple[int, str, str]:
    monkeypatch.setattr(sys, "argv", ["settings_file", "x", "--folder", str(folder), *options])
    code = settings_file.main()
    said = capsys.readouterr()
    return code, said.out, said.err


def test_the_json_has_the_programs_settings_and_no_password(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    tree = merged(local_settings(), {"grafana": {"adminPassword": PASSWORD}})
    written(tmp_path, tree)
    code, out, _ = printed(tmp_path, monkeypatch, capsys)
    settings = json.loads(out)["settings"]
    assert code == 0
    assert PASSWORD not in out
    # With its defaults.
    assert settings["edge"]["connectionsPerSource"] == parse(tree).edge.connections_per_source


def test_every_mistake_is_a_line_and_stops_only_commands_that_need_the_setting(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    tree = merged(local_settings(), {"loki": {"instances": {"aws": {"port": 0, "route": "x"}}}})
    written(tmp_path, tree)
    code, out, errors = printed(tmp_path, monkeypatch, capsys)
    assert (code, out) == (1, "")
    assert [line.split(": ")[0] for line in errors.splitlines()] == [
        "campus-monitor:loki.instances.aws.port",
        "campus-monitor:loki.instances.aws.route",
    ]
    code, out, _ = printed(tmp_path, monkeypatch, capsys, "--place")
    assert code == 0
    assert list(json.loads(out)["settings"]) == ["campus", "edge", "shippers", "aws"]
