# pyright: strict
"""The dashboard *Host*: one Docker host and its containers. Pure."""

from __future__ import annotations

from grafana_foundation_sdk.builders import dashboard
from grafana_foundation_sdk.builders.timeseries import Panel as Graph
from grafana_foundation_sdk.models.dashboard import VariableRefresh

from components.grafana import promql
from components.grafana.limits import CPU_STEPS, DISK_STEPS, lines_of
from components.grafana.page import PROMETHEUS, links_between, new_page
from components.grafana.panels import BAD, by_labels, events, graph, limited
from components.grafana.promql import RATE, series
from components.grafana.provisioning import HOST_UID, MetricsSource

# Panels keep their numbers, since alerts and bookmarks link to them.
CPU, LOAD, MEMORY, SWAP, DISK, FORECAST, DISK_IO, NETWORK, NETWORK_ERRORS = range(1, 10)
CONTAINER_CPU, CONTAINER_MEMORY, CONTAINER_NETWORK, RESTARTS, THROTTLED, UPTIME = range(11, 17)

_OF = 'host_name="$host"'
_CONTAINER = "container_name"
_BY_CONTAINER = "{{container_name}}"


def host_page(metrics: MetricsSource) -> dashboard.Dashboard:
    """The chosen host, then its containers."""
    page = new_page("Host", HOST_UID, links_between(HOST_UID, metrics))
    page.with_variable(_host())
    page.with_row(dashboard.Row("$host").id(20))
    for one in (*_of_the_host(), *_of_its_disks()):
        page.with_panel(one)
    for one in _of_its_devices():
        page.with_panel(one.span(8))
    page.with_row(dashboard.Row("Containers of $host").id(21))
    for panel in _of_containers():
        page.with_panel(panel)
    return page.with_panel(
        by_labels(
            UPTIME,
            "Running since the shortest time",
            PROMETHEUS,
            f"max by (container_name) ({series('container_uptime_seconds', _OF)})",
            "running for",
            "s",
        )
        .description("The first one was started last. One that isn't here doesn't run.")
        .span(12)
    )


def _host() -> dashboard.QueryVariable:
    return (
        dashboard.QueryVariable("host")
        .label("Host")
        .datasource(PROMETHEUS)
        .query({"query": "label_values(system_uptime_seconds, host_name)", "refId": "host"})
        .refresh(VariableRefresh.ON_TIME_RANGE_CHANGED)
    )


def _of_the_host() -> list[Graph]:
    cpus = series("system_cpu_logical_count", _OF)
    time = series("system_cpu_time_seconds_total", 'state!="idle"', _OF)
    states = f"sum by (state) (rate({time}[{RATE}])) / on () group_left () {cpus}"
    load = (
        f'label_replace({series("system_cpu_load_average_1m", _OF)}, "what", "load", "", "") or '
        f'label_replace({cpus}, "what", "CPUs", "", "")'
    )
    used = (
        f"label_replace({series('system_memory_limit_bytes', _OF)} - "
        f'{series("system_linux_memory_available_bytes", _OF)}, "what", "used", "", "") or '
        f'label_replace({series("system_memory_limit_bytes", _OF)}, "what", "all", "", "")'
    )
    paging = series("system_paging_operations_total", 'type="major"', _OF)
    return [
        limited(
            graph(CPU, "CPU by state", PROMETHEUS, states, "{{state}}", stacked=True), lines_of(CPU_STEPS)
        )
        .description("Of all CPUs together. `wait` is for disks, `steal` what other machines took.")
        .unit("percentunit")
        .min(0)
        .max(1),
        graph(LOAD, "Load", PROMETHEUS, load, "{{what}}")
        .description(
            "Programs that run or wait, over a minute. For long above the number of CPUs: they wait."
        )
        .unit("short")
        .min(0),
        graph(MEMORY, "Memory", PROMETHEUS, used, "{{what}}")
        .description("Used is what can't be given to programs; caches can. Near all, the kernel ends one.")
        .unit("bytes")
        .min(0),
        graph(SWAP, "Pages from and to disk", PROMETHEUS, _rate(paging, "direction"), "{{direction}}")
        .description("For long much: memory is too small.")
        .unit("ops")
        .min(0),
    ]


