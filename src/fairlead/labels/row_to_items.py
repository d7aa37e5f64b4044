"""Convert the rows of a file into items: which task kinds suit a kind of row, and how answers are grouped.

A row with one answer becomes one item.  A row with several answers becomes one item, one item per answer,
or pairs, depending on how many answers the task kind takes.  Whatever cannot be used yields a RowProblem with
line, field, value and remedy.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import combinations
from typing import Any, Literal, TypeAlias, get_args

from fairlead.core.errors import DataError
from fairlead.core.plural import counted
from fairlead.data.row_problem import BadRow, RowProblem, reject_row
from fairlead.labels import storable_text, task_kinds
from fairlead.labels.items import CandidateAnswer, NewItem, why_too_long, why_unjudgeable
from fairlead.labels.row_parsing import ANSWERS_FORMAT, ParsedRow
from fairlead.labels.task_kinds import TaskKind

RowItems: TypeAlias = tuple[list[NewItem], list[RowProblem]]  # the items of a row, and its problems

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
MAX_CHUNK_CHARS = 1_000_000  # stored in one transaction, while which nobody else can save
PAIRINGS: tuple[Pairing, ...] = get_args(Pairing)
MOST_PAIRED = 20  # answers per row when all pairs are formed; 20 answers give 190 items


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
    unused = row.answers if kind in ("demonstration", "chat") else ()
    new_items, problems = [], list(row.problems)
    for group in groups:
        item = NewItem(
            prompt=prompt,
            answers=tuple(group),
            tags=row.tags,
            reference=row.reference,
            source=source[:200],
            carried=_with_answers(row.carried, unused),
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


def chunks(
    rows: Iterable[RowItems], size: int, *, max_chars: int = MAX_CHUNK_CHARS
) -> Iterator[list[RowItems]]:
    """Group rows into chunks of at least `size` rows or items, or `max_chars` characters of text, without
    splitting a row.
    """
    chunk: list[RowItems] = []
    num = chars = 0
    for row in rows:
        chunk.append(row)
        num += max(1, len(row[0]))
        chars += sum(map(_num_chars, row[0]))
        if num >= size or chars >= max_chars:
            yield chunk
            chunk, num, chars = [], 0, 0
    if chunk:
        yield chunk


def task_kinds_of(row_kind: str) -> tuple[TaskKind, ...]:
    if row_kind not in KINDS_OF_ROW:
        raise DataError(
            f"Rows of the kind {row_kind} cannot be judged. Import one of: {', '.join(KINDS_OF_ROW)}."
        )
    return KINDS_OF_ROW[row_kind]


def _with_answers(carried: Mapping[str, Any], answers: Sequence[CandidateAnswer]) -> Mapping[str, Any]:
    """What travels with the item, and the answers of a row of which only the prompt is used."""
    if not answers:
        return carried
    kept = [{"text": answer.messages[-1].content, "model": answer.source} for answer in answers]
    return {**carried, "metadata": {**(carried.get("metadata") or {}), "answers": kept}}


def _num_chars(item: NewItem) -> int:
    return sum(
        len(turn.content) for turns in (item.prompt, *(a.messages for a in item.answers)) for turn in turns
    )


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
