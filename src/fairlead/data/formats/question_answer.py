"""Questions with their answers: GSM8K, MATH, Dolly, Orca, MetaMath, FLAN's tables.

A checked answer (GSM8K, MATH, a `question` with its `answer`) becomes the reference of a prompt, which a rule
compares with what a model answers.  With --kind demonstration it is an answer to imitate.
"""

import re
from collections.abc import Callable

from fairlead.data.column_meaning import is_blank
from fairlead.data.formats.format import Conversion, Format, Row
from fairlead.data.formats.turns import Turn, with_system
from fairlead.data.parsing import parse_row, required_text
from fairlead.data.records import RecordKind
from fairlead.data.row_problem import RowLocation, reject_row

QUESTIONS = ("question", "problem")
ANSWERS = ("answer", "solution")
BOXED = re.compile(r"\\boxed\s*\{")
SHORT_CHARS = 200  # FLAN's answers are a few words, and its third column explains them


# ---------------------------------------------------------------- a question and the answer that is checked


def recognises_checked(row: Row) -> bool:
    return (
        any(isinstance(row.get(column), str) for column in QUESTIONS)
        and any(isinstance(row.get(column), str | int | float) for column in ANSWERS)
        and is_blank(row.get("response"))
        and is_blank(row.get("chosen"))
    )


def convert_checked(row: Row, where: RowLocation) -> Conversion:
    question, answer = _question_and_answer(row, where)
    turns = with_system([{"role": "user", "content": question}], row.get("system"), where)
    reference = final_answer(answer)
    notes = {} if reference == answer.strip() else {"solution": answer}
    return parse_row("prompt", {"prompt": turns, "reference": reference, "metadata": notes}, where)


def demonstrate_checked(row: Row, where: RowLocation) -> Conversion:
    question, answer = _question_and_answer(row, where)
    turns = with_system([{"role": "user", "content": question}], row.get("system"), where)
    return _demonstration(turns, answer, where)


def final_answer(solution: str) -> str:
    """What a solution ends with: the text after `####` (GSM8K), or inside the last `\\boxed{}` (MATH)."""
    before, mark, after = solution.rpartition("####")
    if mark and after.strip():
        return (
            after.strip().replace(",", "")
            if re.fullmatch(r"-?[\d,]+(\.\d+)?", after.strip())
            else after.strip()
        )
    starts = [match.end() for match in BOXED.finditer(solution)]
    if starts:
        depth = 1
        for position in range(starts[-1], len(solution)):
            depth += {"{": 1, "}": -1}.get(solution[position], 0)
            if depth == 0:
                return solution[starts[-1] : position].strip()
    return solution.strip()


def _question_and_answer(row: Row, where: RowLocation) -> tuple[str, str]:
    question = _only(row, QUESTIONS, where)
    answer = _only(row, ANSWERS, where)
    value = row.get(answer)
    text = str(value) if isinstance(value, int | float) else required_text(row, answer, where)
    return required_text(row, question, where), text


def _only(row: Row, columns: tuple[str, ...], where: RowLocation) -> str:
    """The column among `columns` that the row has.  Of `answer` and `solution` the answer is checked."""
    present = [column for column in columns if not is_blank(row.get(column))]
    if len(present) > 1 and columns is QUESTIONS:
        remedy = "Leave one of them out with --ignore."
        reject_row(where, present[1], row[present[1]], f"is a second question beside {present[0]}", remedy)
    return present[0] if present else columns[0]


# ---------------------------------------------------------------- a question and the answer to imitate


def _pair_reader(question: str, context: str | None, answer: str, system: str) -> Callable[..., Conversion]:
    def convert(row: Row, where: RowLocation) -> Conversion:
        text = required_text(row, question, where)
        if context is not None and not is_blank(row.get(context)):
            text = f"{text}\n\n{required_text(row, context, where)}"
        turns = with_system([{"role": "user", "content": text}], row.get(system), where)
        if answer == "chosen":
            answers = {
                name: [{"role": "assistant", "content": required_text(row, name, where)}]
                for name in ("chosen", "rejected")
            }
            return parse_row("comparison", {"prompt": turns, **answers}, where)
        return _demonstration(turns, required_text(row, answer, where), where)

    return convert


