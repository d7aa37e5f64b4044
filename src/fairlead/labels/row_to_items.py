"""From the rows of a file to items of a campaign: which kinds of task a kind of row can become, and how.

A row with one answer becomes one item.  A row with several becomes one item where the task takes them together, an item for each
answer where it takes one at a time, and pairs where it takes two.  What a row already says about its answers is kept with them and
never shown.  Nothing is left out in silence: what cannot be used is a Problem with its line, field, value and remedy.
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
from fairlead.labels.items import Answer, NewItem, unjudgeable
from fairlead.labels.task_kinds import Kind

Fitted: TypeAlias = tuple[
    list[NewItem], list[RowProblem]
]  # of a row: the items that it becomes, and what of it cannot be used

ANSWERS = "answers"  # the format, and the kind of row, that `fairlead sample` writes

SUITS: Mapping[str, tuple[Kind, ...]] = {  # kind of row -> kinds of task, the most natural one first
    "prompt": ("demonstration", "chat"),
    "demonstration": ("edit", "rating", "thumbs", "aspects", "conversation", "demonstration", "chat"),
    "comparison": ("pairwise", "ranking", "rating", "thumbs", "aspects", "edit", "demonstration", "chat"),
    "ranking": ("ranking", "pairwise", "rating", "thumbs", "aspects", "edit", "demonstration", "chat"),
    ANSWERS: ("pairwise", "ranking", "rating", "thumbs", "aspects", "edit", "demonstration", "chat"),
    "rating": ("rating", "aspects", "thumbs", "edit", "demonstration", "chat"),
    "binary": ("thumbs", "rating", "aspects", "edit", "demonstration", "chat"),
    "stepwise": ("thumbs", "rating", "aspects", "edit", "demonstration", "chat"),
}

Pairs = Literal["each", "all"]
PAIRS: tuple[Pairs, ...] = get_args(Pairs)
MOST_PAIRED = 20  # answers of which all pairs are made: 190 items of one row


@dataclass(frozen=True)
class Given:
    """What a row holds, before it is known what will be asked about it."""

    where: RowLocation
    row: Mapping[str, Any]  # as it was read
    kind: str  # a key of SUITS
    prompt: Messages
    answers: tuple[Answer, ...]
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
        return ANSWERS, whole
    return importer.choose_format(whole)


def given(
    rows: Iterable[SourceRow | RowProblem], format: str, *, model: str | None = None
) -> Iterator[Given | RowProblem]:
    """Each row as what it holds, or what is wrong with it.  `model` wrote the answers of which the row does not say who did."""
    for row in rows:
        if isinstance(row, RowProblem):
            yield row
            continue
        try:
            if format == ANSWERS or (format == "native" and is_answers(row.value)):
                yield _answers(row, model)
            else:
                yield _of_record(importer.FORMATS[format].convert(row.value, row.where), row, model)
        except BadRow as error:
            yield replace(error.problem, row=row.value)


def fit(one: Given | RowProblem, kind: Kind, *, pairs: Pairs = "each", source: str = "") -> Fitted:
    if isinstance(one, RowProblem):
        return [], [one]
    try:
        groups = _groups(one, kind, pairs)
    except BadRow as error:
        return [], [*one.problems, replace(error.problem, row=one.row)]
    prompt = one.prompt + one.answers[0].messages if kind == "conversation" else one.prompt
    made, problems = [], list(one.problems)
    for group in groups:
        item = NewItem(
            prompt=prompt, answers=tuple(group), tags=one.tags, reference=one.reference, source=source[:200]
        )
        why = _unfit(item)
        if why is None:
            made.append(item)
        else:
            problems.append(
                RowProblem(*one.where, "", None, why, "Repair the row, and import it again.", one.row)
            )
    return made, problems


def chunks(rows: Iterable[Fitted], size: int) -> Iterator[list[Fitted]]:
    """As many as make `size` rows or items, and at most one row's more."""
    chunk: list[Fitted] = []
    num = 0
    for row in rows:
        chunk.append(row)
        num += max(1, len(row[0]))
        if num >= size:
            yield chunk
            chunk, num = [], 0
    if chunk:
        yield chunk


def suits(row_kind: str) -> tuple[Kind, ...]:
    if row_kind not in SUITS:
        raise DataError(f"Rows of the kind {row_kind} cannot be judged.")
    return SUITS[row_kind]


# ---------------------------------------------------------------- rows


