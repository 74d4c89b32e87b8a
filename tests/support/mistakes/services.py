"""Mistakes in a service: its log router's options, its containers, its security group."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from components.ecs.firelens import OUTPUTS
from components.ecs.metrics_settings import COLLECTOR_IMAGE
from rig.stack import Settings
from tests.support.ecs_services import VPC, ingress_rule
from tests.support.mistakes.mistake import Mistake
from tests.support.settings import CANARY, LOCAL, put

AT = "services.client-api."
OLD = "grafana/fluent-bit-plugin-loki:2.0.0-amd64"
KEY = "arn:aws:kms:ap-northeast-2:123456789012:key/01234567-89ab-cdef-0123-456789abcdef"
DIGEST = f"@sha256:{'ab' * 32}"
WITH_DIGESTS = {
    **{f"images.{key}": LOCAL["images"][key] + DIGEST for key in LOCAL["images"] if key != "requireDigest"},
    AT + "containers.app.image": "nginx:1.29.4" + DIGEST,
}
WORKER = {"image": "app:1", "memoryMib": 64}
ON_FARGATE = put(LOCAL, {AT + "launch": "fargate", AT + "memoryMib": 1024})


def service(changes: Mapping[str, Any], says: str, *words: str) -> Mistake:
    """A mistake in the local stack's service; the message names one of its keys."""
    return Mistake({AT + key: value for key, value in changes.items()}, AT + says, *words)


def option(output: str, options: Mapping[str, str], says: str, *words: str) -> Mistake:
    """A mistake in the options of its log router."""
    router = {"output": output, "options": options}
    return service({"logRouter": router}, f"logRouter.options.{says}", *words)


def ingress(rule: Mapping[str, Any], says: str, *words: str) -> Mistake:
    """A mistake in the only rule of its tasks' security group."""
    return Mistake({AT + "ingress": [rule]}, f"{AT}ingress.0.{says}", *words, base=ON_FARGATE)


def metrics(changes: Mapping[str, Any], says: str, *words: str, base: Settings = LOCAL) -> Mistake:
    """A mistake in its metrics."""
    return Mistake({AT + "metrics.enabled": True, **changes}, says, *words, base=base)


