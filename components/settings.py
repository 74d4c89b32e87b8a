"""The stack's settings: one frozen model per area, parsed once, and the only reader of `pulumi.Config`.

Every mistake in the configuration becomes one line that names the key's path, the rule and the value
received (never a secret's value), before any resource is registered.
"""

from __future__ import annotations

import datetime
import ipaddress
import json
import posixpath
import re
import ssl
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from typing import Annotated, Any, Literal, Self, cast
from urllib.parse import urlsplit

import pulumi
from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    SecretStr,
    ValidationError,
    ValidationInfo,
    field_validator,
    model_validator,
)
from pydantic.alias_generators import to_camel

from components.ecs.buffer_plan import (
    GRAFANA_DEFAULTS,
    BufferPlan,
    LogRate,
    buffer_plan,
    tried_seconds,
)
from components.ecs.firelens import (
    MAX_LABELS,
    OUTPUTS,
    OWN_LABELS,
    RESERVED_PATHS,
    architecture_problem,
    has_shell,
    label_keys,
    option_problems,
    output_problem,
    seconds,
)
from components.edge.caddyfile import ACME_STAGING
from components.edge.connection_limit import DEFAULT as DEFAULT_CONNECTIONS
from components.edge.connection_limit import LEAST as LEAST_CONNECTIONS
from components.edge.connection_limit import MOST as MOST_CONNECTIONS
from components.live.password_rule import password_problem
from components.live.programs import LETS_ENCRYPT
from components.loki.replica_rules import HostKey, SpreadLoki, kept_from_containers, replica_rules
from components.port_policy.rules import (
    NUMBERS,
    AnyProtocol,
    Kept,
    Protocol,
    Rule,
    lets_in,
    named_sources,
    shut_out,
)

PROJECT = "campus-monitor"

MAX_PORT = 65535
MIN_ADMIN_PASSWORD = 16

# The ECS developer guide, "Task definition parameters" and "Amazon ECS service quotas".
LOG_ROUTER = "log-router"
# Where Grafana's plugin queues lines: a volume of the task's own.
BUFFER_VOLUME = "log-buffer"
MAX_CONTAINERS = 10
MAX_STOP_SECONDS = 120
MAX_EC2_CPU = 10240
# FireLens: where the log router listens (lines, and health), and how many lines a container's log driver may
# hold (agent/taskresource/firelens; its documentation).
ROUTER_PORTS = (24224, 8877)
MAX_DRIVER_LINES = 536870912
# The ECS developer guide, "Fargate task ephemeral storage": 20 GiB where nothing else is said.
FARGATE_DISK_MIB = 20 << 10
# Memory in MiB by CPU units (the ECS API reference, RegisterTaskDefinition).
FARGATE_SIZES = {
    256: [512, 1024, 2048],
    512: list(range(1024, 4097, 1024)),
    1024: list(range(2048, 8193, 1024)),
    2048: list(range(4096, 16385, 1024)),
    4096: list(range(8192, 30721, 1024)),
    8192: list(range(16384, 61441, 4096)),
    16384: list(range(32768, 122881, 8192)),
}


class SettingsError(Exception):
    """The configuration can't be used. Each argument is one line: key, rule, value."""

    def __init__(self, problems: list[str]) -> None:
        super().__init__("\n".join(problems))
        self.problems = problems


class Area(BaseModel):
    """A part of the settings: immutable, unknown keys refused, keys written in camelCase."""

    model_config = ConfigDict(
        extra="forbid",
        frozen=True,
        alias_generator=to_camel,
        # A secret must never be echoed by an error message.
        hide_input_in_errors=True,
    )


Network = ipaddress.IPv4Network | ipaddress.IPv6Network


def _port(value: int) -> int:
    # Checked here and not left to nft: it takes 999999 for 16959 without a word.
    if not 1 <= value <= MAX_PORT:
        raise ValueError(f"a port is a whole number from 1 to {MAX_PORT}")
    return value


def _cidr(value: str) -> str:
    try:
        network = ipaddress.ip_network(value, strict=True)
    except ValueError as error:
        raise ValueError(f"an address or CIDR is needed, without host bits ({error})") from None
    if "%" in value:
        raise ValueError("an address or CIDR is needed, without a zone (%…)")
    _refuse_written_in_ipv6(network)
    never = _never_a_source(network)
    if never:
        raise ValueError(f"no packet comes from {never}: the senders' own addresses are needed")
    return str(network)


def _never_a_source(network: Network) -> Network | None:
    """What this lies in, and no packet on a wire comes from; None if some may come from it."""
    if network == _LOOPBACK_IPV6:
        return None
    return next((never for never in _NEVER_A_SOURCE if _contains(never, network)), None)


def _refuse_written_in_ipv6(network: Network) -> None:
    """Raise ValueError for IPv4 addresses in IPv6's form: packets carry them in IPv4's, and never match."""
    if network.version == 4 or network in _NO_IPV4:
        return
    if any(network.subnet_of(prefix) for prefix in _IPV4_IN_IPV6):
        bits = network.prefixlen - 96
        inside = ipaddress.IPv4Address(int(network.network_address) & 0xFFFF_FFFF)
        plain = (
            f"write {inside}/{bits}" if 0 <= bits < 32 else f"write {inside}" if bits == 32 else "write that"
        )
        raise ValueError(f"packets carry an IPv4 address in IPv4's own form: {plain}")


def _ipv4(value: str, needed: str) -> ipaddress.IPv4Address:
    """The IPv4 address; a ValueError that says what is needed."""
    try:
        network = ipaddress.ip_network(value)
    except ValueError:
        raise ValueError(needed) from None
    _refuse_written_in_ipv6(network)
    if isinstance(network, ipaddress.IPv6Network) or "/" in value:
        raise ValueError(needed)
    return network.network_address


# IPv4-compatible and IPv4-mapped (RFC 4291, 2.5.5), IPv4-translated (RFC 2765, 2.1), and NAT64's two prefixes
# (RFC 6052, 2.1; RFC 8215).
_IPV4_IN_IPV6 = tuple(
    ipaddress.IPv6Network(prefix)
    for prefix in ("::/96", "::ffff:0:0/96", "::ffff:0:0:0/96", "64:ff9b::/96", "64:ff9b:1::/48")
)
# They lie among the compatible ones, and are none.
_LOOPBACK_IPV6 = ipaddress.IPv6Network("::1/128")
_NO_IPV4 = (ipaddress.IPv6Network("::/128"), _LOOPBACK_IPV6)
# RFC 1122, 3.2.1.3: "this network", multicast and reserved. RFC 4291, 2.4 and 2.7: what comes before global
# unicast, such as the unspecified address, and multicast.
_NEVER_A_SOURCE = tuple(
    ipaddress.ip_network(never) for never in ("0.0.0.0/8", "224.0.0.0/3", "::/3", "ff00::/8")
)


def _public_ipv4(value: str) -> str:
    address = _ipv4(value, "one IPv4 address is needed, such as 203.0.113.7")
    if _never_a_source(ipaddress.IPv4Network(address)) or _is_private(address):
        raise ValueError("the address must be global unicast: a NAT gateway's public address")
    return str(address)


# RFC 1918, RFC 6598, RFC 3927 and RFC 4193: never the source of a packet from the internet. The
# documentation ranges (RFC 5737, RFC 3849) count as global: the local stack and the tests live there.
_PRIVATE_NETWORKS = tuple(
    ipaddress.ip_network(cidr)
    for cidr in (
        "10.0.0.0/8",
        "100.64.0.0/10",
        "127.0.0.0/8",
        "169.254.0.0/16",
        "172.16.0.0/12",
        "192.168.0.0/16",
        "::1/128",
        "fc00::/7",
        "fe80::/10",
    )
)


def _contains(outer: Network, inner: Network) -> bool:
    """Whether all of a network lies in another; never of another family."""
    return (
        outer.version == inner.version
        and int(outer.network_address) <= int(inner.network_address)
        and int(inner.broadcast_address) <= int(outer.broadcast_address)
    )


def _is_private(address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> bool:
    return any(_contains(network, ipaddress.ip_network(address)) for network in _PRIVATE_NETWORKS)


def _host_address(value: str) -> str:
    """Where one machine reaches another: an IPv4 address that belongs to one machine alone."""
    address = _ipv4(value, "an IPv4 address is needed")
    if address.is_loopback or _never_a_source(ipaddress.IPv4Network(address)):
        raise ValueError("the address of one machine is needed, as others reach it")
    return str(address)


def _host_name(value: str) -> str:
    labels = value.split(".")
    label = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")  # RFC 1035, section 2.3.1
    if len(value) > 253 or not all(label.fullmatch(part) for part in labels):
        raise ValueError("a lower-case host name is needed, without scheme or port")
    return value


def _site_name(value: str) -> str:
    _host_name(value)
    last = value.rpartition(".")[2]
    # What ends in a number is an IPv4 address in one of its forms (the URL standard, "ends in a number").
    if re.fullmatch(r"\d+|0x[0-9a-f]*", last):
        raise ValueError("a DNS name is needed: to an address Caddy would give a certificate of its own")
    return value


# For these Caddy makes certificates itself, or asks Tailscale, whatever authority is named (certmagic,
# SubjectIsInternal; its modules/caddyhttp/autohttps.go).
_NOT_PUBLIC = (".localhost", ".local", ".internal", ".home.arpa", ".ts.net")


def _route(value: str) -> str:
    # Lower-case letters, digits and dashes need no quoting or decoding in any program on the way.
    if not re.fullmatch(r"/[a-z0-9][a-z0-9-]*", value):
        raise ValueError("a route is one path segment of [a-z0-9-], such as /lokiaws")
    return value


def _short_name(value: str) -> str:
    if not re.fullmatch(r"[a-z][a-z0-9-]{0,30}", value):
        raise ValueError("a name is 1 to 31 characters of [a-z0-9-] and begins with a letter")
    return value


def _user_name(value: str) -> str:
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}", value):
        raise ValueError("a user name is 1 to 64 characters of [A-Za-z0-9._-]")
    return value


def _image(value: str) -> str:
    pattern = r"[a-z0-9][a-z0-9._/:-]*?:[A-Za-z0-9_][A-Za-z0-9._-]{0,127}(@sha256:[0-9a-f]{64})?"
    if not re.fullmatch(pattern, value):
        raise ValueError("an image is named with its tag: name:tag or name:tag@sha256:<64 hex digits>")
    if value.split("@")[0].endswith(":latest"):
        raise ValueError("the tag 'latest' changes under a running system: name a version")
    return value


def _password(value: SecretStr) -> SecretStr:
    problem = password_problem(value.get_secret_value())
    if problem:
        raise ValueError(problem)
    return value


def _admin_password(value: SecretStr) -> SecretStr:
    # Grafana counts wrong logins by the address and not by the user (grafana/component.py): a short password
    # would be found from many addresses.
    if len(_password(value).get_secret_value()) < MIN_ADMIN_PASSWORD:
        raise ValueError(f"a password that the internet may try has at least {MIN_ADMIN_PASSWORD} characters")
    return _as_grafana_reads(value)


def _as_grafana_reads(value: SecretStr) -> SecretStr:
    """The password, if Grafana takes what stands in a file of its image as it is; a ValueError otherwise."""
    text = value.get_secret_value()
    # The image takes white space away from a file's end, and ends a value at a line's. In the value Grafana
    # looks for variables (its documentation, "Variable expansion").
    if not text or text != text.strip() or not text.isprintable():
        raise ValueError("a password is one line of text, without white space around it")
    if re.search(r"\$(__\w+)?\{", text):
        raise ValueError(
            "a password has no `${` in it, nor `$__name{`: Grafana would look for a variable there"
        )
    return value


