"""LiveFiles and VolumeFiles on a real Docker Engine, with the real Caddy."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from components.live import files
from components.live.docker_host import HELPER_LABEL, LiveError, sha256
from components.live.files import LiveFilesProvider
from components.live.volume_files import VolumeFilesProvider
from tests.rig.live_caddy import CLOSED, DIRECTORY, OPEN, LiveCaddy, caddyfile, live_caddy
from tests.rig.rig import Rig

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


def test_a_configuration_that_caddy_can_only_refuse_at_its_start_is_taken_back(caddy: LiveCaddy) -> None:
    provider = LiveFilesProvider()
    created = provider.create(caddy.props({"Caddyfile": OPEN}, {}))
    before = caddy.running()
    # Nobody has this address here, which `caddy validate` doesn't try.
    unusable = OPEN.replace("@let {", "bind 198.51.100.9\n@let {")
    with pytest.raises(LiveError, match=r"198\.51\.100\.9"):
        provider.update(created.id, created.outs or {}, caddy.props({"Caddyfile": unusable}, {}))
    assert caddy.running() == before
    assert caddy.sh(f"cat {DIRECTORY}/Caddyfile") == OPEN


def test_a_hand_edit_is_seen_and_mended(caddy: LiveCaddy) -> None:
    provider = LiveFilesProvider()
    props = caddy.props({"Caddyfile": OPEN}, {})
    created = provider.create(props)
    outs = created.outs or {}

    caddy.sh(f"echo '# by hand' >>{DIRECTORY}/Caddyfile")
    seen = provider.read(created.id, outs).outs or {}
    assert (seen["content_sha256"] == outs["content_sha256"], seen["applied"]) == (False, True)
    assert provider.diff(created.id, seen, props).changes is True
    outs = provider.update(created.id, seen, props).outs or {}

    # Another configuration over the admin socket, and the file as it was.
    caddy.sh(
        f"sed s/hello/stranger/ {DIRECTORY}/Caddyfile >/run/caddy/other && "
        "sed -i 's#import .*##' /run/caddy/other && "
        "caddy reload --config /run/caddy/other --adapter caddyfile --address unix//run/caddy/admin.sock"
    )
    seen = provider.read(created.id, outs).outs or {}
    assert (seen["content_sha256"] == outs["content_sha256"], seen["applied"]) == (True, False)
    assert provider.diff(created.id, seen, props).changes is True
    provider.update(created.id, seen, props)
    assert "stranger" not in caddy.sh("cat /config/caddy/autosave.json")
    assert (provider.read(created.id, outs).outs or {})["applied"] is True


def test_addresses_come_and_go_beside_the_caddyfile(caddy: LiveCaddy) -> None:
    provider = LiveFilesProvider()
    provider.create(caddy.props({"Caddyfile": OPEN}, {}))
    props = caddy.props({FRAGMENT: "remote_ip 203.0.113.7/32\n"}, {})
    first = provider.create(props)
    assert "203.0.113.7/32" in caddy.sh("cat /config/caddy/autosave.json")

    # Two addresses change places: what one resource lets go of, another has taken over.
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
    # At once: it waits until Caddy answers.
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
