# pyright: strict
"""The settings of a task's log router: its buffers and its configuration. Pure."""

from __future__ import annotations

import math
import posixpath
import re
from typing import Literal, Self

from pydantic import Field, model_validator

from components.ecs.container_settings import HealthCheck
from components.ecs.firelens import OUTPUTS, RESERVED_PATHS
from components.values.area import Area
from components.values.texts import Image

# A line's other fields in bytes, names and values: the time 15, container id 79, container's name 75,
# source 14, cluster 31, task's ARN 110, task definition 50, instance 36, the field's own name 7; with room
# for longer names.
RECORD_BYTES = 448


class LogRate(Area):
    """The most that a service logs, and the longest outage of campus without a lost line."""

    lines_per_second: float = Field(default=20, gt=0, le=100_000)
    """The service logs at most this many lines per second."""
    bytes_per_line: int = Field(default=512, ge=1, le=256 << 10)
    """The application's average line has this many bytes, without what FireLens adds."""
    outage_minutes: int = Field(default=10, ge=1, le=24 * 60)
    """No line is lost while campus is unreachable for up to this many minutes."""

    @property
    def outage_seconds(self) -> int:
        """The outage in seconds."""
        return self.outage_minutes * 60

    @property
    def held_lines(self) -> int:
        """The lines of a whole outage."""
        return math.ceil(self.lines_per_second * self.outage_seconds)

    @property
    def held_bytes(self) -> int:
        """The size of those lines, with their fields."""
        return self.held_lines * (self.bytes_per_line + RECORD_BYTES)


class RouterConfig(Area):
    """The team's own Fluent Bit configuration, included before the one that FireLens generates."""

    type: Literal["file", "s3"]
    """The configuration is a file in the image, or an object in S3."""
    value: str
    """Fluent Bit includes the file at this path in the image, or the S3 object with this ARN."""

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
    """The sidecar that ships a task's lines, and its configuration."""

    output: Literal["grafana", "fluent-bit"] = "fluent-bit"
    """Fluent Bit's own output ships the lines, or Grafana's plugin ([compared](shipping.md))."""
    image: Image | None = None
    """The log router runs from this image; by default, from the output's default image."""
    options: dict[str, str] = {}
    """These options of the output override the stack's own."""
    config: RouterConfig | None = None
    """Fluent Bit also includes this configuration."""
    health_check: HealthCheck | None = None
    """ECS checks the log router's health this way; the image needs the shell or the program for it."""
    # Meanwhile the task goes on, and nothing reports its lost lines (docs/shipping.md).
    on_exit: Literal["stop-task", "restart"] = "stop-task"
    """If the log router ends by itself, the whole task stops, or only the log router restarts."""
    log_retention_days: Literal[1, 3, 5, 7, 14, 30, 60, 90, 120, 150, 180, 365] = 14
    """CloudWatch keeps the log router's own log for this many days, and the collector's."""

    @property
    def image_name(self) -> str:
        """The image that runs."""
        return self.image or OUTPUTS[self.output].image
