"""Read the rows of a file as prompts with answers, whatever the format and the task kind.

Scores and labels of a row are stored with its answers, but never shown to raters.  Every other column of a
row travels with it, or the import stops.  `row_to_items` makes items of the rows.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import chain, islice
from typing import Any

from fairlead.core import digest
from fairlead.data import importer
from fairlead.data.file_source import SourceRow
from fairlead.data.formats.turns import read_history, read_tags, system_of, with_system
from fairlead.data.parsing import check_turns, parse_row, read_messages
from fairlead.data.records import (
    Binary,
    Comparison,
    Demonstration,
    Message,
    Messages,
    Prompt,
    Ranking,
    Rating,
    Record,
    Stepwise,
    carried_row,
    kind_of_record,
    message_to_json,
)
from fairlead.data.row_problem import BadRow, RowLocation, RowProblem, reject_row
from fairlead.labels.items import CandidateAnswer

ANSWERS_FORMAT = "answers"  # format and row kind of the files that `fairlead sample` writes
# Columns that hold the answers of such a row, and what is known about each.
ANSWER_COLUMNS = frozenset({"completions", "finished", "models", "model", "params"})


@dataclass(frozen=True)
class ParsedRow:
    """The content of a row, independent of the task kind."""

    where: RowLocation
    row: Mapping[str, Any]  # as read from the file
    kind: str  # a key of KINDS_OF_ROW
    prompt: Messages
    answers: tuple[CandidateAnswer, ...]
    tags: tuple[str, ...] = ()
    reference: str | None = None
    carried: Mapping[str, Any] = field(default_factory=dict)  # see `items.NewItem`
    problems: tuple[RowProblem, ...] = ()  # of single answers, which are dropped


def choose_format(rows: Iterable[SourceRow | RowProblem]) -> tuple[str, Iterator[SourceRow | RowProblem]]:
    """Detect the format from the first rows: ANSWERS_FORMAT, or a format of `importer`.

    Also returns an iterator over all rows, including those that were inspected.
    """
    remaining = iter(rows)
    sample = list(islice(remaining, importer.NUM_SAMPLE))
    good = [row for row in sample if isinstance(row, SourceRow)]
    all_rows = chain(sample, remaining)
    if good and sum(is_answers(row.value) for row in good) * 2 > len(good):
        return ANSWERS_FORMAT, all_rows
    return importer.choose_format(all_rows)


def parse_rows(
    rows: Iterable[SourceRow | RowProblem], format: str, *, model: str | None = None
) -> Iterator[ParsedRow | RowProblem]:
    """Parse each row, or describe its problem.

    `model` is the source of answers without a model of their own.
    """
    if format != ANSWERS_FORMAT:
        yield from _import_rows(rows, format, model)
        return
    tally = importer.Tally()
    for row in rows:
        if isinstance(row, RowProblem):
            yield row
            continue
        try:
            yield _parse_answers(row, model, tally)
        except BadRow as error:
            yield replace(error.problem, row=row.value)


def _import_rows(
    rows: Iterable[SourceRow | RowProblem], format: str, model: str | None
) -> Iterator[ParsedRow | RowProblem]:
    """The records of a format of `importer`, and rows with several unjudged answers among them."""
    tally = importer.Tally()
    for row in importer.gathered(iter(rows), format):
        if isinstance(row, RowProblem):
            yield row
            continue
        try:
            if format in ("native", "plain") and is_answers(row.value):
                yield _parse_answers(row, model, tally)
                continue
            for parsed in importer.convert_row(row, format):
                if isinstance(parsed, importer.LeftOutRow):
                    remedy = "It is left out; the other rows are used."
                    yield RowProblem(*row.where, "", None, f"holds {parsed.reason}", remedy, row.value)
                elif isinstance(parsed, RowProblem):
                    yield parsed
                else:
                    metadata = importer.metadata_of(row, parsed.record, format, None, tally)
                    yield _parse_record(importer.carry(row, parsed.record, metadata), row, model)
        except BadRow as error:
            yield replace(error.problem, row=row.value)


def is_answers(row: Mapping[str, Any]) -> bool:
    """Whether the row holds several unjudged answers: texts or lists of messages, without a judgement."""
    answers = row.get("completions")
    if not isinstance(answers, list) or row.get("ranks") is not None or row.get("labels") is not None:
        return False
    # UltraFeedback's rows have objects with ratings here.
    return not answers or not all(isinstance(answer, dict) for answer in answers)


def _parse_answers(row: SourceRow, model: str | None, tally: importer.Tally) -> ParsedRow:
    where, value = row
    prompt, answers = value.get("prompt"), value.get("completions")
    if isinstance(prompt, str) and prompt.strip():
        prompt = [{"role": "user", "content": prompt}]
    if isinstance(prompt, list):
        prompt = with_system(
            read_history(value.get("history"), where) + prompt, system_of(row.value, where), where
        )
    parsed = parse_row("prompt", {**value, "prompt": prompt, "tags": read_tags(value.get("tags"))}, where)
    assert isinstance(parsed, Prompt)
    if not isinstance(answers, list) or not answers:
        reject_row(
            where,
            "completions",
            answers,
            "is not a list of answers",
            "Create such files with `fairlead sample`.",
        )
    finished, models = (
        _column_per_answer(value, name, len(answers), where) for name in ("finished", "models")
    )
    parsed_answers: list[CandidateAnswer] = []
    problems: list[RowProblem] = []
    seen: set[str] = set()  # digests of the answers
    for index, answer in enumerate(answers):
        field = f"completions[{index}]"
        try:
            turns = _parse_turns(answer, field, where)
            content = digest.of_json([message_to_json(turn) for turn in turns])
            if content in seen:
                reject_row(
                    where,
                    field,
                    turns[-1].content,
                    "repeats an earlier answer to this prompt",
                    "The repeated answer is left out; the others are used.",
                )
        except BadRow as error:
            problems.append(replace(error.problem, row=value))
            continue
        seen.add(content)
        source = models[index] or value.get("model") or model
        params = value.get("params")
        parsed_answers.append(
            CandidateAnswer(
                turns,
                source=str(source) if source else None,
                params=params if isinstance(params, dict) else None,
                finished=None if finished[index] is None else bool(finished[index]),
            )
        )
    if not parsed_answers:
        raise BadRow(problems[0])
    notes = importer.metadata_of(row, parsed, "plain", None, tally, also_read=ANSWER_COLUMNS)
    return ParsedRow(
        where,
        value,
        ANSWERS_FORMAT,
        parsed.prompt,
        tuple(parsed_answers),
        parsed.tags,
        parsed.reference,
        _carried(row, importer.carry(row, parsed, notes)),
        tuple(problems),
    )


def _parse_record(record: Record, row: SourceRow, model: str | None) -> ParsedRow:
    def answer(turns: Messages, **feedback: Any) -> CandidateAnswer:
        source = row.value.get(f"{feedback.get('place')}_model") or row.value.get("model") or model
        return CandidateAnswer(
            turns,
            source=str(source) if source else None,
            params={"given": feedback} if feedback else None,
        )

    prompt = record.prompt
    answers: tuple[CandidateAnswer, ...] = ()
    reference: str | None = None
    if isinstance(record, Prompt):
        reference = record.reference
    elif isinstance(record, Demonstration):
        prompt, answers = record.messages[:-1], (answer(record.messages[-1:]),)
    elif isinstance(record, Comparison):
        if record.chosen == record.rejected:
            reject_row(
                row.where,
                "rejected",
                record.rejected[-1].content,
                "both answers are the same",
                "Give two different answers.",
            )
        answers = (answer(record.chosen, place="chosen"), answer(record.rejected, place="rejected"))
        record = replace(record, metadata={**_given(record, row), **(record.metadata or {})} or None)
    elif isinstance(record, Ranking):
        answers = tuple(
            answer(turns, rank=rank) for turns, rank in zip(record.completions, record.ranks, strict=True)
        )
    elif isinstance(record, Rating):
        scores = {"score": record.score, "aspects": dict(record.aspects) if record.aspects else None}
        present = {name: value for name, value in scores.items() if value is not None}
        answers = (answer(record.completion, **present),)
    elif isinstance(record, Binary):
        answers = (answer(record.completion, label=record.label),)
    else:
        assert isinstance(record, Stepwise)
        answers = (
            answer((Message("assistant", "\n\n".join(record.completions)),), labels=list(record.labels)),
        )
    return ParsedRow(
        where=row.where,
        row=row.value,
        kind=kind_of_record(record),
        prompt=prompt,
        answers=answers,
        tags=tuple(read_tags(row.value.get("tags"))),
        reference=reference,
        carried=_carried(row, record),
    )


def _carried(row: SourceRow, record: Record) -> dict[str, Any]:
    """The row's id, metadata, tools and family, which exports repeat under these names."""
    family = row.value.get("family")
    return carried_row(record) | ({} if family is None else {"family": family})


def _given(record: Comparison, row: SourceRow) -> dict[str, Any]:
    """What an earlier rater said about a comparison, for the metadata: exports have the new judgement."""
    columns = {
        name: getattr(record, name) for name in ("margin", "tie", "aspects", "rater", "weight", "confidence")
    }
    columns["shown_first"] = row.value.get("shown_first")
    given = {
        name: value
        for name, value in columns.items()
        if value is not None and row.value.get(name) is not None
    }
    return {"given": given} if given else {}


def _parse_turns(value: object, field: str, where: RowLocation) -> Messages:
    if isinstance(value, str):
        value = [{"role": "assistant", "content": value}]
    turns = read_messages(value, field, where)
    check_turns(turns, field, where, first="assistant", last="assistant")
    return turns


def _column_per_answer(row: Mapping[str, Any], column: str, count: int, where: RowLocation) -> Sequence[Any]:
    """A column with one value per answer; None for each answer when the row has no such column."""
    values = row.get(column)
    if values is None:
        return [None] * count
    if not isinstance(values, list) or len(values) != count:
        reject_row(
            where,
            column,
            values,
            f"is not a list of {count} values, one for each answer",
            "Give one value per answer, or omit the column.",
        )
    return values
