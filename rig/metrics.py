"""Metrics pushed by another Prometheus, and by OTLP; and samples read back."""

from __future__ import annotations

import json
import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlencode

from rig.deployment import Deployment
from rig.namespaces import SERVER
from rig.probe import Answer, Client, Login, ca_of
from rig.processes import die_with_parent, with_hosts
from rig.stand_ins.stand_in_images import prometheus_programs

REMOTE_WRITE = "/api/v1/write"
OTLP = "/api/v1/otlp/v1/metrics"
# The two protocols of remote write, by the messages' names.
MESSAGES = ("prometheus.WriteRequest", "io.prometheus.write.v2.Request")
SECONDS = 60
# In the world.
AGENT = "127.0.0.1:9090"
# The label of a sample with the message that brought it.
MESSAGE = "message"


@contextmanager
def remote_writer(
    deployment: Deployment, folder: Path, login: Login, targets: Sequence[str] = (AGENT,)
) -> Iterator[None]:
    """A Prometheus outside, in agent mode, that scrapes these each second and pushes from the NAT's address.

    It sends each sample in both protocols, each with the label `MESSAGE`.
    """
    site, world = deployment.settings["edge"], deployment.rig.network.world
    hosts, authority = folder / "hosts", folder / "root.crt"
    hosts.write_text(f"{SERVER} {site['domain']}\n")
    authority.write_text(ca_of(deployment.caddy()))
    scraped = {"job_name": "agent", "scrape_interval": "1s", "static_configs": [{"targets": list(targets)}]}
    sent_to = [
        {
            "url": f"https://{site['domain']}{deployment.settings['prometheus']['route']}{REMOTE_WRITE}",
            "protobuf_message": message,
            "basic_auth": {"username": login.user, "password": login.password},
            "tls_config": {"ca_file": str(authority)},
            "write_relabel_configs": [{"target_label": MESSAGE, "replacement": message}],
        }
        for message in MESSAGES
    ]
    (folder / "agent.yml").write_text(json.dumps({"scrape_configs": [scraped], "remote_write": sent_to}))
    command = [
        *("nsenter", f"--net={world.path}", *with_hosts(hosts)),
        *(str(prometheus_programs() / "prometheus"), "--agent", f"--config.file={folder / 'agent.yml'}"),
        *(f"--storage.agent.path={folder / 'data'}", f"--web.listen-address={AGENT}"),
    ]
    with (folder / "log").open("w") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log, preexec_fn=die_with_parent)
    try:
        yield
    finally:
        process.terminate()
        process.wait(timeout=SECONDS)


def otlp_body(name: str, value: float, at: float | None = None) -> bytes:
    """OpenTelemetry's request for one sample of a gauge at a time, by default now, as JSON."""
    resource = [{"key": "service.name", "value": {"stringValue": "rig"}}]
    stamped = int((time.time() if at is None else at) * 10**9)
    point = {"timeUnixNano": str(stamped), "asDouble": value}
    metric = {"name": name, "gauge": {"dataPoints": [point]}}
    found = {"resource": {"attributes": resource}, "scopeMetrics": [{"metrics": [metric]}]}
    return json.dumps({"resourceMetrics": [found]}).encode()


def push_otlp(client: Client, route: str, body: bytes, login: Login | None) -> Answer:
    """Push OpenTelemetry's metrics to a route."""
    headers = {"Content-Type": "application/json"}
    if login is not None:
        headers["Authorization"] = login.header()
    return client.request("POST", route + OTLP, body, headers)


def samples(client: Client, query: str) -> list[dict[str, object]]:
    """The result of an instant query."""
    answer = client.request("GET", "/api/v1/query?" + urlencode({"query": query}))
    if answer.status != 200:
        raise RuntimeError(f"a query was answered {answer.status}: {answer.body[:200]!r}")
    return json.loads(answer.body)["data"]["result"]
