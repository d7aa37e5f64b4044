"""Damage rows of every format: each import ends right, or in one clear error with a remedy.

A damaged row may be refused or counted as left out.  It may not raise anything but a DataError, lose a text
that the format reads, or turn a judgement round.
"""

import copy
import json
import random
from collections.abc import Iterator
from itertools import combinations
from typing import Any

import pytest

from data.format_samples import SAMPLES
from data.sample_texts import BAD, GOOD, QUESTION
from fairlead.core.errors import DataError
from fairlead.data import importer, kind_conversion
from fairlead.data.file_source import SourceRow
from fairlead.data.importer import LeftOutRow, Tally
from fairlead.data.parsing import parse_row
from fairlead.data.records import RecordKind, kind_of_record, kind_of_row, to_row
from fairlead.data.row_problem import BadRow, RowLocation, RowProblem

NUM_DAMAGED = 60  # damaged copies of each row
MARK = " ⟦é漢🙂⟧"  # added to a text to find it again
TEXTS = (QUESTION, GOOD, BAD)
KINDS: tuple[RecordKind | None, ...] = (
    None,
    "comparison",
    "binary",
    "rating",
    "ranking",
    "demonstration",
    "prompt",
    "stepwise",
)
MEANINGFUL_COLUMNS = (
    "label",
    "score",
    "system",
    "history",
    "response_z",
    "kto_tag",
    "ranks",
    "tools",
    "weight",
)

Path_ = tuple[str | int, ...]


def test_every_format_has_samples() -> None:
    assert SAMPLES.keys() == importer.FORMATS.keys()
    for format, rows in SAMPLES.items():
        assert {importer.first_format(row) for row in rows} == {format}


@pytest.mark.parametrize("format", SAMPLES)
def test_a_damaged_row_is_read_right_or_refused(format: str) -> None:
    rng = random.Random(format)
    rows = (
        [[row] for row in SAMPLES[format]] if importer.FORMATS[format].gather is None else [SAMPLES[format]]
    )
    for group in rows:
        kind = rng.choice(KINDS[:2])
        before = judgements_in(imported(group, format, None)[0])
        assert before, "the sample itself can be imported"
        for _ in range(NUM_DAMAGED):
            damaged, what, mark_is_text, may_turn = damage(group, rng)
            try:
                written, num_left_out = imported(damaged, format, kind)
            except DataError as error:
                assert_clear(str(error), what)
                continue
            if mark_is_text:
                assert holds_mark(written) or num_left_out, f"{what}: the text is lost"
            inverted = {opposite(judgement) for judgement in before} & judgements_in(written)
            assert may_turn or not inverted - before, f"{what}: {inverted} is turned round"


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("format", SAMPLES)
def test_every_kind_is_given_or_refused(format: str, kind: RecordKind | None) -> None:
    try:
        written, num_left_out = imported(SAMPLES[format], format, kind)
    except DataError as error:
        assert_clear(str(error), f"--kind {kind}")
    else:
        assert written or num_left_out


@pytest.mark.parametrize("column", MEANINGFUL_COLUMNS)
@pytest.mark.parametrize("format", SAMPLES)
def test_a_column_with_meaning_is_read_or_stops_the_import(format: str, column: str) -> None:
    value = f"Something.{MARK}"
    rows = [row | ({} if column in row else {column: value}) for row in SAMPLES[format][:1]]
    if importer.FORMATS[format].gather is not None or column in SAMPLES[format][0]:
        return
    try:
        written, _ = imported(rows, format, None)
    except DataError as error:
        assert column in str(error)
    else:
        assert holds_mark(written), f"{column} is lost"


# ---------------------------------------------------------------- damage


def damage(rows: list[dict[str, Any]], rng: random.Random) -> tuple[list[dict[str, Any]], str, bool, bool]:
    """A damaged copy, what was done to it, whether a question or an answer got a mark, and whether a
    judgement may well be turned round: a number got another value, or what it counts was removed.
    """
    damaged = copy.deepcopy(rows)
    places = list(leaves(damaged))
    place = rng.choice(places)
    holder: Any = damaged
    for key in place[:-1]:
        holder = holder[key]
    key, value = place[-1], holder[place[-1]]
    how = rng.choice(("null", "remove", "mark", "blank", "word", "list", "object", "text", "huge", "number"))
    if how == "remove":
        del holder[key]
    elif how == "mark" and isinstance(value, str):
        holder[key] = value + MARK
    else:
        replacement = {
            "null": None,
            "blank": "  ",
            "word": "perhaps",
            "list": [value],
            "object": {"inner": value},
            "text": value if isinstance(value, str) else json.dumps(value),
            "huge": 10**30,
            "number": 7.5,
        }
        holder[key] = replacement.get(how, value)
    what = f"{how} at {'.'.join(map(str, place))}"
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    is_repeated = key == "text" and "message" in holder  # LangChain writes an answer twice
    is_marked_text = how == "mark" and isinstance(value, str) and value in TEXTS and not is_repeated
    return (
        damaged,
        what,
        is_marked_text,
        ((is_number and how in ("huge", "number")) or (how == "remove" and isinstance(key, int))),
    )


