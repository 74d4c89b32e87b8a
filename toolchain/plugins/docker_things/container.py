"""docker.Container."""

from __future__ import annotations

import base64
import io
import tarfile
import time
from typing import Any

from toolchain.plugins.docker_things.container_schema import CONTAINER, UPDATED_BY_ENGINE
from toolchain.plugins.docker_things.durations import nanoseconds, written
from toolchain.plugins.docker_things.engine import Engine
from toolchain.plugins.docker_things.image import find_image
from toolchain.plugins.docker_things.volume import label_map
from toolchain.plugins.provider import (
    PartlyCreatedError,
    PluginError,
    ResourceType,
    State,
    settled,
)
from toolchain.plugins.schema import Failure, normal

_MEGABYTE = 1024 * 1024
_HEALTH_POLL_SECONDS = 0.5


class Container(ResourceType):
    """A container."""

    token = "docker:index/container:Container"
    auto_named = True
    delete_before_replace = True
    computed = ("bridge", "exitCode", "networkDatas")
    inputs = CONTAINER

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def failures(self, inputs: State) -> list[Failure]:
        mount_points = [
            Failure(f"volumes[{at}]", "volume entry without container path or source container")
            for at, one in enumerate(inputs.get("volumes") or [])
            if isinstance(one, dict) and not one.get("containerPath")
        ]
        uploads = [
            Failure(f"uploads[{at}]", "one of content and contentBase64 must be set, and only one")
            for at, one in enumerate(inputs.get("uploads") or [])
            if isinstance(one, dict) and bool(one.get("content")) == bool(one.get("contentBase64"))
        ]
        return mount_points + uploads

    def create(self, inputs: State) -> tuple[str, State]:
        from docker.errors import APIError

        try:
            find_image(self._engine, inputs["image"])
        except PluginError as error:
            raise PluginError(f"Unable to create container with image {inputs['image']}: {error}") from error
        try:
            made = self._engine.api.create_container_from_config(_config(inputs), inputs["name"])
        except APIError as error:
            raise PluginError(_said("Unable to create container", error)) from error
        # From here on there is a container: whatever fails, the state has to know of it.
        try:
            self._complete(made["Id"], inputs)
        except PluginError as error:
            raise PartlyCreatedError(str(error), made["Id"], inputs) from error
        found = self.read(made["Id"], inputs)
        if found is None:
            raise PluginError(f"container {inputs['name']} vanished after it was made")
        return found

    def _complete(self, container: str, inputs: State) -> None:
        """Networks, files, start and health: what the engine wants one call each for."""
        from docker.errors import APIError

        step = "Unable to disconnect the default network"
        try:
            if inputs.get("networksAdvanced"):
                self._leave_bridge(container)
            for network in inputs.get("networksAdvanced", []):
                step = f"Unable to connect to network '{network['name']}'"
                self._join(container, network)
            for upload in inputs.get("uploads", []):
                step = "Unable to upload volume content"
                self._engine.api.put_archive(container, "/", _tar(upload))
            if inputs["start"]:
                step = "Unable to start container"
                self._engine.api.start(container)
        except APIError as error:
            raise PluginError(_said(step, error)) from error
        if inputs["start"] and inputs["wait"]:
            self._wait_until_healthy(container, inputs["waitTimeout"])

    def _leave_bridge(self, container: str) -> None:
        from docker.errors import APIError

        try:
            self._engine.api.disconnect_container_from_network(container, "bridge")
        except APIError as error:
            if "is not connected to the network bridge" not in str(error):
                raise

    def _join(self, container: str, network: dict[str, Any]) -> None:
        self._engine.api.connect_container_to_network(
            container,
            network["name"],
            aliases=network.get("aliases"),
            ipv4_address=network.get("ipv4Address"),
            ipv6_address=network.get("ipv6Address"),
        )

    def _wait_until_healthy(self, container: str, seconds: int) -> None:
        deadline = time.monotonic() + seconds
        while True:
            health = self._engine.api.inspect_container(container)["State"].get("Health")
            if health is None:
                raise PluginError(
                    "you have supplied a 'wait' argument, but the container does not have a "
                    "healthcheck defined. Please remove the 'wait' argument or add a "
                    "'healthcheck' attribute"
                )
            if health["Status"] == "healthy":
                return
            if time.monotonic() > deadline:
                raise PluginError("container failed to be in healthy state")
            time.sleep(_HEALTH_POLL_SECONDS)

    def read(self, resource_id: str, state: State) -> tuple[str, State] | None:
        from docker.errors import NotFound

        try:
            seen = self._engine.api.inspect_container(resource_id)
        except NotFound:
            return None
        return seen["Id"], {**state, **_seen(seen, state)}

    def update(self, resource_id: str, old: State, new: State) -> State:
        from docker.errors import APIError

        try:
            if not old.get("mustRun", True) and new["mustRun"] and new["start"]:
                self._engine.api.start(resource_id)
        except APIError as error:
            raise PluginError(_said("Unable to start container", error)) from error
        differ = [
            name
            for name in UPDATED_BY_ENGINE
            if normal(CONTAINER[name], old.get(name)) != normal(CONTAINER[name], new.get(name))
        ]
        if differ:
            try:
                self._engine.api.update_container(resource_id, **_limits(new))
            except APIError as error:
                raise PluginError(_said("Unable to update a container", error)) from error
        return settled(self, old, new)

    def delete(self, resource_id: str, state: State) -> None:
        from docker.errors import APIError, NotFound

        api = self._engine.api
        try:
            api.stop(resource_id, timeout=state.get("destroyGraceSeconds") or 0)
            api.remove_container(resource_id, v=state.get("removeVolumes", True), force=True)
        except NotFound:
            return
        except APIError as error:
            # With `rm` the engine removes a stopped container itself.
            if "is already in progress" not in str(error):
                raise PluginError(_said(f"Error deleting container {resource_id}", error)) from error


