# pyright: strict
"""The options of the log router's two outputs, and the mistakes that they wouldn't report. Pure.

Sources: Grafana's plugin (loki v3.7.8, clients/cmd/fluent-bit), Fluent Bit 4.2.3 and its `loki` output
(src/, plugins/out_loki), the ECS agent's FireLens configuration.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal
from urllib.parse import quote, urlsplit

OutputKind = Literal["grafana", "fluent-bit"]
Launch = Literal["ec2", "fargate"]
Architecture = Literal["x86_64", "arm64"]

# Go's time.ParseDuration.
GO_DURATION = re.compile(r"(\d+(\.\d+)?(ns|us|µs|ms|s|m|h))+")
_SECONDS = {"ns": 1e-9, "us": 1e-6, "µs": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0}

# Labels of every line, and the fields of a record that are labels too: few and fixed, since a value per
# task would make a stream per task.
OWN_LABELS = ("job", "service", "container")
LABEL_KEYS = ("source", "ecs_cluster")
# Loki's max_label_names_per_series: it refuses lines with more.
MAX_LABELS = 15
# Paths that ECS mounts into the log router's container (agent/taskresource/firelens).
RESERVED_PATHS = ("/fluent-bit/etc/fluent-bit.conf", "/fluent-bit/etc/external.conf", "/var/run/fluent.sock")

# Fields that differ per task or line: as labels, each value would make a stream.
_PER_TASK = {
    "container_id": "is one per container",
    "ecs_task_arn": "is one per task",
    "ecs_task_definition": "carries the revision",
    "log": "is the line itself",
}
# On EC2 Docker's name of a container ends in random hex; on Fargate it is the definition's name.
_PER_TASK_ON_EC2 = {"container_name": "ends in random hex on EC2"}


@dataclass(frozen=True)
class OptionType:
    """The values of an option, and their unit."""

    kind: Literal[
        "text", "duration", "seconds", "bytes", "size", "count", "boolean", "switch", "keys", "choice"
    ]
    choices: tuple[str, ...] = ()
    # Why it can't be set by hand.
    decided_by: str | None = None

    def problem(self, value: str) -> str | None:
        """What is wrong with a value; None if nothing is."""
        wanted = _WANTED.get(self.kind, f"one of {', '.join(self.choices)}")
        if self.kind == "choice":
            fine = value in self.choices
        elif self.kind == "text":
            fine = bool(value.strip())
        else:
            fine = bool(_PATTERNS[self.kind].fullmatch(value))
        if self.kind == "duration" and fine and seconds(value) == 0:
            return "more than nothing: with 0 a try would end at once, or the next one begin"
        return None if fine else wanted


_PATTERNS = {
    "duration": GO_DURATION,
    "seconds": re.compile(r"[1-9]\d*"),
    "bytes": re.compile(r"[1-9]\d*"),
    "size": re.compile(r"[1-9]\d*[KMG]"),
    "count": re.compile(r"[1-9]\d*"),
    "boolean": re.compile(r"true|false"),
    "switch": re.compile(r"on|off"),
    "keys": re.compile(r"[^,\s]+(,[^,\s]+)*"),
}
_WANTED = {
    "text": "a text",
    "duration": "a duration with its unit, such as 10s or 500ms (a bare number isn't one)",
    "seconds": "whole seconds, without a unit",
    "bytes": "whole bytes, without a unit",
    "size": "a size with its unit: K, M or G",
    "count": "a whole number from 1",
    "boolean": "exactly true or false (the plugin takes nothing else)",
    "switch": "exactly on or off",
    "keys": "names parted by commas alone: a space would belong to a name",
}

# Grafana's plugin counts the lines alone. Each has 18 bytes around it, and a push is 1.5 MiB at most when
# unpacked (components/loki/config.py): enough for lines of 36 bytes, and FireLens' are longer.
MAX_BATCH = 1 << 20

_ROUTE = "the service's `loki` and its account decide it"
_OWN_BUFFER = "each container has a queue of its own"
_TENANT = "the edge takes tenants away; an instance has one"
_UNPACKED = "a chunk is JSON of 2 MB and more after an outage, and Loki unpacks 1.5 MiB"
_LABELS = "write them as the service's `labels`"
_TRUST = "a log router that trusts any certificate sends its password to anyone"
_FORM = "the stack says there which task printed a line"
_LOGIN = "the gate takes the user and the password of an account, and nothing else"
_FIRELENS_MATCHES = "FireLens matches each container's own lines"
_NO_MAPS = "FireLens' records have no maps"
_KUBERNETES = "there is no Kubernetes"
_QUIET = "an alarm could miss its line"
_WINDOWS = "for Windows alone"
_IPV4 = "tasks reach the gate over IPv4 alone, from their NAT address"
_PLUGIN_TRIES = "the plugin says yes once a line is queued, and tries by itself: MaxRetries"
_GO_CLIENT = "Fluent Bit's own network isn't used: the plugin has Timeout, ca_file, cert_file and key_file"
_SECRET = "a password in a task definition is readable for everyone who may look at it"


def _not_here(names: str, why: str) -> dict[str, OptionType]:
    """Options of the program that this stack doesn't accept."""
    return {name: OptionType("text", decided_by=why) for name in names.split()}


