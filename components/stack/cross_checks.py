# pyright: strict
"""Checks of settings that depend on each other. Pure.

Each raises a ValueError whose text begins with the wrong key, below `campus-monitor:`.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator, Mapping, Sequence

from components.aws.egress_settings import EgressSettings
from components.aws.settings import AwsSettings
from components.certificate_probe.config import PORT as PROBE_PORT
from components.docker_hosts.settings import DIGEST_RULE, CampusSettings, ImagesSettings, has_digest
from components.ecs.settings import ServiceSettings
from components.edge.guarded_settings import Account, GuardedSettings, allowlist
from components.edge.settings import EdgeSettings
from components.log_shipper.settings import CAMPUS_LABEL, ShipperSettings
from components.loki.settings import LokiSettings
from components.port_policy.rules import Protocol, Rule, lets_in, named_sources, shut_out
from components.port_policy.settings import PortPolicySettings
from components.prometheus.settings import PrometheusSettings
from components.values.networks import contains, is_wide

LokisByName = Mapping[str, LokiSettings]
# By the settings' own keys, such as `loki.instances.aws`.
BackendsByKey = Mapping[str, GuardedSettings]
ServicesByName = Mapping[str, ServiceSettings]


def check_ports(backends: BackendsByKey) -> None:
    """Each backend has its own ports, hence addresses, and its own route."""
    taken: dict[tuple[str, object], str] = {}
    if "prometheus" in backends:
        taken["port", PROBE_PORT] = "the certificate's probe"
    for key, one in backends.items():
        for field, value in [*(("port", port) for port in one.ports), ("route", one.route)]:
            if (field, value) in taken:
                other = taken[field, value].removeprefix(f"{key.partition('.')[0]}.")
                raise ValueError(f"{key}.{field}: {value!r} is already used by {other}")
            taken[field, value] = key


def check_backends(backends: BackendsByKey, images: ImagesSettings) -> None:
    """Each backend has an image, and those with an area of their own have its name for themselves."""
    for key in backends:
        area, _, name = key.rpartition(".")
        if not area and getattr(images, key) is None:
            raise ValueError(f"images.{key}: required with {key}, received None")
        if area and name in backends:
            raise ValueError(f"{key}: the backend of the area {name} has that name: choose another")
    if "prometheus" in backends and images.blackbox_exporter is None:
        raise ValueError("images.blackboxExporter: required with prometheus, received None")


def check_services(services: ServicesByName, lokis: LokisByName, egress: EgressSettings) -> None:
    """Each service has a Loki, an account there, and a network if it needs one."""
    for name, service in services.items():
        if service.loki not in lokis:
            known = ", ".join(sorted(lokis))
            raise ValueError(f"services.{name}.loki: one of {known}, received {service.loki!r}")
        if service.launch == "fargate" and egress.create is None and egress.vpc_id is None:
            raise ValueError(
                f"egress.vpcId: the network of services.{name}'s tasks is needed with launch: fargate, "
                "received None"
            )
        users = [account.user for account in lokis[service.loki].accounts]
        if service.account is not None and service.account not in users:
            raise ValueError(
                f"services.{name}.account: one of the accounts of loki.instances.{service.loki} {users}, "
                f"received {service.account!r}"
            )


def check_services_metrics(
    services: ServicesByName,
    prometheus: PrometheusSettings | None,
    edge: EdgeSettings,
    egress: EgressSettings,
) -> None:
    """Each service with metrics has a Prometheus that lets its tasks in, and an account there."""
    for name, service in services.items():
        if service.metrics is None:
            continue
        key = f"services.{name}.metrics"
        if prometheus is None:
            enabled = str(service.metrics.enabled).lower()
            raise ValueError(f"{key}: the area `prometheus` is needed, received enabled: {enabled}")
        users, account = [one.user for one in prometheus.accounts], service.metrics.account
        if account is not None and account not in users:
            raise ValueError(
                f"{key}.account: one of the accounts of prometheus {users}, received {account!r}"
            )
        if not prometheus.allows_nat and not _let_in(egress.stated_addresses, allowlist(prometheus, edge)):
            raise ValueError(
                f"prometheus.allow: services.{name}'s tasks push their metrics from the NAT's addresses: add "
                f"nat, received {list(prometheus.allow)}"
            )


def _let_in(addresses: Sequence[str], cidrs: Sequence[str]) -> bool:
    """Whether a list lets all addresses in, which are known before the update."""
    networks = [ipaddress.ip_network(cidr) for cidr in cidrs]
    meant = [ipaddress.ip_network(address) for address in addresses]
    return bool(meant) and all(any(contains(network, one) for network in networks) for one in meant)


def check_digests(services: ServicesByName, images: ImagesSettings) -> None:
    """Refuse images without a digest: a tag may point to another image at the next task's start."""
    for name, service in services.items() if images.require_digest else ():
        named = {f"containers.{key}.image": one.image for key, one in service.containers.items()}
        named["logRouter.image"] = service.log_router.image_name
        if service.collector is not None:
            named["metrics.image"] = service.collector.image
        for key, image in named.items():
            if not has_digest(image):
                raise ValueError(f"services.{name}.{key}: {DIGEST_RULE}, received {image!r}")


