"""Rows of LLaMA-Factory with the columns and tags that an entry names."""

from typing import Any

import pytest

from data.test_formats import ASKED, FIVE, FOUR, WHERE
from fairlead.core.errors import DataError
from fairlead.data.file_source import SourceRow
from fairlead.data.importer import FORMATS
from fairlead.data.llama_factory import Entry
from fairlead.data.records import Binary, Comparison, Demonstration

TAGS = {"role_tag": "who", "content_tag": "what", "user_tag": "Q", "assistant_tag": "A"}


@pytest.mark.parametrize(
    ("entry", "row", "record"),
    [
        (
            {"columns": {"prompt": "q", "response": "a", "kto_tag": "ok"}},
            {"q": "2 + 2?", "a": "4", "ok": False},
            Binary(ASKED, FOUR, False),
        ),
        (
            {"ranking": True, "columns": {"response": "answers"}},
            {"instruction": "2 + 2?", "answers": ["4", "5"]},
            Comparison(ASKED, FOUR, FIVE),
        ),
        (
            {"formatting": "sharegpt", "columns": {"messages": "talk"}, "tags": TAGS},
            {"talk": [{"who": "Q", "what": "2 + 2?"}, {"who": "A", "what": "4"}]},
            Demonstration((), ASKED + FOUR),
        ),
        (
            {"formatting": "sharegpt", "ranking": True, "columns": {"chosen": "good", "rejected": "bad"}},
            {
                "conversations": [{"from": "human", "value": "2 + 2?"}],
                "good": {"from": "gpt", "value": "4"},
                "bad": {"from": "gpt", "value": "5"},
            },
            Comparison(ASKED, FOUR, FIVE),
        ),
    ],
)
def test_rows_are_renamed_for_their_format(
    entry: dict[str, Any], row: dict[str, Any], record: object
) -> None:
    parsed = Entry("info:mine", {"file_name": "a.json"} | entry)
    (renamed,) = parsed.rename(iter([SourceRow(WHERE, row)]))
    assert isinstance(renamed, SourceRow)
    assert FORMATS[parsed.format].convert(renamed.value, WHERE) == record


@pytest.mark.parametrize(
    ("entry", "expected"),
    [
        (
            {"file_name": "a", "formatting": "owl"},
            "formatting = 'owl' is not understood; choose one of alpaca",
        ),
        ({"file_name": "a", "num_samples": 0}, "num_samples = 0 is not understood; write a whole number"),
        ({"file_name": 4}, "file_name = 4 is not understood; write text"),
        ({"file_name": "a", "columns": []}, None),
        ({"file_name": "a", "columns": ["q"]}, "columns = \\['q'\\] is not understood"),
    ],
)
def test_an_entry_that_is_not_understood_is_refused(entry: dict[str, Any], expected: str | None) -> None:
    if expected is None:
        Entry("info:mine", entry)
        return
    with pytest.raises(DataError, match=f"^info:mine: {expected}"):
        Entry("info:mine", entry)
