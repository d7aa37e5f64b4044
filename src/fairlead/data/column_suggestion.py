"""Guess what the columns of a table hold, from their names and their first values.

The guess is shown to a person who corrects it: what people call a column is too various to import by.
"""

import re
from collections.abc import Mapping, Sequence
from typing import Any

from fairlead.data.column_map import OTHER_NAMES, TARGETS
from fairlead.data.column_meaning import is_blank, is_note

ANSWER = "answer"  # one of several answers, or the only one
CONTEXT = "context"  # text that belongs to the prompt, before the question
CONTEXT_WORDS = frozenset("article background context document excerpt kontext passage paragraph".split())
# Words of the names under which people keep prompts, in the languages of many spreadsheets.
PROMPT_WORDS = frozenset(
    """ask frage instruction instruktion pregunta problem prompt query question request task user utterance
    domanda vraag pergunta""".split()
)
ANSWER_WORDS = frozenset(
    """answer antwort candidate completion generation model output reply response respuesta risposta resposta
    assistant bot antwoord text""".split()
)
BETTER_WORDS = frozenset("accepted best better chosen good positive preferred winner".split())
WORSE_WORDS = frozenset("bad dispreferred loser negative rejected worse worst".split())
LABEL_CHARS = 12  # texts that are shorter on average are labels, unless they have spaces
MIN_CHARS = 6


def suggest(rows: Sequence[Mapping[str, Any]]) -> dict[str, str]:
    """Column -> target, ANSWER or CONTEXT; a column that is not in the result travels beside the item."""
    columns = list(dict.fromkeys(name for row in rows for name in row))
    targets: dict[str, str] = {}
    for column in columns:
        target = _by_name(column, _values(rows, column))
        if target is not None and (target in (ANSWER, CONTEXT) or target not in targets.values()):
            targets[column] = target
    if not targets.keys() and len(columns) == 1:
        return {columns[0]: "prompt"} if _is_text(_values(rows, columns[0])) else {}
    if not {"prompt", "messages"} & set(targets.values()):
        texts = [name for name in columns if targets.get(name) in (None, ANSWER)]
        texts = [name for name in texts if _is_text(_values(rows, name)) and not is_note(name)]
        if texts:
            askers = [name for name in texts if _asks(_values(rows, name)) and name not in targets]
            targets[(askers or texts)[0]] = "prompt"
    if not {ANSWER, "chosen", "rejected", "messages", "completions"} & set(targets.values()):
        for column in columns:
            values = _values(rows, column)
            if column not in targets and not is_note(column) and _is_prose(values):
                targets[column] = ANSWER
    if list(targets.values()).count(ANSWER) != 1:  # a score or a label is about one answer
        targets = {column: target for column, target in targets.items() if target not in ("score", "label")}
    if {"chosen", "rejected"} <= set(targets.values()):  # further answers stay beside the item
        targets = {column: target for column, target in targets.items() if target != ANSWER}
    return {column: targets[column] for column in columns if column in targets}


def _by_name(column: str, values: Sequence[Any]) -> str | None:
    name = re.sub(r"[^a-z0-9]+", "_", column.strip().lower()).strip("_")
    words = set(re.findall(r"[a-z]+", name))
    if name in ("completion", "response", "output", "answer", "reply"):
        return ANSWER
    if name in TARGETS - {
        "margin",
        "weight",
        "confidence",
        "aspects",
        "rater",
        "tie",
        "labels",
        "ranks",
        "metadata",
    }:
        return name
    if name in ("uuid", "uid", "row_id", "example_id", "item_id", "external_id", "key"):
        return "id"
    is_text = _is_text(values)
    if name in OTHER_NAMES and is_text:
        return OTHER_NAMES[name]
    if not is_text or is_note(column):
        return None
    for target, names in (("chosen", BETTER_WORDS), ("rejected", WORSE_WORDS), ("prompt", PROMPT_WORDS)):
        if words & names and _mean_chars(values) >= (1 if target == "prompt" else 2):
            return target
    if words & CONTEXT_WORDS:
        return CONTEXT
    if words & ANSWER_WORDS or re.fullmatch(r"[a-h]|[1-8]", name):
        return ANSWER
    return None


def _values(rows: Sequence[Mapping[str, Any]], column: str) -> list[Any]:
    return [row[column] for row in rows if not is_blank(row.get(column))]


def _is_text(values: Sequence[Any]) -> bool:
    """Whether the values are texts, and no numbers or yes and no."""
    texts = [value for value in values if isinstance(value, str)]
    return bool(texts) and len(texts) == len(values) and not all(_is_number(text) for text in texts)


def _is_prose(values: Sequence[Any]) -> bool:
    """Whether the values are texts, and longer than labels."""
    if not _is_text(values):
        return False
    with_spaces = sum(" " in text.strip() for text in values)
    return _mean_chars(values) >= (MIN_CHARS if with_spaces * 2 > len(values) else LABEL_CHARS)


def _is_number(text: str) -> bool:
    return re.fullmatch(r"\s*[-+]?[\d.,]+%?\s*|\s*(true|false|yes|no)\s*", text.lower()) is not None


def _asks(values: Sequence[str]) -> bool:
    return sum(text.rstrip().endswith(("?", "\uff1f", "\u061f")) for text in values) * 2 > len(values)


def _mean_chars(values: Sequence[str]) -> float:
    return sum(map(len, values)) / len(values) if values else 0.0
