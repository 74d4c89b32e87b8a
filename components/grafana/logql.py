# pyright: strict
"""The LogQL queries of dashboards and alert rules. Pure.

Every stream of ours has the label `container`, and a log router's has `job="firelens"`. Services have the
label `service`, Docker hosts `host`. A log router's lines are wrapped, as JSON or as `key=value` (FireLens'
LineFormat): the container's own line is in the field `log`.
"""

from __future__ import annotations

from components.grafana.provisioning import HostLogs

ANY = '{container=~".+"}'
AWS = '{job="firelens"}'
# An error in a line (RE2, ignoring case): a word, or pino's numbers for error and fatal.
ERRORS = r'(?i)(\b(error|exception|fatal|panic|critical)\b|\blevel\\*":[56]0\b)'
# Grafana fits the range to the panel's width; steps are as long as the range, so that no line is missed.
AUTO = "$__auto"
SOURCE_LABELS = "job, source, host, service, container"

REFUSED = "status == 401 or status == 403"
NOT_TAKEN = "status >= 400 and status != 401 and status != 403"
DROPPED = "status >= 400 and status < 500 and status != 429"
TRIED_AGAIN = "status == 429 or status >= 500"

# Caddy's logger of failed checks, with the upstream's address (its reverseproxy/healthchecks.go).
CHECKS = "http.handlers.reverse_proxy.health_checker.active"


def pushed(log: HostLogs, which: str) -> str:
    """The pushes in Caddy's log, with their fields; `which` filters them further."""
    routes = "|".join(sorted(log.routes))
    paths = "|".join(path.removeprefix("/") for path in log.push_paths)
    return (
        f"{log.of(log.caddy)} |= `http.log.access` "
        '| json status="status", duration="duration", method="method", uri="uri", ip="remote_ip" '
        '| __error__="" | method="POST" '
        "| line_format `{{.uri}}` "
        f"| regexp `^(?P<route>/[a-z0-9-]+)/({paths})` "
        f'| route=~"{routes}" | {which}'
    )


def by_network(pushes: str, numbers: int = 1) -> str:
    """Pushes by the sender's network: the first numbers of an IPv4 address, or two of an IPv6 address.

    Not by address: Loki limits the series of an answer (max_query_series), and one stranger with a /64 has
    more addresses than that.
    """
    four = r"[0-9]+\." * numbers
    return f"{pushes} | line_format `{{{{.ip}}}}` | regexp `^(?P<network>{four}|[0-9a-f]+:[0-9a-f]*:?)`"


def one_by_one(pushes: str) -> str:
    """Pushes as lines: sender, status and URI."""
    return f"{pushes} | line_format `{{{{.ip}}}} {{{{.status}}}} {{{{.uri}}}}`"


def count(logql: str, span: str, by: str = "") -> str:
    """The number of lines in a span of time, by labels or in total."""
    grouping = f" by ({by}) " if by else ""
    return f"sum{grouping}(count_over_time({logql} [{span}]))"


def or_none(metric: str) -> str:
    """A zero if a total sum finds nothing, which would be no value."""
    return f"({metric} or vector(0))"


def while_heard(metric: str, log: HostLogs, span: str) -> str:
    """A metric without labels, which has no value while the host's own logs don't arrive.

    The guard logs a line once a minute; without it nothing is counted, and a zero would be wrong.
    """
    return f"{metric} and (sum(count_over_time({log.of(log.guard)} [{span}])) > 0)"


def disk_used(log: HostLogs, span: str) -> str:
    """The highest disk usage in percent, from the guard's log (images/port-guard)."""
    said = f"{log.of(log.guard)} |= `disk_used_percent=` | regexp `disk_used_percent=(?P<used>[0-9]+)`"
    return f"max(max_over_time({said} | unwrap used [{span}]))"


def checks_failed(log: HostLogs, span: str) -> str:
    """How often Caddy found a replica not ready, by address."""
    failed = (
        f"{log.of(log.caddy)} |= `health_checker.active` "
        '| json logger="logger", msg="msg", replica="host" '
        f'| logger="{CHECKS}" | msg!="host is up"'
    )
    return count(failed, span, "replica")


def last_line(span: str) -> str:
    """The time of each source's last line, in milliseconds since 1970."""
    stamped = f"{ANY} | label_format stamp=`{{{{ __timestamp__ | unixEpoch }}}}` | unwrap stamp"
    return f"max by ({SOURCE_LABELS}) (max_over_time({stamped} [{span}])) * 1000"


def error_share(lines: str, by: str) -> str:
    """The share of lines with an error, by labels; zero if there are lines without errors."""
    all_lines = f"sum by ({by}) (rate({lines} [{AUTO}]))"
    errors = f"sum by ({by}) (rate({lines} |~ `{ERRORS}` [{AUTO}]))"
    return f"({errors} or {all_lines} * 0) / {all_lines}"


def readable(lines: str) -> str:
    """Readable lines: source, message, then the other fields of a JSON line.

    A log router's wrapping is removed, be it JSON or `key=value`. A line's own level becomes the label
    `detected_level`, for Grafana's colours: Loki doesn't see it inside the wrapping. Lines that can't be
    parsed stay unchanged.
    """
    return " ".join(
        (
            lines,
            '| logfmt key_value_log="log" | json json_log="log"',
            f"| line_format `{_UNWRAPPED}`",
            '| json json_level="level", json_severity="severity", json_lvl="lvl"',
            '| logfmt logfmt_level="level"',
            f"| label_format detected_level=`{_LEVEL}`",
            f"| line_format `{_MESSAGE}`",
            f"| drop __error__, __error_details__, {', '.join(_PARSED)}",
        )
    )


_PARSED = ("key_value_log", "json_log", "json_level", "json_severity", "json_lvl", "logfmt_level")
_UNWRAPPED = (
    # A line with the task in its metadata isn't wrapped: a field `log` is its own.
    '{{ if and (eq .job "firelens") (not .ecs_task_arn) (or .key_value_log .json_log) }}'
    "{{ or .key_value_log .json_log }}"
    "{{ else }}{{ __line__ }}{{ end }}"
)
# pino's and bunyan's numbers, by their names (pino's documentation, `logger.level`).
_NUMBERED = {"10": "trace", "20": "debug", "30": "info", "40": "warn", "50": "error", "60": "critical"}
_LEVEL = (
    "{{ $stated := or .json_level .json_severity .json_lvl .logfmt_level | lower }}"
    + "".join(f'{{{{ if eq $stated "{at}" }}}}{name}{{{{ else }}}}' for at, name in _NUMBERED.items())
    + "{{ if $stated }}{{ $stated }}{{ else }}{{ .detected_level }}{{ end }}"
    + "{{ end }}" * len(_NUMBERED)
)
# Fields that every line repeats, or that are elsewhere on the screen.
_LEFT_OUT = ("level", "severity", "lvl", "msg", "message", "time", "ts", "timestamp", "pid", "hostname")
_QUOTED = " ".join(f'"{name}"' for name in _LEFT_OUT)
_MESSAGE = (
    "{{ if .service }}{{ .service }}{{ else }}{{ .host }} {{ .container }}{{ end }}  "
    '{{ $fields := "" }}{{ if hasPrefix "{" __line__ }}{{ $fields = fromJson __line__ }}{{ end }}'
    '{{ if $fields }}{{ or $fields.msg $fields.message "" }}'
    f"{{{{ range $name, $value := $fields }}}}{{{{ if not (eq $name {_QUOTED}) }}}}"
    " {{ $name }}={{ $value }}{{ end }}{{ end }}"
    "{{ else }}{{ __line__ }}{{ end }}"
)
