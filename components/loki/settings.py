# pyright: strict
"""The Lokis' settings: what is kept where, and for how long. Pure."""

from __future__ import annotations

from typing import Annotated, Self

from pydantic import AfterValidator, Field, model_validator

from components.edge.guarded_settings import RESERVED_PORTS, GuardedSettings, refuse_reserved
from components.loki.storage_settings import DEFAULT_SCHEMA, S3, SchemaPeriod, Storage
from components.values.area import Area
from components.values.durations import DAY_SECONDS, YEAR_SECONDS, Duration, seconds_of, within
from components.values.networks import MAX_PORT
from components.values.texts import ShortName
from components.values.value_rule import ValueRule

# The port of the replicas' gossip (Loki's default).
GOSSIP_PORT = 7946
# Besides, Loki's own listeners.
LOKIS_RESERVED_PORTS = {
    **RESERVED_PORTS,
    GOSSIP_PORT: "replicas of a Loki gossip there",
    9095: "Loki's own gRPC listens there",
}

# The distance between two replicas' ports: 3100, 13100, 23100.
REPLICA_STEP = 10_000

# The number of replicas that get each line, if there are several.
REPLICATION = 3
MAX_REPLICAS = 5

_REPLICAS = ValueRule(f"1, or {REPLICATION} to {MAX_REPLICAS}")

# With more, some alert rules would stay in Grafana for ever (components/grafana/alert_rules.py).
MAX_LOKIS = 8

# Loki's documentation, "Log retention": at least a day. Go's durations end at 292 years.
_KEPT = ValueRule("lines are kept for at least 24h and at most 100y")
Retention = Annotated[Duration, AfterValidator(within(DAY_SECONDS, 100 * YEAR_SECONDS, _KEPT)), _KEPT]


class LokiLimits(Area):
    """One Loki's limits for all shippers together. Loki answers 429 above a rate: shippers retry."""

    rate_mib: int = Field(default=16, ge=1)
    """Loki accepts this many MiB of lines per second."""
    burst_mib: int = Field(default=32, ge=1)
    """Loki accepts this many MiB of lines at once."""
    stream_rate_mib: int = Field(default=8, ge=1)
    """Loki accepts this many MiB per second of one stream, that is, one set of labels."""
    stream_burst_mib: int = Field(default=16, ge=1)
    """Loki accepts this many MiB of one stream at once."""
    streams: int = Field(default=5000, ge=1)
    """This many streams may be open; a label that changes with each container uses them up."""
    line_kib: int = Field(default=256, ge=1, le=4096)  # Caddy lets a push of 5 MB through
    """Loki cuts lines longer than this many KiB."""
    max_age: Duration = "7d"
    """Loki refuses lines older than this."""

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
        """The age above which a line is refused."""
        return seconds_of(self.max_age)