def is_answers(row: Mapping[str, Any]) -> bool:
    """Several answers of which nobody has said yet which is better."""
    return isinstance(row.get("completions"), list) and row.get("ranks") is None and row.get("labels") is None


def _answers(row: SourceRow, model: str | None) -> Given:
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
    finished, models = (_beside(value, name, len(answers), where) for name in ("finished", "models"))
    found: list[Answer] = []
    problems: list[RowProblem] = []
    for index, answer in enumerate(answers):
        field = f"completions[{index}]"
        try:
            turns = _turns(answer, field, where)
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
            Answer(
                turns,
                str(by) if by else None,
                params if isinstance(params, dict) else None,
                None if ended is None else bool(ended),
            )
        )
    if not found:
        raise BadRow(problems[0])
    return Given(
        where, value, ANSWERS, parsed.prompt, tuple(found), parsed.tags, parsed.reference, tuple(problems)
    )


def _of_record(record: Record, row: SourceRow, model: str | None) -> Given:
    def answer(turns: Messages, **said: Any) -> Answer:
        return Answer(
            turns,
            str(by) if (by := row.value.get("model") or model) else None,
            {"given": said} if said else None,
        )

    prompt, answers = record.prompt, ()  # type: Messages, tuple[Answer, ...]
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
    return Given(row.where, row.value, kind_of_record(record), prompt, answers, kept, reference)


def _turns(value: object, field: str, where: RowLocation) -> Messages:
    if isinstance(value, str):
        value = [{"role": "assistant", "content": value}]
    turns = read_messages(value, field, where)
    check_turns(turns, field, where, first="assistant", last="assistant")
    return turns


def _beside(row: Mapping[str, Any], column: str, count: int, where: RowLocation) -> Sequence[Any]:
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


def _groups(one: Given, kind: Kind, pairs: Pairs) -> list[Sequence[Answer]]:
    low, high = task_kinds.ANSWERS[kind]
    if kind == "conversation":
        if len(one.answers) != 1:
            reject_row(
                one.where,
                "",
                None,
                "is no whole conversation",
                "A conversation task needs rows with messages.",
            )
        return [()]
    if kind == "chat" or high == 0:
        _must_end_with_user(one)
        return [()]
    if kind == "edit" or low != high:
        if not low <= len(one.answers) <= high:
            why = f"has {len(one.answers)} answers; a {kind} task takes {low} to {high}"
            reject_row(one.where, "completions", None, why, "Take answers out, or ask for pairs of them.")
        return [one.answers]
    if high == 1:
        if not one.answers:
            reject_row(
                one.where,
                "",
                None,
                f"has no answer; a {kind} task needs one",
                "Ask for demonstrations instead.",
            )
        return [(answer,) for answer in one.answers]
    if len(one.answers) < 2:
        reject_row(
            one.where,
            "completions",
            None,
            f"has {len(one.answers)} answer; a {kind} task needs two",
            "Sample more answers to each prompt.",
        )
    if pairs == "all":
        if len(one.answers) > MOST_PAIRED:
            why = f"has {len(one.answers)} answers; all pairs are made of at most {MOST_PAIRED}"
            reject_row(one.where, "completions", None, why, "Take answers out, or choose each in one pair.")
        return list(combinations(one.answers, 2))
    return _each_once(one.answers)


def _each_once(answers: Sequence[Answer]) -> list[Sequence[Answer]]:
    """Neighbours, so that every answer is in one pair; of an odd number the last is paired with the first."""
    made: list[Sequence[Answer]] = [answers[i : i + 2] for i in range(0, len(answers) - 1, 2)]
    return [*made, (answers[-1], answers[0])] if len(answers) % 2 else made


def _must_end_with_user(one: Given) -> None:
    if not one.prompt or one.prompt[-1].role != "user":
        reject_row(
            one.where,
            "prompt",
            None,
            "does not end with the user's turn, so there is nothing to answer",
            "Ask for another kind of task.",
        )


def _unfit(item: NewItem) -> str | None:
    """What neither a person nor a database could make sense of."""
    if why := unjudgeable(item.answers):
        return why
    texts = [
        message.content
        for turns in (item.prompt, *(answer.messages for answer in item.answers))
        for message in turns
    ]
    return storable_text.problem(
        [
            texts,
            item.tags,
            item.reference,
            [answer.params for answer in item.answers],
            [a.source for a in item.answers],
        ]
    )