def _docker_host(value: str) -> str:
    if _has_password(value):
        raise ValueError("no password in an URL, which stands in the state and in logs: SSH takes a key")
    # Whoever reaches a tcp:// one is root there, and no setting has the certificates that would guard it.
    if not re.fullmatch(r"unix:///\S+|ssh://([^\s/?#@]+@)?[^\s/?#@][^\s?#@]*", value):
        raise ValueError("an URL is needed, ssh://user@host or unix:///path, and no other")
    # `%2D` is a dash too: who reads the URL decodes it.
    if re.search(r"(^ssh://|@)(-|%2[Dd])", value):
        raise ValueError("neither user nor host may begin with a dash, which ssh takes for an option")
    if not _has_good_port(value):
        raise ValueError(f"a port is a whole number from 1 to {MAX_PORT}")
    return value


def _has_password(text: str) -> bool:
    """Whether a URL, or a login, has a password in it. Who reads a URL decodes `%3A`, a colon."""
    return bool(re.match(r"(\w+://)?+[^/]*(:|%3[Aa]).*@", text))


def _has_good_port(url: str) -> bool:
    """Whether the URL has no port, or one that can be."""
    try:
        return urlsplit(url).port != 0
    except ValueError:
        return False


def _ssh_login(value: str) -> str:
    # Neither begins with a dash, which ssh takes for an option.
    match = re.fullmatch(
        r"(?!-)[A-Za-z0-9._-]+@((?!-)[A-Za-z0-9.-]+|\[[0-9A-Fa-f:.]+\])(?::(\d{1,5}))?", value
    )
    if not match or (match[2] and not 1 <= int(match[2]) <= MAX_PORT):
        raise ValueError("a login on another machine is needed, user@host or user@host:port")
    return value


def _mail_address(value: str) -> str:
    # Several stand in one text of Grafana's, parted by semicolons, commas or line breaks. In a Caddyfile a
    # quotation mark or a backslash would end the text, and a brace begin a placeholder.
    if not re.fullmatch(r"[A-Za-z0-9.!#%&*+/=?^_`|~-]+@[A-Za-z0-9-]+(\.[A-Za-z0-9-]+)+", value):
        raise ValueError("a mail address is needed, such as operators@example.org")
    return value


def _webhook_url(value: SecretStr) -> SecretStr:
    # Without a dollar sign: Grafana would look for a variable there.
    if not re.fullmatch(r"https://[a-z0-9.-]+/[A-Za-z0-9._~/?=&%:+-]+", value.get_secret_value()):
        raise ValueError("the webhook's whole URL is needed, https://…")
    return value


def _duration(value: str) -> str:
    if not re.fullmatch(r"[1-9][0-9]*(s|m|h|d|w|y)", value):
        raise ValueError("a duration is a whole number with a unit: s, m, h, d, w or y")
    return value


def _retention(value: str) -> str:
    _duration(value)
    hours = _hours(value)
    # Loki's documentation, "Log retention": a day at the least. Go's durations end at 292 years.
    if not 24 <= hours <= 100 * _HOURS["y"]:
        raise ValueError("lines are kept for at least 24h and at most 100y")
    return value


# Loki's durations are Prometheus' (its model.ParseDuration): a year has 365 days.
_HOURS = {"s": 1 / 3600, "m": 1 / 60, "h": 1, "d": 24, "w": 7 * 24, "y": 365 * 24}


def _hours(duration: str) -> float:
    return int(duration[:-1]) * _HOURS[duration[-1]]


def _day(value: str) -> str:
    try:
        if datetime.date.fromisoformat(value).isoformat() == value:
            return value
    except ValueError:
        pass
    raise ValueError('a day is written in quotes as year-month-day, such as "2024-01-01"')


def _env_name(value: str) -> str:
    if not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", value):
        raise ValueError("a variable's name is [A-Za-z0-9_] and begins with no digit")
    return value


def _secret_arn(value: str) -> str:
    parameter = r"arn:aws[a-z-]*:ssm:[a-z0-9-]+:\d{12}:parameter/[A-Za-z0-9._/-]+"
    # With, at the end, JSON key, version stage and version id, any of them empty.
    secret = r"arn:aws[a-z-]*:secretsmanager:[a-z0-9-]+:\d{12}:secret:[A-Za-z0-9/_+=.@-]+(:[^:*\s]*){0,3}"
    if not re.fullmatch(rf"{parameter}|{secret}", value):
        raise ValueError(
            "the ARN of one SSM parameter or Secrets Manager secret is needed, without wildcards"
        )
    return value


def _key_arn(value: str) -> str:
    # An alias may lead to another key tomorrow; IAM goes by keys.
    if not re.fullmatch(r"arn:aws[a-z-]*:kms:[a-z0-9-]+:\d{12}:key/(mrk-[0-9a-f]{32}|[0-9a-f-]{36})", value):
        raise ValueError("a KMS key's ARN is needed, not an alias: arn:aws:kms:<region>:<account>:key/<id>")
    return value


def _role_arn(value: str) -> str:
    if not re.fullmatch(r"arn:aws[a-z-]*:iam::\d{12}:role/[A-Za-z0-9+=,.@_/-]+", value):
        raise ValueError("a role's ARN is needed: arn:aws:iam::<account>:role/<name>")
    return value


def _label_name(value: str) -> str:
    # Prometheus' data model; names with two underscores in front are Loki's own.
    if not re.fullmatch(r"(?!__)[a-zA-Z_][a-zA-Z0-9_]*", value):
        raise ValueError("a label's name is [a-zA-Z0-9_], begins with no digit and not with two underscores")
    return value


def _label_value(value: str) -> str:
    # Needs no quoting in either output's syntax.
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._:/-]{0,62}", value):
        raise ValueError("a label's value is 1 to 63 characters of [A-Za-z0-9._:/-]")
    return value


Port = Annotated[int, AfterValidator(_port)]
Cidr = Annotated[str, AfterValidator(_cidr)]
PublicIpv4 = Annotated[str, AfterValidator(_public_ipv4)]
HostAddress = Annotated[str, AfterValidator(_host_address)]
HostName = Annotated[str, AfterValidator(_host_name)]
SiteName = Annotated[str, AfterValidator(_site_name)]
Route = Annotated[str, AfterValidator(_route)]
ShortName = Annotated[str, AfterValidator(_short_name)]
UserName = Annotated[str, AfterValidator(_user_name)]
Image = Annotated[str, AfterValidator(_image)]
Password = Annotated[SecretStr, AfterValidator(_password)]
AdminPassword = Annotated[SecretStr, AfterValidator(_admin_password)]
MailAddress = Annotated[str, AfterValidator(_mail_address)]
MailPassword = Annotated[SecretStr, AfterValidator(_as_grafana_reads)]
WebhookUrl = Annotated[SecretStr, AfterValidator(_webhook_url)]
DockerHost = Annotated[str, AfterValidator(_docker_host)]
Duration = Annotated[str, AfterValidator(_duration)]
SshLogin = Annotated[str, AfterValidator(_ssh_login)]
Retention = Annotated[str, AfterValidator(_retention)]
Day = Annotated[str, AfterValidator(_day)]
EnvName = Annotated[str, AfterValidator(_env_name)]
SecretArn = Annotated[str, AfterValidator(_secret_arn)]


def _as_port(value: Any) -> Any:
    """A number alone is a TCP port."""
    return {"port": value} if isinstance(value, int) else value


def _source(value: str) -> str:
    """A security group, which tells its members' addresses, or a CIDR."""
    return value if re.fullmatch(r"sg-[0-9a-f]{8,17}", value) else _cidr(value)


Source = Annotated[str, AfterValidator(_source)]
KeyArn = Annotated[str, AfterValidator(_key_arn)]
RoleArn = Annotated[str, AfterValidator(_role_arn)]
LabelName = Annotated[str, AfterValidator(_label_name)]
LabelValue = Annotated[str, AfterValidator(_label_value)]


class OtherHost(Area):
    """Another Docker host on campus, for replicas of Lokis: `replicaHosts` names it."""

    docker_host: DockerHost
    # Where the campus server and the others reach it, and from which its own packets come.
    address: HostAddress


class Campus(Area):
    """The Docker host on campus and what is common to its containers."""

    docker_host: DockerHost
    # Put before the name of every container, volume and network; empty where the host is ours alone.
    name_prefix: str = ""
    # The private network between Caddy, Loki and Grafana. A container's address in it is the network
    # address plus the port it serves: fixed, and readable in both directions.
    network_cidr: Cidr = "172.29.0.0/16"
    # Volumes with data survive `pulumi destroy` and can't be deleted by a change.
    protect_data: bool = True
    # The Loki that this host's own containers' logs go to, straight; none where this says nothing.
    logs_to: ShortName | None = None
    # Docker hosts beside this one, by name, and where they reach this one.
    other_hosts: dict[ShortName, OtherHost] = {}
    address: HostAddress | None = None

    @model_validator(mode="after")
    def _check(self) -> Self:
        if not re.fullmatch(r"([a-z0-9][a-z0-9_.-]*-)?", self.name_prefix):
            raise ValueError(
                f"namePrefix: [a-z0-9_.-] and a dash at the end, or nothing, received {self.name_prefix!r}"
            )
        network = ipaddress.ip_network(self.network_cidr)
        address = network.network_address
        usable = _is_private(address) and not address.is_loopback and not address.is_link_local
        if network.version != 4 or network.prefixlen != 16 or not usable:
            raise ValueError(
                "networkCidr: a private IPv4 network of size /16 is needed "
                f"(an address is chosen per port), received {self.network_cidr!r}"
            )
        self._check_other_hosts()
        return self

    def _check_other_hosts(self) -> None:
        if self.other_hosts and self.address is None:
            raise ValueError("address: where the other hosts reach this one is needed, received None")
        taken = {self.docker_host: "campus", self.address: "campus"}
        network = ipaddress.ip_network(self.network_cidr)
        for name, host in self.other_hosts.items():
            for field, value in (("dockerHost", host.docker_host), ("address", host.address)):
                if value in taken:
                    raise ValueError(
                        f"otherHosts.{name}.{field}: {taken[value]} has it already, received {value!r}"
                    )
                taken[value] = f"otherHosts.{name}"
        for key, address in self._addresses():
            if ipaddress.ip_address(address) in network:
                raise ValueError(
                    f"{key}: an address of the containers' own network (networkCidr {self.network_cidr}) "
                    f"is reached from nowhere else, received {address!r}"
                )

    def _addresses(self) -> list[tuple[str, str]]:
        own = [] if self.address is None else [("address", self.address)]
        return [
            *own,
            *((f"otherHosts.{name}.address", one.address) for name, one in self.other_hosts.items()),
        ]


class Images(Area):
    """The images that the campus server runs, each with tag."""

    # Then every image has a digest too, those of `services` among them.
    require_digest: bool = True
    caddy: Image
    loki: Image
    grafana: Image
    port_guard: Image
    # Only where logs of Docker hosts are shipped: `shippers`, `campus.logsTo`.
    alloy: Image | None = None

    @field_validator("caddy", "loki", "grafana", "port_guard", "alloy")
    @classmethod
    def _check_digest(cls, value: str | None, info: ValidationInfo) -> str | None:
        if info.data.get("require_digest") and value is not None and not _has_digest(value):
            raise ValueError(DIGEST_RULE)
        return value

    @field_validator("grafana")
    @classmethod
    def _check_grafana(cls, value: str) -> str:
        # Since 13.2 Loki's data source is a plugin that only the whole image brings (grafana#129092).
        words = re.split(r"[^a-z]", value.partition("@")[0].lower())
        if "slim" in words:
            raise ValueError("a -slim image has no data source for Loki: name the whole image")
        if "distroless" in words:
            raise ValueError(
                "a -distroless image has no shell to tell Grafana its files: name the whole image"
            )
        return value


DIGEST_RULE = "tag and digest are required here (name:tag@sha256:…, see images.requireDigest)"


def _has_digest(image: str) -> bool:
    return "@sha256:" in image


