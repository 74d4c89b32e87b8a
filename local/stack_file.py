"""The lines that `make up` writes into Pulumi.local.yaml, and how `make down` takes them back.

Pulumi writes the file itself (the salt, `config set`), in its own layout. So the file is kept as it
was before: if nobody else has changed it since, it is restored exactly; otherwise only our own lines
are removed.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass

from local import cache
from local.paths import LOCAL, STACK_SETTINGS

RECORD = LOCAL / "stack-file.json"
SALT = re.compile(r"^encryptionsalt:.*\n?", re.MULTILINE)


@dataclass(frozen=True)
class Record:
    """The file's text before and after `make up` wrote to it, and whether that turned Grafana off."""

    before: str
    after: str
    grafana_off: bool


def keep_before() -> None:
    """Keep the file as it is before our lines are in it."""
    text = STACK_SETTINGS.read_text()
    record = read()
    if record is None or (text != record.after and SALT.search(text) is None):
        _write(Record(SALT.sub("", text), text, grafana_off=False))


def remove_salt() -> None:
    """Remove the salt of a passphrase that is gone."""
    text = STACK_SETTINGS.read_text()
    if SALT.search(text):
        STACK_SETTINGS.write_text(SALT.sub("", text))


def keep_after(*, grafana_off: bool | None = None) -> None:
    """Keep the file as it is with our lines in it."""
    record = read()
    if record is not None:
        off = record.grafana_off if grafana_off is None else grafana_off
        _write(Record(record.before, STACK_SETTINGS.read_text(), off))


def we_turned_grafana_off() -> bool:
    """Whether `grafana.enabled: false` is ours."""
    record = read()
    return record is not None and record.grafana_off


def take_back() -> None:
    """Remove our lines from the file."""
    record = read()
    text = STACK_SETTINGS.read_text() if STACK_SETTINGS.exists() else None
    if record is not None and text is not None:
        restored = restore(text, record)
        if restored != text:
            with cache.new_file(STACK_SETTINGS) as made:
                made.write_text(restored)
                made.chmod(STACK_SETTINGS.stat().st_mode & 0o777)
    RECORD.unlink(missing_ok=True)


def restore(text: str, record: Record) -> str:
    """The file's text without our lines."""
    if text == record.after:
        return record.before
    text = SALT.sub("", text)
    return _with_grafana(text, record.before) if record.grafana_off else text


def _with_grafana(text: str, before: str) -> str:
    """Restore grafana.enabled, unless a person has changed it meanwhile."""
    block = re.compile(
        r"(^\s+(?:campus-monitor:)?grafana:[ ]*\n(?:[ ]+.*\n)*?)([ ]+enabled: )(\S+)", re.MULTILINE
    )
    found, original = block.search(text), block.search(before)
    if found is None or found[3] != "false" or original is None:
        return text
    return text[: found.start(3)] + original[3] + text[found.end(3) :]


def read() -> Record | None:
    """The record, if there is one."""
    try:
        return Record(**json.loads(RECORD.read_text()))
    except (OSError, ValueError, TypeError):
        return None


def _write(record: Record) -> None:
    with cache.new_file(RECORD) as made:
        made.write_text(json.dumps(record.__dict__))
