"""LiveFiles and VolumeFiles on a real Docker Engine, with the real Caddy."""

from __future__ import annotations

import json
import multiprocessing
import re
import subprocess
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, ProcessPoolExecutor, ThreadPoolExecutor
from pathlib import Path

import pytest

from components.live import files
from components.live.docker_host import HELPER_LABEL, LiveError, sha256
from components.live.files import LiveFilesProvider
from components.live.volume_files import VolumeFilesProvider
from components.port_policy.nftables import render_policy
from components.port_policy.rules import Rule
from rig.live_caddy import CLOSED, DIRECTORY, OPEN, LiveCaddy, caddyfile, live_caddy, live_props, outputs
from rig.live_guard import LiveGuard, live_guard
from rig.rig import Rig
from tests.support.counts import count

pytestmark = pytest.mark.docker

FRAGMENT = "allowed/nat/203.0.113.7.caddy"


@pytest.fixture
def caddy(rig: Rig) -> Iterator[LiveCaddy]:
    """A volume with the closed Caddyfile, and a Caddy that serves it."""
    with live_caddy(rig) as made:
        yield made


def test_the_files_from_creation_to_the_end(caddy: LiveCaddy) -> None:
    provider = LiveFilesProvider()
    props = caddy.props({"Caddyfile": OPEN}, {"Caddyfile": CLOSED})
    created = provider.create(props)
    outs = created.outs or {}
    assert outs["applied"] is True
    assert outs["content_sha256"] == sha256(OPEN.encode())
    assert provider.diff(created.id, outs, props).changes is False
    assert "hello" in caddy.sh("cat /config/caddy/autosave.json")

    read = provider.read(created.id, outs)
    assert (read.id, read.outs) == (created.id, outs)

    changed = props | {"files": {"Caddyfile": OPEN.replace("hello", "good day")}}
    outs = provider.update(created.id, outs, changed).outs or {}
    assert "good day" in caddy.sh("cat /config/caddy/autosave.json")

    before = caddy.running()
    broken = props | {"files": {"Caddyfile": caddyfile("nonsense here")}}
    with pytest.raises(LiveError, match=r"/etc/caddy/live/Caddyfile:\d+.*nonsense"):
        provider.update(created.id, outs, broken)
    assert caddy.running() == before
    assert "good day" in caddy.sh(f"cat {DIRECTORY}/Caddyfile")
    assert provider.read(created.id, outs).outs == outs

    provider.delete(created.id, outs)
    assert caddy.sh(f"cat {DIRECTORY}/Caddyfile") == CLOSED
    assert "good day" not in caddy.sh("cat /config/caddy/autosave.json")
    assert caddy.leftovers() == []


def test_a_configuration_that_caddy_refuses_only_at_its_start_is_reverted(caddy: LiveCaddy) -> None:
    provider = LiveFilesProvider()
    created = provider.create(caddy.props({"Caddyfile": OPEN}, {}))
    before = caddy.running()
    # The host doesn't have this address, which `caddy validate` doesn't check.
    unusable = OPEN.replace("@let {", "bind 198.51.100.9\n@let {")
    with pytest.raises(LiveError, match=r"198\.51\.100\.9"):
        provider.update(created.id, created.outs or {}, caddy.props({"Caddyfile": unusable}, {}))
    assert caddy.running() == before
    assert caddy.sh(f"cat {DIRECTORY}/Caddyfile") == OPEN


def posted(edit: str) -> str:
    """The commands in the container that make Caddy run with an edited copy of the files."""
    other = "/run/caddy/other"
    return (
        f"cp -rL {DIRECTORY}/. {other} && sed -i '{edit}' {other}/Caddyfile && caddy reload "
        f"--config {other}/Caddyfile --adapter caddyfile --address unix//run/caddy/admin.sock"
    )


# Two handlers: the first decides, and both orders have the same words.
FORBIDDING = caddyfile('route {\n        respond @let "hello"\n        respond "Forbidden" 403\n    }')
SWAPPED = '/respond .Forbidden/d; s/route {/&\\n respond "Forbidden" 403/'

ADDED = f"echo 'remote_ip 198.51.100.9/32' >{DIRECTORY}/allowed/nat/other.caddy"

