"""LiveFiles and Grafana: when Grafana reloads its files, and what it finds. Its admin API is a fake."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from components.grafana.component import DASHBOARDS, PROVISIONING
from components.live.container_facts import GRAFANA_UID, PASSWORD_MARK
from components.live.docker_host import LiveError
from components.live.files import LiveFilesProvider
from rig.live_caddy import outputs
from rig.live_grafana import NEW_PASSWORD, REFUSED, LiveGrafana, live_grafana
from rig.rig import Rig

pytestmark = pytest.mark.docker

FILES = {"dashboards/campus.yaml": "a", "datasources/loki.yaml": "b", "alerting/rules.yaml": "c"}
CHANGED = FILES | {"alerting/rules.yaml": "changed"}
REFUSED_FILES = CHANGED | {REFUSED: "d"}
# Alert rules name data sources: these come first.
RELOADS = [("datasources", 200), ("dashboards", 200), ("alerting", 200)]


@pytest.fixture
def grafana(rig: Rig) -> Iterator[LiveGrafana]:
    """A Grafana with its first files."""
    with live_grafana(rig) as made:
        yield made


def test_the_files_from_creation_to_the_end(grafana: LiveGrafana) -> None:
    provider = LiveFilesProvider()
    props = grafana.props(FILES)
    created = provider.create(props)
    assert (grafana.files(), grafana.reloads()) == (FILES, RELOADS)
    assert provider.diff(created.id, outputs(created), props).changes is False
    assert outputs(provider.read(created.id, outputs(created))) == outputs(created)

    outs = outputs(provider.update(created.id, outputs(created), grafana.props(CHANGED)))
    assert (grafana.files(), grafana.reloads()) == (CHANGED, RELOADS * 2)
    assert grafana.leftovers() == []

    # At the end Grafana goes, too, so it needn't reload, even if its password is known.
    provider.delete(created.id, outs)
    assert (grafana.files(), grafana.reloads()) == ({}, RELOADS * 2)


def test_a_new_grafana_has_read_the_files_and_does_not_reload(grafana: LiveGrafana) -> None:
    """So a password that was changed in Grafana doesn't block a change of its image."""
    provider = LiveFilesProvider()
    created = provider.create(grafana.props(FILES))
    grafana.put(grafana.secrets, {"admin-password": "another"})
    grafana.start()
    props = grafana.props(FILES)
    assert provider.diff(created.id, outputs(created), props).changes is True
    outs = outputs(provider.update(created.id, outputs(created), props))
    assert (outs["applied"], grafana.reloads(), grafana.files()) == (True, [], FILES)


def test_files_that_grafana_refuses_are_reverted(grafana: LiveGrafana) -> None:
    grafana.write(FILES)
    with pytest.raises(LiveError, match=r"Error: Grafana refuses its new alerting \(HTTP 500\)"):
        grafana.write(REFUSED_FILES)
    assert grafana.files() == FILES
    assert grafana.reloads() == [*RELOADS, *RELOADS[:2], ("alerting", 500), *RELOADS]
    assert grafana.leftovers() == []


def test_files_that_cannot_be_applied_again_are_reported(grafana: LiveGrafana) -> None:
    """Grafana refuses even the former files."""
    grafana.write(FILES)
    grafana.sh(f"echo d >{PROVISIONING}/{REFUSED}")
    with pytest.raises(LiveError, match="but could not be applied again"):
        grafana.write(FILES | {REFUSED: "another"})
    # The next files are reloaded even if they are the same.
    grafana.sh(f"rm {PROVISIONING}/{REFUSED}")
    before = grafana.reloads()
    grafana.write(FILES)
    assert grafana.reloads() == [*before, *RELOADS]
    assert grafana.leftovers() == []


def test_a_password_that_was_changed_in_grafana_is_reported_and_changes_nothing(grafana: LiveGrafana) -> None:
    provider = LiveFilesProvider()
    created = provider.create(grafana.props(FILES))
    grafana.put(grafana.secrets, {"admin-password": "another"})
    with pytest.raises(LiveError, match=r"write the present one as grafana\.adminPassword") as caught:
        provider.update(created.id, outputs(created), grafana.props(CHANGED))
    assert "another" not in str(caught.value)
    assert grafana.files() == FILES
    # Only once: Grafana locks an address out after several wrong passwords.
    assert (grafana.reloads(), grafana.refused()) == (RELOADS, 1)
    assert grafana.leftovers() == []
    # Without a change no password is needed.
    provider.update(created.id, outputs(created), grafana.props(FILES))


