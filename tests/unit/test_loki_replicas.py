"""A Loki on a bucket, and its replicas: settings, configuration, and requests to Docker."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from components.loki.config import render_loki_config, render_s3_credentials
from components.loki.settings import LokiSettings
from components.stack.settings import parse
from components.values.errors import SettingsError
from tests.support.fake_engine import Engine, build, running_engine
from tests.support.golden import assert_golden_variant
from tests.support.loki import loki_instance, replica_config, verify
from tests.support.settings import DISK_THEN_S3, KEY, ON_S3, S3, THREE, with_aws

MINIO = S3 | {"endpoint": "http://198.51.100.9:9000", "pathStyle": True, "region": "us-east-1"}
ADDRESSES = ["172.29.12.28", "172.29.51.44", "172.29.90.60"]

# The rendered text by the name of its golden file.
CONFIGS: dict[str, str] = {
    "loki_s3": render_loki_config(loki_instance(**ON_S3)),
    "loki_to_s3": render_loki_config(loki_instance(storage="s3", s3=MINIO, schemaPeriods=DISK_THEN_S3)),
    "loki_replica": replica_config(with_aws(**THREE), 1),
}


@pytest.mark.parametrize("name", CONFIGS)
def test_the_configuration_is_the_agreed_one(name: str) -> None:
    assert_golden_variant("loki.yaml", f"{name}.diff", CONFIGS[name])
    assert KEY not in CONFIGS[name]
    assert S3["accessKeyId"] not in CONFIGS[name]


@pytest.mark.programs
@pytest.mark.parametrize("name", CONFIGS)
def test_loki_accepts_every_variant(loki: str, name: str, tmp_path: Path) -> None:
    verify(loki, tmp_path, CONFIGS[name])


@pytest.mark.programs
def test_the_replicas_share_everything(loki: str, tmp_path: Path) -> None:
    found = yaml.safe_load(verify(loki, tmp_path, CONFIGS["loki_replica"]))
    lifecycler = found["ingester"]["lifecycler"]
    rings = [
        lifecycler["ring"],
        found["distributor"]["ring"],
        found["compactor"]["compactor_ring"],
    ]
    assert [ring["kvstore"]["store"] for ring in rings] == ["memberlist"] * 3
    assert lifecycler["ring"]["replication_factor"] == 3
    assert lifecycler["address"] == found["frontend"]["address"] == ADDRESSES[1]
    assert found["server"]["grpc_listen_address"] == ADDRESSES[1]
    assert found["query_scheduler"]["use_scheduler_ring"] is False
    assert found["compactor"]["delete_request_store"] == "s3"
    assert found["ingester"]["wal"]["dir"] == "/loki/wal"


@pytest.mark.programs
def test_an_older_period_stays_on_the_disk(loki: str, tmp_path: Path) -> None:
    found = yaml.safe_load(verify(loki, tmp_path, CONFIGS["loki_to_s3"]))
    assert [one["object_store"] for one in found["schema_config"]["configs"]] == ["filesystem", "s3"]
    assert found["storage_config"]["filesystem"]["directory"] == "/loki/chunks"
    assert found["storage_config"]["aws"]["endpoint"] == MINIO["endpoint"]


def test_the_keys_are_in_the_file_that_the_aws_sdk_reads() -> None:
    s3 = loki_instance(**ON_S3).s3
    assert s3 is not None
    assert render_s3_credentials(s3) == (
        f"[default]\naws_access_key_id = AKIAEXAMPLE\naws_secret_access_key = {KEY}\n"
    )
    assert KEY not in repr(s3)


# --- settings ---


def test_a_replicas_port_is_unique() -> None:
    tree = with_aws(**THREE)
    tree["loki"]["instances"]["test"]["port"] = 13100
    with pytest.raises(SettingsError, match=r"loki\.instances\.test\.port: 13100 is already used by inst"):
        parse(tree)
    tree["loki"]["instances"]["test"]["port"] = 13101
    parse(tree)


def test_a_bucket_belongs_to_one_loki() -> None:
    tree = with_aws(**ON_S3)
    tree["loki"]["instances"]["test"] |= ON_S3
    with pytest.raises(SettingsError, match=r"loki\.instances\.test\.s3\.bucket: .* is already used by"):
        parse(tree)
    tree["loki"]["instances"]["test"]["s3"] = S3 | {"endpoint": "https://minio.example.org"}
    parse(tree)


# --- requests to Docker ---


def built(engine: Engine, **changes: Any) -> dict[str, dict[str, Any]]:
    """The containers' inputs."""
    build(loki=with_aws(**changes)["loki"])
    return engine.containers()