BY_HAND = {
    "the Caddyfile is edited in place": f"sed s/hello/stranger/ {DIRECTORY}/Caddyfile >/run/caddy/new &&"
    f" cat /run/caddy/new >{DIRECTORY}/Caddyfile",
    "the Caddyfile is replaced": f"sed -i s/hello/stranger/ {DIRECTORY}/Caddyfile",
    "the Caddyfile is removed": f"rm {DIRECTORY}/Caddyfile",
    "the fragment is edited": f"echo 'remote_ip 198.51.100.9/32' >>{DIRECTORY}/{FRAGMENT}",
    "the fragment is removed": f"rm {DIRECTORY}/{FRAGMENT}",
    "all fragments are removed": f"rm -r {DIRECTORY}/allowed/",
    "a fragment is added": ADDED,
    "a fragment is added and loaded": f"{ADDED} && {posted('')}",
    "a comment is added": f"echo '# by hand' >>{DIRECTORY}/Caddyfile",
    "another text is posted": posted("s/hello/stranger/"),
    "the gate is opened": posted("s/remote_ip 255.*/remote_ip 0.0.0.0\\/0/"),
    "the handlers are swapped": posted(SWAPPED),
}


@pytest.mark.parametrize("edit", BY_HAND.values(), ids=BY_HAND.keys())
def test_a_change_by_hand_is_found_and_fixed(caddy: LiveCaddy, edit: str) -> None:
    provider = LiveFilesProvider()
    wanted = [
        caddy.props({"Caddyfile": FORBIDDING}, {}),
        caddy.props({FRAGMENT: "remote_ip 203.0.113.7/32\n"}, {}),
    ]
    created = [provider.create(props) for props in wanted]
    good = caddy.running()
    for one, props in zip(created, wanted, strict=True):
        seen = outputs(provider.read(one.id, outputs(one)))
        assert provider.diff(one.id, seen, props).changes is False

    caddy.sh(edit)
    changed = 0
    for one, props in zip(created, wanted, strict=True):
        seen = outputs(provider.read(one.id, outputs(one)))
        if provider.diff(one.id, seen, props).changes:
            changed += 1
            provider.update(one.id, seen, props)
    assert changed > 0

    assert caddy.running() == good
    for one in created:
        assert outputs(provider.read(one.id, outputs(one))) == outputs(one)
    assert caddy.leftovers() == []


def test_addresses_come_and_go_beside_the_caddyfile(caddy: LiveCaddy) -> None:
    provider = LiveFilesProvider()
    provider.create(caddy.props({"Caddyfile": OPEN}, {}))
    props = caddy.props({FRAGMENT: "remote_ip 203.0.113.7/32\n"}, {})
    first = provider.create(props)
    assert "203.0.113.7/32" in caddy.sh("cat /config/caddy/autosave.json")

    # Two addresses swap: one resource removes an address that another has taken over.
    second = provider.create(props)
    provider.delete(first.id, first.outs or {})
    assert "203.0.113.7/32" in caddy.sh("cat /config/caddy/autosave.json")
    provider.delete(second.id, second.outs or {})
    assert "203.0.113.7" not in caddy.sh("cat /config/caddy/autosave.json")
    assert "203.0.113.7.caddy" not in caddy.seen()


def test_a_new_container_takes_over_and_a_missing_one_is_missing(caddy: LiveCaddy) -> None:
    provider = LiveFilesProvider()
    props = caddy.props({"Caddyfile": OPEN}, {"Caddyfile": CLOSED})
    created = provider.create(props)
    caddy.remove()
    assert provider.read(created.id, created.outs or {}).id == ""
    provider.delete(created.id, created.outs or {})  # nothing to close, and no error

    caddy.start()
    news = caddy.props({"Caddyfile": OPEN}, {"Caddyfile": CLOSED})
    result = provider.diff(created.id, created.outs or {}, news)
    assert (result.changes, result.replaces or []) == (True, [])
    # Without a pause: it waits until Caddy answers.
    assert (provider.update(created.id, created.outs or {}, news).outs or {})["applied"] is True


def test_a_stopped_container_is_left_to_start_closed(caddy: LiveCaddy) -> None:
    provider = LiveFilesProvider()
    caddyfiles = provider.create(caddy.props({"Caddyfile": OPEN}, {"Caddyfile": CLOSED}))
    address = provider.create(caddy.props({FRAGMENT: "remote_ip 203.0.113.7/32\n"}, {}))
    assert caddy.container is not None
    caddy.container.stop()
    assert (provider.read(address.id, address.outs or {}).outs or {})["applied"] is False
    provider.delete(address.id, address.outs or {})
    provider.delete(caddyfiles.id, caddyfiles.outs or {})
    caddy.container.start()
    assert caddy.sh(f"cat {DIRECTORY}/Caddyfile") == CLOSED
    assert caddy.sh(f"cat {DIRECTORY}/{FRAGMENT}") == ""


