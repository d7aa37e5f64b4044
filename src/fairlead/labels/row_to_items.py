"""Convert the rows of a file into items: which task kinds suit a kind of row, and how answers are grouped.

A row with one answer becomes one item.  A row with several answers becomes one item, one item per answer,
or pairs, depending on how many answers the task kind takes.  Scores and labels of a row are stored with its
answers, but never shown to raters.  Whatever cannot be used yields a RowProblem with line, field, value and
remedy.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import chain, combinations, islice
from typing import Any, Literal, TypeAlias, get_args

from fairlead.core.errors import DataError
from fairlead.core.plural import counted
from fairlead.data import importer
from fairlead.data.file_source import SourceRow
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
)
from fairlead.data.row_problem import BadRow, RowLocation, RowProblem, reject_row
from fairlead.labels import storable_text, task_kinds
from fairlead.labels.items import CandidateAnswer, NewItem, why_too_long, why_unjudgeable
from fairlead.labels.task_kinds import TaskKind

RowItems: TypeAlias = tuple[list[NewItem], list[RowProblem]]  # the items of a row, and its problems

ANSWERS_FORMAT = "answers"  # format and row kind of the files that `fairlead sample` writes

KINDS_OF_ROW: Mapping[str, tuple[TaskKind, ...]] = {  # row kind -> task kinds, most natural first
    "prompt": ("demonstration", "chat"),
    "demonstration": ("edit", "rating", "thumbs", "aspects", "conversation", "demonstration", "chat"),
    "comparison": ("pairwise", "ranking", "rating", "thumbs", "aspects", "edit", "demonstration", "chat"),
    "ranking": ("ranking", "pairwise", "rating", "thumbs", "aspects", "edit", "demonstration", "chat"),
    ANSWERS_FORMAT: ("pairwise", "ranking", "rating", "thumbs", "aspects", "edit", "demonstration", "chat"),
    "rating": ("rating", "aspects", "thumbs", "edit", "demonstration", "chat"),
    "binary": ("thumbs", "rating", "aspects", "edit", "demonstration", "chat"),
    "stepwise": ("thumbs", "rating", "aspects", "edit", "demonstration", "chat"),
}

Pairing = Literal["each", "all"]
PAIRINGS: tuple[Pairing, ...] = get_args(Pairing)
MOST_PAIRED = 20  # answers per row when all pairs are formed; 20 answers give 190 items


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
    carried: Mapping[str, Any] = field(default_factory=dict)  # id, metadata and tools
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
    for row in rows:
        if isinstance(row, RowProblem):
            yield row
            continue
        try:
            yield _parse_answers(row, model)
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
                yield _parse_answers(row, model)
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


def to_items(
    row: ParsedRow | RowProblem, kind: TaskKind, *, pairs: Pairing = "each", source: str = ""
) -> RowItems:
    if isinstance(row, RowProblem):
        return [], [row]
    try:
        groups = _group_answers(row, kind, pairs)
    except BadRow as error:
        return [], [*row.problems, replace(error.problem, row=row.row)]
    prompt = row.prompt + row.answers[0].messages if kind == "conversation" else row.prompt
    new_items, problems = [], list(row.problems)
    for group in groups:
        item = NewItem(
            prompt=prompt,
            answers=tuple(group),
            tags=row.tags,
            reference=row.reference,
            source=source[:200],
            carried=row.carried,
        )
        reason = _why_unusable(item)
        if reason is None:
            new_items.append(item)
        else:
            problems.append(
                RowProblem(
                    *row.where, "", None, reason, "Repair the row, and import the file again.", row.row
                )
            )
    return new_items, problems


def chunks(rows: Iterable[RowItems], size: int) -> Iterator[list[RowItems]]:
    """Group rows into chunks of at least `size` rows or items, without splitting a row."""
    chunk: list[RowItems] = []
    num = 0
    for row in rows:
        chunk.append(row)
        num += max(1, len(row[0]))
        if num >= size:
            yield chunk
            chunk, num = [], 0
    if chunk:
        yield chunk


def task_kinds_of(row_kind: str) -> tuple[TaskKind, ...]:
    if row_kind not in KINDS_OF_ROW:
        raise DataError(
            f"Rows of the kind {row_kind} cannot be judged. Import one of: {', '.join(KINDS_OF_ROW)}."
        )
    return KINDS_OF_ROW[row_kind]


# ---------------------------------------------------------------- rows


def is_answers(row: Mapping[str, Any]) -> bool:
    """Whether the row holds several unjudged answers: texts or lists of messages, without a judgement."""
    answers = row.get("completions")
    if not isinstance(answers, list) or row.get("ranks") is not None or row.get("labels") is not None:
        return False
    # UltraFeedback's rows have objects with ratings here.
    return not answers or not all(isinstance(answer, dict) for answer in answers)


def _parse_answers(row: SourceRow, model: str | None) -> ParsedRow:
    where, value = row
    prompt, answers = value.get("prompt"), value.get("completions")
    if isinstance(prompt, str) and prompt.strip():
        prompt = [{"role": "user", "content": prompt}]
    parsed = parse_row("prompt", {**value, "prompt": prompt}, where)
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
    for index, answer in enumerate(answers):
        field = f"completions[{index}]"
        try:
            turns = _parse_turns(answer, field, where)
            if any(earlier.messages == turns for earlier in parsed_answers):
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
    return ParsedRow(
        where,
        value,
        ANSWERS_FORMAT,
        parsed.prompt,
        tuple(parsed_answers),
        parsed.tags,
        parsed.reference,
        carried_row(parsed),
        tuple(problems),
    )


def _parse_record(record: Record, row: SourceRow, model: str | None) -> ParsedRow:
    def answer(turns: Messages, **feedback: Any) -> CandidateAnswer:
        source = row.value.get("model") or model
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
    tags = row.value.get("tags")
    is_tag_list = isinstance(tags, list) and all(isinstance(tag, str) for tag in tags)
    return ParsedRow(
        where=row.where,
        row=row.value,
        kind=kind_of_record(record),
        prompt=prompt,
        answers=answers,
        tags=tuple(tags) if isinstance(tags, list) and is_tag_list else (),
        reference=reference,
        carried=carried_row(record),
    )


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


# ---------------------------------------------------------------- groups of answers


def _group_answers(row: ParsedRow, kind: TaskKind, pairs: Pairing) -> list[Sequence[CandidateAnswer]]:
    low, high = task_kinds.NUM_ANSWERS[kind]
    if kind == "conversation":
        if len(row.answers) != 1:
            reject_row(
                row.where,
                "",
                None,
                "is not a complete conversation",
                "A conversation campaign needs rows with messages.",
            )
        return [()]
    if kind == "chat" or high == 0:
        _require_user_turn(row)
        return [()]
    if kind == "edit" or low != high:
        if not low <= len(row.answers) <= high:
            reason = (
                f"has {counted(len(row.answers), 'answer')}; an item of kind {kind} takes {low} to {high}"
            )
            reject_row(row.where, "completions", None, reason, "Remove answers, or choose the kind pairwise.")
        return [row.answers]
    if high == 1:
        if not row.answers:
            reject_row(
                row.where,
                "",
                None,
                f"has no answer; an item of kind {kind} needs one",
                "Choose the kind demonstration instead.",
            )
        return [(answer,) for answer in row.answers]
    if len(row.answers) < 2:
        reject_row(
            row.where,
            "completions",
            None,
            f"has {len(row.answers)} answer; an item of kind {kind} needs two",
            "Sample more answers to each prompt.",
        )
    if pairs == "all":
        if len(row.answers) > MOST_PAIRED:
            reason = (
                f"has {counted(len(row.answers), 'answer')}; all pairs can be formed of at most {MOST_PAIRED}"
            )
            reject_row(
                row.where,
                "completions",
                None,
                reason,
                "Remove answers, or let each answer appear in one pair.",
            )
        return list(combinations(row.answers, 2))
    return _pair_neighbours(row.answers)


def _pair_neighbours(answers: Sequence[CandidateAnswer]) -> list[Sequence[CandidateAnswer]]:
    """Pair neighbouring answers, so that each appears once.  An odd last answer is paired with the first."""
    pairs: list[Sequence[CandidateAnswer]] = [answers[i : i + 2] for i in range(0, len(answers) - 1, 2)]
    return [*pairs, (answers[-1], answers[0])] if len(answers) % 2 else pairs


def _require_user_turn(row: ParsedRow) -> None:
    if not row.prompt or row.prompt[-1].role != "user":
        reject_row(
            row.where,
            "prompt",
            None,
            "does not end with a user message, so there is nothing to answer",
            "Choose another task kind, or add a user message.",
        )


def _why_unusable(item: NewItem) -> str | None:
    """The reason why an item can be neither judged nor stored, or None."""
    if reason := why_unjudgeable(item.answers):
        return reason
    if reason := why_too_long(item):
        return reason
    texts = [
        message.content
        for turns in (item.prompt, *(answer.messages for answer in item.answers))
        for message in turns
    ]
    return storable_text.find_problem(
        [
            texts,
            item.tags,
            item.reference,
            item.carried,
            [answer.params for answer in item.answers],
            [a.source for a in item.answers],
        ]
    )
