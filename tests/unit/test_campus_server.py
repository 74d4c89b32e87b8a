"""The campus server's wiring, with a fake engine: its requests to Docker."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pulumi
import pytest

from components.grafana import component as grafana
from components.grafana.provisioning import PIPELINE_UID
from components.live.container_facts import GRAFANA_SECRETS
from components.loki import component as loki
from components.port_policy import component as port_policy
from rig.certificates import made_authority
from tests.support.fake_engine import Engine, build, plain, running_engine
from tests.support.settings import SECRET, TREE

ACME = {"directory": "https://ca.example.org/acme", "root": made_authority("ca.example.org").root}
AWS = {"port": 3100, "route": "/lokiaws", "allow": ["nat"], "natWithoutPassword": True}

DYNAMIC = "pulumi-python:dynamic"


def policy_files(engine: Engine) -> dict[str, Any]:
    """The inputs of the policy's LiveFiles."""
    return engine.made["campus-port-policy-policy"].inputs


def test_every_container_is_hardened_and_its_log_is_rotated(usual: Engine) -> None:
    containers = usual.containers()
    names = ("caddy", "loki-aws", "loki-test", "reader", "grafana", "port-guard")
    assert set(containers) == {f"t-{name}" for name in names}
    for name, inputs in containers.items():
        assert inputs["readOnly"] is True, name
        assert inputs["capabilities"]["drops"] == ["ALL"], name
        assert inputs["securityOpts"] == ["no-new-privileges:true"], name
        assert inputs["restart"] == "unless-stopped", name
        assert inputs["memory"] == inputs["memorySwap"] > 0, name
        assert inputs["logDriver"] == "json-file", name
        assert {"max-size", "max-file"} == set(inputs["logOpts"]), name
        assert inputs["image"].startswith("sha256:"), name


def test_each_container_has_no_more_capabilities_than_it_needs(usual: Engine) -> None:
    adds = {name: one["capabilities"].get("adds") for name, one in usual.containers().items()}
    assert adds["t-caddy"] == adds["t-reader"] == ["CAP_NET_BIND_SERVICE"]
    assert adds["t-port-guard"] == ["CAP_NET_ADMIN"]
    assert not any(adds[name] for name in ("t-loki-aws", "t-loki-test", "t-grafana"))


def test_each_loki_has_its_own_limits(engine: Engine) -> None:
    instances = TREE["loki"]["instances"]
    bigger = instances["aws"] | {"memoryBytes": 2 << 30}
    build(loki={"instances": instances | {"aws": bigger}})
    containers = engine.containers()
    found = {name: (containers[f"t-loki-{name}"]["memory"], containers[f"t-loki-{name}"]["envs"])
             for name in ("aws", "test")}  # fmt: skip
    assert found == {"aws": (2048, ["GOMEMLIMIT=1843MiB"]), "test": (1280, ["GOMEMLIMIT=1152MiB"])}


def test_pushes_come_before_queries_if_the_cpu_is_busy(usual: Engine) -> None:
    shares = {name: inputs.get("cpuShares", 1024) for name, inputs in usual.containers().items()}
    behind = {name for name, share in shares.items() if share < shares["t-caddy"]}
    assert behind == {"t-grafana", "t-loki-aws", "t-loki-test", "t-reader"}


def test_a_changed_health_check_replaces_the_container(monkeypatch: pytest.MonkeyPatch) -> None:
    """The plugin doesn't really change the check of a running container."""
    checks: list[dict[str, Any]] = []
    labels: list[list[dict[str, str]]] = []
    for period in ("45s", "46s"):
        health = loki._health(3100) | {"start_period": period}
        monkeypatch.setattr(loki, "_health", lambda _port, health=health: health)
        with running_engine() as engine:
            build()
            made = engine.containers()["t-loki-aws"]
        checks.append(made["healthcheck"])
        labels.append(made["labels"])
    assert [check["startPeriod"] for check in checks] == ["45s", "46s"]
    assert labels[0] != labels[1]


