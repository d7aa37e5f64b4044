"""What to do about a column that a format does not read: the option that reads it, or leaves it out.

`column_meaning` says which columns would be lost; `importer` stops at them with the errors made here.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from fairlead.core.errors import DataError
from fairlead.data.column_meaning import is_judgement, is_negative, meaning_of
from fairlead.data.file_source import SourceRow
from fairlead.data.formats import feedback
from fairlead.data.formats.turns import label_of
from fairlead.data.records import COLUMNS_BY_KIND, Record, RecordKind
from fairlead.data.row_problem import RowProblem, shorten

QUESTION_COLUMNS = ("prompt", "instruction", "question", "input")  # texts that formats read as the prompt

NATIVE_COLUMNS = frozenset().union(*COLUMNS_BY_KIND.values())


def with_map_option(problem: RowProblem, row: Mapping[str, Any]) -> RowProblem:
    """The problem of a missing column or answer with the option that names another one in its place."""
    if problem.why == "must end with assistant" and problem.field.startswith("messages["):
        answers = [column for column in row if _is_answer_text(column, row[column])]
        if answers:
            target = (
                "reference" if {"reference", "truth", "target"} & {*answers[0].split("_")} else "completion"
            )
            remedy = f"Read {answers[0]} with --map prompt=messages,{target}={answers[0]}."
            return replace(problem, remedy=remedy)
    if problem.why != "is missing" or problem.field not in NATIVE_COLUMNS or "--map" in problem.remedy:
        return problem
    remedy = f"{problem.remedy} Name the column with --map {problem.field}=COLUMN."
    return replace(problem, remedy=remedy)


def lost_columns_error(row: SourceRow, lost: Mapping[str, Any], format: str, kind: RecordKind) -> DataError:
    shown = ", ".join(f"{column} = {shorten(value)}" for column, value in lost.items())
    names = list(lost)
    options = " ".join(f"--ignore {name}" for name in names)
    remedy = f"leave {'it' if len(names) == 1 else 'them'} out on purpose with {options}"
    if kind == "prompt":
        remedy = (
            "say what they hold with --map, for example --map completion=COLUMN or "
            f"--map chosen=COLUMN,rejected=COLUMN; take the prompts alone with --kind prompt; or {remedy}"
        )
    elif reading := _map_options(names, row.value, kind):
        subject = "it is" if len(names) == 1 else "they are"
        remedy = f"say what {subject}, for example with {reading}; or {remedy}"
    return DataError(
        f"{row.where}: the format {format} does not read {shown}, which would be lost. "
        f"{remedy[0].upper()}{remedy[1:]}."
    )


def _map_options(columns: Sequence[str], row: Mapping[str, Any], kind: RecordKind) -> str:
    """The options that read the columns, and leave out those that have none; empty if none has one.

    An answer has one judgement and a row one system message, so the first column of each is read.
    """
    options: dict[str, str] = {}
    ignored: list[str] = []
    for column in columns:
        option = _map_option(column, row, kind)
        target = option.split()[1].partition("=")[0] if option else ""
        target = "judgement" if target in ("label", "score") else target
        if option and target not in options:
            options[target] = option
        elif target == "prompt":  # texts before the question: one more stands before the others
            options[target] = options[target].replace("prompt=", f"prompt={column}+")
        else:
            ignored.append(column)
    return " ".join([*options.values(), *(f"--ignore {column}" for column in ignored)]) if options else ""


def _map_option(column: str, row: Mapping[str, Any], kind: RecordKind) -> str | None:
    """The option that would read the column, if its name and value say enough to name one."""
    value = row[column]
    if "system" in column.lower() and isinstance(value, str) and column != "system":
        return f"--map system={column}"
    if meaning_of(column, value) == "question" and isinstance(value, str):
        question = [name for name in QUESTION_COLUMNS if isinstance(row.get(name), str) and row[name].strip()]
        return f"--map prompt={'+'.join([column, *question])}" if question else None
    if kind != "demonstration" or is_negative(column):
        return None
    if column != "label" and label_of(value) is not None:
        return f"--map label={column}"
    if column != "score" and feedback.as_number(value) is not None:
        return f"--map score={column} --scale 1:5"
    return None


def repeats_text(column: str, value: object, record: Record) -> bool:
    """Whether the record holds the text of the column, and not by chance: a rating of 4 is no answer "4"."""
    if not isinstance(value, str) or value.strip() not in _texts(record):
        return False
    says_how_good = feedback.as_number(value) is not None or label_of(value) is not None
    return not (says_how_good and is_judgement(column))


def _is_answer_text(column: str, value: object) -> bool:
    is_text = isinstance(value, str) and bool(value.strip())
    return is_text and meaning_of(column, value) == "answer" and not is_judgement(column)


def _texts(record: Record) -> set[str]:
    """The contents of all turns of the record."""
    turns = [*record.prompt]
    for name in ("completion", "chosen", "rejected"):
        turns += getattr(record, name, ())
    return {turn.content.strip() for turn in turns}
