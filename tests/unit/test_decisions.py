"""Each record in docs/decisions has a date and a status, and the index has the same."""

from __future__ import annotations

import datetime
import re
from pathlib import Path

import pytest

from local.paths import ROOT

DECISIONS = ROOT / "docs/decisions"
RECORDS = sorted(DECISIONS.glob("[0-9]*.md"))
INDEX = (DECISIONS / "README.md").read_text()
HEAD = re.compile(
    r"# (?P<number>\d+)\. (?P<title>.+)\n\n"
    r"Date: (?P<date>\d{4}-\d\d-\d\d)\n"
    r"Status: (?P<status>proposed|accepted|superseded by \d+)\n"
)


@pytest.mark.parametrize("record", RECORDS, ids=lambda record: record.stem)
def test_a_record_has_a_date_and_a_status_and_is_in_the_index(record: Path) -> None:
    head = HEAD.match(record.read_text())
    assert head, "the title, an empty line, `Date:`, `Status:`"
    number, title, date, status = head.groups()
    assert int(number) == int(record.name.partition("-")[0])
    assert datetime.date.fromisoformat(date)
    assert f"| {number} | [{title}]({record.name}) | {status} | {date} |\n" in INDEX


def test_the_index_names_no_other() -> None:
    rows = re.findall(r"^\| \d+ \| \[.+\]\((.+\.md)\)", INDEX, re.MULTILINE)
    assert rows == [record.name for record in RECORDS]