# FireLens' own options beside an output's (ECS developer guide, "Using FireLens").
_FIRELENS = {
    "Name": OptionType("text"),
    "include-pattern": OptionType("text"),
    "exclude-pattern": OptionType("text"),
    "log-driver-buffer-limit": OptionType("count"),
    **_not_here("Match Match_Regex", _FIRELENS_MATCHES),
}

# Every network and TLS option of an output (Fluent Bit 4.2.3: src/flb_upstream.c, src/flb_output.c).
_NETWORK = (
    "net.dns.mode net.dns.resolver net.dns.prefer_ipv4 net.dns.prefer_ipv6 net.keepalive "
    "net.keepalive_idle_timeout net.keepalive_max_recycle net.tcp_keepalive net.tcp_keepalive_time "
    "net.tcp_keepalive_interval net.tcp_keepalive_probes net.io_timeout net.connect_timeout "
    "net.connect_timeout_log_error net.source_address net.max_worker_connections net.proxy_env_ignore"
)
_TLS = (
    "tls tls.verify tls.verify_hostname tls.debug tls.vhost tls.ca_path tls.ca_file tls.crt_file "
    "tls.key_file tls.key_passwd tls.min_version tls.max_version tls.ciphers"
)
_TLS_OF_WINDOWS = "tls.windows.certstore_name tls.windows.use_enterprise_store tls.windows.client_thumbprints"

# All options of the plugin (loki v3.7.8, clients/cmd/fluent-bit/config.go), and those that Fluent Bit 4.2.3
# has for any output.
GRAFANA_OPTIONS = _FIRELENS | {
    "Url": OptionType("text", decided_by=_ROUTE),
    "TenantID": OptionType("text", decided_by=_TENANT),
    "BatchWait": OptionType("duration"),
    "BatchSize": OptionType("bytes"),
    "Timeout": OptionType("duration"),
    "MinBackoff": OptionType("duration"),
    "MaxBackoff": OptionType("duration"),
    "MaxRetries": OptionType("count"),
    "Labels": OptionType("text", decided_by=_LABELS),
    "LogLevel": OptionType("choice", ("debug", "info", "warn", "error")),
    "AutoKubernetesLabels": OptionType("boolean", decided_by=_KUBERNETES),
    "RemoveKeys": OptionType("keys"),
    "LabelKeys": OptionType("keys"),
    "DropSingleKey": OptionType("boolean"),
    # Its key_value format turns a backslash and an n into the end of a line.
    "LineFormat": OptionType("choice", ("json",)),
    "LabelMapPath": OptionType("text"),
    "Buffer": OptionType("boolean"),
    "BufferType": OptionType("choice", ("dque",)),
    "DqueDir": OptionType("text", decided_by=_OWN_BUFFER),
    "DqueName": OptionType("text", decided_by=_OWN_BUFFER),
    "DqueSegmentSize": OptionType("count"),
    "DqueSync": OptionType("choice", ("normal", "full")),
    "ca_file": OptionType("text"),
    "cert_file": OptionType("text"),
    "key_file": OptionType("text"),
    "insecure_skip_verify": OptionType("boolean", decided_by=_TRUST),
    "Alias": OptionType("text"),
    **_not_here("Log_Level log_suppress_interval", _QUIET),
    **_not_here("Retry_Limit Workers storage.total_limit_size", _PLUGIN_TRIES),
    **_not_here(f"Host Port ipv6 {_NETWORK} {_TLS} {_TLS_OF_WINDOWS}", _GO_CLIENT),
}

