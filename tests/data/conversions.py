"""Convert single rows in tests: records as short texts, so that a turned round judgement stands out."""

from typing import Any

import pytest

from fairlead.data.formats.format import LeftOut
from fairlead.data.importer import FORMATS
from fairlead.data.records import Binary, Comparison, Demonstration, Ranking, Rating, Record, Stepwise
from fairlead.data.row_problem import BadRow, RowLocation

WHERE = RowLocation("rows.jsonl", 7)


def converted(format: str, row: dict[str, Any], kind: Any = None) -> list[Record]:
    """The records of a row, without what is left out."""
    return [record for record in _convert(format, row, kind) if not isinstance(record, LeftOut)]


def left_out(format: str, row: dict[str, Any], kind: Any = None) -> list[str]:
    """The reasons of what is left out."""
    return [record.reason for record in _convert(format, row, kind) if isinstance(record, LeftOut)]


def judged(format: str, row: dict[str, Any], kind: Any = None) -> list[object]:
    """The judgement of each record: ("better", "worse"), {answer: rank}, (answer, score), …."""
    return [_judged(record) for record in converted(format, row, kind)]


def problem(format: str, row: dict[str, Any], kind: Any = None) -> str:
    with pytest.raises(BadRow) as caught:
        _convert(format, row, kind)
    return str(caught.value).removeprefix("rows.jsonl:7: ")


def _convert(format: str, row: dict[str, Any], kind: Any) -> list[Record | LeftOut]:
    assert FORMATS[format].recognises(row)
    convert = FORMATS[format].readings.get(kind, FORMATS[format].convert)
    conversion = convert(row, WHERE)
    return conversion if isinstance(conversion, list) else [conversion]


def _judged(record: Record) -> object:
    if isinstance(record, Comparison):
        return _text(record.chosen), _text(record.rejected)
    if isinstance(record, Ranking):
        return dict(zip(map(_text, record.completions), record.ranks, strict=True))
    if isinstance(record, Rating):
        return _text(record.completion), record.score if record.score is not None else record.aspects
    if isinstance(record, Binary):
        return _text(record.completion), record.label
    if isinstance(record, Stepwise):
        return list(zip(record.completions, record.labels, strict=True))
    assert isinstance(record, Demonstration)
    return _text(record.messages)


def _text(turns: Any) -> str:
    return " / ".join(turn.content for turn in turns)
