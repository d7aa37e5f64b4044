"""From the rows of a file to items of a campaign: which kinds of task a kind of row can become, and how.

A row with one answer becomes one item.  A row with several becomes one item where the task takes them together, an item for each
answer where it takes one at a time, and pairs where it takes two.  What a row already says about its answers is kept with them and
never shown.  Nothing is left out in silence: what cannot be used is a RowProblem with its line, field, value and remedy.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import chain, combinations, islice
from typing import Any, Literal, TypeAlias, get_args

from fairlead.core.errors import DataError
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
    kind_of_record,
)  # fmt: skip
from fairlead.data.row_problem import BadRow, RowLocation, RowProblem, reject_row
from fairlead.labels import storable_text, task_kinds
from fairlead.labels.items import CandidateAnswer, NewItem, why_unjudgeable
from fairlead.labels.task_kinds import TaskKind

RowItems: TypeAlias = tuple[
    list[NewItem], list[RowProblem]
]  # of a row: the items that it becomes, and what of it cannot be used

ANSWERS_FORMAT = "answers"  # the format, and the kind of row, that `fairlead sample` writes

KINDS_OF_ROW: Mapping[
    str, tuple[TaskKind, ...]
] = {  # kind of row -> kinds of task, the most natural one first
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
MOST_PAIRED = 20  # answers of which all pairs are made: 190 items of one row


@dataclass(frozen=True)
class ParsedRow:
    """What a row holds, before it is known what will be asked about it."""

    where: RowLocation
    row: Mapping[str, Any]  # as it was read
    kind: str  # a key of SUITS
    prompt: Messages
    answers: tuple[CandidateAnswer, ...]
    tags: tuple[str, ...] = ()
    reference: str | None = None
    problems: tuple[RowProblem, ...] = ()  # of single answers, which are left out


def choose_format(rows: Iterable[SourceRow | RowProblem]) -> tuple[str, Iterator[SourceRow | RowProblem]]:
    """ANSWERS or a format of `importer`, by most of the first rows; and all the rows, none lost to looking."""
    remaining = iter(rows)
    sample = list(islice(remaining, importer.NUM_SAMPLE))
    good = [row for row in sample if isinstance(row, SourceRow)]
    whole = chain(sample, remaining)
    if good and sum(is_answers(row.value) for row in good) * 2 > len(good):
        return ANSWERS_FORMAT, whole
    return importer.choose_format(whole)


def parse_rows(
    rows: Iterable[SourceRow | RowProblem], format: str, *, model: str | None = None
) -> Iterator[ParsedRow | RowProblem]:
    """Each row as what it holds, or what is wrong with it.  `model` wrote the answers of which the row does not say who did."""
    for row in rows:
        if isinstance(row, RowProblem):
            yield row
            continue
        try:
            if format == ANSWERS_FORMAT or (format == "native" and is_answers(row.value)):
                yield _parse_answers(row, model)
            else:
                yield _parse_record(importer.FORMATS[format].convert(row.value, row.where), row, model)
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
    made, problems = [], list(row.problems)
    for group in groups:
        item = NewItem(
            prompt=prompt, answers=tuple(group), tags=row.tags, reference=row.reference, source=source[:200]
        )
        why = _why_unusable(item)
        if why is None:
            made.append(item)
        else:
            problems.append(
                RowProblem(*row.where, "", None, why, "Repair the row, and import it again.", row.row)
            )
    return made, problems


def chunks(rows: Iterable[RowItems], size: int) -> Iterator[list[RowItems]]:
    """As many as make `size` rows or items, and at most one row's more."""
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
        raise DataError(f"Rows of the kind {row_kind} cannot be judged.")
    return KINDS_OF_ROW[row_kind]


# ---------------------------------------------------------------- rows


def is_answers(row: Mapping[str, Any]) -> bool:
    """Several answers of which nobody has said yet which is better."""
    return isinstance(row.get("completions"), list) and row.get("ranks") is None and row.get("labels") is None


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
            "Write such files with `fairlead sample`.",
        )
    finished, models = (
        _column_per_answer(value, name, len(answers), where) for name in ("finished", "models")
    )
    found: list[CandidateAnswer] = []
    problems: list[RowProblem] = []
    for index, answer in enumerate(answers):
        field = f"completions[{index}]"
        try:
            turns = _parse_turns(answer, field, where)
            if any(known.messages == turns for known in found):
                reject_row(
                    where,
                    field,
                    turns[-1].content,
                    "repeats an earlier answer to this prompt",
                    "It is left out; the others are used.",
                )
        except BadRow as error:
            problems.append(replace(error.problem, row=value))
            continue
        ended, by = finished[index], models[index] or value.get("model") or model
        params = value.get("params")
        found.append(
            CandidateAnswer(
                turns,
                str(by) if by else None,
                params if isinstance(params, dict) else None,
                None if ended is None else bool(ended),
            )
        )
    if not found:
        raise BadRow(problems[0])
    return ParsedRow(
        where,
        value,
        ANSWERS_FORMAT,
        parsed.prompt,
        tuple(found),
        parsed.tags,
        parsed.reference,
        tuple(problems),
    )