def test_a_loki_has_time_to_start_before_it_counts_as_unhealthy(usual: Engine) -> None:
    period = usual.containers()["t-loki-aws"]["healthcheck"]["startPeriod"]
    assert int(period.removesuffix("s")) >= 30


def test_caddy_finds_its_upstreams_without_dns(usual: Engine) -> None:
    caddy = usual.containers()["t-caddy"]
    assert caddy["networkMode"] == "host"
    lokis = {"loki-aws": "172.29.12.28", "loki-test": "172.29.12.127"}
    known = {one["host"]: one["ip"] for one in caddy["hosts"]}
    assert known == lokis | {"grafana": "172.30.0.3"}
    assert {one["host"]: one["ip"] for one in usual.containers()["t-reader"]["hosts"]} == lokis


def test_only_the_reader_is_on_the_lokis_network_and_on_grafanas(engine: Engine) -> None:
    build(campus=TREE["campus"] | {"logsTo": "test"})
    networks = {
        name: {(network["name"], network["ipv4Address"]) for network in one.get("networksAdvanced", [])}
        for name, one in engine.containers().items()
    }
    assert networks == {
        "t-caddy": set(),
        "t-port-guard": set(),
        "t-log-shipper-campus-reader": set(),
        "t-loki-aws": {("t-network", "172.29.12.28")},
        "t-loki-test": {("t-network", "172.29.12.127")},
        "t-reader": {("t-network", "172.29.0.2"), ("t-readers-network", "172.30.0.2")},
        "t-grafana": {("t-readers-network", "172.30.0.3")},
        "t-log-shipper-campus": {("t-readers-network", "172.30.0.4")},
    }


def test_grafana_and_the_shipper_reach_lokis_through_the_reader(engine: Engine) -> None:
    build(campus=TREE["campus"] | {"logsTo": "test"})
    sources = json.loads(provisioned(engine)["datasources/loki.yaml"])["datasources"]
    assert [one["url"] for one in sources] == ["http://172.30.0.2:3100", "http://172.30.0.2:3199"]
    page = plain(engine.made["campus-reader-files"].inputs["files"])["Caddyfile"]["content"]
    assert page.count("remote_ip 172.30.0.3") == 2
    assert page.count("remote_ip 172.30.0.4") == 1
    assert "loki-test:3199" in page.partition("remote_ip 172.30.0.4")[2]
    shipped = plain(engine.made["campus-log-shipper-files"].inputs["files"])["config.alloy"]["content"]
    assert "http://172.30.0.2:3199/loki/api/v1/push" in shipped


def test_another_acme_authority_replaces_no_container(engine: Engine) -> None:
    made: list[dict[str, Any]] = []
    for authority in ({}, {"acme": ACME}, {"acme": ACME | {"directory": "https://other.example.org"}}):
        build(
            edge=TREE["edge"]
            | {"domain": "campus.example.org", "tls": "acme", "email": "a@example.org"}
            | authority
        )
        made.append(engine.containers()["t-caddy"])
    assert made[0] == made[1] == made[2]


def test_the_root_of_an_acme_authority_is_where_the_caddyfile_says(engine: Engine) -> None:
    build(
        edge=TREE["edge"]
        | {"domain": "campus.example.org", "tls": "acme", "email": "a@example.org", "acme": ACME}
    )
    mounts = {one["volumeName"]: one["containerPath"] for one in engine.containers()["t-caddy"]["volumes"]}
    root = engine.made["campus-edge-acme-root"].inputs
    [(name, file)] = plain(root["files"]).items()
    caddyfile = plain(engine.made["campus-edge-caddyfile"].inputs["files"])["Caddyfile"]
    assert f"acme_ca_root {mounts[root['volume_name']]}/{name}\n" in caddyfile
    assert file["content"] == ACME["root"]


def test_docker_publishes_nothing_and_caddy_what_the_settings_say(usual: Engine) -> None:
    assert not [name for name, one in usual.containers().items() if one.get("ports")]
    page = plain(usual.made["campus-edge-caddyfile"].inputs["files"])["Caddyfile"]
    assert "http://:3100 {" in page
    assert "3199 {\n\tlog" not in page