MISTAKES = [
    Mistake(
        {
            "images.requireDigest": True,
            **WITH_DIGESTS,
            AT + "metrics.enabled": True,
        },
        f"{AT}metrics.image: tag and digest are required",
        COLLECTOR_IMAGE,
    ),
    metrics({"prometheus": ...}, AT + "metrics: the area `prometheus` is needed", "true"),
    metrics(
        {AT + "metrics.account": "x"}, AT + "metrics.account: one of the accounts of prom", "admin", "'x'"
    ),
    metrics({AT + "metrics.account": "a b"}, AT + "metrics.account: a user name is", "a b"),
    metrics({AT + "metrics.samplesPerMinute": -1}, AT + "metrics.samplesPerMinute: ", "-1"),
    metrics({AT + "metrics.interval": "10s"}, AT + "metrics.interval: unknown key"),
    metrics(
        {"prometheus.allow": ["192.0.2.1"]},
        "prometheus.allow: services.client-api's tasks push their metrics from the NAT",
        "add nat",
        "192.0.2.1",
    ),
    metrics(
        {AT + "containers.collector": WORKER},
        AT + "containers: the metrics' sidecar has a name of its own",
        "'collector'",
    ),
    metrics(
        {AT + "containers": {f"app{at}": {"image": "a:1", "memoryMib": 6} for at in range(9)}},
        AT + "containers: 8 at most beside the log router and the collector",
        "9",
    ),
    metrics(
        {AT + "metrics.image": "team/collector:1-arm64"}, AT + "metrics.image: the tag says arm64", "x86_64"
    ),
    metrics(
        {AT + "containers.app.port": 4318},
        AT + "containers.app.port: collector has it",
        "4318",
        base=ON_FARGATE,
    ),
    metrics(
        {AT + "metrics.samplesPerMinute": 100_000},
        AT + "memoryMib: the containers and the log router",
        "and the collector",
        "512",
    ),
    *(
        Mistake(
            {"images.requireDigest": True, **WITH_DIGESTS, AT + key: image},
            f"{AT}{key}: tag and digest are required",
            image,
        )
        for key, image in (
            ("containers.app.image", "nginx:1.29.4"),
            ("logRouter.image", "fluent/fluent-bit:4.2.3"),
        )
    ),
    # The output's default image has no digest.
    Mistake(
        {"images.requireDigest": True, **WITH_DIGESTS, AT + "logRouter.output": "grafana"},
        f"{AT}logRouter.image: tag and digest are required",
        OUTPUTS["grafana"].image,
    ),
    service({"loki": "none"}, "loki: one of", "none"),
    service({"kmsKeyArns": ["alias/app"]}, "kmsKeyArns.0: a KMS key's ARN is needed", "alias/app"),
    service({"kmsKeyArns": [KEY]}, "kmsKeyArns: there is neither a secret", KEY),
    service({"memoryMib": 100}, "memoryMib:", "100"),
    service({"ingress": [ingress_rule()]}, "ingress: with bridge networking", "ec2"),
    option("grafana", {"Http_User": "admin"}, "Http_User", "no such option", "accounts", "remove it"),
    option("grafana", {"Http_Passwd": CANARY}, "Http_Passwd", "no such option", "remove it"),
    option("grafana", {"label_keys": "source"}, "label_keys", "did you mean LabelKeys?"),
    option("grafana", {"BatchWat": "1s"}, "BatchWat", "did you mean BatchWait?", "'1s'"),
    option("grafana", {"Colour": "red"}, "Colour", "would ignore it: remove it", "'red'"),
    option("fluent-bit", {"Colour": "red"}, "Colour", "wouldn't start with it: remove it", "'red'"),
    option("grafana", {"Name": "loki"}, "Name", "'grafana-loki'", "write that", "'loki'"),
    option("grafana", {"Url": "http://x/push"}, "Url", "http://", "clear", "remove it"),
    option("grafana", {"Url": f"https://a:{CANARY}@x/"}, "Url", "by hand", "remove it"),
    option("grafana", {"Timeout": "10"}, "Timeout", "with its unit, such as 10s", "'10'"),
    option("grafana", {"Timeout": "0s"}, "Timeout", "more than nothing", "'0s'"),
    option("grafana", {"MinBackoff": "0ms"}, "MinBackoff", "more than nothing", "'0ms'"),
    option("grafana", {"MinBackoff": "1 s"}, "MinBackoff", "with its unit", "'1 s'"),
    option("grafana", {"BatchWait": "1"}, "BatchWait", "with its unit", "'1'"),
    option("grafana", {"BatchSize": "1MB"}, "BatchSize", "whole bytes", "'1MB'"),
    option("grafana", {"BatchSize": "1048577"}, "BatchSize", "1048576 at most", "'1048577'"),
    option("fluent-bit", {"compress": "gzip"}, "compress", "by hand", "1.5 MiB", "remove it"),
    option("grafana", {"MaxRetries": "0"}, "MaxRetries", "from 1", "'0'"),
    option("grafana", {"Buffer": "on"}, "Buffer", "exactly true or false", "'on'"),
    option("grafana", {"Buffer": "True"}, "Buffer", "exactly true or false", "'True'"),
    option("grafana", {"LineFormat": "kv"}, "LineFormat", "one of json", "'kv'"),
    option("grafana", {"LineFormat": "key_value"}, "LineFormat", "one of json", "'key_value'"),
    option("fluent-bit", {"line_format": "key_value"}, "line_format", "one of json", "'key_value'"),
    option("grafana", {"LabelKeys": "source, ecs_cluster"}, "LabelKeys", "commas alone"),
    option("grafana", {"LabelKeys": "container_name"}, "LabelKeys", "random hex", "leave it"),
    option("grafana", {"LabelKeys": "source,ecs_task_definition"}, "LabelKeys", "revision", "leave it"),
    option("grafana", {"LabelKeys": "ecs_task_arn"}, "LabelKeys", "one per task", "leave it"),
    option("grafana", {"LabelKeys": "log"}, "LabelKeys", "line itself", "leave it"),
    option("grafana", {"Labels": '{a="b"}'}, "Labels", "`labels`", "remove it"),
    option("grafana", {"DqueDir": "/x"}, "DqueDir", "queue of its own", "remove it"),
    option("grafana", {"TenantID": "x"}, "TenantID", "tenants", "remove it"),
    option("grafana", {"insecure_skip_verify": "true"}, "insecure_skip_verify", "password to anyone"),
    option("grafana", {"Match": "*"}, "Match", "FireLens", "remove it"),
    option("grafana", {"timeout": "10s", "Timeout": "9s"}, "Timeout", "same option as timeout"),
    option("grafana", {"Retry_Limit": "3"}, "Retry_Limit", "by hand", "MaxRetries", "'3'"),
    option("grafana", {"Workers": "2"}, "Workers", "by hand", "remove it"),
    option("grafana", {"tls.verify": "off"}, "tls.verify", "by hand", "ca_file"),
    option("grafana", {"LabelKeys": "source,job"}, "LabelKeys", "sets job itself", "'job'"),
    option("fluent-bit", {"structured_metadata": "a=$b"}, "structured_metadata", "by hand", "which task"),
    option("fluent-bit", {"structured_metadata_map_keys": "$a"}, "structured_metadata_map_keys", "no maps"),
    option("fluent-bit", {"bearer_token": CANARY}, "bearer_token", "an account", "remove it"),
    option("fluent-bit", {"header": f"A {CANARY}"}, "header", "an account", "remove it"),
    option("fluent-bit", {"tls.vhost": "x"}, "tls.vhost", "by hand", "any certificate"),
    option("fluent-bit", {"tls.verify_hostname": "off"}, "tls.verify_hostname", "by hand", "any certificate"),
    option("fluent-bit", {"tls.key_passwd": CANARY}, "tls.key_passwd", "readable", "remove it"),
    option("fluent-bit", {"log_level": "error"}, "log_level", "one of info", "'error'"),
    option("fluent-bit", {"net.dns.resolver": "dig"}, "net.dns.resolver", "LEGACY", "'dig'"),
    option("fluent-bit", {"match_regex": ".*"}, "match_regex", "FireLens", "remove it"),
    option("fluent-bit", {"LabelKeys": "source"}, "LabelKeys", "did you mean label_keys?"),
    option("fluent-bit", {"Url": "https://x"}, "Url", "no such option"),
    option("fluent-bit", {"host": "x"}, "host", "by hand", "remove it"),
    option("fluent-bit", {"http_passwd": CANARY}, "http_passwd", "by hand", "remove it"),
    option("fluent-bit", {"tls.verify": "off"}, "tls.verify", "password to anyone"),
    option("fluent-bit", {"label_keys": "$container_name"}, "label_keys", "random hex", "leave it"),
    option("fluent-bit", {"net.connect_timeout": "10s"}, "net.connect_timeout", "whole seconds"),
    option("fluent-bit", {"storage.total_limit_size": "100"}, "storage.total_limit_size", "its unit"),
    option("fluent-bit", {"tls.ca_file": " "}, "tls.ca_file", "a text"),
    option("fluent-bit", {"workers": "-1"}, "workers", "from 1"),
    option("fluent-bit", {"retry_limit": "False"}, "retry_limit", "no_limits"),
    service(
        {"logRouter": {"output": "grafana", "image": OLD, "options": {"Name": "grafana-loki"}}},
        "logRouter.options.Name",
        "named 'loki'",
    ),
    service(
        {"architecture": "arm64", "logRouter": {"output": "grafana", "image": OLD}},
        "logRouter.image",
        "amd64",
        "arm64",
        OLD,
    ),
    service({"logRouter": {"image": OLD}}, "logRouter.image", "write output: grafana", OLD),
    service(
        {"logRouter": {"output": "grafana", "image": "fluent/fluent-bit:4.2.3"}},
        "logRouter.image",
        "write output: fluent-bit",
        "'fluent/fluent-bit:4.2.3'",
    ),
    service(
        {"architecture": "arm64", "logRouter": {"output": "grafana"}},
        "logRouter.image",
        "amd64 alone",
        "output: fluent-bit",
        OUTPUTS["grafana"].image,
    ),
    service(
        {"containers": {"app": {"image": "team/app:1-arm64", "memoryMib": 64}}},
        "containers.app.image",
        "arm64",
        "amd64",
    ),
    service(
        {
            "launch": "fargate",
            "memoryMib": 1024,
            "logRouter": {"config": {"type": "s3", "value": "arn:aws:s3:::bucket/own.conf"}},
        },
        "logRouter.config.type",
        "Fargate",
        "type: file",
        "'s3'",
    ),
    service(
        {"logRouter": {"config": {"type": "file", "value": "own.conf"}}},
        "logRouter.config.value",
        "absolute path",
        "'own.conf'",
    ),
    *(
        service(
            {"logRouter": {"config": {"type": "file", "value": path}}},
            "logRouter.config.value",
            "a file of its own there",
            path,
        )
        for path in ("/fluent-bit/etc/fluent-bit.conf", "/fluent-bit/etc/../etc/external.conf")
    ),
    service(
        {"logRouter": {"healthCheck": {"command": ["CMD-SHELL", "true"]}}},
        "logRouter.healthCheck",
        "no shell",
        "remove it",
    ),
    service(
        {"logRouter": {"output": "grafana", "options": {"MaxRetries": "3"}}},
        "logRouter.options.MaxRetries",
        "10 min",
        "raise it",
        "3",
    ),
    # Long enough with the longest waits, but not with the shortest.
    service(
        {"logRouter": {"output": "grafana", "options": {"MaxRetries": "42"}}},
        "logRouter.options.MaxRetries",
        "592 s",
        "42",
    ),
    service(
        {"logRouter": {"output": "grafana", "options": {"Timeout": "60s"}}},
        "logRouter.options.Timeout",
        "128 s",
        "120 s",
        "'60s'",
    ),
    service({"labels": {"job": "x"}}, "labels", "sets job itself"),
    service({"labels": {"source": "web"}}, "labels", "a label already (label_keys)", "'source'"),
    service({"labels": {"ecs_cluster": "a"}}, "labels", "a label already (label_keys)", "'ecs_cluster'"),
    service(
        {
            "launch": "fargate",
            "memoryMib": 1024,
            "labels": {f"label{number}": "x" for number in range(10)},
            "logRouter": {"options": {"label_keys": "$source,$ecs_cluster,$container_name"}},
        },
        "labels",
        "there are 16",
        "more than 15",
        "label9",
    ),
    service({"labels": {"a-b": "x"}}, "labels.a-b", "a label's name"),
    service({"labels": {"a": 'x"'}}, "labels.a", "a label's value", 'x\\"'),
    service({"account": "admin"}, "account", "one of the accounts", "'admin'"),
    service({"taskRoleArn": "role"}, "taskRoleArn", "a role's ARN", "role"),
    service({"containers": {"log-router": {"image": "a:1", "memoryMib": 6}}}, "containers", "log-router"),
    service(
        {"containers": {"app": {"image": "a:1", "memoryMib": 6, "secrets": {"A": "*"}}}},
        "containers.app.secrets.A",
        "ARN",
    ),
    service(
        {
            "containers": {
                "app": {
                    "image": "a:1",
                    "memoryMib": 6,
                    "environment": {"A": "1"},
                    "secrets": {"A": "arn:aws:ssm:ap-northeast-2:123456789012:parameter/a"},
                }
            }
        },
        "containers.app.secrets",
        "either plain or secret",
        "'A'",
    ),
    service(
        {"containers": {"app": {"image": "a:1", "memoryMib": 6, "healthCheck": {"command": ["x", "y"]}}}},
        "containers.app.healthCheck.command",
        "CMD",
        "'x'",
    ),
    service({"launch": "fargate", "memoryMib": 1536}, "memoryMib", "1024, 2048", "1536"),
    service({"launch": "fargate", "cpuUnits": 300}, "cpuUnits", "256, 512", "300"),
    service({"cpuUnits": 16384}, "cpuUnits", "10240", "16384"),
    *(
        service(
            {
                "launch": "fargate",
                "memoryMib": 1024,
                "containers": {"app": {"image": "a:1", "memoryMib": 6, "port": port}},
            },
            "containers.app.port",
            "log-router has it",
            str(port),
        )
        for port in (24224, 8877)
    ),
    service(
        {"logRate": {"linesPerSecond": 100000, "outageMinutes": 1440}},
        "logRate",
        "more than the log driver can hold",
        "1440",
    ),
    service(
        {
            "launch": "fargate",
            "memoryMib": 1024,
            "logRouter": {"output": "grafana"},
            "logRate": {"linesPerSecond": 1000, "bytesPerLine": 1000, "outageMinutes": 600},
        },
        "logRate",
        "a Fargate task has 20480",
        "600",
    ),
    service(
        {"logRouter": {"output": "fluent-bit"}, "logRate": {"linesPerSecond": 1000}},
        "memoryMib",
        "the log router",
        "512",
    ),
    ingress(ingress_rule(action="limit"), "action: a security group can only allow", "limit"),
    ingress(ingress_rule(action="deny"), "action: a security group can only allow", "deny"),
    ingress(ingress_rule(**{"from": ["sg-app"]}), "from.0: an address or CIDR", "sg-app"),
    service({"containers.app.ports": [80]}, "containers.app.ports: either port or ports", "80"),
    service(
        {"containers.app.port": ..., "containers.app.ports": [80, {"port": 80}]},
        "containers.app.ports: each port once per protocol",
        "80/tcp",
    ),
    service(
        {"containers.app.port": ..., "containers.app.ports": [{"port": 80, "protocol": "sctp"}]},
        "containers.app.ports.0.protocol: ",
        "sctp",
    ),
    service(
        {"containers.app.port": ..., "containers.app.ports": [0]},
        "containers.app.ports.0.port: a port is a whole number",
    ),
    service({"volumes": {"data": {}}}, "volumes.data: no container mounts it", "data"),
    service(
        {"containers.app.mounts": {"data": {"path": "/data"}}},
        "containers.app.mounts.data: one of the service's volumes (none)",
        "data",
    ),
    service(
        {"containers.app.mounts": {"data": {"path": "data"}}},
        "containers.app.mounts.data.path: an absolute path",
        "'data'",
    ),
    service(
        {"volumes": {"data": {"hostPath": "srv"}}, "containers.app.mounts": {"data": {"path": "/data"}}},
        "volumes.data.hostPath: an absolute path",
        "'srv'",
    ),
    service({"volumes": {"log-buffer": {}}}, "volumes: the log router has a volume", "log-buffer"),
    service(
        {
            "volumes": {"one": {}, "two": {}},
            "containers.app.mounts": {"one": {"path": "/data"}, "two": {"path": "/data"}},
        },
        "containers.app.mounts: each path once",
        "/data",
    ),
    Mistake(
        {
            AT + "volumes": {"data": {"hostPath": "/srv"}},
            AT + "containers.app.mounts": {"data": {"path": "/data"}},
        },
        AT + "volumes.data.hostPath: on Fargate there is no instance",
        "/srv",
        base=ON_FARGATE,
    ),
    service(
        {"containers.app.dependsOn": {"migrate": "SUCCESS"}},
        "containers.app.dependsOn.migrate: another container of the service (none)",
        "migrate",
    ),
    service(
        {"containers.app.dependsOn": {"app": "START"}},
        "containers.app.dependsOn.app: another container of the service",
        "app",
    ),
    service(
        {"containers.app.dependsOn": {"worker": "HEALTHY"}, "containers.worker": WORKER},
        "containers.app.dependsOn.worker: worker has no healthCheck",
        "HEALTHY",
    ),
    service(
        {"containers.app.dependsOn": {"worker": "SUCCESS"}, "containers.worker": WORKER},
        "containers.app.dependsOn.worker: the task stops when worker ends",
        "SUCCESS",
    ),
    service(
        {
            "containers.app.dependsOn": {"worker": "START"},
            "containers.worker": WORKER | {"dependsOn": {"app": "START"}},
        },
        "containers.app.dependsOn: some wait for each other",
        "worker",
    ),
    service({"logRouter": {"onExit": "ignore"}}, "logRouter.onExit: ", "ignore"),
    ingress(ingress_rule(protocol="udp"), "protocol: the containers' ports are TCP", "udp"),
    ingress(ingress_rule(port=81), "port: one of the service's own ports [80]", "81"),
    ingress(ingress_rule(port="79-80"), "port: one of the service's own ports [80]", "79-80"),
    ingress(ingress_rule(**{"from": []}), "from: at least one source", "[]"),
    ingress(ingress_rule(**{"from": [VPC, VPC]}), "from: each source once per port", VPC),
    ingress(ingress_rule(comment="부하 분산"), "comment: ASCII only", "부하 분산"),
]