def _parse_record(record: Record, row: SourceRow, model: str | None) -> ParsedRow:
    def answer(turns: Messages, **said: Any) -> CandidateAnswer:
        return CandidateAnswer(
            turns,
            str(by) if (by := row.value.get("model") or model) else None,
            {"given": said} if said else None,
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
                "Nobody can tell which is better.",
            )
        answers = (answer(record.chosen, place="chosen"), answer(record.rejected, place="rejected"))
    elif isinstance(record, Ranking):
        answers = tuple(
            answer(turns, rank=rank) for turns, rank in zip(record.completions, record.ranks, strict=True)
        )
    elif isinstance(record, Rating):
        said = {"score": record.score, "aspects": dict(record.aspects) if record.aspects else None}
        answers = (
            answer(record.completion, **{name: value for name, value in said.items() if value is not None}),
        )
    elif isinstance(record, Binary):
        answers = (answer(record.completion, label=record.label),)
    else:
        assert isinstance(record, Stepwise)
        answers = (
            answer((Message("assistant", "\n\n".join(record.completions)),), labels=list(record.labels)),
        )
    tags = row.value.get("tags")
    kept = tuple(tags) if isinstance(tags, list) and all(isinstance(tag, str) for tag in tags) else ()
    return ParsedRow(row.where, row.value, kind_of_record(record), prompt, answers, kept, reference)


def _parse_turns(value: object, field: str, where: RowLocation) -> Messages:
    if isinstance(value, str):
        value = [{"role": "assistant", "content": value}]
    turns = read_messages(value, field, where)
    check_turns(turns, field, where, first="assistant", last="assistant")
    return turns


def _column_per_answer(row: Mapping[str, Any], column: str, count: int, where: RowLocation) -> Sequence[Any]:
    """A column with one value for each answer, where there is one."""
    values = row.get(column)
    if values is None:
        return [None] * count
    if not isinstance(values, list) or len(values) != count:
        reject_row(
            where,
            column,
            values,
            f"is not a list of {count} values, one for each answer",
            "Give each answer one, or leave the column away.",
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
                "is no whole conversation",
                "A conversation task needs rows with messages.",
            )
        return [()]
    if kind == "chat" or high == 0:
        _require_user_turn(row)
        return [()]
    if kind == "edit" or low != high:
        if not low <= len(row.answers) <= high:
            why = f"has {len(row.answers)} answers; a {kind} task takes {low} to {high}"
            reject_row(row.where, "completions", None, why, "Take answers out, or ask for pairs of them.")
        return [row.answers]
    if high == 1:
        if not row.answers:
            reject_row(
                row.where,
                "",
                None,
                f"has no answer; a {kind} task needs one",
                "Ask for demonstrations instead.",
            )
        return [(answer,) for answer in row.answers]
    if len(row.answers) < 2:
        reject_row(
            row.where,
            "completions",
            None,
            f"has {len(row.answers)} answer; a {kind} task needs two",
            "Sample more answers to each prompt.",
        )
    if pairs == "all":
        if len(row.answers) > MOST_PAIRED:
            why = f"has {len(row.answers)} answers; all pairs are made of at most {MOST_PAIRED}"
            reject_row(row.where, "completions", None, why, "Take answers out, or choose each in one pair.")
        return list(combinations(row.answers, 2))
    return _pair_neighbours(row.answers)


def _pair_neighbours(answers: Sequence[CandidateAnswer]) -> list[Sequence[CandidateAnswer]]:
    """Neighbours, so that every answer is in one pair; of an odd number the last is paired with the first."""
    made: list[Sequence[CandidateAnswer]] = [answers[i : i + 2] for i in range(0, len(answers) - 1, 2)]
    return [*made, (answers[-1], answers[0])] if len(answers) % 2 else made


def _require_user_turn(row: ParsedRow) -> None:
    if not row.prompt or row.prompt[-1].role != "user":
        reject_row(
            row.where,
            "prompt",
            None,
            "does not end with the user's turn, so there is nothing to answer",
            "Ask for another kind of task.",
        )


def _why_unusable(item: NewItem) -> str | None:
    """What neither a person nor a database could make sense of."""
    if why := why_unjudgeable(item.answers):
        return why
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
            [answer.params for answer in item.answers],
            [a.source for a in item.answers],
        ]
    )