def check_zones(egress: EgressSettings, aws: AwsSettings) -> None:
    """Refuse zones of other regions, which AWS would refuse only half-way through the update."""
    for zone in () if egress.create is None else egress.create.zones:
        if zone[:-1] != aws.region:
            raise ValueError(f"egress.create.zones: zones of aws.region ({aws.region}), received {zone!r}")


def check_private_network(
    campus: CampusSettings, policy: PortPolicySettings, edge: EdgeSettings, backends: BackendsByKey
) -> None:
    """Refuse sources that contain the containers' addresses: they would reach SSH and published Lokis."""
    for key, cidrs in _outside_sources(policy, edge, backends):
        for cidr in cidrs:
            meant = ipaddress.ip_network(cidr)
            for setting, network in campus.networks.items():
                # A /0 is everybody on purpose.
                if meant.prefixlen and meant.overlaps(ipaddress.ip_network(network)):
                    raise ValueError(
                        f"{key}: the containers' own addresses (campus.{setting} {network}) are among "
                        f"these: choose another {setting}, received {cidr!r}"
                    )


def _outside_sources(
    policy: PortPolicySettings, edge: EdgeSettings, backends: BackendsByKey
) -> Iterator[tuple[str, Sequence[str]]]:
    yield "portPolicy.operatorCidrs", policy.operator_cidrs
    yield "edge.extraAllowedCidrs", edge.extra_allowed_cidrs
    for key, one in backends.items():
        yield f"{key}.allow", one.allowed_cidrs
    for index, rule in enumerate(policy.rules):
        if rule.action != "deny":
            yield f"portPolicy.rules.{index}.from", rule.from_


def check_accounts_of_nat(backends: BackendsByKey, edge: EdgeSettings, egress: EgressSettings) -> None:
    """Require accounts with `nat`: all behind a NAT share its address, and any can stop a Loki."""
    for name, one in backends.items():
        if one.accounts or one.nat_without_password:
            continue
        key = f"{name}.accounts"
        if one.allows_nat:
            raise ValueError(
                f"{key}: at least one is needed with `nat`, which lets everything behind it "
                "push; or natWithoutPassword: true, if that is meant; received []"
            )
        for cidr in allowlist(one, edge):
            for address in egress.stated_addresses:
                if contains(ipaddress.ip_network(cidr), ipaddress.ip_network(address)):
                    raise ValueError(
                        f"{key}: at least one is needed, since {cidr} lets everything behind the NAT "
                        f"{address} push; or `nat` and natWithoutPassword: true, if that is meant; "
                        "received []"
                    )


def check_late_lines(services: ServicesByName, lokis: LokisByName) -> None:
    """Each Loki accepts and keeps the lines that log routers buffered during an outage."""
    for name, service in services.items():
        oldest, minutes = service.plan.oldest_seconds, service.log_rate.outage_minutes
        key, loki = f"loki.instances.{service.loki}", lokis[service.loki]
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


def check_logs_of_hosts(
    shippers: Mapping[str, ShipperSettings],
    campus: CampusSettings,
    images: ImagesSettings,
    lokis: LokisByName,
) -> None:
    """The campus server's own logs have a Loki, and shippers have an image."""
    if campus.logs_to is not None and campus.logs_to not in lokis:
        known = ", ".join(sorted(lokis))
        raise ValueError(
            f"campus.logsTo: names no Loki instance (known: {known}), received {campus.logs_to!r}"
        )
    if (shippers or campus.logs_to is not None) and images.alloy is None:
        raise ValueError("images.alloy: required with shippers or campus.logsTo, received None")


def check_shippers_certificate(shippers: Mapping[str, ShipperSettings], edge: EdgeSettings) -> None:
    """Shippers trust only their image's authorities."""
    if shippers and edge.tls != "acme":
        raise ValueError(
            f"edge.tls: no shipper trusts a certificate other than acme's, received {edge.tls!r}"
        )
    if shippers and edge.acme is not None and edge.acme.root is not None:
        raise ValueError(
            "edge.acme.root: no shipper trusts the certificates of an authority with a root of its own, "
            f"received shippers {sorted(shippers)}"
        )


def check_shippers(
    shippers: Mapping[str, ShipperSettings], campus: CampusSettings, lokis: LokisByName
) -> None:
    """Each shipper has its own Docker host, a Loki, and an account there."""
    taken = {campus.docker_host: CAMPUS_LABEL} if campus.logs_to is not None else {}
    for name, shipper in shippers.items():
        key = f"shippers.{name}"
        if name == CAMPUS_LABEL:
            raise ValueError(f"{key}: the campus server's own name (see campus.logsTo): choose another")
        if shipper.docker_host in taken:
            raise ValueError(
                f"{key}.dockerHost: {taken[shipper.docker_host]} ships its logs already, "
                f"received {shipper.docker_host!r}"
            )
        taken[shipper.docker_host] = name
        if shipper.loki not in lokis:
            known = ", ".join(sorted(lokis))
            raise ValueError(f"{key}.loki: one of {known}, received {shipper.loki!r}")
        _check_account(key, shipper, lokis[shipper.loki].accounts)