# All options of Fluent Bit 4.2.3: plugins/out_loki/loki.c, and those of any output.
FLUENT_BIT_OPTIONS = _FIRELENS | {
    **_not_here("host port uri http_user http_passwd", _ROUTE),
    **_not_here("ipv6 net.dns.prefer_ipv6", _IPV4),
    "tls": OptionType("switch", decided_by="it is always on"),
    **_not_here("tls.verify tls.verify_hostname tls.vhost", _TRUST),
    "tls.debug": OptionType("count"),
    "tls.ca_path": OptionType("text"),
    "tls.ca_file": OptionType("text"),
    "tls.crt_file": OptionType("text"),
    "tls.key_file": OptionType("text"),
    "tls.key_passwd": OptionType("text", decided_by=_SECRET),
    "tls.min_version": OptionType("text"),
    "tls.max_version": OptionType("text"),
    "tls.ciphers": OptionType("text"),
    **_not_here(_TLS_OF_WINDOWS, _WINDOWS),
    **_not_here("tenant_id tenant_id_key", _TENANT),
    **_not_here("bearer_token header", _LOGIN),
    "labels": OptionType("text", decided_by=_LABELS),
    "label_keys": OptionType("keys"),
    "label_map_path": OptionType("text"),
    "structured_metadata": OptionType("text", decided_by=_FORM),
    "structured_metadata_map_keys": OptionType("text", decided_by=_NO_MAPS),
    "remove_keys": OptionType("keys"),
    # Its key_value format quotes nothing: a line could forge the fields beside it.
    "line_format": OptionType("choice", ("json",)),
    "drop_single_key": OptionType("choice", ("on", "off", "raw")),
    "auto_kubernetes_labels": OptionType("switch", decided_by=_KUBERNETES),
    "buffer_size": OptionType("size"),
    "compress": OptionType("text", decided_by=_UNPACKED),
    "workers": OptionType("count"),
    "Alias": OptionType("text"),
    "log_level": OptionType("choice", ("info", "debug", "trace")),
    "log_suppress_interval": OptionType("text", decided_by=_QUIET),
    # A number of tries would lose lines that a longer wait delivers.
    "retry_limit": OptionType("choice", ("no_limits",)),
    "storage.total_limit_size": OptionType("size"),
    "net.connect_timeout": OptionType("seconds"),
    "net.connect_timeout_log_error": OptionType("switch", decided_by=_QUIET),
    "net.io_timeout": OptionType("seconds"),
    "net.keepalive": OptionType("switch"),
    "net.keepalive_idle_timeout": OptionType("seconds"),
    "net.keepalive_max_recycle": OptionType("count"),
    "net.tcp_keepalive": OptionType("switch"),
    "net.tcp_keepalive_time": OptionType("count"),
    "net.tcp_keepalive_interval": OptionType("count"),
    "net.tcp_keepalive_probes": OptionType("count"),
    "net.dns.mode": OptionType("choice", ("TCP", "UDP")),
    "net.dns.resolver": OptionType("choice", ("LEGACY", "ASYNC")),
    "net.dns.prefer_ipv4": OptionType("switch"),
    "net.source_address": OptionType("text"),
    "net.max_worker_connections": OptionType("count"),
    "net.proxy_env_ignore": OptionType("switch"),
}