def _acme_directory(value: str) -> str:
    # Of letters that a Caddyfile takes as they are: no placeholder, no quotation mark, no white space.
    match = re.fullmatch(
        r"https://(?P<host>[A-Za-z0-9.-]+|\[(?P<ipv6>[0-9A-Fa-f:.]+)\])(:(?P<port>\d{1,5}))?"
        r"(/([A-Za-z0-9._~/-]|%[0-9A-Fa-f]{2})*)?",
        value,
    )
    if (
        not match
        or (match["port"] and not 1 <= int(match["port"]) <= MAX_PORT)
        or (match["ipv6"] and not _is_ipv6(match["ipv6"]))
    ):
        raise ValueError("the URL of an ACME directory is needed, https://host/path")
    host = match["host"].lower()
    if host == urlsplit(ACME_STAGING).hostname:
        raise ValueError("Let's Encrypt's staging environment is `tls: acme-staging`, without edge.acme")
    if host == urlsplit(LETS_ENCRYPT).hostname:
        raise ValueError("Let's Encrypt is what `tls: acme` asks anyway: leave edge.acme out")
    return value


def _is_ipv6(text: str) -> bool:
    try:
        ipaddress.IPv6Address(text)
    except ValueError:
        return False
    return True


AcmeDirectory = Annotated[str, AfterValidator(_acme_directory)]


class Acme(Area):
    """An ACME authority in place of Let's Encrypt."""

    directory: AcmeDirectory
    # Certificates as PEM: whom Caddy trusts when it speaks with this authority. Nothing where those that
    # it trusts anyway will do.
    root: str | None = None

    @model_validator(mode="after")
    def _check(self) -> Self:
        problem = None if self.root is None else _root_problem(self.root)
        if self.root is not None and problem:
            # Not the value: it is long, and may be a key.
            raise ValueError(f"root: {problem}, received {len(self.root)} characters")
        return self


def _root_problem(text: str) -> str | None:
    """What is wrong with an authority's root; None if nothing is."""
    kinds = re.findall(r"-----BEGIN ([^-]*)-----", text)
    if set(kinds) != {"CERTIFICATE"}:
        return "certificates as PEM are needed (-----BEGIN CERTIFICATE-----…), and nothing else"
    # Between them may be comments, which needn't be ASCII.
    whole = re.findall(r"-----BEGIN CERTIFICATE-----[A-Za-z0-9+/=\s]+-----END CERTIFICATE-----", text)
    trusted = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    try:
        trusted.load_verify_locations(cadata="\n".join(whole))
    except (ssl.SSLError, ValueError):
        whole = []
    if len(whole) < len(kinds):
        return "a certificate can't be read"
    if len(trusted.get_ca_certs()) < trusted.cert_store_stats()["x509"]:
        return "an authority's certificate is needed, not that of a server"
    return None


class Edge(Area):
    """Caddy, the one door: its name, certificate and ports."""

    domain: SiteName
    tls: Literal["acme", "acme-staging", "internal"]
    # The address of the account at the ACME authority; required for acme and acme-staging.
    email: MailAddress | None = None
    # With `tls: acme` alone: whom to ask in place of Let's Encrypt.
    acme: Acme | None = None
    http_port: Port = 80
    https_port: Port = 443
    # HTTP/3 too; the port policy has to let the HTTPS port's UDP twin in.
    http3: bool = False
    # How many TCP connections to Caddy an IPv4 address, or an IPv6 /64, may have open at once; a /48 four
    # times as many. The port policy keeps it, with `namespace: host`.
    connections_per_source: int = DEFAULT_CONNECTIONS
    # Operators' own addresses, allowed on every guarded route beside the route's list.
    extra_allowed_cidrs: tuple[Cidr, ...] = ()
    # Lets an entry be wider than one address.
    allow_wide: bool = False

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.tls != "internal" and self.email is None:
            raise ValueError(f"email: an address is required with tls: {self.tls}, received {self.email!r}")
        if self.tls != "internal" and ("." not in self.domain or self.domain.endswith(_NOT_PUBLIC)):
            raise ValueError(
                f"domain: a public DNS name is needed with tls: {self.tls}; to others Caddy gives "
                f"certificates that nobody trusts, received {self.domain!r}"
            )
        if self.acme is not None and self.tls != "acme":
            raise ValueError(f"acme: names the authority of tls: acme alone, received tls {self.tls!r}")
        if self.http_port == self.https_port:
            raise ValueError(f"httpPort: must differ from httpsPort, received {self.http_port}")
        if not LEAST_CONNECTIONS <= self.connections_per_source <= MOST_CONNECTIONS:
            raise ValueError(
                f"connectionsPerSource: from {LEAST_CONNECTIONS}, for a few browsers behind one address, to "
                f"{MOST_CONNECTIONS}, so that no stranger can fill Caddy's memory, "
                f"received {self.connections_per_source}"
            )
        if not self.allow_wide:
            for cidr in self.extra_allowed_cidrs:
                _refuse_wide("extraAllowedCidrs", cidr)
        return self


def _is_wide(cidr: str) -> bool:
    """Whether a CIDR has public addresses in it; a private network is a /8 at most."""
    network = ipaddress.ip_network(cidr)
    return not any(_contains(private, network) for private in _PRIVATE_NETWORKS)


def _refuse_wide(key: str, cidr: str) -> None:
    network = ipaddress.ip_network(cidr)
    if network.prefixlen != network.max_prefixlen:
        raise ValueError(
            f"{key}: an entry is one address (/{network.max_prefixlen}) unless allowWide: true "
            f"is written beside it, received {cidr!r}"
        )
    address = network.network_address
    if address.is_multicast or address.is_unspecified or _is_private(address):
        raise ValueError(
            f"{key}: an entry is global unicast unless allowWide: true is written beside it, "
            f"received {cidr!r}"
        )


class Account(Area):
    """A user of a password-guarded route. Without a password the stack generates one."""

    user: UserName
    password: Password | None = None


class LokiLimits(Area):
    """What one Loki takes, from all shippers together. Loki answers 429 above a rate: shippers retry."""

    # MiB of lines in a second, and how many MiB may come at once.
    rate_mib: int = Field(default=16, ge=1)
    burst_mib: int = Field(default=32, ge=1)
    # The same for one stream, that is one set of labels.
    stream_rate_mib: int = Field(default=8, ge=1)
    stream_burst_mib: int = Field(default=16, ge=1)
    # How many streams may be open; a label that changes with each container uses them up.
    streams: int = Field(default=5000, ge=1)
    # A longer line is cut, not refused.
    line_kib: int = Field(default=256, ge=1, le=4096)  # Caddy lets a push of 5 MB through
    # An older line is refused for good.
    max_age: Duration = "7d"

    @model_validator(mode="after")
    def _check(self) -> Self:
        # A push bigger than the burst would be refused however often it is retried.
        if self.burst_mib < self.rate_mib:
            raise ValueError(f"burstMib: at least rateMib ({self.rate_mib}), received {self.burst_mib}")
        if self.stream_burst_mib < self.stream_rate_mib:
            raise ValueError(
                f"streamBurstMib: at least streamRateMib ({self.stream_rate_mib}), "
                f"received {self.stream_burst_mib}"
            )
        return self

    @property
    def max_age_seconds(self) -> int:
        """The age from which on a line is refused."""
        return round(_hours(self.max_age) * 3600)


# Where lines are kept: on the Loki's own disk, or in a bucket.
Storage = Literal["filesystem", "s3"]


class S3(Area):
    """A bucket of one Loki's own: AWS S3's, or that of anything that speaks like it."""

    bucket: str
    region: str
    # Where the bucket's service answers; AWS' own, if this says nothing.
    endpoint: str | None = None
    # The bucket's name in the path and not in the host's name: servers of one's own mostly want it so.
    path_style: bool = False
    access_key_id: str
    secret_access_key: SecretStr

    @model_validator(mode="after")
    def _check(self) -> Self:
        # The S3 user guide, "General purpose bucket naming rules".
        if not re.fullmatch(r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]", self.bucket):
            raise ValueError(f"bucket: a bucket's name is needed, received {self.bucket!r}")
        if not re.fullmatch(r"[a-z0-9][a-z0-9-]*", self.region):
            raise ValueError(f"region: a region such as ap-northeast-2, received {self.region!r}")
        if self.endpoint is not None and not _is_bare_url(self.endpoint):
            raise ValueError(
                "endpoint: an URL without user and path is needed, such as https://s3.example.org:3900"
            )
        if not re.fullmatch(r"[A-Za-z0-9._-]{3,128}", self.access_key_id):
            raise ValueError("accessKeyId: 3 to 128 characters of [A-Za-z0-9._-] are needed")
        # It is a word of a file of lines, where these signs begin something else, and is hashed whole.
        if not re.fullmatch(r"(?![#;'\"])[!-~]{8,72}", self.secret_access_key.get_secret_value()):
            raise ValueError(
                "secretAccessKey: 8 to 72 visible ASCII characters, the first none of # ; ' \", are needed"
            )
        return self


def _is_bare_url(url: str) -> bool:
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        return False
    host = parts.hostname or ""
    bare = f"{parts.scheme}://{host}" + ("" if port is None else f":{port}")
    return parts.scheme in ("http", "https") and bool(host) and url == bare


class SchemaPeriod(Area):
    """How lines are written from a day on (UTC), until the next period begins."""

    from_: Day = Field(alias="from")
    store: Literal["tsdb", "boltdb-shipper"] = "tsdb"
    version: Literal["v11", "v12", "v13"] = "v13"
    # Where its lines are; the instance's own `storage`, if this says nothing.
    storage: Storage | None = None

    @model_validator(mode="after")
    def _check(self) -> Self:
        known = {"tsdb": ("v12", "v13"), "boltdb-shipper": ("v11", "v12")}[self.store]
        if self.version not in known:
            raise ValueError(
                f"version: one of {', '.join(known)} with store: {self.store}, received {self.version!r}"
            )
        return self

    @property
    def is_current(self) -> bool:
        """Whether this is what Loki wants today, and needs for structured metadata."""
        return self.store == "tsdb" and self.version == "v13"


# A constant: lines written under a schema must be read under it for as long as they are kept.
DEFAULT_SCHEMA = (SchemaPeriod.model_validate({"from": "2024-01-01"}),)

# Where Alloy serves its own page, in its container's loopback alone (its default).
ALLOY_PORT = 12345
# The campus host's own shipper is called so.
CAMPUS_LABEL = "campus"

# What a Loki's port can't be, since its container's address and its own listeners follow from it.
RESERVED_PORTS = {
    1: "the private network's gateway has that address",
    9095: "Loki's own gRPC listens there",
    ALLOY_PORT: "the campus host's log shipper has that address",
    MAX_PORT: "that address is the private network's broadcast",
}
# How far a replica's port is from that of the one before: 3100, 13100, 23100.
REPLICA_STEP = 10_000
# A line is in so many replicas, or in the only one.
REPLICATION = 3
MAX_REPLICAS = 5
# Of more than these some alert rules would stay in Grafana for ever (components/grafana/alert_rules.py).
MAX_LOKIS = 8


