"""Convert a record to another kind, where it holds what that kind needs."""

from itertools import combinations
from typing import NoReturn

from fairlead.data.kind_names import kind_noun
from fairlead.data.records import (
    Comparison,
    Demonstration,
    Message,
    Messages,
    Prompt,
    Ranking,
    Record,
    RecordKind,
    carried,
    kind_of_record,
    prompt_messages,
)
from fairlead.data.row_problem import BadRow, RowLocation, reject_row


def as_kind(
    record: Record, kind: RecordKind, where: RowLocation, *, is_asked_for: bool = True
) -> list[Record]:
    """Convert the record to another kind; raises BadRow if that is not possible.

    A kind that was not asked for, but seen in the first row, may not cost a row its judgement or its answer.
    The list is empty for a ranking without two different answers of different rank.
    """
    source_kind = kind_of_record(record)
    if source_kind == kind:
        return [record]
    if not is_asked_for and not (kind == "comparison" and isinstance(record, Ranking)):
        _reject_another_kind(source_kind, kind, where)
    if kind == "prompt":
        return [Prompt(prompt_messages(record), **carried(record))]
    if kind == "demonstration" and isinstance(record, Comparison):
        if record.tie == "bad":
            reject_row(
                where,
                "tie",
                record.tie,
                "both answers are bad, so there is none to imitate",
                "Drop the row with --drop.",
            )
        return [Demonstration(record.prompt, record.chosen, **carried(record))]
    if kind == "demonstration" and isinstance(record, Prompt) and (solution := _solution(record)):
        answer = Message("assistant", solution)
        return [Demonstration(record.prompt, (answer,), **carried(record))]
    if kind == "comparison" and isinstance(record, Ranking):
        return _comparisons_of(record)
    _reject_another_kind(source_kind, kind, where)


def _reject_another_kind(source_kind: RecordKind, kind: RecordKind, where: RowLocation) -> NoReturn:
    reject_row(
        where,
        "",
        None,
        f"is a {kind_noun(source_kind)}, not a {kind_noun(kind)}",
        f"Import the rows of this kind alone into another file with --kind {source_kind} --drop.",
    )


def _solution(prompt: Prompt) -> str | None:
    """The worked answer that an importer kept beside the final one, else the final answer itself."""
    solution = (prompt.metadata or {}).get("solution")
    return solution if isinstance(solution, str) and solution.strip() else prompt.reference


def _comparisons_of(ranking: Ranking) -> list[Record]:
    """Every pair of different answers of different rank."""
    answers = sorted(zip(ranking.ranks, ranking.completions, strict=True), key=lambda answer: answer[0])
    return [
        Comparison(ranking.prompt, better, worse, **carried(ranking))
        for (high, better), (low, worse) in combinations(answers, 2)
        if high != low and _texts(better) != _texts(worse)
    ]


def _texts(answer: Messages) -> list[str]:
    return [turn.content.strip() for turn in answer]


def can_become(record: Record, kind: RecordKind, where: RowLocation) -> bool:
    try:
        as_kind(record, kind, where)
    except BadRow as error:
        return error.problem.field != ""  # a fault of this row, not of its kind
    return True