def _demonstration(turns: list[Turn], answer: str, where: RowLocation) -> Conversion:
    completion = [{"role": "assistant", "content": answer}]
    return parse_row("demonstration", {"prompt": turns, "completion": completion}, where)


def _has(*columns: str) -> Callable[[Row], bool]:
    return lambda row: all(isinstance(row.get(column), str) for column in columns)


def _reads(kind: RecordKind, *columns: str) -> dict[RecordKind, frozenset[str]]:
    return {kind: frozenset(columns)}


# ---------------------------------------------------------------- FLAN's tables


def recognises_flan(row: Row) -> bool:
    return (
        row.keys() == {"column_1", "column_2", "column_3"}
        and all(isinstance(value, str) for value in row.values())
        and len(row["column_2"]) <= SHORT_CHARS
        and len(row["column_2"]) < len(row["column_1"])
        and len(row["column_3"].split()) >= 3
    )


def convert_flan(row: Row, where: RowLocation) -> Conversion:
    prompt = [{"role": "user", "content": required_text(row, "column_1", where)}]
    notes = {"explanation": required_text(row, "column_3", where)}
    reference = required_text(row, "column_2", where)
    return parse_row("prompt", {"prompt": prompt, "reference": reference, "metadata": notes}, where)


def demonstrate_flan(row: Row, where: RowLocation) -> Conversion:
    explanation, answer = (required_text(row, name, where).strip() for name in ("column_3", "column_2"))
    turns: list[Turn] = [{"role": "user", "content": required_text(row, "column_1", where)}]
    return _demonstration(turns, f"{explanation} The answer is {answer}.", where)


CHECKED_COLUMNS = frozenset({*QUESTIONS, *ANSWERS, "system"})
CHECKED_FORMAT = Format(
    recognises=recognises_checked,
    convert=convert_checked,
    reads={"prompt": CHECKED_COLUMNS, "demonstration": CHECKED_COLUMNS},
    readings={"demonstration": demonstrate_checked},
    metadata=frozenset({"level", "type", "subject", "unique_id", "solution"}),
)
ORCA_PAIR_FORMAT = Format(
    recognises=_has("question", "chosen", "rejected"),
    convert=_pair_reader("question", None, "chosen", "system"),
    reads=_reads("comparison", "question", "chosen", "rejected", "system"),
)
ORCA_FORMAT = Format(
    recognises=_has("question", "response"),
    convert=_pair_reader("question", None, "response", "system_prompt"),
    reads=_reads("demonstration", "question", "response", "system_prompt"),
)
DOLLY_FORMAT = Format(
    recognises=_has("instruction", "response"),
    convert=_pair_reader("instruction", "context", "response", "system"),
    reads=_reads("demonstration", "instruction", "context", "response", "system"),
)
QUERY_FORMAT = Format(
    recognises=_has("query", "response"),
    convert=_pair_reader("query", None, "response", "system"),
    reads=_reads("demonstration", "query", "response", "system"),
    metadata=frozenset({"original_question"}),
)
INPUTS_FORMAT = Format(
    recognises=_has("inputs", "targets"),
    convert=_pair_reader("inputs", None, "targets", "system"),
    reads=_reads("demonstration", "inputs", "targets", "system"),
    metadata=frozenset({"annotation_type"}),
)
FLAN_FORMAT = Format(
    recognises=recognises_flan,
    convert=convert_flan,
    reads={kind: frozenset({"column_1", "column_2", "column_3"}) for kind in ("prompt", "demonstration")},
    readings={"demonstration": demonstrate_flan},
)