@dataclass(frozen=True, kw_only=True)
class OutputType:
    """One of the two outputs: its options, and its default image."""

    title: str
    image: str
    # What happens to an unknown option.
    unknown_option: str
    options: Mapping[str, OptionType]
    label_keys_option: str

    def option(self, key: str) -> tuple[str, OptionType] | None:
        """An option and its canonical spelling. Fluent Bit ignores the case of keys."""
        spelled = {name.lower(): name for name in self.options}.get(key.lower())
        return None if spelled is None else (spelled, self.options[spelled])


OUTPUTS: dict[OutputKind, OutputType] = {
    "grafana": OutputType(
        title="Grafana's plugin",
        unknown_option="would ignore it",
        # Loki's release workflows push it with each version (loki v3.7.8, .github/workflows/release.yml and
        # patch-release-pr.yml; grafana/loki-release, actions/push-images). No public source tells its digest.
        image="grafana/fluent-bit-plugin-loki:3.7.8",
        options=GRAFANA_OPTIONS,
        label_keys_option="LabelKeys",
    ),
    "fluent-bit": OutputType(
        title="Fluent Bit's own output",
        unknown_option="wouldn't start with it",
        # Tag and digest as in the Dockerfile of Grafana's plugin (loki v3.7.8, clients/cmd/fluent-bit).
        image="fluent/fluent-bit:4.2.3"
        "@sha256:a5761fa961cb22dd0875883a4d446b1acd99d4935d77358aa9f50ee177e44fe2",
        options=FLUENT_BIT_OPTIONS,
        label_keys_option="label_keys",
    ),
}


def output_name(output: OutputKind, image: str) -> str:
    """The output's name in an image.

    Grafana's plugin is `loki` up to 2.0 and `grafana-loki` from 2.1 on, since Fluent Bit has an output named
    `loki` itself. A tag without a version counts as current.
    """
    if output == "fluent-bit":
        return "loki"
    match = re.search(r":v?(\d+)\.(\d+)", image)
    old = match is not None and (int(match[1]), int(match[2])) < (2, 1)
    return "loki" if old else "grafana-loki"


def seconds(duration: str) -> float:
    """The length of a Go duration."""
    parts = re.findall(r"(\d+(?:\.\d+)?)(ns|us|µs|ms|s|m|h)", duration)
    return sum(float(number) * _SECONDS[unit] for number, unit in parts)


def url_with_credentials(url: str, user: str, password: str) -> str:
    """The URL with user and password in it, percent-encoded as Go's url.Parse decodes them."""
    scheme, rest = url.split("://", 1)
    return f"{scheme}://{quote(user, safe='')}:{quote(password, safe='')}@{rest}"


def option_problems(
    output: OutputKind, image: str, launch: Launch, options: Mapping[str, str]
) -> list[tuple[str, str]]:
    """Every mistake in hand-written options: the option, and the rule with a suggestion.

    Most of them would go unnoticed: the outputs ignore unknown keys.
    """
    kind = OUTPUTS[output]
    found: list[tuple[str, str]] = []
    seen: dict[str, str] = {}
    for key, value in options.items():
        known = kind.option(key)
        if known is None:
            found.append((key, _unknown(kind, key)))
            continue
        spelled, option = known
        if spelled in seen:
            found.append((key, f"the same option as {seen[spelled]}: write it once"))
        seen[spelled] = key
        problem = _value_problem(kind, output, image, launch, spelled, option, value)
        if problem:
            found.append((key, problem))
    return found


def _unknown(kind: OutputType, key: str) -> str:
    plain = key.lower().replace("_", "")
    by_plain = {name.lower().replace("_", "").replace(".", ""): name for name in kind.options}
    if re.fullmatch(r"http(user|passw(or)?d)|user(name)?|password", plain) and kind.option("Url"):
        hint = "credentials come from the route's `accounts`, in the Url; remove it"
    else:
        close = difflib.get_close_matches(plain, by_plain, n=1)
        hint = f"did you mean {by_plain[close[0]]}?" if close else "remove it"
    return f"{kind.title} has no such option and {kind.unknown_option}: {hint}"


