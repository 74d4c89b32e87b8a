"""Scripts from `.sh` files: their values, and their left-out heads."""

from __future__ import annotations

from pathlib import Path

from components.live.sh_files import read_script, with_words


def test_words_are_filled_in_once_and_nowhere_within_other_names() -> None:
    words = {"PORT": 3000, "PORT_NAME": "PORT"}
    text = "PORT PORT_NAME PORT_table EX_PORT PORTS $PORT\n"
    assert with_words(text, words) == "3000 PORT 3000_table EX_PORT PORTS $PORT\n"


def test_the_head_of_a_part_is_left_out_and_that_of_a_program_is_not(tmp_path: Path) -> None:
    (tmp_path / "part.sh").write_text("# shellcheck shell=sh\n# Why.\n\nrun WORD\n\n# More.\n")
    assert read_script(tmp_path / "part.sh", {"WORD": "it"}) == "run it\n\n# More.\n"
    (tmp_path / "program.sh").write_text("#!/bin/sh\n# What.\n\nrun WORD\n")
    assert read_script(tmp_path / "program.sh", {"WORD": "it"}) == "#!/bin/sh\n# What.\n\nrun it\n"