@pytest.fixture(scope="module")
def replicas() -> dict[str, dict[str, Any]]:
    """The inputs of three replicas' containers, in order."""
    with running_engine() as engine:
        containers = built(engine, **THREE)
        names = ("t-loki-aws", "t-loki-aws-2", "t-loki-aws-3")
        assert set(names) == {name for name in containers if name.startswith("t-loki-aws")}
        return {name: containers[name] for name in names}


def test_each_replica_has_its_own_address_and_data(replicas: dict[str, dict[str, Any]]) -> None:
    networks = [one["networksAdvanced"][0] for one in replicas.values()]
    assert [network["ipv4Address"] for network in networks] == ADDRESSES
    data = [one["volumes"][0]["volumeName"] for one in replicas.values()]
    assert data == ["t-loki-aws-data", "t-loki-aws-2-data", "t-loki-aws-3-data"]


def test_an_update_waits_for_each_replica(replicas: dict[str, dict[str, Any]]) -> None:
    assert all(one["wait"] is True and one["waitTimeout"] >= 120 for one in replicas.values())


def test_caddy_and_the_reader_know_all_replicas() -> None:
    with running_engine() as engine:
        build(loki=with_aws(**THREE, published=True)["loki"])
        containers = engine.containers()
        page = engine.made["campus-edge-caddyfile"].inputs["files"]["value"]["Caddyfile"]
        readers = engine.made["campus-reader-files"].inputs["files"]["value"]["Caddyfile"]["content"]
    names = ("loki-aws", "loki-aws-2", "loki-aws-3")
    for caddy in (containers["t-caddy"], containers["t-reader"]):
        hosts = {one["host"]: one["ip"] for one in caddy["hosts"] if one["host"].startswith("loki-aws")}
        assert hosts == dict(zip(names, ADDRESSES, strict=True))
    to_all = "reverse_proxy loki-aws:3100 loki-aws-2:3100 loki-aws-3:3100 {"
    # In the gate, and at the published port.
    assert page.count(to_all) == 2
    assert readers.count(to_all) == 1
    assert not [name for name in names if containers[f"t-{name}"].get("ports")]


def test_the_bucket_keys_reach_the_container_only_in_a_file() -> None:
    with running_engine() as engine:
        containers = built(engine, **ON_S3)
        files = engine.made["campus-loki-aws-config-files"].inputs["files"]["value"]
    assert KEY in files["s3-credentials"]["content"]
    assert {(one["uid"], one["mode"]) for one in files.values()} == {(10001, 0o400)}
    assert not [name for name, one in containers.items() if KEY in str(one) or "AKIAEXAMPLE" in str(one)]
    assert "AWS_SHARED_CREDENTIALS_FILE=/etc/loki-config/s3-credentials" in containers["t-loki-aws"]["envs"]


def test_other_keys_replace_the_container() -> None:
    """The SDK reads them only once; the label shows a change, but not the keys."""
    labels: list[Any] = []
    for key_hash in ("one", "other"):
        with running_engine(Rotated(key_hash)) as engine:
            labels.append(built(engine, **ON_S3)["t-loki-aws"]["labels"])
    assert labels[0] != labels[1]
    assert "one" not in str(labels[0])


class Rotated(Engine):
    """A fake engine with this hash of the secret key."""

    def __init__(self, key_hash: str) -> None:
        super().__init__()
        self._hash = key_hash

    def new_resource(self, args: Any) -> tuple[str | None, dict[str, Any]]:
        made, outputs = super().new_resource(args)
        if args.name.endswith("-s3-key-hash"):
            outputs["bcrypt_hash"] = self._hash
        return made, outputs


def test_a_loki_without_replicas_has_the_same_container_as_before(usual: Engine) -> None:
    made = usual.containers()["t-loki-aws"]
    assert "wait" not in made
    assert "aliases" not in made["networksAdvanced"][0]
    assert isinstance(made["labels"][0]["value"], str)
    assert not [name for name in usual.made if "s3" in name]


def test_the_settings_default_to_one_loki_on_its_disk() -> None:
    default = LokiSettings.model_validate({"port": 3100, "route": "/lokiaws", "allow": ["nat"]})
    assert (default.storage, default.replicas, default.s3) == ("filesystem", 1, None)
    assert json.loads(render_loki_config(default))["common"]["replication_factor"] == 1