def test_the_policy_limits_the_connections_to_caddy(engine: Engine) -> None:
    build(edge=TREE["edge"] | {"connectionsPerSource": 321})
    policy = plain(policy_files(engine)["files"])["policy.nft"]
    # The published port is Caddy's too.
    assert "tcp dport { 80, 443, 3100 } ct state new jump connections" in policy
    assert "ip saddr ct count over 321 }" in policy


def test_a_policy_in_a_namespace_of_its_own_reaches_no_network(engine: Engine) -> None:
    build(portPolicy={"namespace": "own"}, loki={"instances": {"aws": AWS}})
    guard = engine.containers()["t-port-guard"]
    assert guard["networkMode"] == "none"
    assert "confirmation" not in policy_files(engine)


def test_only_the_guard_of_the_host_has_its_settings(engine: Engine) -> None:
    def mounted_from_host(policy: dict[str, Any]) -> list[str]:
        build(portPolicy=TREE["portPolicy"] | policy, loki={"instances": {"aws": AWS}})
        volumes = engine.containers()["t-port-guard"]["volumes"]
        return [one["hostPath"] for one in volumes if "hostPath" in one]

    assert mounted_from_host({}) == ["/proc/sys/net/ipv4"]
    assert mounted_from_host({"namespace": "own"}) == []


def test_new_rules_of_the_host_are_on_trial(engine: Engine) -> None:
    changes = {"confirmTarget": "probe@198.51.100.9", "confirmSeconds": 7, "sshPort": 80}
    build(portPolicy=TREE["portPolicy"] | changes)
    wanted = {"seconds": 7, "target": "probe@198.51.100.9", "ssh_port": 80}
    assert policy_files(engine)["confirmation"] == wanted


@pytest.mark.parametrize(
    ("docker_host", "policy", "warned"),
    [
        ("unix:///nowhere.sock", {}, 1),
        ("unix:///nowhere.sock", {"confirmTarget": "probe@198.51.100.9"}, 0),
        ("unix:///nowhere.sock", {"namespace": "own"}, 0),
        ("ssh://deploy@198.51.100.1", {}, 0),
    ],
)
def test_what_is_not_proved_is_reported_once(
    engine: Engine, monkeypatch: pytest.MonkeyPatch, docker_host: str, policy: dict[str, Any], warned: int
) -> None:
    warnings: list[str] = []
    monkeypatch.setattr(pulumi.log, "warn", lambda text, **_: warnings.append(text))
    build(
        campus=TREE["campus"] | {"dockerHost": docker_host},
        portPolicy=TREE["portPolicy"] | policy,
        loki={"instances": {"aws": AWS}},
    )
    assert len(warnings) == warned
    assert all("only the check of the rules" in text for text in warnings)


