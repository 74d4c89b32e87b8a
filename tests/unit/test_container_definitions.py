"""Task definitions: valid for ECS, with the log router's options."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from components.aws.documents import canonical
from components.ecs.container_definitions import (
    PushTarget,
    log_configuration,
    task_volumes,
)
from components.ecs.firelens import OUTPUTS
from components.ecs.settings import ServiceSettings
from tests.support.ecs_rules import problems
from tests.support.ecs_services import APP, PARAMETER, URL, request_for, service, services, some_services

DIGEST = f"sha256:{'ab' * 32}"


def fargate(**changes: Any) -> ServiceSettings:
    """A small service on Fargate, with changes."""
    return service(**{"launch": "fargate", "memoryMib": 1024} | changes)


def containers(of: ServiceSettings, *, with_password: bool = False) -> dict[str, dict[str, Any]]:
    """The definitions by name."""
    request = request_for(of, with_password=with_password)
    return {one["name"]: one for one in request["containerDefinitions"]}


@some_services
@given(service=services, with_password=st.booleans())
def test_ecs_takes_every_definition(service: ServiceSettings, with_password: bool) -> None:
    assert problems(request_for(service, with_password=with_password)) == []


@some_services
@given(service=services, with_password=st.booleans())
def test_the_lint_takes_every_option_that_the_stack_writes(
    service: ServiceSettings, with_password: bool
) -> None:
    output = OUTPUTS[service.log_router.output]
    for name, one in containers(service, with_password=with_password).items():
        if name in ("log-router", "collector"):
            continue
        log = one["logConfiguration"]
        for key, value in log["options"].items():
            known = output.option(key)
            assert known is not None, key
            assert known[0] == key
            assert known[1].problem(value) is None, (key, value)
        assert "http://" not in str(log)


@some_services
@given(service=services)
def test_no_label_makes_a_stream_per_task(service: ServiceSettings) -> None:
    for one in containers(service).values():
        options = one["logConfiguration"]["options"]
        keys = options.get("LabelKeys", options.get("label_keys", "")).replace("$", "").split(",")
        assert not {"container_name", "container_id", "ecs_task_definition", "ecs_task_arn", "log"} & set(
            keys
        )


@some_services
@given(service=services, seed=st.randoms())
def test_the_same_service_is_the_same_text_however_its_settings_are_ordered(
    service: ServiceSettings, seed: Any
) -> None:
    tree = service.model_dump(mode="json", by_alias=True)
    for one in tree["containers"].values():
        for key in ("environment", "secrets"):
            items = list(one[key].items())
            seed.shuffle(items)
            one[key] = dict(items)
    items = list(tree["containers"].items())
    seed.shuffle(items)
    other = ServiceSettings.model_validate(tree | {"containers": dict(items)})
    assert _text(other) == _text(service)


def _text(of: ServiceSettings) -> str:
    return canonical(request_for(of)["containerDefinitions"])


def test_canonical_json_is_one_text_per_content() -> None:
    assert canonical({"b": [1, {"d": 1, "c": 2}], "a": "ü"}) == canonical(
        {"a": "ü", "b": [1, {"c": 2, "d": 1}]}
    )
    assert json.loads(canonical({"a": "ü"})) == {"a": "ü"}


BREAKS: list[tuple[str, Callable[[dict[str, Any]], Any], str]] = [
    ("no essential container", lambda r: [one.update(essential=False) for one in _all(r)], "an essential"),
    ("unknown field", lambda r: _all(r)[0].update(memoryLimit=1), "Unknown parameter"),
    ("odd Fargate size", lambda r: r.update(memory="1536"), "no Fargate configuration"),
    ("port", lambda r: _all(r)[1]["portMappings"][0].update(containerPort=0, hostPort=0), "port"),
    ("host port", lambda r: _all(r)[1]["portMappings"][0].update(hostPort=0), "both ports"),
    ("name", lambda r: _all(r)[1].update(name="log-router"), "unique"),
    ("stop", lambda r: _all(r)[0].update(stopTimeout=121), "stopTimeout"),
    ("healthy", lambda r: _all(r)[1]["dependsOn"][0].update(condition="HEALTHY"), "HEALTHY"),
    (
        "each other",
        lambda r: _all(r)[0].update(dependsOn=[{"containerName": "app", "condition": "START"}]),
        "dependsOn",
    ),
    ("ended", lambda r: _all(r)[1]["dependsOn"][0].update(condition="SUCCESS"), "until it ends"),
    (
        "restarts",
        lambda r: _all(r)[0].update(restartPolicy={"enabled": True, "restartAttemptPeriod": 5}),
        "Attempt",
    ),
    ("volume", lambda r: r.update(volumes=[]), "sourceVolume"),
    ("twice", lambda r: _all(r)[1].update(secrets=[{"name": "A", "valueFrom": PARAMETER}]), "twice"),
    ("router", lambda r: _all(r)[0].pop("firelensConfiguration"), "awsfirelens needs"),
    ("memory", lambda r: _all(r)[1].update(memory=2048), "within the task's"),
]


def _all(request: dict[str, Any]) -> list[dict[str, Any]]:
    return request["containerDefinitions"]


@pytest.mark.parametrize(("broken", "says"), [one[1:] for one in BREAKS], ids=[one[0] for one in BREAKS])
def test_the_checker_sees_what_ecs_refuses(broken: Callable[[dict[str, Any]], Any], says: str) -> None:
    made = fargate(logRouter={"output": "grafana"}, containers={"app": APP | {"environment": {"A": "1"}}})
    request = copy.deepcopy(request_for(made))
    assert problems(request) == []
    broken(request)
    assert [problem for problem in problems(request) if says in problem], problems(request)


def test_grafanas_plugin_gets_its_options_and_a_queue_per_container() -> None:
    two = {"app": APP, "worker": {"image": "app:1", "memoryMib": 64}}
    made = containers(service(logRouter={"output": "grafana"}, containers=two))
    options = made["app"]["logConfiguration"]["options"]
    assert options["Name"] == "grafana-loki"
    assert options["Url"] == URL
    assert options["Labels"] == '{job="firelens",service="client-api",container="app"}'
    assert (options["Buffer"], options["DqueDir"], options["DqueName"]) == ("true", "/log-buffer", "app")
    assert made["worker"]["logConfiguration"]["options"]["DqueName"] == "worker"
    assert made["log-router"]["mountPoints"] == [
        {"containerPath": "/log-buffer", "sourceVolume": "log-buffer", "readOnly": False}
    ]
    assert made["log-router"]["firelensConfiguration"] == {
        "type": "fluentbit",
        "options": {"enable-ecs-log-metadata": "true"},
    }
    assert "secretOptions" not in made["app"]["logConfiguration"]


@some_services
@given(service=services)
def test_the_plan_for_the_stated_rate_reaches_the_definition(service: ServiceSettings) -> None:
    made, plan = containers(service), service.plan
    router = made.pop("log-router")
    made.pop("collector", None)
    assert (router["memoryReservation"], router["stopTimeout"]) == (plan.memory_mib, plan.stop_seconds)
    for one in made.values():
        options = one["logConfiguration"]["options"]
        assert options["log-driver-buffer-limit"] == str(plan.driver_lines)
        if service.log_router.output == "grafana":
            assert options["MaxRetries"] == str(plan.max_retries)


def test_fluent_bits_own_output_gets_its_options() -> None:
    made = containers(service(labels={"team": "judge"}))
    options = made["app"]["logConfiguration"]["options"]
    wanted = {
        "Name": "loki",
        "host": "grafana.codedang.com",
        "port": "443",
        "uri": "/lokiaws/loki/api/v1/push",
        "tls": "on",
        "tls.verify": "on",
        # The program's own default takes any host's certificate.
        "tls.verify_hostname": "on",
        # The program's own default waits for ever.
        "net.io_timeout": "10",
        # The gate knows the tasks' IPv4 addresses.
        "net.dns.prefer_ipv4": "on",
        "retry_limit": "no_limits",
    }
    assert wanted.items() <= options.items()
    assert options["labels"] == "job=firelens,service=client-api,container=app,team=judge"
    assert options["label_keys"] == "$source,$ecs_cluster"
    assert "mountPoints" not in made["log-router"]


@some_services
@given(service=services, keeps_metadata=st.booleans())
def test_a_lines_task_is_always_shipped_and_never_a_label(
    service: ServiceSettings, keeps_metadata: bool
) -> None:
    target = PushTarget(url=URL, keeps_metadata=keeps_metadata)
    options = log_configuration("client-api", "app", service, target, service.plan)["options"]
    removed = options.get("RemoveKeys", options.get("remove_keys", "")).split(",")
    beside = options.get("structured_metadata", "").split(",")
    for field in ("ecs_task_arn", "ecs_task_definition", "container_name", "ec2_instance_id", "partial_id"):
        assert field not in removed
        assert (f"{field}=${field}" in beside) == ("structured_metadata" in options)
    # Metadata if the Loki stores it; else fields of JSON, which quotes the line.
    has_room = service.log_router.output == "fluent-bit" and keeps_metadata
    assert ("structured_metadata" in options) == has_room
    assert options.get("LineFormat", options.get("line_format")) == "json"


@pytest.mark.parametrize(("output", "secret"), [("grafana", "Url"), ("fluent-bit", "http_passwd")])
def test_a_password_stands_in_a_secret_option_and_nowhere_else(output: str, secret: str) -> None:
    made = containers(service(logRouter={"output": output}), with_password=True)
    log = made["app"]["logConfiguration"]
    assert log["secretOptions"] == [{"name": secret, "valueFrom": PARAMETER}]
    assert secret not in log["options"]
    assert log["options"].get("http_user") == ("admin" if output == "fluent-bit" else None)


def test_options_by_hand_come_over_the_stacks_own_in_one_spelling() -> None:
    router = {"output": "grafana", "options": {"batchwait": "5s", "logLevel": "warn"}}
    options = containers(service(logRouter=router))["app"]["logConfiguration"]["options"]
    assert (options["BatchWait"], options["LogLevel"]) == ("5s", "warn")
    assert not {"batchwait", "logLevel"} & set(options)


def test_a_containers_settings_reach_its_definition() -> None:
    tree = {
        **APP,
        "essential": False,
        "command": ["serve", "--fast"],
        "environment": {"B": "2", "A": "1"},
        "secrets": {"DB": PARAMETER},
        "healthCheck": {"command": ["CMD-SHELL", "curl -f localhost"], "startPeriodSeconds": 10},
        "stopTimeoutSeconds": 20,
    }
    app = containers(fargate(containers={"app": tree}))["app"]
    assert app["essential"] is False
    assert app["command"] == ["serve", "--fast"]
    assert app["environment"] == [{"name": "A", "value": "1"}, {"name": "B", "value": "2"}]
    assert app["secrets"] == [{"name": "DB", "valueFrom": PARAMETER}]
    assert app["healthCheck"]["startPeriod"] == 10
    assert app["stopTimeout"] == 20
    assert app["portMappings"] == [{"containerPort": 80, "hostPort": 80, "protocol": "tcp"}]
    assert app["dependsOn"] == [{"containerName": "log-router", "condition": "START"}]


def test_several_ports_with_their_protocols_are_mapped() -> None:
    ports = [80, {"port": 53, "protocol": "udp"}, {"port": 53}]
    app = {"image": "app:1", "memoryMib": 64, "ports": ports}
    assert problems(request_for(fargate(containers={"app": app}))) == []
    for made, host in ((service, 0), (fargate, None)):
        mapped = containers(made(containers={"app": app}))["app"]["portMappings"]
        assert [(one["containerPort"], one["protocol"]) for one in mapped] == [
            (80, "tcp"),
            (53, "udp"),
            (53, "tcp"),
        ]
        assert all(one["hostPort"] == (one["containerPort"] if host is None else host) for one in mapped)


def test_volumes_are_the_tasks_own_or_a_folder_of_the_instance() -> None:
    app = {**APP, "mounts": {"data": {"path": "/data"}, "assets": {"path": "/srv", "readOnly": True}}}
    volumes = {"data": {}, "assets": {"hostPath": "/srv/assets"}}
    made = service(containers={"app": app}, volumes=volumes, logRouter={"output": "grafana"})
    assert task_volumes(made) == {"log-buffer": None, "assets": "/srv/assets", "data": None}
    assert task_volumes(service(containers={"app": app}, volumes=volumes)).keys() == volumes.keys()
    assert containers(made)["app"]["mountPoints"] == [
        {"sourceVolume": "assets", "containerPath": "/srv", "readOnly": True},
        {"sourceVolume": "data", "containerPath": "/data", "readOnly": False},
    ]
    assert problems(request_for(made)) == []


def test_a_container_waits_for_others_beside_the_log_router() -> None:
    migrate = {"image": "app:1", "memoryMib": 64, "essential": False, "command": ["migrate"]}
    app = {**APP, "dependsOn": {"migrate": "SUCCESS"}}
    made = fargate(containers={"app": app, "migrate": migrate})
    assert containers(made)["app"]["dependsOn"] == [
        {"containerName": "log-router", "condition": "START"},
        {"containerName": "migrate", "condition": "SUCCESS"},
    ]
    assert problems(request_for(made)) == []


def test_the_task_stops_with_its_log_router_or_only_that_is_started_again() -> None:
    stops, restarts = (containers(fargate(logRouter={"onExit": how})) for how in ("stop-task", "restart"))
    assert containers(fargate())["log-router"] == stops["log-router"]
    assert (stops["log-router"]["essential"], stops["log-router"].get("restartPolicy")) == (True, None)
    assert restarts["log-router"]["essential"] is False
    assert restarts["log-router"]["restartPolicy"] == {"enabled": True, "restartAttemptPeriod": 60}
    assert problems(request_for(fargate(logRouter={"onExit": "restart"}))) == []


def test_a_log_router_with_a_health_check_is_waited_for() -> None:
    router = {
        "image": "amazon/aws-for-fluent-bit:2.34.0",
        "output": "fluent-bit",
        "healthCheck": {"command": ["CMD-SHELL", "curl -f http://127.0.0.1:2020/api/v1/health"]},
        "config": {"type": "file", "value": "/fluent-bit/etc/own.conf"},
    }
    made = containers(service(logRouter=router))
    assert made["app"]["dependsOn"] == [{"containerName": "log-router", "condition": "HEALTHY"}]
    assert made["log-router"]["healthCheck"]["interval"] == 30
    assert made["log-router"]["firelensConfiguration"]["options"] == {
        "enable-ecs-log-metadata": "true",
        "config-file-type": "file",
        "config-file-value": "/fluent-bit/etc/own.conf",
    }


@pytest.mark.parametrize(
    ("image", "named"),
    [
        ("nginx:1.29.4", "nginx:1.29.4"),
        (f"nginx:1.29.4@{DIGEST}", f"nginx@{DIGEST}"),
        (f"registry.example:5000/app:1@{DIGEST}", f"registry.example:5000/app@{DIGEST}"),
    ],
)
def test_an_image_is_named_by_its_digest_where_it_has_one(image: str, named: str) -> None:
    made = containers(service(containers={"app": {**APP, "image": image}}, logRouter={"image": image}))
    assert {name: one["image"] for name, one in made.items()} == {"app": named, "log-router": named}