def _check_account(key: str, shipper: ShipperSettings, known: Sequence[Account]) -> None:
    accounts = {one.user: one for one in known}
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
        raise ValueError(f"{key}.account: Alloy would strip the white space around this account's password")


def check_published(
    backends: BackendsByKey, edge: EdgeSettings, policy: PortPolicySettings, ssh_port: int
) -> None:
    """A published port is guarded and free on the host, and the policy lets some sources in."""
    taken = {edge.http_port: "edge.httpPort", edge.https_port: "edge.httpsPort", ssh_port: "SSH's port"}
    for name, backend in backends.items():
        if not backend.published:
            continue
        key = f"{name}.published"
        if policy.namespace == "own":
            raise ValueError(f"{key}: with portPolicy.namespace own nothing guards it, received true")
        if backend.port in taken:
            raise ValueError(
                f"{name}.port: with published: true it can't be {taken[backend.port]} too, "
                f"received {backend.port}"
            )
        _check_published_port(key, backend.port, policy.plain_rules, backend.published_wide)


def _check_published_port(key: str, port: int, rules: Sequence[Rule], may_be_wide: bool) -> None:
    reached = lets_in(rules, port, "tcp")
    if reached == "nobody":
        raise ValueError(f"{key}: no rule of portPolicy.rules lets port {port}/tcp in")
    if reached == "anybody":
        raise ValueError(
            f"{key}: portPolicy.rules let anybody in to port {port}/tcp, which asks "
            "for no password: name sources in the rule's `from`"
        )
    wide = [cidr for cidr in named_sources(rules, port, "tcp") if is_wide(cidr)]
    if wide and not may_be_wide:
        raise ValueError(
            f"{key}: portPolicy.rules let {wide[0]} in to port {port}/tcp, which asks for no "
            "password: name private networks of at most a /8, or set publishedWide: true, received true"
        )


def check_replica_hosts(lokis: LokisByName, campus: CampusSettings, policy: PortPolicySettings) -> None:
    """Each host is known, used, and guarded: Lokis have neither users nor passwords."""
    known = campus.other_hosts
    used: set[str] = set()
    for name, instance in lokis.items():
        key = f"loki.instances.{name}.replicaHosts"
        for host in instance.replica_hosts:
            if host not in known:
                raise ValueError(
                    f"{key}: each is one of campus.otherHosts {sorted(known)}, received {host!r}"
                )
        if instance.replica_hosts and policy.namespace == "own":
            raise ValueError(
                f"{key}: with portPolicy.namespace own nothing guards the replicas' connections, "
                f"received {list(instance.replica_hosts)}"
            )
        used.update(instance.replica_hosts)
    for host in sorted(set(known) - used):
        raise ValueError(f"campus.otherHosts.{host}: no Loki's replicaHosts names it: remove it")


def check_operators_are_named(policy: PortPolicySettings, ssh_port: int) -> None:
    """Operators have networks from which rules can't lock them out of SSH."""
    if not policy.operator_cidrs:
        raise ValueError(
            "portPolicy.operatorCidrs: at least one CIDR is needed, from which SSH "
            f"(port {ssh_port}) stays reachable, received []"
        )


def check_operators(
    policy: PortPolicySettings, host: str | None, ssh_port: int, before: Sequence[Rule]
) -> None:
    """No rule locks operators out of a host; `before` are the replicas' rules there."""
    if any(rule.is_for(ssh_port, "tcp") for rule in before):
        raise ValueError(
            f"loki.instances: port {ssh_port} is SSH's, and replicas need it: choose another `port`"
        )
    for cidr in policy.operator_cidrs:
        why = shut_out(policy.plain_rules, ssh_port, "tcp", cidr)
        if why:
            where = "" if host is None else f" of campus.otherHosts.{host}"
            raise ValueError(
                f"portPolicy.rules: operators would be locked out of SSH (port {ssh_port}){where}: "
                f"{why}, received operatorCidrs {cidr!r}"
            )


def check_caddy(edge: EdgeSettings, rules: Sequence[Rule]) -> None:
    """The rules open each of Caddy's ports to somebody."""
    needed: list[tuple[int, Protocol]] = [(edge.http_port, "tcp"), (edge.https_port, "tcp")]
    if edge.http3:
        needed.append((edge.https_port, "udp"))
    for port, protocol in needed:
        if lets_in(rules, port, protocol) == "nobody":
            raise ValueError(f"portPolicy.rules: no rule lets Caddy's port {port}/{protocol} in")