def test_a_container_that_never_answers_is_an_error(
    caddy: LiveCaddy, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(files, "READY_SECONDS", 0.5)
    assert caddy.container is not None
    caddy.container.stop()
    with pytest.raises(LiveError, match=rf"{caddy.name}: the container isn't running \(exited\)"):
        LiveFilesProvider().create(caddy.props({"Caddyfile": OPEN}, {}))


def test_volume_files_keep_owner_and_mode(caddy: LiveCaddy) -> None:
    provider = VolumeFilesProvider()
    props = caddy.volume_props({"secret": "one", "sub/other": "two"})
    created = provider.create(props)
    outs = created.outs or {}
    assert caddy.sh(f"cd {DIRECTORY} && ls -ln secret").split()[0:4:3] == ["-r--------", "0"]
    assert caddy.sh(f"cd {DIRECTORY} && ls -ln secret").split()[2] == "10001"
    assert provider.read(created.id, outs).outs == outs
    assert provider.diff(created.id, outs, props).changes is False

    changed = caddy.volume_props({"secret": "three", "sub/other": "two"})
    assert provider.diff(created.id, outs, changed).changes is True
    changed_outs = provider.update(created.id, outs, changed).outs or {}
    assert provider.read(created.id, changed_outs).outs == changed_outs
    assert (provider.read(created.id, outs).outs or {})["content_sha256"] != outs["content_sha256"]
    helpers = caddy.engine.containers.list(all=True, filters={"label": f"{HELPER_LABEL}={caddy.name}"})
    assert helpers == []


def test_a_first_file_never_overwrites(caddy: LiveCaddy) -> None:
    provider = VolumeFilesProvider()
    LiveFilesProvider().create(caddy.props({"Caddyfile": OPEN}, {}))
    created = provider.create(caddy.volume_props({"Caddyfile": CLOSED}, only_if_absent=True))
    assert caddy.sh(f"cat {DIRECTORY}/Caddyfile") == OPEN
    outs = created.outs or {}
    assert provider.read(created.id, outs).outs == outs
    caddy.sh(f"rm {DIRECTORY}/Caddyfile")
    assert (provider.read(created.id, outs).outs or {})["content_sha256"] != outs["content_sha256"]


def test_files_of_a_missing_volume_are_missing(caddy: LiveCaddy) -> None:
    props = caddy.volume_props({"a": "x"}, volume_name=f"{caddy.name}-gone")
    assert VolumeFilesProvider().read("id", props).id == ""
    with pytest.raises(LiveError, match="no such volume"):
        VolumeFilesProvider().create(props)


def refused(caddy: LiveCaddy, contents: dict[str, str], words: str) -> None:
    """A change fails with these words, and changes no files, owners, modes and configuration."""
    before = caddy.seen(), caddy.running(), caddy.answer()
    with pytest.raises(LiveError, match=words):
        caddy.write(contents)
    assert (caddy.seen(), caddy.running(), caddy.answer()) == before


@pytest.fixture
def serving(caddy: LiveCaddy) -> LiveCaddy:
    """A Caddy that lets clients inside its container in."""
    caddy.write({"Caddyfile": OPEN})
    caddy.write({FRAGMENT: "remote_ip 127.0.0.1/32\n"})
    assert caddy.answer() == "hello"
    return caddy


def test_a_swap_that_fails_is_reverted(serving: LiveCaddy) -> None:
    # A rename can't replace a folder with a link.
    serving.sh(f"cd {DIRECTORY} && cp -R .live/ .other && rm .live && mv .other .live")
    refused(serving, {"Caddyfile": OPEN.replace("hello", "good day")}, "(?i)is a directory")
    assert serving.leftovers() == []


def test_a_configuration_that_cannot_be_verified_is_reverted(serving: LiveCaddy) -> None:
    # Caddy loads the new configuration, but can't record that.
    serving.sh("mv /config/caddy /config/before && : >/config/caddy")
    before = serving.seen()
    with pytest.raises(LiveError, match="what runs is not what the files say"):
        serving.write({"Caddyfile": OPEN.replace("hello", "good day")})
    assert (serving.seen(), serving.answer()) == (before, "hello")
    assert serving.leftovers() == []


def test_a_file_that_cannot_be_changed_blocks_no_change(serving: LiveCaddy) -> None:
    there = Path(serving.volume.attrs["Mountpoint"])
    [tree] = there.glob(".tree-*")
    immutable = [tree / "Caddyfile", tree / FRAGMENT]
    subprocess.run(["chattr", "+i", *immutable], check=True)
    try:
        refused(serving, {"Caddyfile": caddyfile("nonsense")}, "nonsense")
        serving.write({"Caddyfile": OPEN.replace("hello", "good day")})
        assert serving.answer() == "good day"
    finally:
        subprocess.run(["chattr", "-i", *immutable], check=True)
    serving.write({"Caddyfile": OPEN})
    assert (serving.answer(), serving.leftovers()) == ("hello", [])


def test_a_folder_in_a_files_place_is_left_by_a_refused_change_and_fixed_by_a_good_one(
    serving: LiveCaddy,
) -> None:
    serving.sh(f"cd {DIRECTORY} && rm {FRAGMENT} && mkdir -p {FRAGMENT}/inside")
    # The glob finds the folder, which can't be imported.
    with pytest.raises(LiveError, match=r"127\.0\.0\.1|is a directory|203\.0\.113\.7"):
        serving.write({"Caddyfile": OPEN.replace("hello", "good day")})
    assert serving.sh(f"ls {DIRECTORY}/{FRAGMENT}").strip() == "inside"
    assert serving.answer() == "hello"
    serving.write({FRAGMENT: "remote_ip 127.0.0.1/32\n"})
    assert (serving.answer(), serving.leftovers()) == ("hello", [])


def test_a_disk_that_is_full_at_any_point_costs_nothing(rig: Rig) -> None:
    longer = OPEN.replace("hello", "good day") + "# as long as three pages\n" * 500
    with live_caddy(rig, room="128k") as caddy:
        caddy.write({"Caddyfile": OPEN})
        caddy.write({FRAGMENT: "remote_ip 127.0.0.1/32\n"})
        free = int(caddy.sh(f"df -k {DIRECTORY} | awk 'END {{ print $4 }}'"))
        # With any free space, from none on; 4 KiB is a page, a tmpfs' smallest unit.
        refusals = 0
        while no_room_for(caddy, {"Caddyfile": longer}, free - 4 * refusals):
            refusals += 1
        assert refusals > 3
        assert (caddy.answer(), caddy.leftovers()) == ("good day", [])


def no_room_for(caddy: LiveCaddy, contents: dict[str, str], used: int) -> bool:
    """Whether a change fails with this many KiB of the disk in use; then nothing has changed."""
    filler = f"{DIRECTORY}/.filler"
    caddy.sh(f"dd if=/dev/zero of={filler} bs=1k count={used} 2>/dev/null")
    before = caddy.seen(), caddy.running(), caddy.answer()
    said = ""
    try:
        caddy.write(contents)
    except LiveError as error:
        said = str(error)
    finally:
        caddy.sh(f"rm {filler}")
    assert caddy.leftovers() == []
    if said:
        assert "o space left on device" in said
        assert (caddy.seen(), caddy.running(), caddy.answer()) == before
    return bool(said)


def test_files_and_their_folders_are_for_root_alone(serving: LiveCaddy) -> None:
    ours = f"find {DIRECTORY}/.tree-* {DIRECTORY}/.lock"
    assert serving.sh(f"{ours} -type f -exec stat -c '%a %u:%g' {{}} + | sort -u") == "600 0:0\n"
    assert serving.sh(f"{ours} -type d -exec stat -c '%a %u:%g' {{}} + | sort -u") == "700 0:0\n"


def test_a_container_that_has_ended_is_not_waited_for_and_its_log_is_shown(caddy: LiveCaddy) -> None:
    assert caddy.container is not None
    caddy.sh(f"cd {DIRECTORY} && sed -i 's/@let {{/bind 198.51.100.9\\n@let {{/' Caddyfile")
    caddy.container.restart()
    caddy.container.wait()
    started = time.monotonic()
    with pytest.raises(LiveError) as raised:
        LiveFilesProvider().create(caddy.props({"Caddyfile": OPEN}, {}))
    # Not a measurement: only the difference between waiting and not waiting.
    assert time.monotonic() - started < files.READY_SECONDS / 2
    [what, log] = str(raised.value).splitlines()
    assert "isn't running (exited)" in what
    assert log.startswith("Error: loading initial config")
    assert "198.51.100.9" in log


def test_a_container_that_is_restarted_meanwhile_is_waited_for(serving: LiveCaddy) -> None:
    assert serving.container is not None
    serving.container.stop()
    with ThreadPoolExecutor() as pool:
        done = pool.submit(serving.write, {"Caddyfile": OPEN.replace("hello", "good day")})
        serving.container.start()
        done.result()
    assert serving.answer() == "good day"


CHANGES = count(test=2, soak=30)


def change_often(docker_host: str, name: str, number: int) -> None:
    """Change an own file, and a shared file, several times."""
    own, shared = f"allowed/nat/198.51.100.{number}.caddy", "allowed/nat/shared.caddy"
    provider = LiveFilesProvider()
    for change in range(CHANGES):
        ranges = f"198.51.100.{number}/32 203.0.113.{change}/32"
        props = live_props(docker_host, name, {own: f"remote_ip {ranges}\n"})
        provider.update(f"owner-{number}", props, props)
        props = live_props(docker_host, name, {shared: f"remote_ip 192.0.2.{number}/32\n"})
        provider.update("everybody", props, props)


@pytest.mark.parametrize("pool", [ThreadPoolExecutor, ProcessPoolExecutor])
def test_parallel_updates_do_not_mix(serving: LiveCaddy, pool: Callable[..., Executor]) -> None:
    workers = 4
    started = {} if pool is ThreadPoolExecutor else {"mp_context": multiprocessing.get_context("spawn")}
    with pool(workers, **started) as running:
        where = serving.docker_host, serving.name
        for done in [running.submit(change_often, *where, number) for number in range(1, workers + 1)]:
            done.result()
    ranges = json.loads(serving.sh("cat /config/caddy/autosave.json"))
    found = set(re.findall(r"(?:198\.51\.100|203\.0\.113)\.[0-9]+/32", json.dumps(ranges)))
    own = {f"198.51.100.{number}/32" for number in range(1, workers + 1)}
    assert found == own | {f"203.0.113.{CHANGES - 1}/32"}
    assert len(set(re.findall(r"192\.0\.2\.[0-9]+/32", json.dumps(ranges)))) == 1
    read = LiveFilesProvider().read("owner", serving.props({"Caddyfile": OPEN}, {}))
    assert outputs(read)["applied"] is True
    assert (serving.answer(), serving.leftovers()) == ("hello", [])


RULES = (
    Rule(
        action="limit",
        protocol="tcp",
        first_port=21541,
        last_port=21541,
        comment="table inet campus_policy {",
    ),
    Rule(action="allow", protocol="tcp", first_port=80, last_port=80),
    Rule(
        action="allow",
        protocol="tcp",
        first_port=3100,
        last_port=3101,
        sources=("198.51.100.0/24", "2001:db8::/64"),
    ),
)


@pytest.fixture
def guard(rig: Rig) -> Iterator[LiveGuard]:
    """A port guard in its own network, with its first policy."""
    with live_guard(rig) as made:
        yield made


TABLE = "inet campus_policy"
# Changes that the guard itself doesn't detect: it fixes all others at once.
TABLE_BY_HAND = {
    "a rule is added": f"nft insert rule {TABLE} rules tcp dport 22 accept",
    "a chain is emptied": f"nft flush chain {TABLE} groups",
    "the table sleeps": f"nft 'add table {TABLE} {{ flags dormant; }}'",
    "a chain is added": f"nft add chain {TABLE} other",
}


@pytest.mark.parametrize("edit", TABLE_BY_HAND.values(), ids=TABLE_BY_HAND.keys())
def test_a_table_that_was_changed_by_hand_is_found_and_fixed(guard: LiveGuard, edit: str) -> None:
    provider = LiveFilesProvider()
    props = guard.props(render_policy(RULES))
    created = provider.create(props)
    good = guard.tables()
    assert outputs(provider.read(created.id, outputs(created))) == outputs(created)

    guard.sh(edit)
    seen = outputs(provider.read(created.id, outputs(created)))
    assert seen["applied"] is False
    provider.update(created.id, seen, props)
    assert guard.tables() == good
    assert outputs(provider.read(created.id, outputs(created))) == outputs(created)


def test_a_policy_that_nft_refuses_changes_nothing(guard: LiveGuard) -> None:
    policy = render_policy(RULES)
    guard.write(policy)
    before = guard.state()
    with pytest.raises(LiveError, match="nonsense"):
        guard.write(policy + "nonsense\n")
    assert guard.state() == before
    assert guard.leftovers() == []