def _said(step: str, error: Any) -> str:
    return f"{step}: Error response from daemon: {error.explanation or error}"


def _limits(new: State) -> dict[str, Any]:
    """What the engine can change in a running container; zero means leave it."""
    swap = new.get("memorySwap", 0)
    return {
        "restart_policy": {
            "Name": new["restart"],
            "MaximumRetryCount": new.get("maxRetryCount", 0),
        },
        "cpu_shares": new.get("cpuShares"),
        "cpuset_cpus": new.get("cpuSet"),
        "mem_limit": new.get("memory", 0) * _MEGABYTE,
        "mem_reservation": new.get("memoryReservation", 0) * _MEGABYTE,
        "memswap_limit": swap * _MEGABYTE if swap > 0 else swap,
    }


def _config(inputs: State) -> dict[str, Any]:
    """The engine's own form of a container to be made."""
    config: dict[str, Any] = {
        "Image": inputs["image"],
        "Hostname": inputs.get("hostname", ""),
        "Env": inputs.get("envs"),
        "Cmd": inputs.get("command") or None,
        "Entrypoint": inputs.get("entrypoints") or None,
        "User": inputs.get("user", ""),
        "WorkingDir": inputs.get("workingDir", ""),
        "Labels": label_map(inputs),
        "ExposedPorts": {_port_key(port): {} for port in inputs.get("ports", [])},
        "Volumes": {one["containerPath"]: {} for one in inputs.get("volumes", [])},
        "StopTimeout": inputs.get("stopTimeout") or None,
        "HostConfig": _host_config(inputs),
    }
    if inputs.get("healthcheck"):
        config["Healthcheck"] = _healthcheck(inputs["healthcheck"])
    return config


