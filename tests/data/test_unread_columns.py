"""A refusal names the option for every column that has one."""

import re
from pathlib import Path
from typing import Any

import pytest

from data.test_importer import lines, rows
from fairlead.core.errors import DataError
from fairlead.data import column_map, importer

ROW = {"prompt": "2 + 2?", "completion": "4"}


@pytest.mark.parametrize(
    ("columns", "options"),
    [
        (
            {"background": "You count.", "thumb": "up"},
            "--map prompt=background+prompt --map label=thumb",
        ),
        (
            {"background": "You count.", "passage": "Numbers."},
            "--map prompt=passage+background+prompt",
        ),
        ({"thumb": "up", "quality": 4}, "--map label=thumb --ignore quality"),
        ({"quality": 4, "thumb": "up"}, "--map score=quality --scale 1:5 --ignore thumb"),
    ],
)
def test_every_column_is_named_with_its_option(tmp_path: Path, columns: dict[str, Any], options: str) -> None:
    remedy = re.escape(f"Say what they are, for example with {options}; or leave")
    with pytest.raises(DataError, match=remedy):
        importer.import_file(rows(ROW | columns), tmp_path / "out.jsonl")
    words = options.split()
    given = {
        option: [words[i + 1] for i, word in enumerate(words) if word == option]
        for option in ("--map", "--ignore", "--scale")
    }
    reading = column_map.parse(given["--map"], given["--ignore"], *given["--scale"])
    importer.import_file(rows(ROW | columns), tmp_path / "out.jsonl", columns=reading)
    assert len(lines(tmp_path / "out.jsonl")) == 1