class LokiInstance(Area):
    """One Loki and the guarded route that leads to it."""

    port: Port
    route: Route
    # Who may push: `nat` (the public addresses of the AWS network) and/or CIDRs. Never empty.
    allow: tuple[str, ...]
    allow_wide: bool = False
    # Users asked for a password on top of the address gate.
    accounts: tuple[Account, ...] = ()
    # While accounts come to a route that is in use: who names none isn't asked (docs/operations.md).
    accounts_optional: bool = False
    # Lets everything behind the AWS network's addresses push, without an account.
    nat_without_password: bool = False
    # Whether OpenTelemetry logs may be pushed here too (<route>/otlp/v1/logs).
    otlp: bool = False
    # Whether Docker publishes the port: for those whom the port policy names, past the gate.
    published: bool = False
    # Lets the policy name public addresses, or very many, for that port.
    published_wide: bool = False
    # How long lines are kept.
    retention: Retention = "31d"
    memory_bytes: int = Field(default=1 << 30, ge=256 << 20)
    limits: LokiLimits = LokiLimits()
    # A Loki that brings lines from before lists their periods too: docs/loki.md.
    schema_periods: tuple[SchemaPeriod, ...] = DEFAULT_SCHEMA
    # Where new lines are kept; how lines move from one to the other: docs/loki.md.
    storage: Storage = "filesystem"
    s3: S3 | None = None
    # How many Lokis share the work and the bucket. With three, any one may fail.
    replicas: int = 1
    # The other Docker host of each replica after the first; without, all are on the campus server.
    replica_hosts: tuple[ShortName, ...] = ()

    @model_validator(mode="after")
    def _check_storage(self) -> Self:
        if self.storage == "s3" and self.s3 is None:
            raise ValueError("s3: the bucket is needed with storage: s3, received None")
        if self.s3 is not None and "s3" not in self.storages:
            raise ValueError("s3: nothing is kept in the bucket: write storage: s3, or remove it")
        last = self.schema_periods[-1].storage if self.schema_periods else None
        if last not in (None, self.storage):
            raise ValueError(
                f"schemaPeriods: the last one is where storage says ({self.storage}), received {last!r}"
            )
        # Of two replicas none may fail: a push needs two of them (Loki's documentation, "Components").
        if self.replicas != 1 and not REPLICATION <= self.replicas <= MAX_REPLICAS:
            raise ValueError(f"replicas: 1, or {REPLICATION} to {MAX_REPLICAS}, received {self.replicas}")
        if self.replicas > 1 and self.storages != {"s3"}:
            raise ValueError(
                "replicas: more than one want all lines in one bucket, so storage: s3 and no schema period "
                f"with storage: filesystem, received {self.replicas}"
            )
        if self.replicas > 1 and self.ports[-1] >= MAX_PORT:
            raise ValueError(
                f"port: the last of {self.replicas} replicas has port {self.ports[-1]}, and the highest is "
                f"{MAX_PORT - 1}, received {self.port}"
            )
        hosts = self.replica_hosts
        if hosts and (len(hosts) != self.replicas - 1 or len(set(hosts)) != len(hosts)):
            raise ValueError(
                f"replicaHosts: one for each replica after the first ({self.replicas - 1}), each another, "
                f"received {list(hosts)}"
            )
        return self

    @property
    def storages(self) -> set[Storage]:
        """Everywhere that lines are."""
        return {period.storage or self.storage for period in self.schema_periods}

    @property
    def ports(self) -> tuple[int, ...]:
        """The ports that are this Loki's alone.

        One per replica on the same host: its address follows from it, and its published port. Replicas on
        hosts of their own all have the first, and talk to each other by the second and the third.
        """
        return tuple(self.port + REPLICA_STEP * number for number in range(self.replicas))

    @property
    def published_ports(self) -> tuple[int, ...]:
        """Where those whom the port policy names reach it, if it is published."""
        return self.ports[:1] if self.replica_hosts else self.ports

    @property
    def mesh_ports(self) -> tuple[int, int]:
        """Where replicas on hosts of their own talk gRPC, and gossip."""
        return self.port + REPLICA_STEP, self.port + 2 * REPLICA_STEP

    @model_validator(mode="after")
    def _check_loki(self) -> Self:
        for port in self.ports[:1] if self.replica_hosts else self.ports:
            if port in RESERVED_PORTS:
                raise ValueError(f"port: {RESERVED_PORTS[port]} ({port}), received {self.port}")
        if not self.schema_periods:
            raise ValueError("schemaPeriods: at least one is needed, received []")
        days = [period.from_ for period in self.schema_periods]
        if days != sorted(set(days)):
            raise ValueError(f"schemaPeriods: each begins after the one before, received {days}")
        last = self.schema_periods[-1]
        if not last.is_current:
            raise ValueError(
                f"schemaPeriods: the last one is store: tsdb, version: v13, "
                f"received {last.store} {last.version}"
            )
        if self.otlp and not self.keeps_structured_metadata:
            raise ValueError(
                "otlp: OpenTelemetry logs need every schema period to be tsdb v13, received true"
            )
        return self

    @property
    def keeps_structured_metadata(self) -> bool:
        """Whether lines may carry metadata beside their labels: no older schema can store it."""
        return all(period.is_current for period in self.schema_periods)

    @model_validator(mode="after")
    def _check_access(self) -> Self:
        if not self.allow:
            raise ValueError("allow: at least one entry is needed: `nat` or a CIDR; received []")
        for entry in self.allow:
            if entry == "nat":
                continue
            try:
                cidr = _cidr(entry)
            except ValueError as error:
                raise ValueError(f"allow: {error}, received {entry!r}") from None
            if not self.allow_wide:
                _refuse_wide("allow", cidr)
        users = [account.user for account in self.accounts]
        if len(set(users)) != len(users):
            # Caddy refuses a second hash for one user: rotation lists two users instead.
            raise ValueError(f"accounts: each user is listed once, received {users}")
        if self.accounts_optional and not users:
            raise ValueError("accountsOptional: there is no account, received true")
        if self.nat_without_password and (users or not self.allows_nat):
            raise ValueError("natWithoutPassword: only with `nat` and without accounts, received true")
        return self

    @property
    def allowed_cidrs(self) -> tuple[str, ...]:
        """The entries that are CIDRs, in canonical form."""
        return tuple(_cidr(entry) for entry in self.allow if entry != "nat")

    @property
    def retention_seconds(self) -> int:
        """How long lines are kept."""
        return round(_hours(self.retention) * 3600)

    @property
    def allows_nat(self) -> bool:
        """Whether the AWS network's public addresses may push here."""
        return "nat" in self.allow


def replica_names(name: str, loki: LokiInstance) -> tuple[str, ...]:
    """What each replica of an instance is called: by its number on one host, by its host on others.

    The first one has the instance's own name: a Loki that gets replicas keeps its data.
    """
    others = loki.replica_hosts or tuple(str(number + 1) for number in range(1, loki.replicas))
    return (name, *(f"{name}-{other}" for other in others))


class Loki(Area):
    """The Loki instances by name."""

    instances: dict[ShortName, LokiInstance] = Field(min_length=1)

    @model_validator(mode="after")
    def _check_unique(self) -> Self:
        if len(self.instances) > MAX_LOKIS:
            raise ValueError(
                f"instances: {MAX_LOKIS} at most: Grafana keeps an alert rule of each that there was, and so "
                f"the stack has to know them all, received {len(self.instances)}"
            )
        seen: dict[tuple[str, object], str] = {}
        for name, instance in self.instances.items():
            wanted: list[tuple[str, object]] = [
                *(("port", port) for port in instance.ports),
                *(("replicas", one) for one in replica_names(name, instance)),
                ("route", instance.route),
            ]
            if instance.s3 is not None:
                # Two Lokis would mix their indexes up.
                wanted.append(("s3.bucket", f"{instance.s3.endpoint or 'AWS'} {instance.s3.bucket}"))
            for field, value in wanted:
                if (field, value) in seen:
                    raise ValueError(
                        f"instances.{name}.{field}: {value!r} is already used by "
                        f"instances.{seen[field, value]}"
                    )
                seen[field, value] = name
        return self


class Smtp(Area):
    """The mail server that Grafana sends through, never in clear: STARTTLS, or TLS at once on port 465."""

    host: HostName
    port: Port = 587
    from_address: MailAddress
    # With both, or with neither.
    user: str | None = Field(default=None, min_length=1)
    password: MailPassword | None = None

    @model_validator(mode="after")
    def _check(self) -> Self:
        if (self.user is None) != (self.password is None):
            missing = "user" if self.user is None else "password"
            raise ValueError(f"{missing}: user and password are needed together, received None")
        return self


class AlertsTo(Area):
    """Whom Grafana's alerts are told. A webhook's URL is a secret: who has it may write there."""

    mail: tuple[MailAddress, ...] = ()
    discord: WebhookUrl | None = None
    slack: WebhookUrl | None = None


class Grafana(Area):
    """Grafana, reached through Caddy only."""

    enabled: bool = True
    admin_password: AdminPassword | None = None
    # Idle it takes some 240 MiB (reported for 13.2.3 with one bundled plugin).
    memory_bytes: int = Field(default=512 << 20, ge=256 << 20)
    smtp: Smtp | None = None
    # None leaves the notification policies to Grafana's users; an empty one takes ours away.
    alerts_to: AlertsTo | None = None

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.alerts_to is not None and self.alerts_to.mail and self.smtp is None:
            raise ValueError("smtp: a mail server is needed for alertsTo.mail, received None")
        return self


class Shipper(Area):
    """A Docker host whose containers' logs are shipped, by Alloy, through a route with a password."""

    docker_host: DockerHost
    # A Loki instance, and one of its accounts.
    loki: ShortName
    account: UserName


class PortRule(Area):
    """One line of the port policy; reads like ufw's: allow 443/tcp from 203.0.113.0/24."""

    action: Literal["allow", "limit", "deny"]
    # One port, or a range written "6000-6007"; none where the protocol has none.
    port: int | str | None = None
    # ufw's own default is `both`: there it is what nobody has written, here it is one's own word.
    protocol: AnyProtocol = "tcp"
    # Sources; none means anywhere.
    from_: tuple[Cidr, ...] = Field(default=(), alias="from")
    comment: str = ""

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.protocol in NUMBERS:
            self._check_portless()
        else:
            self._check_ports()
        if not re.fullmatch(r"[\w .,:()/+-]{0,80}", self.comment):
            raise ValueError(
                "comment: up to 80 letters, digits, spaces and .,:()/+- (no quotes), "
                f"received {self.comment!r}"
            )
        return self

    def _check_portless(self) -> None:
        if self.port is not None:
            raise ValueError(f"port: {self.protocol} has no ports: remove it, received {self.port!r}")
        if self.action == "limit":
            raise ValueError(
                f"action: {self.protocol} has no connections that could be counted: allow or deny, "
                "received 'limit'"
            )

    def _check_ports(self) -> None:
        first, last = self._bounds()
        for port in (first, last):
            if not 1 <= port <= MAX_PORT:
                raise ValueError(f"port: a port is a number from 1 to {MAX_PORT}, received {self.port!r}")
        if first > last:
            raise ValueError(f"port: a range begins with its lower port, received {self.port!r}")
        if first < last and self.protocol == "both":
            # ufw(8): "Must specify 'tcp' or 'udp' with multiple ports".
            raise ValueError(f"protocol: a range of ports is for tcp or udp, received {self.protocol!r}")

    @property
    def rule(self) -> Rule:
        """The rule as the renderer takes it."""
        first, last = self._bounds()
        return Rule(
            action=self.action,
            protocol=self.protocol,
            first_port=first,
            last_port=last,
            sources=self.from_,
            comment=self.comment,
        )

    def _bounds(self) -> tuple[int, int]:
        if self.protocol in NUMBERS:
            return 0, 0
        match = re.fullmatch(r"(\d{1,9})(?:-(\d{1,9}))?", str(self.port))
        if not match:
            raise ValueError(f"port: a port or a range such as 6000-6007, received {self.port!r}")
        return int(match[1]), int(match[2] or match[1])


# What the team's server 3 lets in. 3100, 3101, 3199 and 3200 are for the campus alone and are named
# by the environment, which knows its campus CIDRs.
DEFAULT_RULES = (
    PortRule.model_validate({"action": "limit", "port": 21541, "comment": "SSH"}),
    PortRule.model_validate({"action": "allow", "port": 80, "comment": "ACME and redirects"}),
    PortRule.model_validate({"action": "allow", "port": 443, "comment": "Caddy"}),
)


