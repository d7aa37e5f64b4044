"""Questions with options, of which one is right: MMLU, MMLU-Pro, ARC, CommonsenseQA, OpenBookQA.

The prompt shows the options with letters, and the letter of the right one is the reference.

    {"question": …, "choices": ["…", "…"], "answer": 1}                               an index from 0
    {"question": …, "options": ["…", "…"], "answer": "B", "answer_index": 1}
    {"question": …, "choices": {"text": ["…", "…"], "label": ["A", "B"]}, "answerKey": "B"}
"""

from string import ascii_uppercase
from typing import Any

from fairlead.core.plural import counted
from fairlead.data.column_meaning import is_blank
from fairlead.data.formats import feedback
from fairlead.data.formats.format import Conversion, Format, Row
from fairlead.data.parsing import required_text
from fairlead.data.records import Prompt
from fairlead.data.row_problem import RowLocation, reject_row

QUESTIONS = ("question", "question_stem")
OPTIONS = ("choices", "options")
ANSWERS = ("answerKey", "answer_index", "answer")


def recognises(row: Row) -> bool:
    return (
        any(isinstance(row.get(column), str) for column in QUESTIONS)
        and any(_options(row.get(column)) for column in OPTIONS)
        and any(not is_blank(row.get(column)) for column in ANSWERS)
    )


def convert(row: Row, where: RowLocation) -> Conversion:
    question = required_text(row, next((name for name in QUESTIONS if name in row), QUESTIONS[0]), where)
    column = next((name for name in OPTIONS if _options(row.get(name))), OPTIONS[0])
    options = _options(row.get(column))
    if not options:
        remedy = 'Write ["first", "second"], or drop the row with --drop.'
        reject_row(where, column, row.get(column), "is not a list of options", remedy)
    if len(options) > len(ascii_uppercase):
        reject_row(where, column, None, f"has {counted(len(options), 'option')}", "Drop the row with --drop.")
    places = {name: _place(row, name, options, where) for name in ANSWERS}
    named = {name: place for name, place in places.items() if place is not None}
    if not named:
        remedy = f"Write the right option in one of {', '.join(ANSWERS)}, or drop the row with --drop."
        reject_row(where, ANSWERS[-1], None, "is missing", remedy)
    if len(set(named.values())) > 1:
        first, second = list(named)[:2]
        remedy = f"Leave one of them out, for example with --ignore {second}."
        reject_row(where, second, row[second], f"names another option than {first}", remedy)
    lines = [f"{letter}. {text}" for letter, (_, text) in zip(ascii_uppercase, options, strict=False)]
    prompt = feedback.user_turn("\n".join([question, "", *lines]))
    place = next(iter(named.values()))
    record = Prompt(prompt, ascii_uppercase[place])
    return feedback.carrying(record, row.get("id"), {"right_option": options[place][1]})


def _options(value: object) -> list[tuple[str, str]]:
    """(label, text) of each option; empty if the value is no list of options."""
    value = feedback.from_json(value)
    texts: Any = value
    labels: list[Any] = list(ascii_uppercase)
    if isinstance(value, dict):
        texts, labels = value.get("text"), value.get("label") or []
    if not isinstance(texts, list) or len(texts) < 2 or not isinstance(labels, list):
        return []
    if len(labels) < len(texts) or not all(isinstance(text, str) and text.strip() for text in texts):
        return []
    return [(str(label).strip(), text) for label, text in zip(labels, texts, strict=False)]


def _place(row: Row, column: str, options: list[tuple[str, str]], where: RowLocation) -> int | None:
    """The place of the option that a column names; None for an absent column."""
    value = row.get(column)
    if is_blank(value):
        return None
    text = str(value).strip().strip("().")
    labels, texts = zip(*options, strict=True)
    # ARC labels some options from 1, so a label comes before an index; an index counts from 0.
    if column != "answer_index" and text.upper() in labels:
        return labels.index(text.upper())
    if column != "answer_index" and texts.count(value) == 1:
        return texts.index(value)
    number = None if isinstance(value, bool) else feedback.as_number(value)
    is_index = number is not None and number in range(len(labels))
    if is_index and number is not None and (column == "answer_index" or not isinstance(value, str)):
        return int(number)
    remedy = "Write the letter of the right option, or its index from 0."
    reject_row(where, column, value, "names no option", remedy)


FORMAT = Format(
    recognises=recognises,
    convert=convert,
    reads={"prompt": frozenset({*QUESTIONS, *OPTIONS, *ANSWERS})},
    metadata=frozenset({"subject", "category", "cot_content", "question_concept", "src"}),
)