def test_a_new_password_of_the_settings_is_given_to_grafana(grafana: LiveGrafana) -> None:
    """It reads the password's file only at its first start; a mark beside its files follows the password."""
    provider = LiveFilesProvider()
    created = provider.create(grafana.props(FILES | {PASSWORD_MARK: "before"}))
    grafana.put(grafana.secrets, {"admin-password": NEW_PASSWORD})
    changed = FILES | {PASSWORD_MARK: "now"}
    outs = outputs(provider.update(created.id, outputs(created), grafana.props(changed)))
    assert (grafana.reloads(), grafana.refused()) == (RELOADS * 2, 1)
    assert grafana.files() == changed
    # From now on this is its password.
    provider.update(created.id, outs, grafana.props(changed | {"alerting/rules.yaml": "changed"}))
    assert (grafana.reloads(), grafana.refused()) == (RELOADS * 3, 1)


def test_a_new_password_that_grafana_does_not_take_fails_and_changes_nothing(grafana: LiveGrafana) -> None:
    provider = LiveFilesProvider()
    before = FILES | {PASSWORD_MARK: "before"}
    created = provider.create(grafana.props(before))
    grafana.put(grafana.secrets, {"admin-password": "one that its command refuses"})
    for _ in range(2):
        with pytest.raises(LiveError, match="those from before are in place"):
            provider.update(created.id, outputs(created), grafana.props(FILES | {PASSWORD_MARK: "now"}))
    assert grafana.files() == before


def test_files_that_a_killed_run_left_are_reloaded(grafana: LiveGrafana) -> None:
    props = grafana.props(FILES)
    provider = LiveFilesProvider()
    created = provider.create(props)
    provider.update(created.id, outputs(created), props)
    assert grafana.reloads() == RELOADS
    grafana.sh(f": >{PROVISIONING}/.untold")
    provider.update(created.id, outputs(created), props)
    assert grafana.reloads() == RELOADS * 2
    assert grafana.leftovers() == []


def test_a_file_that_was_changed_by_hand_is_found_and_fixed(grafana: LiveGrafana) -> None:
    provider = LiveFilesProvider()
    props = grafana.props(FILES)
    created = provider.create(props)
    grafana.sh(f"echo by hand >{PROVISIONING}/alerting/rules.yaml")
    seen = outputs(provider.read(created.id, outputs(created)))
    assert provider.diff(created.id, seen, props).changes is True
    provider.update(created.id, seen, props)
    assert (grafana.files(), grafana.reloads()) == (FILES, RELOADS * 2)


def test_the_files_are_grafanas_own(grafana: LiveGrafana) -> None:
    grafana.write(FILES)
    found = grafana.sh(f"find {PROVISIONING}/.tree-* -type f -exec stat -c '%a %u' {{}} + | sort -u")
    assert found == f"600 {GRAFANA_UID}\n"
    found = grafana.sh(f"find {PROVISIONING} {DASHBOARDS} -exec stat -c %u {{}} + | sort -u")
    assert found == f"{GRAFANA_UID}\n"


def test_dashboards_keep_their_paths_and_grafana_does_not_reload(grafana: LiveGrafana) -> None:
    """For Grafana a dashboard at another path is another dashboard, and it removes the first."""
    provider = LiveFilesProvider()
    grafana.put(grafana.secrets, {"admin-password": "another"})
    both = {"logs.json": "1", "pipeline.json": "2"}
    props = grafana.props(both, "grafana-dashboards")
    created = provider.create(props)
    assert grafana.files(DASHBOARDS) == both | {"README": "first"}
    assert provider.diff(created.id, outputs(created), props).changes is False
    changed = both | {"logs.json": "3"}
    provider.update(created.id, outputs(created), grafana.props(changed, "grafana-dashboards"))
    assert grafana.files(DASHBOARDS) == changed | {"README": "first"}
    # Grafana's own walk: it follows no link to a directory, and skips names with a dot.
    walked = grafana.sh(f"cd {DASHBOARDS} && find . -name '.?*' -prune -o ! -type d -print | sort").split()
    assert walked == ["./README", "./logs.json", "./pipeline.json"]
    assert (grafana.reloads(), grafana.leftovers(DASHBOARDS)) == ([], [])