class PortPolicy(Area):
    """What may enter the host; everything else is dropped."""

    # `host` guards the Docker host; `own` loads the same rules in the guard's own network namespace,
    # where they can't cut anybody off: for developers' machines.
    namespace: Literal["host", "own"] = "host"
    rules: tuple[PortRule, ...] = DEFAULT_RULES
    # Who has to reach SSH under any rules; at least one where the Docker host is guarded.
    operator_cidrs: tuple[Cidr, ...] = ()
    # Where SSH answers on the Docker host; the port of an ssh:// dockerHost, if this says nothing.
    ssh_port: Port | None = None
    # Over unix:// only another machine can show that operators still come in: `user@host` or
    # `user@host:port`, from which the server's SSH port is tried. See docs/port-policy.md.
    confirm_target: SshLogin | None = None
    # How long new rules are on trial. An update waits no longer than a minute for the trial of another.
    confirm_seconds: int = Field(default=30, ge=1, le=50)

    @property
    def plain_rules(self) -> tuple[Rule, ...]:
        """The rules as the renderer takes them."""
        return tuple(rule.rule for rule in self.rules)


# One may fail, and its services go on in another.
MIN_ZONES = 2
# Which stack a NAT instance and its network interfaces belong to: its role goes by it.
NAT_TAG = "campus-monitor-nat"


class EgressCreate(Area):
    """The AWS network whose tasks send logs, made by this stack."""

    vpc_cidr: Cidr = "10.0.0.0/16"
    zones: tuple[str, ...]
    # One NAT gateway (or instance) per zone; otherwise one, in the first zone, for all.
    nat_per_zone: bool = False
    # AWS' gateway, or fck-nat on the smallest EC2 instance (docs/aws.md compares them).
    nat: Literal["gateway", "instance"] = "gateway"
    # The instance's image, for arm64. Without one: fck-nat's newest at the first update, kept from then on.
    nat_image: str | None = None
    # Elastic IPs that AWS allocates by address: from a range brought to AWS, or just released (EC2's
    # AllocateAddress). It refuses one that is allocated. Without any, AWS chooses.
    addresses: tuple[PublicIpv4, ...] = ()
    # Elastic IPs that the account has, in place of new ones. The stack never releases them.
    allocation_ids: tuple[str, ...] = ()
    # Elastic IPs that the stack made stay allocated when it lets go of them.
    retain_addresses: bool = True
    # On everything of the network, beside its name.
    tags: dict[str, str] = {}

    @model_validator(mode="after")
    def _check(self) -> Self:
        network = ipaddress.ip_network(self.vpc_cidr)
        # AWS: a VPC is a /16 to a /28 (VPC user guide, "VPC CIDR blocks"); subnets are cut as /24s.
        if network.version != 4 or not 16 <= network.prefixlen <= 20:
            raise ValueError(f"vpcCidr: an IPv4 /16 to /20 is needed, received {self.vpc_cidr!r}")
        for zone in self.zones:
            # A zone's subnets are numbered by its letter; the smallest VPC has room for eight.
            if not re.fullmatch(r"[a-z]{2}(-[a-z]+)+-\d[a-h]", zone):
                raise ValueError(f"zones: an availability zone such as ap-northeast-2a, received {zone!r}")
        if len(self.zones) < MIN_ZONES:
            raise ValueError(f"zones: at least two, in case one fails, received {list(self.zones)}")
        if len(set(self.zones)) != len(self.zones):
            raise ValueError(f"zones: each zone once, received {list(self.zones)}")
        wanted = self.nat_count
        if self.addresses and len(self.addresses) != wanted:
            raise ValueError(
                f"addresses: one per NAT gateway ({wanted}) or none, received {list(self.addresses)}"
            )
        if len(set(self.addresses)) != len(self.addresses):
            raise ValueError(f"addresses: each address once, received {list(self.addresses)}")
        for key in ("Name", NAT_TAG):
            if key in self.tags:
                raise ValueError(f"tags: the stack sets {key} itself, received {self.tags[key]!r}")
        return self

    @model_validator(mode="after")
    def _check_allocations(self) -> Self:
        for one in self.allocation_ids:
            if not re.fullmatch(r"eipalloc-[0-9a-f]{8,17}", one):
                raise ValueError(f"allocationIds: an id such as eipalloc-0123456789abcdef0, received {one!r}")
        if self.allocation_ids and self.addresses:
            raise ValueError(
                "allocationIds: either these or addresses (which AWS allocates), "
                f"received both, {list(self.addresses)} too"
            )
        if self.allocation_ids and len(self.allocation_ids) != self.nat_count:
            raise ValueError(
                f"allocationIds: one per NAT gateway ({self.nat_count}) or none, "
                f"received {list(self.allocation_ids)}"
            )
        if len(set(self.allocation_ids)) != len(self.allocation_ids):
            raise ValueError(f"allocationIds: each address once, received {list(self.allocation_ids)}")
        return self

    @model_validator(mode="after")
    def _check_nat(self) -> Self:
        if self.nat_image is not None and self.nat != "instance":
            raise ValueError(
                f"natImage: a NAT gateway has none: only with nat: instance, received {self.nat_image!r}"
            )
        if self.nat_image is not None and not re.fullmatch(r"ami-[0-9a-f]{8,17}", self.nat_image):
            raise ValueError(f"natImage: an id such as ami-0123456789abcdef0, received {self.nat_image!r}")
        return self

    @property
    def nat_count(self) -> int:
        """How many NAT gateways or instances, and so how many public addresses, there are."""
        return len(self.nat_zones)

    @property
    def nat_zones(self) -> tuple[str, ...]:
        """The zones that have one."""
        return self.zones if self.nat_per_zone else self.zones[:1]


class EgressLookup(Area):
    """The public addresses of a network that is made elsewhere, found by exactly one of these."""

    nat_gateway_ids: tuple[str, ...] = ()
    nat_gateway_tags: dict[str, str] = {}
    # Elastic IPs: known before anything sends from them.
    address_tags: dict[str, str] = {}

    @model_validator(mode="after")
    def _check(self) -> Self:
        ways = {
            "natGatewayIds": self.nat_gateway_ids,
            "natGatewayTags": self.nat_gateway_tags,
            "addressTags": self.address_tags,
        }
        used = [name for name, value in ways.items() if value]
        if len(used) != 1:
            raise ValueError(f"natGatewayIds: exactly one of {', '.join(ways)} is needed, received {used}")
        for one in self.nat_gateway_ids:
            if not re.fullmatch(r"nat-[0-9a-f]{8,17}", one):
                raise ValueError(f"natGatewayIds: an id such as nat-0123456789abcdef0, received {one!r}")
        if len(set(self.nat_gateway_ids)) != len(self.nat_gateway_ids):
            raise ValueError(f"natGatewayIds: each gateway once, received {list(self.nat_gateway_ids)}")
        return self

    @property
    def key(self) -> str:
        """The key that says how to find them."""
        return (
            "natGatewayIds"
            if self.nat_gateway_ids
            else "natGatewayTags"
            if self.nat_gateway_tags
            else "addressTags"
        )


class EgressGiven(Area):
    """Public addresses written down by hand, for a NAT instance."""

    addresses: tuple[PublicIpv4, ...]

    @model_validator(mode="after")
    def _check(self) -> Self:
        if not self.addresses:
            raise ValueError("addresses: at least one public address is needed, received []")
        if len(set(self.addresses)) != len(self.addresses):
            raise ValueError(f"addresses: each address once, received {list(self.addresses)}")
        return self


class Egress(Area):
    """Where the tasks' traffic leaves AWS: exactly one way to know the public addresses."""

    create: EgressCreate | None = None
    lookup: EgressLookup | None = None
    given: EgressGiven | None = None
    # The network that Fargate's tasks run in, where this stack doesn't make it.
    vpc_id: str | None = None

    @model_validator(mode="after")
    def _check(self) -> Self:
        ways = {"create": self.create, "lookup": self.lookup, "given": self.given}
        used = [name for name, value in ways.items() if value is not None]
        if len(used) != 1:
            raise ValueError(f"create: exactly one of create, lookup and given is needed, received {used}")
        if self.vpc_id is not None and not re.fullmatch(r"vpc-[0-9a-f]{8,17}", self.vpc_id):
            raise ValueError(f"vpcId: an id such as vpc-0123456789abcdef0, received {self.vpc_id!r}")
        if self.vpc_id is not None and self.create is not None:
            raise ValueError(f"vpcId: with create the stack makes the network, received {self.vpc_id!r}")
        return self

    @property
    def stated_addresses(self) -> tuple[str, ...]:
        """The public addresses that stand in the settings; AWS knows others."""
        stated = self.given or self.create
        return () if stated is None else stated.addresses


def found_addresses_problem(lookup: EgressLookup, addresses: list[str]) -> str | None:
    """What is wrong with the addresses that a lookup found, as a line with its key; None if nothing is."""
    key = f"{PROJECT}:egress.lookup.{lookup.key}"
    if not addresses:
        return f"{key}: nothing was found: at least one public address is needed"
    for address in addresses:
        try:
            _public_ipv4(address)
        except ValueError as error:
            return f"{key}: {error}, found {address!r}"
    if len(set(addresses)) != len(addresses):
        return f"{key}: an address was found twice, found {sorted(addresses)}"
    return None


class HealthCheck(Area):
    """How ECS finds out whether a container is healthy (the ECS API reference, HealthCheck)."""

    # Begins with CMD, or with CMD-SHELL where the image has a shell.
    command: tuple[str, ...] = Field(min_length=2)
    interval_seconds: int = Field(default=30, ge=5, le=300)
    timeout_seconds: int = Field(default=5, ge=2, le=60)
    retries: int = Field(default=3, ge=1, le=10)
    start_period_seconds: int = Field(default=0, ge=0, le=300)

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.command[0] not in ("CMD", "CMD-SHELL"):
            raise ValueError(f"command: begins with CMD or CMD-SHELL, received {self.command[0]!r}")
        return self


class ContainerPort(Area):
    """A port that a container serves."""

    port: Port
    protocol: Literal["tcp", "udp"] = "tcp"


class Mount(Area):
    """Where a container has one of its service's volumes."""

    path: str
    read_only: bool = False

    @model_validator(mode="after")
    def _check(self) -> Self:
        if not re.fullmatch(r"/[^\s:]+", self.path):
            raise ValueError(f"path: an absolute path in the container is needed, received {self.path!r}")
        return self


class Volume(Area):
    """A volume of a task: its own, empty at its start and gone at its end."""

    # Or else a folder of the EC2 instance, which all tasks there share, and which stays.
    host_path: str | None = None

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.host_path is not None and not re.fullmatch(r"/[^\s:]+", self.host_path):
            raise ValueError(
                f"hostPath: an absolute path on the instance is needed, received {self.host_path!r}"
            )
        return self


class AppContainer(Area):
    """One container of the team's own in a task."""

    image: Image
    # The port that it serves, if it serves one.
    port: Port | None = None
    # Instead, where it serves several, or UDP: numbers, or each with its protocol.
    ports: tuple[Annotated[ContainerPort, BeforeValidator(_as_port)], ...] = ()
    # By the name of one of the service's volumes.
    mounts: dict[ShortName, Mount] = {}
    # What it waits for beside the log router: other containers of the task, and how far each has to be
    # (the ECS API reference, ContainerDependency).
    depends_on: dict[ShortName, Literal["START", "HEALTHY", "COMPLETE", "SUCCESS"]] = {}
    memory_mib: int = Field(ge=6)  # ECS: Docker needs 6 MiB at least (task definition parameters)
    # Whether the task stops when this container does.
    essential: bool = True
    # Instead of the image's own.
    command: tuple[str, ...] = ()
    environment: dict[EnvName, str] = {}
    # By variable: the ARN of an SSM parameter or a Secrets Manager secret.
    secrets: dict[EnvName, SecretArn] = {}
    health_check: HealthCheck | None = None
    stop_timeout_seconds: int = Field(default=30, ge=2, le=MAX_STOP_SECONDS)

    @model_validator(mode="after")
    def _check(self) -> Self:
        both = sorted(self.environment.keys() & self.secrets.keys())
        if both:
            raise ValueError(f"secrets: a variable is either plain or secret, received {both[0]!r} twice")
        if self.port is not None and self.ports:
            raise ValueError(f"ports: either port or ports, received port: {self.port} too")
        for one in self.ports:
            if self.ports.count(one) > 1:
                raise ValueError(f"ports: each port once per protocol, received {one.port}/{one.protocol}")
        paths = [mount.path for mount in self.mounts.values()]
        for path in paths:
            if paths.count(path) > 1:
                raise ValueError(f"mounts: each path once, received {path!r}")
        return self

    @property
    def served(self) -> tuple[ContainerPort, ...]:
        """Every port that it serves."""
        return self.ports if self.port is None else (ContainerPort(port=self.port),)


