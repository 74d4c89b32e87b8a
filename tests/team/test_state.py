"""docs/state.md followed exactly: a state in S3, secrets encrypted by KMS, permissions, and restoring."""

from __future__ import annotations

import json
import os
import shlex
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

import pytest
from moto.core.authorization import ActionAuthenticatorMixin

from rig.emulator import REGION, Emulator
from rig.processes import kill_and_wait, wait_for, with_environment
from rig.stack import ROOT, write_project
from tests.support.guide import blocks

GUIDE = "state.md"
BUCKET = "codedang-campus-monitor-state"
ALIAS = "alias/campus-monitor"
STATE = ".pulumi/stacks/campus-monitor/stage.json"
SECRET = "a-state-canary"
PROGRAM = """import pulumi
pulumi.export("password", pulumi.Config().require_secret("password"))
"""
# A program to kill in the middle of an update.
ENDLESS = PROGRAM + "import signal\nsignal.pause()\n"
KILLED_SECONDS = 60.0
# A variable that each person's processes have with a value of their own.
OWN = "PULUMI_CREDENTIALS_PATH"
# The bucket's own encryption needs this from KMS for a write; the emulator's doesn't.
ASKED_BY_S3 = {"kms:GenerateDataKey"}
PREVIEWS = {"s3:ListBucket", "s3:GetObject", "kms:Decrypt"}


@dataclass
class Team:
    """A person with Pulumi, a bucket and a key, and the requests to AWS on their behalf."""

    folder: Path
    emulator: Emulator
    environment: dict[str, str]
    asked: list[tuple[str, str]]

    def pulumi(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run a Pulumi command."""
        command = ["pulumi", *arguments, "--non-interactive", "--color", "never"]
        done = subprocess.run(
            command, cwd=self.folder, env=self.environment, capture_output=True, text=True, timeout=120
        )
        print(*command, done.stdout, done.stderr, sep="\n")
        return done

    def run(self, *arguments: str) -> str:
        """The same; its output."""
        done = self.pulumi(*arguments)
        assert done.returncode == 0
        return done.stdout

    def up_with(self, password: str) -> None:
        """Update with another secret."""
        self.run("config", "set", "--secret", "password", password)
        self.run("up", "--yes", "--skip-preview")

    def password(self) -> str:
        """The secret in the state."""
        return self.run("stack", "output", "password", "--show-secrets").strip()

    def kill(self) -> None:
        """Kill this person's Pulumi and its plugins, which are in process groups of their own."""
        kill_and_wait(with_environment(OWN, self.environment[OWN]))

    def versions(self) -> list[tuple[str, str]]:
        """Every version of every object in the bucket, newest first."""
        listed = self.emulator.client("s3").list_object_versions(Bucket=BUCKET)
        return [(one["Key"], one["VersionId"]) for one in listed.get("Versions", [])]


@pytest.fixture
def key(emulator: Emulator) -> Iterator[str]:
    """The bucket and the key, created by the guide's first part; the key's ARN."""
    s3, kms = emulator.client("s3"), emulator.client("kms")
    s3.create_bucket(Bucket=BUCKET, CreateBucketConfiguration={"LocationConstraint": REGION})
    s3.put_bucket_versioning(Bucket=BUCKET, VersioningConfiguration={"Status": "Enabled"})
    made = kms.create_key()["KeyMetadata"]
    kms.create_alias(AliasName=ALIAS, TargetKeyId=made["KeyId"])
    yield made["Arn"]
    kms.delete_alias(AliasName=ALIAS)
    listed = s3.list_object_versions(Bucket=BUCKET)
    for one in [*listed.get("Versions", []), *listed.get("DeleteMarkers", [])]:
        s3.delete_object(Bucket=BUCKET, Key=one["Key"], VersionId=one["VersionId"])
    s3.delete_bucket(Bucket=BUCKET)


@pytest.fixture
def team(emulator: Emulator, key: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Team]:
    """A stack created by the guide's second part."""
    write_project(tmp_path, ROOT, {"main": ".", "config": {}})
    (tmp_path / "__main__.py").write_text(PROGRAM)
    here = {
        "AWS_ENDPOINT_URL": emulator.url,
        "AWS_ACCESS_KEY_ID": "emulated",
        "AWS_SECRET_ACCESS_KEY": "emulated",
        OWN: str(tmp_path / "credentials"),
        "PULUMI_SKIP_UPDATE_CHECK": "true",
    }
    # Without variables that point to another state.
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("PULUMI_", "AWS_"))}
    made = Team(tmp_path, emulator, kept | here, asked := [])

    def note(self: Any, _: type, resource: str = "*") -> None:
        is_kms = self.headers.get("X-Amz-Target", "").startswith("TrentService")
        action = f"{'kms' if is_kms else 's3'}:{self._get_action()}"
        # The key isn't passed; there is only one.
        asked.append((action, key if is_kms else resource))

    monkeypatch.setattr(ActionAuthenticatorMixin, "_authenticate_and_authorize_action", note)
    [commands] = blocks(GUIDE)["The stack, once"]
    for command in commands.splitlines():
        program, *arguments = shlex.split(command)
        assert program == "pulumi"
        made.run(*arguments)
    yield made
    # A preview that can't decrypt its settings leaves its language host running.
    made.kill()