def _host_config(inputs: State) -> dict[str, Any]:
    capabilities = inputs.get("capabilities", {})
    swap = inputs.get("memorySwap", 0)
    return {
        "Binds": [_bind(one) for one in inputs.get("volumes", []) if _source(one)],
        "PortBindings": _port_bindings(inputs.get("ports", [])),
        "ExtraHosts": [f"{one['host']}:{one['ip']}" for one in inputs.get("hosts", [])],
        "RestartPolicy": {
            "Name": inputs["restart"],
            "MaximumRetryCount": inputs.get("maxRetryCount", 0),
        },
        "AutoRemove": inputs["rm"],
        "ReadonlyRootfs": inputs["readOnly"],
        "Privileged": inputs.get("privileged", False),
        "LogConfig": {"Type": inputs.get("logDriver", ""), "Config": inputs.get("logOpts", {})},
        "Tmpfs": inputs.get("tmpfs", {}),
        "CapAdd": capabilities.get("adds"),
        "CapDrop": capabilities.get("drops"),
        "SecurityOpt": inputs.get("securityOpts"),
        "Memory": inputs.get("memory", 0) * _MEGABYTE,
        "MemorySwap": swap * _MEGABYTE if swap > 0 else swap,
        "MemoryReservation": inputs["memoryReservation"] * _MEGABYTE,
        "CpuShares": inputs.get("cpuShares", 0),
        "CpusetCpus": inputs.get("cpuSet", ""),
        "NetworkMode": inputs["networkMode"],
        # The real plugin always says so, and thereby overrules the engine's own default.
        "Init": inputs.get("init", False),
    }


def _source(volume: dict[str, Any]) -> str:
    return volume.get("hostPath") or volume.get("volumeName") or ""


def _bind(volume: dict[str, Any]) -> str:
    mode = "ro" if volume.get("readOnly") else "rw"
    return f"{_source(volume)}:{volume['containerPath']}:{mode}"


def _port_key(port: dict[str, Any]) -> str:
    return f"{port['internal']}/{port.get('protocol') or 'tcp'}"


def _port_bindings(ports: list[dict[str, Any]]) -> dict[str, list[dict[str, str]]]:
    bindings: dict[str, list[dict[str, str]]] = {}
    for port in ports:
        bindings.setdefault(_port_key(port), []).append(
            {"HostIp": port.get("ip") or "0.0.0.0", "HostPort": str(port.get("external") or 0)}
        )
    return bindings


def _healthcheck(wanted: dict[str, Any]) -> dict[str, Any]:
    check: dict[str, Any] = {
        "Test": wanted.get("tests", []),
        "Interval": nanoseconds(wanted.get("interval", "0s")),
        "Timeout": nanoseconds(wanted.get("timeout", "0s")),
        "StartPeriod": nanoseconds(wanted.get("startPeriod", "0s")),
        "Retries": wanted.get("retries", 0),
    }
    between = nanoseconds(wanted.get("startInterval", "0s"))
    # Engines before 25 don't know it.
    return {**check, "StartInterval": between} if between else check


def _tar(upload: dict[str, Any]) -> bytes:
    """One uploaded file, as an archive to unpack at the root."""
    text = upload.get("content")
    content = text.encode() if text else base64.b64decode(upload["contentBase64"])
    entry = tarfile.TarInfo(upload["file"])
    entry.size = len(content)
    entry.mode = 0o744 if upload.get("executable") else 0o644
    if upload.get("permissions"):
        entry.mode = int(upload["permissions"], 8)
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as archive:
        archive.addfile(entry, io.BytesIO(content))
    return packed.getvalue()