def test_a_changed_health_check_makes_a_new_guard(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    def label() -> Any:
        build()
        guard = engine.containers()["t-port-guard"]
        assert guard["healthcheck"]["tests"] == port_policy.HEALTH_COMMAND
        return guard["labels"]

    before = label()
    health = port_policy._health() | {"interval": "11s"}
    with monkeypatch.context() as patched:
        patched.setattr(port_policy, "_health", lambda: health)
        assert label() != before
    monkeypatch.setattr(port_policy, "HEALTH_COMMAND", ["CMD", "true"])
    assert label() != before


def test_no_secret_reaches_a_container(usual: Engine) -> None:
    for inputs in usual.containers().values():
        assert SECRET not in str(inputs)
        assert "generated" not in str(inputs.get("envs"))


SMTP = {
    "host": "smtp.example.org",
    "fromAddress": "grafana@example.org",
    "user": "campus",
    "password": SECRET,
}
WEBHOOK = "https://hooks.slack.example/services/a-secret-way-in"


def grafana_container(**changes: Any) -> dict[str, Any]:
    """The inputs of Grafana's container."""
    with running_engine() as engine:
        build(**changes)
        return engine.containers()["t-grafana"]


def provisioned(engine: Engine, name: str = "provisioned") -> dict[str, Any]:
    """Grafana's live files by name, which must be marked as secret."""
    return plain(engine.made[f"campus-grafana-{name}"].inputs["files"])


def test_grafanas_provisioning_replaces_no_container(usual: Engine) -> None:
    """A new instance, another retention, rules, contacts: the running one gets all of them."""
    more = TREE["loki"]["instances"] | {"stage": AWS | {"port": 3101, "route": "/lokistage"}}
    changes: dict[str, Any] = {
        "loki": {"instances": more},
        "campus": TREE["campus"] | {"logsTo": "test"},
        "grafana": {"alertsTo": {"slack": WEBHOOK}},
    }
    before = usual.containers()["t-grafana"]
    files = provisioned(usual), provisioned(usual, "dashboards")
    first = usual.made["campus-grafana-first-files"].inputs
    for key, value in changes.items():
        with running_engine() as engine:
            build(**{key: value})
            assert engine.containers()["t-grafana"] == before, key
            assert engine.made["campus-grafana-first-files"].inputs == first, key
            assert (provisioned(engine), provisioned(engine, "dashboards")) != files, key


def test_a_changed_mail_server_or_password_replaces_grafana() -> None:
    """It reads them at its start."""
    seen = [
        grafana_container(grafana={"smtp": SMTP | change})
        for change in ({}, {"password": "another"}, {"host": "other.example.org"}, {"port": 465})
    ]
    assert all(one != other for at, one in enumerate(seen) for other in seen[at + 1 :])
    assert grafana_container(grafana={"smtp": SMTP}) == seen[0]


def test_the_mail_server_is_reached_by_grafanas_own_keys(engine: Engine) -> None:
    build(grafana={"smtp": SMTP, "alertsTo": {"mail": ["team@example.org"]}})
    envs = [one for one in engine.containers()["t-grafana"]["envs"] if one.startswith("GF_SMTP")]
    assert envs == [
        "GF_SMTP_ENABLED=true",
        "GF_SMTP_HOST=smtp.example.org:587",
        "GF_SMTP_FROM_ADDRESS=grafana@example.org",
        "GF_SMTP_STARTTLS_POLICY=MandatoryStartTLS",
        "GF_SMTP_USER=campus",
        "GF_SMTP_PASSWORD__FILE=/run/secrets/grafana/smtp-password",
    ]
    kept = plain(engine.made["campus-grafana-secret-files"].inputs["files"])["smtp-password"]
    assert (kept["content"], kept["uid"], kept["mode"]) == (SECRET, 472, 0o400)
    assert "team@example.org" in provisioned(engine)["alerting/contacts.yaml"]


def test_a_mail_server_without_a_login_gets_none() -> None:
    smtp = {key: value for key, value in SMTP.items() if key not in ("user", "password")}
    found = grafana_container(grafana={"smtp": smtp})
    assert not [one for one in found["envs"] if one.startswith(("GF_SMTP_USER", "GF_SMTP_PASSWORD"))]


def test_grafanas_secrets_are_in_no_plain_text(engine: Engine) -> None:
    build(grafana={"adminPassword": SECRET, "smtp": SMTP, "alertsTo": {"discord": WEBHOOK}})
    assert WEBHOOK in provisioned(engine)["alerting/contacts.yaml"]
    for name, one in engine.made.items():
        marked = {key for key, value in one.inputs.items() if isinstance(value, dict) and "value" in value}
        rest = {key: value for key, value in one.inputs.items() if key not in marked}
        assert SECRET not in str(rest), name
        assert WEBHOOK not in str(rest), name
    files = plain(engine.made["campus-grafana-secret-files"].inputs["files"])
    assert {file["mode"] for file in files.values()} == {0o400}


def test_empty_contacts_differ_from_none(usual: Engine, engine: Engine) -> None:
    assert "resetPolicies" not in provisioned(usual)["alerting/contacts.yaml"]
    build(grafana={"alertsTo": {}})
    assert "resetPolicies" in provisioned(engine)["alerting/contacts.yaml"]


def test_panels_on_caddys_log_exist_only_if_it_is_shipped(usual: Engine, engine: Engine) -> None:
    assert "http.log.access" not in str(provisioned(usual)) + str(provisioned(usual, "dashboards"))
    build(campus=TREE["campus"] | {"logsTo": "test"})
    asked = '{source="docker", host="campus", container="t-caddy"}'.replace('"', '\\"')
    for text in (
        provisioned(engine)["alerting/rules.yaml"],
        provisioned(engine, "dashboards")["pipeline.json"],
    ):
        assert asked in text
        assert asked.replace("t-caddy", "t-port-guard") in text
        assert "/lokiaws|/lokitest" in text


def test_silence_is_reported_only_for_a_loki_that_a_service_ships_to(usual: Engine, engine: Engine) -> None:
    def asked(text: str) -> list[str]:
        rules = [rule for group in json.loads(text)["groups"] for rule in group["rules"]]
        silent = [one for one in rules if "aws-silent" in one["uid"] and not one.get("isPaused")]
        return [one["data"][0]["datasourceUid"] for one in silent]

    assert asked(provisioned(usual)["alerting/rules.yaml"]) == []
    app = {"image": "nginx:1.29.4", "memoryMib": 256}
    build(services={"api": {"cpuUnits": 512, "memoryMib": 512, "containers": {"app": app}}})
    assert asked(provisioned(engine)["alerting/rules.yaml"]) == ["loki-aws"]


def test_the_adapter_uses_the_containers_paths(usual: Engine) -> None:
    inputs = usual.containers()["t-grafana"]
    assert f"GF_SECURITY_ADMIN_PASSWORD__FILE={GRAFANA_SECRETS}/admin-password" in inputs["envs"]
    assert f"GF_PATHS_PROVISIONING={grafana.PROVISIONING}" in inputs["envs"]
    directories = {
        name: usual.made[f"campus-grafana-{name}"].inputs["directory"]
        for name in ("provisioned", "dashboards")
    }
    assert directories == {"provisioned": grafana.PROVISIONING, "dashboards": grafana.DASHBOARDS}
    assert grafana.DASHBOARDS in provisioned(usual)["dashboards/campus.yaml"]
    # LiveFiles' later files must not be overwritten.
    assert usual.made["campus-grafana-first-files"].inputs["only_if_absent"] is True
    first = plain(usual.made["campus-grafana-first-files"].inputs["files"])
    assert (
        first["provisioning/dashboards/campus.yaml"]["content"]
        == provisioned(usual)["dashboards/campus.yaml"]
    )


def test_a_new_grafana_finds_each_directory_that_it_reads(usual: Engine) -> None:
    """It logs an error for each missing one at each start."""
    first = plain(usual.made["campus-grafana-first-files"].inputs["files"])
    looked_into = {path.split("/")[1] for path in first if path.startswith("provisioning/")}
    assert looked_into == {"alerting", "dashboards", "datasources", "plugins"}
    for path, file in first.items():
        assert path.startswith("dashboards/") or json.loads(file["content"])["apiVersion"] == 1


def test_the_running_grafana_gets_a_new_admin_password() -> None:
    """It reads the file only when it creates its database, so a change must trigger a reload."""
    marks: list[str] = []
    containers: list[dict[str, Any]] = []
    for password in (SECRET, SECRET, f"{SECRET}, another"):
        with running_engine() as engine:
            build(grafana={"adminPassword": password})
            marks.append(provisioned(engine)["admin-password.hmac"])
            containers.append(engine.containers()["t-grafana"])
            assert password not in marks[-1]
    assert marks[0] == marks[1] != marks[2]
    assert containers[0] == containers[2]


def test_grafana_is_closed_and_contacts_nobody(usual: Engine) -> None:
    envs = dict(one.split("=", 1) for one in usual.containers()["t-grafana"]["envs"])
    assert envs["GF_USERS_HOME_PAGE"] == f"/d/{PIPELINE_UID}"
    own_key = "GF_SECRETS_MANAGER_ENCRYPTION_SECRET_KEY_V1_SECRET_KEY__FILE"
    assert envs[own_key] == envs["GF_SECURITY_SECRET_KEY__FILE"] == f"{GRAFANA_SECRETS}/secret-key"
    # Guessers are locked out by address: nobody can lock `admin` out for others.
    assert envs["GF_SECURITY_DISABLE_USERNAME_LOGIN_PROTECTION"] == "true"
    assert envs["GF_SECURITY_DISABLE_IP_ADDRESS_LOGIN_PROTECTION"] == "false"
    # Its log has no stranger's path or Referer.
    assert set(envs["GF_LOG_FILTERS"].split()) == {"context:error", "authn.service:error"}
    for name in (
        *("SECURITY_COOKIE_SECURE", "SECURITY_CONTENT_SECURITY_POLICY", "SECURITY_DISABLE_GRAVATAR"),
        *("PLUGINS_PREINSTALL_DISABLED", "PLUGINS_PUBLIC_KEY_RETRIEVAL_DISABLED"),
    ):
        assert envs[f"GF_{name}"] == "true"
    for name in (
        *("AUTH_ANONYMOUS_ENABLED", "USERS_ALLOW_SIGN_UP", "SNAPSHOTS_ENABLED", "SNAPSHOTS_EXTERNAL_ENABLED"),
        *("PUBLIC_DASHBOARDS_ENABLED", "PLUGINS_PLUGIN_ADMIN_ENABLED", "METRICS_ENABLED"),
        *("SERVER_ENABLE_GZIP", "ANALYTICS_REPORTING_ENABLED", "ANALYTICS_CHECK_FOR_UPDATES"),
        *("ANALYTICS_CHECK_FOR_PLUGIN_UPDATES", "ANALYTICS_FEEDBACK_LINKS_ENABLED"),
        *("NEWS_NEWS_FEED_ENABLED", "CLOUD_MIGRATION_ENABLED"),
    ):
        assert envs[f"GF_{name}"] == "false"


def test_without_grafana_none_of_its_resources_exist(engine: Engine) -> None:
    build(grafana={"enabled": False})
    assert "t-grafana" not in engine.containers()
    assert not [name for name in engine.made if "grafana" in name]


def test_the_live_files_are_in_the_containers_that_serve_them(usual: Engine) -> None:
    live = {
        name: one.inputs | {"files": plain(one.inputs["files"])}
        for name, one in usual.made.items()
        if one.typ.startswith(DYNAMIC) and "program" in one.inputs
    }
    provisioned = [
        *("admin-password.hmac", "alerting/contacts.yaml", "alerting/rules.yaml"),
        *("dashboards/campus.yaml", "datasources/loki.yaml", "plugins/none.yaml"),
    ]
    assert {
        name: (one["program"], one["container_name"], sorted(one["files"])) for name, one in live.items()
    } == {
        "campus-grafana-dashboards": ("grafana-dashboards", "t-grafana", ["logs.json", "pipeline.json"]),
        "campus-grafana-provisioned": ("grafana", "t-grafana", provisioned),
        "campus-edge-caddyfile": ("caddy", "t-caddy", ["Caddyfile"]),
        "campus-port-policy-policy": ("nft", "t-port-guard", ["policy.nft"]),
        "nat-0-fragment": ("caddy", "t-caddy", ["allowed/nat/203.0.113.7.caddy"]),
    }
    page = live["campus-edge-caddyfile"]["files"]["Caddyfile"]
    assert page.count("admin $2b$14$hash") == page.count("other $2b$14$hash") == 1


def test_outputs_name_the_urls_and_keep_the_passwords_secret(engine: Engine) -> None:
    server = build()
    found: dict[str, Any] = {}

    @pulumi.runtime.test
    def read() -> pulumi.Output[Any]:
        named = pulumi.Output.all(
            urls=server.loki_push_urls,
            grafana=server.grafana_url,
            credentials=server.shipper_credentials,
        )
        return named.apply(found.update)

    read()
    assert found["grafana"] == "https://campus.localhost"
    assert found["urls"]["aws"] == "https://campus.localhost/lokiaws/loki/api/v1/push"
    assert found["credentials"] == {"test": {"admin": SECRET, "other": "generated"}}
    assert asyncio.get_event_loop().run_until_complete(server.shipper_credentials.is_secret())
