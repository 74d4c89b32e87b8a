# pyright: strict
"""The dashboard *ECS*: the services in AWS that send metrics, and their tasks. Pure."""

from __future__ import annotations

from grafana_foundation_sdk.builders import dashboard
from grafana_foundation_sdk.builders.stat import Panel as Tile
from grafana_foundation_sdk.builders.timeseries import Panel as Graph
from grafana_foundation_sdk.models.dashboard import VariableOption, VariableRefresh

from components.grafana import promql
from components.grafana.limits import CPU_STEPS, TASK_MEMORY_STEPS, lines_of
from components.grafana.page import PROMETHEUS, links_between, named_panel, new_page
from components.grafana.panels import BAD, GOOD, events, graph, limited, link, tile
from components.grafana.promql import RATE, series
from components.grafana.provisioning import ECS_UID, LOGS_UID, MetricsSource

# Panels keep their numbers, since alerts and bookmarks link to them.
TASKS, CPU, MEMORY, NETWORK, STORAGE = range(1, 6)
CONTAINER_CPU, CONTAINER_MEMORY, RESTARTS, NETWORK_LOST = range(11, 15)

_OF = 'ecs_service=~"$service"'
_BY_TASK = "{{ecs_service}} {{ecs_task}}"
_CONTAINER = "ecs_service, ecs_task, container_name"
_BY_CONTAINER = "{{ecs_service}} {{container_name}} {{ecs_task}}"


def ecs_page(metrics: MetricsSource) -> dashboard.Dashboard:
    """The chosen services, then their containers."""
    page = new_page("ECS", ECS_UID, links_between(ECS_UID, metrics)).with_variable(_service())
    page.with_row(dashboard.Row("Services and their tasks").id(20))
    first, *others = _of_tasks()
    page.with_panel(first.span(24))
    for panel in others:
        page.with_panel(panel)
    page.with_row(dashboard.Row("Containers").id(21))
    for panel in _of_containers():
        page.with_panel(panel)
    return page


def tasks_tile(service: str) -> Tile:
    """How many tasks of a service run."""
    return (
        tile(
            named_panel(service),
            f"Service {service}: tasks",
            PROMETHEUS,
            promql.tasks(f'ecs_service="{service}"'),
            {0.0: BAD, 1.0: GOOD},
            no_value="none",
        )
        .decimals(0)
        .description(
            "Those that sent metrics lately. None: no task runs, or no push of theirs gets in: see "
            "the service's events in ECS, and *Refused pushes* in *Pipeline*."
        )
        .data_links([link("The service", f"/d/{ECS_UID}?var-service={service}&${{__url_time_range}}")])
    )


def _service() -> dashboard.QueryVariable:
    return (
        dashboard.QueryVariable("service")
        .label("Service")
        .datasource(PROMETHEUS)
        .query({"query": f"label_values({promql.TASK}, ecs_service)", "refId": "service"})
        .refresh(VariableRefresh.ON_TIME_RANGE_CHANGED)
        .multi(True)
        .include_all(True)
        .all_value(".+")
        .current(VariableOption(selected=True, text=["All"], value=["$__all"]))
    )


def _of_tasks() -> list[Graph]:
    received = series("ecs_container_network_io_usage_rx_bytes_total", _OF)
    sent = series("ecs_container_network_io_usage_tx_bytes_total", _OF)
    by = "ecs_service, ecs_task"
    network = (
        f'label_replace(sum by ({by}) (rate({received}[{RATE}])), "way", "in", "", "") or '
        f'label_replace(sum by ({by}) (rate({sent}[{RATE}])), "way", "out", "", "")'
    )
    used = series("ecs_task_ephemeral_storage_utilized_bytes", _OF)
    kept = series("ecs_task_ephemeral_storage_reserved_bytes", _OF)
    return [
        graph(TASKS, "Tasks", PROMETHEUS, promql.tasks(_OF), "{{ecs_service}}")
        .description("That send metrics. In a deployment, the old and the new ones together.")
        .unit("short")
        .decimals(0)
        .min(0)
        .data_links([link("Its lines", f"/d/{LOGS_UID}?var-service=${{__field.labels.ecs_service}}")]),
        limited(
            graph(CPU, "CPU by task", PROMETHEUS, promql.task_cpu(RATE, _OF), _BY_TASK), lines_of(CPU_STEPS)
        )
        .description("Of what the task reserves. For long at 100 %: more `cpuUnits`, or more tasks.")
        .unit("percentunit")
        .min(0),
        limited(
            graph(MEMORY, "Memory by task", PROMETHEUS, promql.task_memory(_OF), _BY_TASK),
            lines_of(TASK_MEMORY_STEPS),
        )
        .description("Of what the task reserves. At 100 % ECS ends it: more `memoryMib`, or a leak.")
        .unit("percentunit")
        .min(0),
        graph(NETWORK, "Network by task", PROMETHEUS, network, f"{_BY_TASK} {{{{way}}}}")
        .description("All containers of the task together.")
        .unit("Bps")
        .min(0),
        graph(STORAGE, "Disk by task", PROMETHEUS, f"{used} / {kept}", _BY_TASK)
        .description("Of the task's own disk, on Fargate. Full: the containers can't write any more.")
        .unit("percentunit")
        .min(0)
        .max(1),
    ]


def _of_containers() -> list[Graph]:
    cpu = series("ecs_container_cpu_usage_seconds_total", _OF)
    memory = series("ecs_container_memory_utilized_bytes", _OF)
    lost = " or ".join(
        f"label_replace(sum by (ecs_service, ecs_task) (increase({counted}[{RATE}])), "
        f'"what", "{way} {what}", "", "")'
        for way in ("rx", "tx")
        for what in ("errors", "dropped")
        for counted in [series(f"ecs_container_network_io_usage_{way}_{what}_total", _OF)]
    )
    return [
        graph(
            CONTAINER_CPU,
            "CPU by container",
            PROMETHEUS,
            f"sum by ({_CONTAINER}) (rate({cpu}[{RATE}]))",
            _BY_CONTAINER,
            stacked=True,
        )
        .description("In vCPUs. All of a task share what it reserves.")
        .unit("short")
        .min(0),
        graph(
            CONTAINER_MEMORY,
            "Memory by container",
            PROMETHEUS,
            f"sum by ({_CONTAINER}) ({memory})",
            _BY_CONTAINER,
            stacked=True,
        )
        .description("Without the page cache, where the engine says so.")
        .unit("bytes")
        .min(0),
        events(
            RESTARTS,
            "Restarts by container",
            PROMETHEUS,
            f"sum by ({_CONTAINER}) (resets({cpu}[{RATE}]))",
            _BY_CONTAINER,
        ).description("Within the same task, seen as the CPU time beginning anew. Its lines say why."),
        events(
            NETWORK_LOST, "Lost packets by task", PROMETHEUS, lost, f"{_BY_TASK} {{{{what}}}}"
        ).description("Errors, and packets that were dropped as there were too many."),
    ]
