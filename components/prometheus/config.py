# pyright: strict
"""Prometheus' configuration and command line. Pure: plain values in, text out.

JSON is YAML, and needs none of YAML's quoting rules.

Prometheus' memory, with its default of 2 GiB (GOMEMLIMIT 1.8 GiB), measured with Prometheus 3.16:

- at rest 52 MiB;
- the worst pushes, one at a time: 256 KB unpack to 5.4 MB with snappy, and 2.7 million empty series. Eight of
  them took 1,610 MiB with what Go hadn't collected yet: 1,796 MiB beside 186 of series, and 1,900 beside 297.
  Go collects more slowly the more series there are: beside 370 MiB they ended Prometheus, and with 3 GiB
  beside 700. Labels and samples take less, OpenTelemetry's 64 KB 30 to 80 MiB;
- queries: an eighth;
- series: a tenth, 205 MiB (memory_limit.py). 100,000 of cAdvisor's, each with six labels of 225 bytes, took
  224 MiB with 20 samples.

Pushes go on for the second between two questions, with at most some 150 MiB of series.
`tests/metrics/test_push_bombs.py` tries all of this.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from components.certificate_probe import config as probe
from components.certificate_probe.config import Probed
from components.edge.own_metrics import MeasuredProgram
from components.prometheus.memory_limit import QUERIES_SHARE
from components.prometheus.settings import PrometheusSettings

DATA = "/prometheus"
# `nobody` in Prometheus' image, who owns DATA there.
PROMETHEUS_UID = 65534

# Prometheus' documentation recommends 15 s to 60 s. Alerts and graphs of a small host need no more.
SCRAPE_SECONDS = 30

# A query holds at most the samples of its result and its range, 16 bytes each (promql, FPoint).
_SAMPLE_BYTES = 16
QUERIES_AT_ONCE = 4
QUERY_SECONDS = 60


def render_prometheus_config(
    settings: PrometheusSettings, reader: str, programs: Sequence[MeasuredProgram], probed: Probed
) -> str:
    """The configuration file; `reader` is the reader's host:port, where the programs' own metrics are."""
    config = {
        "global": {"scrape_interval": f"{SCRAPE_SECONDS}s"},
        "storage": {
            "tsdb": {
                "out_of_order_time_window": settings.max_age,
                "retention": {"time": settings.retention, "size": f"{settings.retention_gib}GB"},
            }
        },
        "otlp": {
            # They tell series of different hosts, containers and tasks apart. `service.name` and
            # `service.instance.id` are `job` and `instance`.
            "promote_resource_attributes": [
                "host.name",
                "container.name",
                "aws.ecs.cluster.arn",
                "aws.ecs.service.name",
                "aws.ecs.task.arn",
                # Of the stack's own services: the name in the settings, and the task's id.
                "ecs.service",
                "ecs.task",
            ],
        },
        "scrape_configs": [
            {
                "job_name": "prometheus",
                "static_configs": [{"targets": [f"127.0.0.1:{settings.port}"]}],
            },
            {
                "job_name": "programs",
                "static_configs": [
                    {
                        "targets": [reader],
                        "labels": {"__metrics_path__": one.path, "job": one.job, "instance": one.name},
                    }
                    for one in programs
                ],
            },
            _certificate(probed),
        ],
    }
    return json.dumps(config, indent=2) + "\n"


def _certificate(probed: Probed) -> dict[str, Any]:
    """Each time a new handshake, of which Caddy logs nothing."""
    return {
        "job_name": probe.ROLE,
        "metrics_path": "/probe",
        "params": {"module": [probe.MODULE], "target": [f"{probed.site}:{probed.site_port}"]},
        "static_configs": [
            {"targets": [f"{probed.probe}:{probe.PORT}"], "labels": {"instance": probed.domain}},
        ],
    }


def prometheus_command(settings: PrometheusSettings, config_file: str) -> list[str]:
    """The command line. Its admin and lifecycle APIs are off by default; GOMEMLIMIT follows the container's.

    Queries get their share of the memory.
    """
    samples = settings.memory_bytes // QUERIES_SHARE // QUERIES_AT_ONCE // _SAMPLE_BYTES
    return [
        f"--config.file={config_file}",
        f"--storage.tsdb.path={DATA}",
        f"--web.listen-address=0.0.0.0:{settings.port}",
        "--web.enable-remote-write-receiver",
        "--web.enable-otlp-receiver",
        f"--query.max-concurrency={QUERIES_AT_ONCE}",
        f"--query.max-samples={samples}",
        f"--query.timeout={QUERY_SECONDS}s",
        "--log.format=json",
        # For each series without a name in a push it would log a warning, and a push has room for millions.
        "--log.level=error",
    ]