def allowed(key_arn: str) -> list[tuple[str, str]]:
    """The actions and resources that the guide's policy allows for `pulumi up`."""
    _, people = blocks(GUIDE, "json")["The bucket, once"]
    text = people.replace("arn:aws:kms:REGION:ACCOUNT:key/KEY-ID", key_arn).replace("BUCKET", BUCKET)
    return [
        (action, statement["Resource"])
        for statement in json.loads(text)["Statement"]
        for action in ([statement["Action"]] if isinstance(statement["Action"], str) else statement["Action"])
    ]


def test_state_and_secrets_are_in_aws_and_nothing_in_plain_text(team: Team) -> None:
    team.up_with(SECRET)
    assert team.password() == SECRET
    settings = (team.folder / "Pulumi.stage.yaml").read_text()
    assert "secretsprovider: awskms://" in settings
    assert "encryptedkey: " in settings
    objects = {name for name, _ in team.versions()}
    assert STATE in objects
    s3 = team.emulator.client("s3")
    texts = [
        s3.get_object(Bucket=BUCKET, Key=name, VersionId=at)["Body"].read() for name, at in team.versions()
    ]
    assert not [text for text in [*texts, settings.encode()] if SECRET.encode() in text]


def test_the_guides_policy_is_exactly_enough(team: Team, key: str) -> None:
    """For creating a stack, updates and a refresh; previews need less, since they write nothing."""
    team.up_with(SECRET)
    team.run("refresh", "--yes")
    policy = allowed(key)
    used: set[str] = set()
    for action, resource in team.asked:
        fitting = [name for name, pattern in policy if action == name and fnmatch(resource, pattern)]
        assert fitting, f"{action} on {resource} is not allowed"
        used |= set(fitting)
    assert {action for action, _ in policy} - used == ASKED_BY_S3
    before = team.versions()
    team.asked.clear()
    team.run("preview")
    team.run("refresh", "--preview-only")
    assert {action for action, _ in team.asked} == PREVIEWS
    assert team.versions() == before


def test_a_former_state_is_restored(team: Team) -> None:
    team.up_with(SECRET)
    s3 = team.emulator.client("s3")
    good = next(version for name, version in team.versions() if name == STATE)
    team.up_with("another")
    s3.put_object(Bucket=BUCKET, Key=STATE, Body=b"broken")
    assert team.pulumi("preview").returncode != 0
    old = s3.get_object(Bucket=BUCKET, Key=STATE, VersionId=good)["Body"].read()
    s3.put_object(Bucket=BUCKET, Key=STATE, Body=old)
    assert team.password() == SECRET
    team.run("refresh", "--preview-only")
    team.run("up", "--yes", "--skip-preview", "--refresh")
    assert team.password() == "another"


def test_the_lock_of_a_killed_pulumi_is_removed_by_hand(team: Team) -> None:
    team.up_with(SECRET)
    (team.folder / "__main__.py").write_text(ENDLESS)
    up = ["pulumi", "up", "--yes", "--skip-preview", "--non-interactive"]
    with subprocess.Popen(up, cwd=team.folder, env=team.environment, stdout=subprocess.DEVNULL):
        locked = wait_for("the lock is in the bucket", lambda: locks(team), KILLED_SECONDS)
        team.kill()
    assert locks(team) == locked
    (team.folder / "__main__.py").write_text(PROGRAM)
    refused = team.pulumi("up", "--yes", "--skip-preview")
    assert refused.returncode != 0
    assert "locked" in refused.stderr
    team.run("cancel", "-s", "stage", "--yes")
    assert locks(team) == []
    team.run("up", "--yes", "--skip-preview")


def locks(team: Team) -> list[str]:
    """The locks in the bucket."""
    listed = team.emulator.client("s3").list_objects_v2(Bucket=BUCKET, Prefix=".pulumi/locks/")
    return [one["Key"] for one in listed.get("Contents", [])]


def test_a_passphrase_replaces_the_key(team: Team) -> None:
    team.up_with(SECRET)
    passphrase = team.folder / "passphrase"
    passphrase.write_text("correct horse")
    passphrase.chmod(0o400)
    team.environment["PULUMI_CONFIG_PASSPHRASE_FILE"] = str(passphrase)
    team.run("stack", "change-secrets-provider", "-s", "stage", "passphrase")
    assert "encryptionsalt: " in (team.folder / "Pulumi.stage.yaml").read_text()
    team.asked.clear()
    assert team.password() == SECRET
    team.up_with("another")
    assert not [action for action, _ in team.asked if action.startswith("kms:")]
    del team.environment["PULUMI_CONFIG_PASSPHRASE_FILE"]
    assert team.pulumi("preview").returncode != 0