class LogRateStated(Area):
    """What a service logs at most, and how long campus may be away without a lost line."""

    lines_per_second: float = Field(default=20, gt=0, le=100_000)
    # The average line of the application, without what FireLens adds.
    bytes_per_line: int = Field(default=512, ge=1, le=256 << 10)
    outage_minutes: int = Field(default=10, ge=1, le=24 * 60)

    @property
    def plain(self) -> LogRate:
        """The same, as the plan takes it."""
        return LogRate(
            lines_per_second=self.lines_per_second,
            bytes_per_line=self.bytes_per_line,
            outage_minutes=self.outage_minutes,
        )


class RouterConfig(Area):
    """A Fluent Bit configuration of the team's own, included before what FireLens generates."""

    type: Literal["file", "s3"]
    # A path in the image, or the ARN of an S3 object.
    value: str

    @model_validator(mode="after")
    def _check(self) -> Self:
        pattern = r"/\S+" if self.type == "file" else r"arn:aws[a-z-]*:s3:::[^*\s/]+/[^*\s]+"
        if not re.fullmatch(pattern, self.value):
            what = "an absolute path in the image" if self.type == "file" else "an S3 object's ARN"
            raise ValueError(f"value: {what} is needed with type: {self.type}, received {self.value!r}")
        if posixpath.normpath(self.value) in RESERVED_PATHS:
            raise ValueError(
                f"value: ECS puts a file of its own there: another path, such as /fluent-bit/etc/own.conf, "
                f"received {self.value!r}"
            )
        return self


class LogRouter(Area):
    """The sidecar that ships a task's lines, and what it is told."""

    # Fluent Bit's own output, or Grafana's plugin (docs/shipping.md compares them).
    output: Literal["grafana", "fluent-bit"] = "fluent-bit"
    # Without one: the output's default image.
    image: Image | None = None
    # Options of the output, over the stack's own.
    options: dict[str, str] = {}
    config: RouterConfig | None = None
    # Only where the image has a shell or a program to ask with.
    health_check: HealthCheck | None = None
    # What happens when it ends by itself: the task stops, and ECS starts another one; or it alone is started
    # again, and meanwhile the task goes on, with lines lost that nothing tells of (docs/shipping.md).
    on_exit: Literal["stop-task", "restart"] = "stop-task"
    # How long the sidecar's own log is kept in CloudWatch.
    log_retention_days: Literal[1, 3, 5, 7, 14, 30, 60, 90, 120, 150, 180, 365] = 14

    @property
    def image_name(self) -> str:
        """The image that runs."""
        return self.image or OUTPUTS[self.output].image


class GroupIngress(PortRule):
    """Who may reach a task: a rule in the port policy's words, whose sources may be security groups too."""

    from_: tuple[Source, ...] = Field(default=(), alias="from")


def _check_group_rule(key: str, rule: GroupIngress, served: set[tuple[int, str]]) -> None:
    """Refuse what a security group can't do, and ports that aren't the service's own."""
    if rule.action != "allow":
        raise ValueError(
            f"{key}.action: a security group can only allow (what isn't named is refused), "
            f"received {rule.action!r}"
        )
    spoken = sorted({protocol for _, protocol in served})
    if rule.protocol not in spoken:
        known = " and ".join(spoken).upper()
        raise ValueError(f"{key}.protocol: the containers' ports are {known}, received {rule.protocol!r}")
    ports = sorted(port for port, protocol in served if protocol == rule.protocol)
    if rule.rule.first_port != rule.rule.last_port or rule.rule.first_port not in ports:
        raise ValueError(f"{key}.port: one of the service's own ports {ports}, received {rule.port!r}")
    if not rule.from_:
        raise ValueError(f"{key}.from: at least one source is needed, such as the VPC's CIDR; received []")
    # The EC2 API reference, IpRange: descriptions are ASCII.
    if not rule.comment.isascii():
        raise ValueError(f"{key}.comment: ASCII only in a security group, received {rule.comment!r}")


def _check_dependencies(containers: Mapping[str, AppContainer]) -> None:
    """Refuse what ECS would, and what would never start (the ECS API reference, ContainerDependency)."""
    for name, container in containers.items():
        for other, condition in container.depends_on.items():
            key = f"containers.{name}.dependsOn.{other}"
            if other not in containers or other == name:
                known = ", ".join(sorted(containers.keys() - {name})) or "none"
                raise ValueError(f"{key}: another container of the service ({known}), received {other!r}")
            if condition == "HEALTHY" and containers[other].health_check is None:
                raise ValueError(
                    f"{key}: {other} has no healthCheck to be healthy by, received {condition!r}"
                )
            if condition in ("COMPLETE", "SUCCESS") and containers[other].essential:
                raise ValueError(
                    f"{key}: the task stops when {other} ends, unless that has essential: false, "
                    f"received {condition!r}"
                )
    waiting = {name: set(container.depends_on) for name, container in containers.items()}
    while ready := [name for name, others in waiting.items() if not others & waiting.keys()]:
        for name in ready:
            del waiting[name]
    if waiting:
        raise ValueError(
            f"containers.{min(waiting)}.dependsOn: some wait for each other, received {sorted(waiting)}"
        )


class Service(Area):
    """An ECS service's task definition with its log router."""

    # `ec2`: bridge networking on the team's instances. `fargate`: an interface of its own (awsvpc).
    launch: Literal["ec2", "fargate"] = "ec2"
    architecture: Literal["x86_64", "arm64"] = "x86_64"
    # Who may reach a Fargate task's ports; nobody where nothing is named.
    ingress: tuple[GroupIngress, ...] = ()
    cpu_units: int = Field(ge=128, le=16384)
    memory_mib: int = Field(ge=64)
    # What the application itself may do in AWS; without one, nothing.
    task_role_arn: RoleArn | None = None
    # Your own KMS keys that the containers' secrets, or a configuration in S3, are encrypted with; AWS' own
    # need no permission.
    kms_key_arns: tuple[KeyArn, ...] = ()
    containers: dict[ShortName, AppContainer] = Field(min_length=1, max_length=MAX_CONTAINERS - 1)
    volumes: dict[ShortName, Volume] = {}
    # The Loki instance that takes the logs, and as whom; the route's first account where none is named.
    loki: ShortName = "aws"
    account: UserName | None = None
    # Labels of every line, beside `job`, `service` and `container`.
    labels: dict[LabelName, LabelValue] = Field(default={}, max_length=10)
    log_rate: LogRateStated = LogRateStated()
    log_router: LogRouter = LogRouter()

    @property
    def plan(self) -> BufferPlan:
        """What the log router needs for the stated rate and outage."""
        router = self.log_router
        return buffer_plan(router.output, self.log_rate.plain, len(self.containers), router.options)

    @model_validator(mode="after")
    def _check_ingress(self) -> Self:
        if self.ingress and self.launch != "fargate":
            raise ValueError(
                "ingress: with bridge networking the instance's security group decides; "
                f"only for launch: fargate, received launch: {self.launch!r}"
            )
        served = {(one.port, one.protocol) for each in self.containers.values() for one in each.served}
        seen: set[tuple[int, str, str]] = set()
        for index, rule in enumerate(self.ingress):
            _check_group_rule(f"ingress.{index}", rule, served)
            for source in rule.from_:
                one = (rule.rule.first_port, rule.protocol, source)
                if one in seen:
                    raise ValueError(f"ingress.{index}.from: each source once per port, received {source!r}")
                seen.add(one)
        return self

    @model_validator(mode="after")
    def _check_containers(self) -> Self:
        if LOG_ROUTER in self.containers:
            raise ValueError(
                f"containers: the sidecar has a name of its own, received {LOG_ROUTER!r} for another"
            )
        if self.launch == "fargate":
            # One network interface for all; the log router listens there too.
            taken = dict.fromkeys(((port, "tcp") for port in ROUTER_PORTS), LOG_ROUTER)
            for name, container in self.containers.items():
                key = "ports" if container.ports else "port"
                for one in container.served:
                    if (one.port, one.protocol) in taken:
                        raise ValueError(
                            f"containers.{name}.{key}: {taken[one.port, one.protocol]} has it already in the "
                            f"same network interface, received {one.port}"
                        )
                    taken[one.port, one.protocol] = name
        _check_dependencies(self.containers)
        config = self.log_router.config
        kept = any(one.secrets for one in self.containers.values()) or (config and config.type == "s3")
        if self.kms_key_arns and not kept:
            raise ValueError(
                "kmsKeyArns: there is neither a secret nor a configuration in S3 that they could be for, "
                f"received {list(self.kms_key_arns)}"
            )
        for name, one in self.containers.items():
            problem = architecture_problem(one.image, self.architecture)
            if problem:
                raise ValueError(f"containers.{name}.image: {problem}; received {one.image!r}")
        return self

    @model_validator(mode="after")
    def _check_volumes(self) -> Self:
        if BUFFER_VOLUME in self.volumes:
            raise ValueError(
                f"volumes: the log router has a volume of that name, received {BUFFER_VOLUME!r} for another"
            )
        for name, volume in self.volumes.items():
            if volume.host_path is not None and self.launch == "fargate":
                raise ValueError(
                    f"volumes.{name}.hostPath: on Fargate there is no instance, received {volume.host_path!r}"
                )
            if not any(name in one.mounts for one in self.containers.values()):
                raise ValueError(f"volumes.{name}: no container mounts it, received {name!r}")
        for name, container in self.containers.items():
            for volume in container.mounts.keys() - self.volumes.keys():
                known = ", ".join(sorted(self.volumes)) or "none"
                raise ValueError(
                    f"containers.{name}.mounts.{volume}: one of the service's volumes ({known}), "
                    f"received {volume!r}"
                )
        return self

    @model_validator(mode="after")
    def _check_labels(self) -> Self:
        router = self.log_router
        fields = label_keys(router.output, router.options)
        option = OUTPUTS[router.output].label_keys_option
        for name in self.labels:
            if name in OWN_LABELS:
                raise ValueError(f"labels: the stack sets {name} itself, received {name!r}")
            if name in fields:
                raise ValueError(
                    f"labels: {name} is a field of the lines that is a label already ({option}), "
                    f"received {name!r}"
                )
        for name in fields:
            if name in OWN_LABELS:
                raise ValueError(
                    f"logRouter.options.{option}: the stack sets {name} itself, received {name!r}"
                )
        names = {*OWN_LABELS, *self.labels, *fields}
        if len(names) > MAX_LABELS:
            raise ValueError(
                f"labels: with the stack's own {len(OWN_LABELS)} and the {len(fields)} of {option} there are "
                f"{len(names)}, and Loki refuses every line with more than {MAX_LABELS}: fewer, "
                f"received {list(self.labels)}"
            )
        return self

    @model_validator(mode="after")
    def _check_log_router(self) -> Self:
        router, image = self.log_router, self.log_router.image_name
        problem = architecture_problem(image, self.architecture)
        if problem:
            raise ValueError(f"logRouter.image: {problem}; received {image!r}")
        wrong = output_problem(router.output, image)
        if wrong:
            raise ValueError(f"logRouter.image: {wrong}; received {image!r}")
        if router.health_check is not None and not has_shell(image):
            raise ValueError(
                "logRouter.healthCheck: this image has no shell and no program to ask with, so that every "
                f"check would fail: remove it, or name an image that has; received {image!r}"
            )
        if router.config is not None and router.config.type == "s3" and self.launch == "fargate":
            raise ValueError(
                "logRouter.config.type: Fargate takes no configuration from S3: put the file into the image "
                "(type: file); received 's3'"
            )
        for key, rule in option_problems(router.output, image, self.launch, router.options):
            shown = "" if _may_be_secret(key, router.options[key]) else f"; received {router.options[key]!r}"
            raise ValueError(f"logRouter.options.{key}: {rule}{shown}")
        return self

    @model_validator(mode="after")
    def _check_plan(self) -> Self:
        plan, rate = self.plan, self.log_rate
        if plan.stop_seconds > MAX_STOP_SECONDS:
            raise ValueError(
                f"logRouter.options.Timeout: a stop would take {plan.stop_seconds} s (two tries), and ECS "
                f"waits {MAX_STOP_SECONDS} s at most; received {self.log_router.options.get('Timeout')!r}"
            )
        if plan.max_retries is not None:
            options = GRAFANA_DEFAULTS | self.log_router.options
            tried = tried_seconds(
                plan.max_retries, seconds(options["MinBackoff"]), seconds(options["MaxBackoff"])
            )
            if tried < rate.outage_minutes * 60:
                raise ValueError(
                    f"logRouter.options.MaxRetries: the last try comes after {tried:.0f} s, the stated "
                    f"outage is {rate.outage_minutes} min: raise it, or leave it out; "
                    f"received {plan.max_retries}"
                )
        if plan.driver_lines >= MAX_DRIVER_LINES:
            raise ValueError(
                f"logRate: {plan.driver_lines} lines of an outage are more than the log driver can hold "
                f"({MAX_DRIVER_LINES}), received outageMinutes: {rate.outage_minutes}"
            )
        if self.launch == "fargate" and plan.queue_mib > FARGATE_DISK_MIB:
            raise ValueError(
                f"logRate: an outage fills {plan.queue_mib} MiB, a Fargate task has {FARGATE_DISK_MIB}; "
                f"received outageMinutes: {rate.outage_minutes}"
            )
        return self

    @model_validator(mode="after")
    def _check_size(self) -> Self:
        wanted = self.plan.memory_mib + sum(one.memory_mib for one in self.containers.values())
        if wanted > self.memory_mib:
            raise ValueError(
                f"memoryMib: the containers and the log router ({self.plan.memory_mib} MiB for its logRate) "
                f"want {wanted} MiB together, received {self.memory_mib}"
            )
        if self.launch == "fargate":
            fitting = FARGATE_SIZES.get(self.cpu_units)
            if fitting is None:
                known = ", ".join(map(str, FARGATE_SIZES))
                raise ValueError(f"cpuUnits: Fargate has {known}, received {self.cpu_units}")
            if self.memory_mib not in fitting:
                sizes = ", ".join(map(str, fitting))
                raise ValueError(
                    f"memoryMib: with {self.cpu_units} CPU units Fargate has {sizes} MiB, "
                    f"received {self.memory_mib}"
                )
        elif self.cpu_units > MAX_EC2_CPU:
            raise ValueError(f"cpuUnits: up to {MAX_EC2_CPU} on EC2, received {self.cpu_units}")
        return self