def leaves(value: Any, place: Path_ = ()) -> Iterator[Path_]:
    """The places of all values in rows, inner ones and the lists and objects around them."""
    if len(place) > 1:
        yield place
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, inner in items:
        yield from leaves(inner, (*place, key))


# ---------------------------------------------------------------- results


def imported(
    rows: list[dict[str, Any]], format: str, kind: RecordKind | None
) -> tuple[list[dict[str, Any]], int]:
    """The native rows of the source, and how many of its rows or parts were left out; as `import_file`, but
    without the file, whose writing would take most of the time.
    """
    source = (SourceRow(RowLocation("rows.jsonl", line), row) for line, row in enumerate(rows, start=1))
    tally = Tally()
    written: list[dict[str, Any]] = []
    num_left_out = 0
    for parsed in importer.import_rows(source, format, kind):
        if isinstance(parsed, RowProblem):
            raise BadRow(parsed)
        if isinstance(parsed, LeftOutRow):
            num_left_out += 1
            continue
        metadata = importer.metadata_of(parsed.row, parsed.record, format, kind, tally)
        record = importer.carry(parsed.row, parsed.record, metadata)
        wanted = kind or tally.kind or kind_of_record(record)
        tally.kind = wanted
        written += [to_row(record) for record in kind_conversion.as_kind(record, wanted, parsed.row.where)]
    for row in written:
        native_kind = kind_of_row(row)
        assert native_kind is not None
        try:
            parse_row(native_kind, row, RowLocation("written.jsonl", 1))
        except DataError as error:
            raise AssertionError(f"what was written cannot be read: {error}") from error
        json.dumps(row, allow_nan=False)
    return written, num_left_out


def assert_clear(message: str, what: str) -> None:
    """A place, a reason and a remedy, and no words of Python."""
    assert message.rstrip().endswith((".", "…", ")")) and len(message) > 40, f"{what}: {message}"
    for word in ("Traceback", "KeyError", "TypeError", "NoneType", "object has no attribute", "<class"):
        assert word not in message, f"{what}: {message}"


Judgement = tuple[str, Any, Any]


def judgements_in(written: list[dict[str, Any]]) -> set[Judgement]:
    return {judgement for row in written for judgement in judgements_of(row)}


def holds_mark(written: list[dict[str, Any]]) -> bool:
    return MARK.strip() in json.dumps(written, ensure_ascii=False)


def judgements_of(row: dict[str, Any]) -> Iterator[Judgement]:
    if "chosen" in row:
        yield ("tie" if row.get("tie") else "pair", text_of(row["chosen"]), text_of(row["rejected"]))
    elif "ranks" in row:
        answers = sorted(zip(row["ranks"], map(text_of, row["completions"]), strict=True))
        for (high, better), (low, worse) in combinations(answers, 2):
            if high < low:
                yield ("pair", better, worse)
    elif "labels" in row:
        for step, label in zip(row["completions"], row["labels"], strict=True):
            yield ("step", step.replace(MARK, ""), label)
    elif "label" in row:
        yield ("label", text_of(row["completion"]), row["label"])
    elif "score" in row or "aspects" in row:
        yield ("score", text_of(row["completion"]), json.dumps([row.get("score"), row.get("aspects")]))
    else:
        yield ("text", text_of(row.get("messages") or row.get("completion") or row["prompt"]), None)


def opposite(judgement: Judgement) -> Judgement:
    kind, first, second = judgement
    if kind == "pair":
        return (kind, second, first)
    return (kind, first, not second) if kind in ("label", "step") else ("none", first, second)


def text_of(turns: list[dict[str, Any]]) -> str:
    return " / ".join(turn["content"] for turn in turns).replace(MARK, "")
