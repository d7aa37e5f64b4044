"""The list of formats: their order, and what each says about its columns."""

import pytest

from data.test_formats import SAYS_4, USER
from fairlead.data.formats.registry import FORMATS, first_format
from fairlead.data.records import RECORD_KINDS


def test_a_narrow_format_comes_before_a_wide_one() -> None:
    question = {"question": "2 + 2?", "chosen": "4", "rejected": "5"}
    assert first_format(question) == "orca-dpo"
    assert first_format({"messages": [USER, SAYS_4], "prompt": "2 + 2?"}) == "openai"
    assert first_format({"prompt": "2 + 2?", "response": "4", "helpfulness": 4, "correctness": 4}) != "plain"
    assert first_format({}) is None


@pytest.mark.parametrize("name", FORMATS)
def test_every_reading_names_the_columns_of_its_kind(name: str) -> None:
    format = FORMATS[name]
    assert set(format.reads) | set(format.readings) <= set(RECORD_KINDS)
    if format.reads:  # a format that maps columns by their names has no list of them
        assert set(format.readings) <= set(format.reads)