def _may_be_secret(key: str, value: str) -> bool:
    return "@" in value or bool(re.search(r"pass|token|secret|key_file|header", key, re.IGNORECASE))


class Aws(Area):
    """Which AWS: a region, or an emulator on this machine."""

    region: str
    # Whom the alarms tell: an SNS topic made elsewhere. Without one they only show in CloudWatch.
    alarm_topic_arn: str | None = None
    # Your own KMS key for the passwords that log routers get by SSM. Without one it is AWS' key, which
    # decrypts for everybody in the account who may read the parameter.
    kms_key_arn: KeyArn | None = None
    # An emulator's URL. Only loopback: its made-up credentials must never leave this machine.
    emulator: str | None = None

    @model_validator(mode="after")
    def _check(self) -> Self:
        if not re.fullmatch(r"[a-z]{2}(-[a-z]+)+-\d", self.region):
            raise ValueError(f"region: a region such as ap-northeast-2, received {self.region!r}")
        topic = self.alarm_topic_arn
        if topic is not None and not re.fullmatch(r"arn:aws[a-z-]*:sns:[a-z0-9-]+:\d{12}:[\w-]+", topic):
            raise ValueError(f"alarmTopicArn: an SNS topic's ARN is needed, received {topic!r}")
        key = self.kms_key_arn
        if key is not None and key.split(":")[3] != self.region:
            raise ValueError(f"kmsKeyArn: a key in {self.region} is needed, received {key!r}")
        if self.emulator is not None and not _is_loopback_url(self.emulator):
            shown = "" if _has_password(self.emulator) else f", received {self.emulator!r}"
            raise ValueError(f"emulator: an URL on this machine, http://127.0.0.1:<port>{shown}")
        return self


def _is_loopback_url(url: str) -> bool:
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        return False
    return (
        parts.scheme == "http"
        and parts.hostname == "127.0.0.1"
        and port is not None
        and parts.username is None
        and not _has_password(url)
    )