class LokiSettings(GuardedSettings):
    """One Loki and its guarded route."""

    otlp: bool = False
    """Shippers may push OpenTelemetry logs too, at `<route>/otlp/v1/logs`."""
    retention: Retention = "31d"
    """Loki keeps lines for this long."""
    memory_bytes: int = Field(default=5 << 28, ge=512 << 20)
    """Docker kills a replica above this many bytes of memory. It gets as many pushes at once as fit in."""
    limits: LokiLimits = LokiLimits()
    """Loki accepts at most this from all shippers together."""
    schema_periods: tuple[SchemaPeriod, ...] = DEFAULT_SCHEMA
    """Lines are stored in these schema periods, including lines from an older Loki ([how](loki.md))."""
    storage: Storage = "filesystem"
    """Loki stores new lines on its own disk or in a bucket ([how lines move](loki.md))."""
    s3: S3 | None = None
    """Loki stores lines in this bucket."""
    replicas: Annotated[int, _REPLICAS] = 1
    """This many Lokis share the work and the bucket; with three, any one may fail."""
    replica_hosts: tuple[ShortName, ...] = ()
    """Each replica after the first runs on one of these `campus.otherHosts`; by default, all run on the
    campus server."""

    @model_validator(mode="after")
    def _check_storage(self) -> Self:
        if self.storage == "s3" and self.s3 is None:
            raise ValueError("s3: the bucket is needed with storage: s3, received None")
        if self.s3 is not None and "s3" not in self.storages:
            raise ValueError("s3: nothing uses the bucket: set storage: s3, or remove it")
        last = self.schema_periods[-1].storage if self.schema_periods else None
        if last not in (None, self.storage):
            raise ValueError(
                f"schemaPeriods: the last one must have storage: {self.storage}, received {last!r}"
            )
        # Two replicas are no help: a push needs both of them (Loki's documentation, "Components").
        if self.replicas != 1 and not REPLICATION <= self.replicas <= MAX_REPLICAS:
            raise ValueError(f"replicas: {_REPLICAS.words}, received {self.replicas}")
        if self.replicas > 1 and self.storages != {"s3"}:
            raise ValueError(
                "replicas: more than one need all lines in one bucket, so storage: s3 and no schema period "
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
                f"replicaHosts: one for each replica after the first ({self.replicas - 1}), all different, "
                f"received {list(hosts)}"
            )
        return self

    @property
    def storages(self) -> set[Storage]:
        """All places with lines."""
        return {period.storage or self.storage for period in self.schema_periods}

    @property
    def ports(self) -> tuple[int, ...]:
        """The ports that only this Loki has.

        On one host, one per replica, whose address follows from it. On several hosts all replicas have the
        first, and talk to each other on the second and the third (placement.py).
        """
        return tuple(self.port + REPLICA_STEP * number for number in range(self.replicas))

    @model_validator(mode="after")
    def _check_loki(self) -> Self:
        for port in self.ports[:1] if self.replica_hosts else self.ports:
            refuse_reserved(port, LOKIS_RESERVED_PORTS, self.port)
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
        """Whether lines may have structured metadata, which no older schema can store."""
        return all(period.is_current for period in self.schema_periods)

    @property
    def go_memory_bytes(self) -> int:
        """The size above which Go collects garbage harder (GOMEMLIMIT), before the kernel kills Loki."""
        return (self.memory_bytes * 9 // 10) >> 20 << 20

    @property
    def retention_seconds(self) -> int:
        """How long lines are kept."""
        return seconds_of(self.retention)


def replica_names(name: str, loki: LokiSettings) -> tuple[str, ...]:
    """The name of each replica of an instance: by its number on one host, by its host on several.

    The first has the instance's own name, so that a Loki that gets replicas keeps its data.
    """
    others = loki.replica_hosts or tuple(str(number + 1) for number in range(1, loki.replicas))
    return (name, *(f"{name}-{other}" for other in others))


class LokisSettings(Area):
    """The Loki instances by name."""

    instances: dict[ShortName, LokiSettings] = Field(min_length=1)
    """The stack runs these Loki instances, by name."""

    @model_validator(mode="after")
    def _check_unique(self) -> Self:
        if len(self.instances) > MAX_LOKIS:
            raise ValueError(
                f"instances: {MAX_LOKIS} at most, since Grafana keeps the alert rules of former instances, "
                f"and the stack has to replace them; received {len(self.instances)}"
            )
        seen: dict[tuple[str, object], str] = {}
        for name, instance in self.instances.items():
            wanted: list[tuple[str, object]] = [("replicas", one) for one in replica_names(name, instance)]
            if instance.s3 is not None:
                # Two Lokis in one bucket would mix up their indexes.
                wanted.append(("s3.bucket", f"{instance.s3.endpoint or 'AWS'} {instance.s3.bucket}"))
            for field, value in wanted:
                if (field, value) in seen:
                    raise ValueError(
                        f"instances.{name}.{field}: {value!r} is already used by "
                        f"instances.{seen[field, value]}"
                    )
                seen[field, value] = name
        return self