def _of_its_disks() -> list[Graph]:
    return [
        limited(
            graph(DISK, "Used disk space", PROMETHEUS, promql.disk_used(_OF), "{{disk}}"),
            lines_of(DISK_STEPS),
        )
        .description(
            "As `df` counts. `system` is that of /etc, if it isn't Docker's, too. At 90 % Loki refuses."
        )
        .unit("percentunit")
        .min(0)
        .max(1),
        limited(
            graph(FORECAST, "Free disk space in a day", PROMETHEUS, promql.disk_forecast(_OF), "{{disk}}"),
            {0.0: BAD},
        )
        .description(
            f"At the growth of the last {promql.GROWTH_HOURS} hours. Below zero the disk will be full before."
        )
        .unit("percentunit")
        .max(1),
    ]


def _of_its_devices() -> list[Graph]:
    disk_io = _rate(series("system_disk_io_bytes_total", _OF), "device, direction")
    io = _rate(series("system_network_io_bytes_total", _OF), "device, direction")
    lost = " or ".join(
        f"label_replace(sum by (device, direction) (increase({series(name, _OF)}[{RATE}])), "
        f'"what", "{what}", "", "")'
        for name, what in (
            ("system_network_errors_total", "errors"),
            ("system_network_dropped_total", "dropped"),
        )
    )
    return [
        graph(DISK_IO, "Disk reads and writes", PROMETHEUS, disk_io, "{{device}} {{direction}}")
        .description("Per block device.")
        .unit("Bps")
        .min(0),
        graph(NETWORK, "Network", PROMETHEUS, io, "{{device}} {{direction}}")
        .description("Per interface, without those of containers.")
        .unit("Bps")
        .min(0),
        events(
            NETWORK_ERRORS, "Lost packets", PROMETHEUS, lost, "{{device}} {{direction}} {{what}}"
        ).description("Errors: a cable, a driver. Dropped: too much at once."),
    ]


def _of_containers() -> list[Graph]:
    cpu = _rate(series("container_cpu_usage_nanoseconds_total", _OF), "container_name")
    memory = (
        f"max by (container_name) ({series('container_memory_usage_total_bytes', _OF)} / "
        f"{series('container_memory_usage_limit_bytes', _OF)})"
    )
    network = " or ".join(
        f"label_replace({_rate(series(f'container_network_io_usage_{way}_bytes_total', _OF), _CONTAINER)}, "
        f'"way", "{words}", "", "")'
        for way, words in (("rx", "in"), ("tx", "out"))
    )
    throttled = _rate(
        series("container_cpu_throttling_data_throttled_time_nanoseconds_total", _OF), "container_name"
    )
    restarts = promql.restarts(RATE, _OF)
    return [
        graph(CONTAINER_CPU, "CPU by container", PROMETHEUS, f"{cpu} / 1e9", _BY_CONTAINER, stacked=True)
        .description("In CPUs. One that takes all of them slows the others down.")
        .unit("short")
        .min(0),
        graph(CONTAINER_MEMORY, "Memory by container", PROMETHEUS, memory, _BY_CONTAINER)
        .description("Of its limit, or of the host's memory without one. At 100 % the kernel ends it.")
        .unit("percentunit")
        .min(0)
        .max(1),
        graph(CONTAINER_NETWORK, "Network by container", PROMETHEUS, network, "{{container_name}} {{way}}")
        .description("Containers with the host's network, as Caddy, aren't counted by Docker.")
        .unit("Bps")
        .min(0),
        events(RESTARTS, "Restarts by container", PROMETHEUS, restarts, _BY_CONTAINER).description(
            "By the engine, as the container had ended. Its log says why."
        ),
        graph(THROTTLED, "Waiting for CPU by container", PROMETHEUS, f"{throttled} / 1e9", _BY_CONTAINER)
        .description("The share of time that a container with a CPU limit had to wait.")
        .unit("percentunit")
        .min(0),
    ]


def _rate(counter: str, by: str) -> str:
    return f"sum by ({by}) (rate({counter}[{RATE}]))"