def _seen(seen: dict[str, Any], state: State) -> State:
    """What the real plugin reads back.

    Not envs, labels, uploads, volumes and networksAdvanced: it takes those from its state.
    """
    config, host = seen["Config"], seen["HostConfig"]
    found: State = {
        "name": seen["Name"].lstrip("/"),
        "image": seen["Image"] if _by_id(state) else config["Image"],
        "hostname": config["Hostname"],
        "command": config["Cmd"] or [],
        "entrypoints": config["Entrypoint"] or [],
        "user": config["User"],
        "workingDir": config["WorkingDir"],
        "stopTimeout": config.get("StopTimeout"),
        "rm": host["AutoRemove"],
        "readOnly": host["ReadonlyRootfs"],
        "privileged": host["Privileged"],
        "networkMode": host["NetworkMode"],
        "hosts": [_host(one) for one in host["ExtraHosts"] or []],
        "securityOpts": host["SecurityOpt"] or [],
        "tmpfs": host.get("Tmpfs") or {},
        "init": bool(host.get("Init")),
        "logDriver": host["LogConfig"]["Type"],
        "logOpts": (host["LogConfig"]["Config"] or {}) if state.get("logOpts") else None,
        "bridge": seen["NetworkSettings"].get("Bridge", ""),
        "networkDatas": _network_datas(seen),
        **_seen_limits(host),
        **_seen_optional(seen, state),
    }
    # What was never asked for and isn't there has no place in the state.
    return {name: value for name, value in found.items() if value is not None}


def _by_id(state: State) -> bool:
    return str(state.get("image", "")).startswith("sha256:")


def _seen_limits(host: dict[str, Any]) -> State:
    swap = host["MemorySwap"]
    return {
        "restart": host["RestartPolicy"]["Name"] or "no",
        "maxRetryCount": host["RestartPolicy"]["MaximumRetryCount"],
        "memory": host["Memory"] // _MEGABYTE,
        "memorySwap": swap // _MEGABYTE if swap > 0 else swap,
        "memoryReservation": host["MemoryReservation"] // _MEGABYTE,
        "cpuShares": host["CpuShares"],
        "cpuSet": host["CpusetCpus"],
    }


def _seen_optional(seen: dict[str, Any], state: State) -> State:
    """What is read back only under some condition."""
    config, host, running = seen["Config"], seen["HostConfig"], seen["State"]["Running"]
    found: State = {}
    if not running:
        found["exitCode"] = seen["State"]["ExitCode"]
        # So a stopped container shows as a change, whose update starts it.
        found["mustRun"] = False
    if host["CapAdd"] or host["CapDrop"]:
        found["capabilities"] = {"adds": host["CapAdd"] or [], "drops": host["CapDrop"] or []}
    if state.get("ports") and (running or state.get("mustRun", True)):
        found["ports"] = _seen_ports(seen["NetworkSettings"]["Ports"])
    check = config.get("Healthcheck")
    if check:
        found["healthcheck"] = {
            "tests": check.get("Test") or [],
            "interval": written(check.get("Interval", 0)),
            "timeout": written(check.get("Timeout", 0)),
            "startPeriod": written(check.get("StartPeriod", 0)),
            "startInterval": written(check.get("StartInterval", 0)),
            "retries": check.get("Retries", 0),
        }
    return found


def _host(entry: str) -> dict[str, str]:
    # The real plugin cuts at every colon too, and so loses all of an IPv6 address but its start.
    parts = entry.split(":")
    return {"host": parts[0], "ip": parts[1]}


def _seen_ports(ports: dict[str, Any] | None) -> list[dict[str, Any]]:
    found = []
    for key in sorted(ports or {}, key=lambda one: int(one.split("/")[0])):
        internal, protocol = key.split("/")
        for binding in (ports or {})[key] or []:
            found.append(
                {
                    "internal": int(internal),
                    "external": int(binding["HostPort"]),
                    "ip": binding["HostIp"],
                    "protocol": protocol,
                }
            )
    return found


def _network_datas(seen: dict[str, Any]) -> list[dict[str, Any]]:
    return [
        {
            "networkName": name,
            "ipAddress": data["IPAddress"],
            "ipPrefixLength": data["IPPrefixLen"],
            "gateway": data["Gateway"],
            "globalIpv6Address": data["GlobalIPv6Address"],
            "globalIpv6PrefixLength": data["GlobalIPv6PrefixLen"],
            "ipv6Gateway": data["IPv6Gateway"],
            "macAddress": data["MacAddress"],
        }
        for name, data in sorted(seen["NetworkSettings"]["Networks"].items())
    ]