def _value_problem(
    kind: OutputType,
    output: OutputKind,
    image: str,
    launch: Launch,
    key: str,
    option: OptionType,
    value: str,
) -> str | None:
    if key in ("Url", "host") and urlsplit(value).scheme == "http":
        return f"http:// sends lines and password in clear: the edge speaks HTTPS only; {_ROUTE}, remove it"
    if option.decided_by:
        return f"it can't be set by hand ({option.decided_by}): remove it"
    wanted = option.problem(value)
    if wanted:
        return f"it takes {wanted}"
    if key == "Name" and value != output_name(output, image):
        return (
            f"in this image the output is named {output_name(output, image)!r} "
            "(Grafana's plugin: `loki` up to 2.0, `grafana-loki` from 2.1): write that, or nothing"
        )
    if key == kind.label_keys_option:
        return label_keys_problem(value, launch)
    if key == "BatchSize" and int(value) > MAX_BATCH:
        return f"it is {MAX_BATCH} at most: with what stands around short lines, Loki would refuse the batch"
    return None


def label_keys(output: OutputKind, options: Mapping[str, str]) -> tuple[str, ...]:
    """The fields that become labels, by the stack's choice or the hand-written options."""
    name = OUTPUTS[output].label_keys_option.lower()
    by_hand = next((value for key, value in options.items() if key.lower() == name), None)
    return LABEL_KEYS if by_hand is None else tuple(key.removeprefix("$") for key in by_hand.split(","))


def output_problem(output: OutputKind, image: str) -> str | None:
    """Why an image's name rules an output out; None if it doesn't."""
    name = image.split("@")[0].rsplit(":", 1)[0]
    if output == "grafana" and name in _FLUENT_BIT_ALONE:
        return "Grafana's plugin isn't in it: write output: fluent-bit, or name the plugin's image"
    if output == "fluent-bit" and name.endswith("/fluent-bit-plugin-loki"):
        return "it is that of Grafana's plugin: write output: grafana, or name another"
    return None


def label_keys_problem(value: str, launch: Launch) -> str | None:
    """Why these fields can't be labels; None if they can."""
    refused = _PER_TASK | (_PER_TASK_ON_EC2 if launch == "ec2" else {})
    for name in value.split(","):
        field = name.removeprefix("$")
        if field in refused:
            return (
                f"{field} {refused[field]}, so that each makes a Loki stream of its own: "
                "leave it in the line, where a query filters it"
            )
    return None


# Whatever the tag says: only 2.9 was built for ARM too (grafana/loki pull request 10081; from 3.0 on
# .github/release-workflows.jsonnet, the platforms of `fluent-bit`).
_X86_64_ALONE = re.compile(r"(docker\.io/)?grafana/fluent-bit-plugin-loki:(?!2\.9\.)")


def architecture_problem(image: str, architecture: Architecture) -> str | None:
    """Why an image's name rules this architecture out; None if it doesn't."""
    if architecture == "arm64" and _X86_64_ALONE.match(image):
        return (
            "Grafana builds it for amd64 alone: name an image of your own for arm64 "
            "(loki's clients/cmd/fluent-bit/Dockerfile makes one), or choose output: fluent-bit"
        )
    tag = image.split("@")[0].rsplit(":", 1)[1]
    built_for = re.search(r"(?:^|[-_.])(amd64|x86_64|arm64|aarch64|arm)(?:$|[-_.])", tag)
    names = {"x86_64": ("amd64", "x86_64"), "arm64": ("arm64", "aarch64")}[architecture]
    if built_for is None or built_for[1] in names:
        return None
    return (
        f"the tag says {built_for[1]}, the service runs on {architecture}: "
        f"name the image for {names[0]}, or one for several architectures"
    )


_FLUENT_BIT_ALONE = ("fluent/fluent-bit", "cr.fluentbit.io/fluent/fluent-bit")
# Distroless: no shell, so that a health check of any kind can't start.
_WITHOUT_SHELL = ("grafana/fluent-bit-plugin-loki", *_FLUENT_BIT_ALONE)


def has_shell(image: str) -> bool:
    """Whether a log router's image has a shell, by its name."""
    name, tag = image.split("@")[0].rsplit(":", 1)
    return name not in _WITHOUT_SHELL or tag.endswith("-debug")