class Settings(Area):
    """All settings of one environment."""

    campus: Campus
    images: Images
    edge: Edge
    loki: Loki
    grafana: Grafana = Grafana()
    port_policy: PortPolicy = PortPolicy()
    egress: Egress
    services: dict[ShortName, Service] = {}
    # By the name that their lines are labelled with: `host`.
    shippers: dict[ShortName, Shipper] = {}
    aws: Aws

    @model_validator(mode="after")
    def _check_across(self) -> Self:
        for name, instance in self.loki.instances.items():
            if GRAFANA_PORT in instance.ports:
                raise ValueError(f"loki.instances.{name}.port: {GRAFANA_PORT} is Grafana's")
        for name, service in self.services.items():
            if service.loki not in self.loki.instances:
                known = ", ".join(sorted(self.loki.instances))
                raise ValueError(f"services.{name}.loki: one of {known}, received {service.loki!r}")
            if service.launch == "fargate" and self.egress.create is None and self.egress.vpc_id is None:
                raise ValueError(
                    f"egress.vpcId: the network of services.{name}'s tasks is needed with launch: fargate, "
                    "received None"
                )
            users = [account.user for account in self.loki.instances[service.loki].accounts]
            if service.account is not None and service.account not in users:
                raise ValueError(
                    f"services.{name}.account: one of the accounts of loki.instances.{service.loki} {users}, "
                    f"received {service.account!r}"
                )
        self._check_digests()
        self._check_zones()
        self._check_private_network()
        self._check_accounts_of_nat()
        self._check_late_lines()
        self._check_shippers()
        self._check_published()
        self._check_replica_hosts()
        if self.port_policy.namespace == "host":
            self._check_operators()
            self._check_caddy()
        return self

    def _check_digests(self) -> None:
        """What a tag names may be another image at the next task's start."""
        for name, service in self.services.items() if self.images.require_digest else ():
            images = {f"containers.{key}.image": one.image for key, one in service.containers.items()}
            images["logRouter.image"] = service.log_router.image_name
            for key, image in images.items():
                if not _has_digest(image):
                    raise ValueError(f"services.{name}.{key}: {DIGEST_RULE}, received {image!r}")

    def _check_zones(self) -> None:
        """AWS would refuse another region's zone only in the update, half-way."""
        region = self.aws.region
        for zone in () if self.egress.create is None else self.egress.create.zones:
            if zone[:-1] != region:
                raise ValueError(f"egress.create.zones: zones of aws.region ({region}), received {zone!r}")

    def _check_private_network(self) -> None:
        """What is meant for others isn't the containers': they would reach SSH and published Lokis by it."""
        network = ipaddress.ip_network(self.campus.network_cidr)
        named = {
            "portPolicy.operatorCidrs": self.port_policy.operator_cidrs,
            "edge.extraAllowedCidrs": self.edge.extra_allowed_cidrs,
            **{f"loki.instances.{key}.allow": one.allowed_cidrs for key, one in self.loki.instances.items()},
            **{
                f"portPolicy.rules.{index}.from": rule.from_
                for index, rule in enumerate(self.port_policy.rules)
                if rule.action != "deny"
            },
        }
        for key, cidrs in named.items():
            for cidr in cidrs:
                meant = ipaddress.ip_network(cidr)
                # A /0 is everybody, and says so.
                if meant.prefixlen and meant.overlaps(network):
                    raise ValueError(
                        f"{key}: the containers' own addresses (campus.networkCidr {network}) are among "
                        f"these: choose another networkCidr, received {cidr!r}"
                    )

    def _check_accounts_of_nat(self) -> None:
        """Every workload behind a NAT has its address, and whoever may push can also stop that Loki."""
        for name, one in self.loki.instances.items():
            if one.accounts or one.nat_without_password:
                continue
            key = f"loki.instances.{name}.accounts"
            if one.allows_nat:
                raise ValueError(
                    f"{key}: at least one is needed with `nat`, which lets everything behind it "
                    "push; or natWithoutPassword: true, if that is meant; received []"
                )
            for cidr in (*one.allowed_cidrs, *self.edge.extra_allowed_cidrs):
                for address in self.egress.stated_addresses:
                    if _contains(ipaddress.ip_network(cidr), ipaddress.ip_network(address)):
                        raise ValueError(
                            f"{key}: at least one is needed, since {cidr} lets everything behind the NAT "
                            f"{address} push; or `nat` and natWithoutPassword: true, if that is meant; "
                            "received []"
                        )

    def _check_late_lines(self) -> None:
        """What a log router has kept over an outage is taken afterwards, and not removed at once."""
        for name, service in self.services.items():
            oldest, minutes = service.plan.oldest_seconds, service.log_rate.outage_minutes
            key, loki = f"loki.instances.{service.loki}", self.loki.instances[service.loki]
            for setting, value, taken in (
                ("limits.maxAge", loki.limits.max_age, loki.limits.max_age_seconds),
                ("retention", loki.retention, loki.retention_seconds),
            ):
                if oldest > taken:
                    raise ValueError(
                        f"{key}.{setting}: services.{name} may bring lines that are {oldest} s old "
                        f"(logRate.outageMinutes {minutes} and the wait after it): at least {oldest}s, or "
                        f"a shorter outage, received {value!r}"
                    )

    def oldest_seconds(self, loki: str) -> int:
        """How old a line may be that a service brings to this Loki after the outage it states."""
        found = (one.plan.oldest_seconds for one in self.services.values() if one.loki == loki)
        return max(found, default=0)

    def _check_shippers(self) -> None:
        """Each has a Loki, an account there, and a Docker host of its own."""
        known = ", ".join(sorted(self.loki.instances))
        logs_to = self.campus.logs_to
        if logs_to is not None and logs_to not in self.loki.instances:
            raise ValueError(f"campus.logsTo: names no Loki instance (known: {known}), received {logs_to!r}")
        if (self.shippers or logs_to is not None) and self.images.alloy is None:
            raise ValueError("images.alloy: required with shippers or campus.logsTo, received None")
        if self.shippers and self.edge.tls != "acme":
            raise ValueError(
                f"edge.tls: no shipper trusts another certificate than acme's, received {self.edge.tls!r}"
            )
        if self.shippers and self.edge.acme is not None and self.edge.acme.root is not None:
            raise ValueError(
                "edge.acme.root: no shipper trusts the certificates of an authority with a root of its own, "
                f"received shippers {sorted(self.shippers)}"
            )
        taken = {self.campus.docker_host: CAMPUS_LABEL} if logs_to is not None else {}
        for name, shipper in self.shippers.items():
            key = f"shippers.{name}"
            if name == CAMPUS_LABEL:
                raise ValueError(f"{key}: the campus host's own name (see campus.logsTo): choose another")
            if shipper.docker_host in taken:
                raise ValueError(
                    f"{key}.dockerHost: {taken[shipper.docker_host]} ships its logs already, "
                    f"received {shipper.docker_host!r}"
                )
            taken[shipper.docker_host] = name
            if shipper.loki not in self.loki.instances:
                raise ValueError(f"{key}.loki: one of {known}, received {shipper.loki!r}")
            self._check_account(key, shipper)

    def _check_account(self, key: str, shipper: Shipper) -> None:
        accounts = {one.user: one for one in self.loki.instances[shipper.loki].accounts}
        if not accounts:
            raise ValueError(
                f"{key}.loki: a route with accounts is needed, loki.instances.{shipper.loki} has none, "
                f"received {shipper.loki!r}"
            )
        if shipper.account not in accounts:
            raise ValueError(
                f"{key}.account: one of the accounts of loki.instances.{shipper.loki} {list(accounts)}, "
                f"received {shipper.account!r}"
            )
        password = accounts[shipper.account].password
        text = "" if password is None else password.get_secret_value()
        if text != text.strip():
            # Prometheus' common/config, FileSecret.
            raise ValueError(
                f"{key}.account: Alloy would take away the white space around this account's password"
            )

    def _check_published(self) -> None:
        """What Docker publishes is guarded, and the policy names it, for some."""
        policy = self.port_policy
        for name, instance in self.loki.instances.items():
            if not instance.published:
                continue
            key = f"loki.instances.{name}.published"
            if policy.namespace == "own":
                raise ValueError(f"{key}: with portPolicy.namespace own nothing guards it, received true")
            for port in instance.published_ports:
                reached = lets_in(self.rules_at(None), port, "tcp")
                if reached == "nobody":
                    raise ValueError(f"{key}: no rule of portPolicy.rules lets port {port}/tcp in")
                if reached == "anybody":
                    raise ValueError(
                        f"{key}: portPolicy.rules let anybody in to port {port}/tcp, and Loki "
                        "knows no users: name sources in the rule's `from`"
                    )
                wide = [cidr for cidr in named_sources(self.rules_at(None), port, "tcp") if _is_wide(cidr)]
                if wide and not instance.published_wide:
                    raise ValueError(
                        f"{key}: portPolicy.rules let {wide[0]} in to port {port}/tcp, and Loki knows no "
                        "users: name private networks, of size /8 at most, unless publishedWide: true is "
                        "written beside it, received true"
                    )

    def _check_replica_hosts(self) -> None:
        """Each is known and has something to do, and is guarded: Lokis know neither users nor passwords."""
        known = self.campus.other_hosts
        used: set[str] = set()
        for name, instance in self.loki.instances.items():
            key = f"loki.instances.{name}.replicaHosts"
            for host in instance.replica_hosts:
                if host not in known:
                    raise ValueError(
                        f"{key}: each is one of campus.otherHosts {sorted(known)}, received {host!r}"
                    )
            if instance.replica_hosts and self.port_policy.namespace == "own":
                raise ValueError(
                    f"{key}: with portPolicy.namespace own nothing guards what replicas say to each other, "
                    f"received {list(instance.replica_hosts)}"
                )
            used.update(instance.replica_hosts)
        for host in sorted(set(known) - used):
            raise ValueError(f"campus.otherHosts.{host}: no Loki's replicaHosts names it: remove it")

    def _check_operators(self) -> None:
        """No rule may lock those out who would have to mend it."""
        policy = self.port_policy
        if not policy.operator_cidrs:
            raise ValueError(
                "portPolicy.operatorCidrs: at least one CIDR is needed, from which SSH "
                f"(port {self.ssh_port}) is reached under any rules, received []"
            )
        for host in (None, *self.campus.other_hosts):
            port = self.ssh_port_at(host)
            if any(rule.is_for(port, "tcp") for rule in self._replica_rules_at(host)):
                raise ValueError(
                    f"loki.instances: port {port} is SSH's, and replicas need it: choose another `port`"
                )
            for cidr in policy.operator_cidrs:
                why = shut_out(policy.plain_rules, port, "tcp", cidr)
                if why:
                    where = "" if host is None else f" of campus.otherHosts.{host}"
                    raise ValueError(
                        f"portPolicy.rules: operators would be locked out of SSH (port {port}){where}: "
                        f"{why}, received operatorCidrs {cidr!r}"
                    )

    def _check_caddy(self) -> None:
        edge = self.edge
        needed: list[tuple[int, Protocol]] = [(edge.http_port, "tcp"), (edge.https_port, "tcp")]
        if edge.http3:
            needed.append((edge.https_port, "udp"))
        for port, protocol in needed:
            if lets_in(self.rules_at(None), port, protocol) == "nobody":
                raise ValueError(f"portPolicy.rules: no rule lets Caddy's port {port}/{protocol} in")

    @property
    def ssh_port(self) -> int:
        """Where SSH answers on the campus server."""
        return self.port_policy.ssh_port or _port_of(self.campus.docker_host) or SSH_PORT

    def ssh_port_at(self, host: HostKey) -> int:
        """Where SSH answers on another host, or (None) on the campus server."""
        if host is None:
            return self.ssh_port
        return _port_of(self.campus.other_hosts[host].docker_host) or self.port_policy.ssh_port or SSH_PORT

    def rules_at(self, host: HostKey) -> list[Rule]:
        """All rules of another host, or (None) of the campus server."""
        return [*self._replica_rules_at(host), *self.port_policy.plain_rules]

    def _replica_rules_at(self, host: HostKey) -> list[Rule]:
        return replica_rules(self._spread_lokis, self._addresses, host)

    def kept_at(self, host: HostKey) -> list[Kept]:
        """What a host's containers don't reach on the others."""
        return kept_from_containers(self._spread_lokis, self._addresses, host, self.campus.network_cidr)

    @property
    def _spread_lokis(self) -> list[SpreadLoki]:
        return [
            SpreadLoki(
                name=name,
                port=one.port,
                mesh_ports=one.mesh_ports,
                hosts=(None, *one.replica_hosts),
                published=one.published,
            )
            for name, one in self.loki.instances.items()
            if one.replica_hosts
        ]

    @property
    def _addresses(self) -> dict[HostKey, str]:
        addresses: dict[HostKey, str] = {name: one.address for name, one in self.campus.other_hosts.items()}
        if self.campus.address is not None:
            addresses[None] = self.campus.address
        return addresses

    def allowed_cidrs(self, nat_public_ips: list[str]) -> list[str]:
        """Every address or CIDR that may push to some guarded route, sorted."""
        by_loki = self.allowed_cidrs_by_loki(nat_public_ips)
        return sorted({cidr for cidrs in by_loki.values() for cidr in cidrs})

    def allowed_cidrs_by_loki(self, nat_public_ips: list[str]) -> dict[str, list[str]]:
        """Who may push to each Loki's route, sorted."""
        nat = {f"{ip}/32" for ip in nat_public_ips}
        return {
            name: sorted(
                {*one.allowed_cidrs, *self.edge.extra_allowed_cidrs, *(nat if one.allows_nat else ())}
            )
            for name, one in self.loki.instances.items()
        }


def _port_of(docker_host: str) -> int | None:
    """The port that an ssh:// URL names."""
    url = urlsplit(docker_host)
    return url.port if url.scheme == "ssh" else None


# sshd's default port (sshd_config(5), Port).
SSH_PORT = 22
# Grafana's default port (its documentation, [server] http_port).
GRAFANA_PORT = 3000


def parse(tree: dict[str, Any]) -> Settings:
    """Settings from a plain tree of configuration values, keyed as in `Pulumi.<stack>.yaml`.

    Raises SettingsError with one line per mistake.
    """
    with _one_line_each(tree):
        return Settings.model_validate(tree)


def parse_campus(area: Any) -> Campus:
    """The area `campus` alone, as it stands in a stack's file. Raises SettingsError."""
    with _one_line_each({"campus": area}, "campus"):
        return Campus.model_validate(area)


class AwsHalf(Area):
    """The areas that say what is made in AWS; the others, with their secrets, aren't looked at."""

    egress: Egress
    services: dict[ShortName, Service] = {}
    aws: Aws


def parse_aws_half(tree: dict[str, Any]) -> AwsHalf:
    """What is made in AWS, as it stands in a stack's file. Raises SettingsError."""
    own = {key: tree[key] for key in AwsHalf.model_fields if key in tree}
    with _one_line_each(own):
        return AwsHalf.model_validate(own)


@contextmanager
def _one_line_each(tree: dict[str, Any], *above: str) -> Generator[None, None, None]:
    """Make pydantic's errors one SettingsError; `above` is where the model stands in the tree."""
    try:
        yield
    except ValidationError as error:
        items = [dict(item) | {"loc": (*above, *item["loc"])} for item in error.errors(include_url=False)]
        raise SettingsError([_problem(item, tree) for item in items]) from None


def _problem(item: dict[str, Any], tree: dict[str, Any]) -> str:
    """One line of an error: key path, rule, value received."""
    location = [str(part) for part in item["loc"] if part != "[key]"]
    path = ".".join(location)
    rule = str(item["msg"]).removeprefix("Value error, ")
    if item["type"] == "extra_forbidden":
        rule = "unknown key; look for a typing mistake, or remove it"
    elif item["type"] == "missing":
        return f"{PROJECT}:{path}: required key is missing"
    if item["type"] == "value_error" and re.match(r"[\w.-]+: ", rule):
        # A check over a whole area names the key below it, and the value, itself.
        return f"{PROJECT}:{path}.{rule}" if path else f"{PROJECT}:{rule}"
    # Under a key that isn't known, or instead of what holds secrets, the value may be one in a wrong place.
    untold = item["type"] in ("extra_forbidden", "model_type", "dict_type") or location[-1] == "accounts"
    return f"{PROJECT}:{path}: {rule}{'' if untold else _received(location, tree)}"


# A webhook's URL is all that it takes to write there.
_SECRET_URLS = ("discord", "slack")


def _received(location: list[str], tree: dict[str, Any]) -> str:
    value: Any = tree
    for part in location:
        if "password" in part.lower() or "secret" in part.lower() or part in _SECRET_URLS:
            return ""
        try:
            value = cast("list[Any]", value)[int(part)] if isinstance(value, list) else value[part]
        except (KeyError, IndexError, ValueError, TypeError):
            return ""
    # A whole area may hold a password further down.
    if isinstance(value, (dict, list)) or _has_password(str(value)):
        return ""
    return f", received {json.dumps(value)}"


def load() -> Settings:
    """The settings of the selected stack. Raises SettingsError."""
    config = pulumi.Config(PROJECT)
    tree: dict[str, Any] = {}
    problems: list[str] = []
    for key, field in Settings.model_fields.items():
        alias = field.alias or key
        text = config.get(alias)
        if text is None:
            continue
        try:
            tree[alias] = json.loads(text)
        except ValueError:
            problems.append(f"{PROJECT}:{alias}: a mapping is needed")
    problems.extend(_unknown_areas())
    if problems:
        raise SettingsError(problems)
    return parse(tree)


def _unknown_areas() -> list[str]:
    """A key beside the known areas is a typing mistake, and Pulumi itself lets it pass."""
    known = {field.alias or key for key, field in Settings.model_fields.items()}
    keys = pulumi.runtime.config.CONFIG.get()  # every key that the engine handed to this program
    mine = [key.split(":", 1)[1] for key in keys if key.startswith(f"{PROJECT}:")]
    return [
        f"{PROJECT}:{key}: unknown key; known are {', '.join(sorted(known))}"
        for key in sorted(mine)
        if key not in known
    ]
