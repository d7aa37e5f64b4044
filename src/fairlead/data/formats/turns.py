"""Turns and labels as chat files write them, in the layout of native rows.

A turn is `{"role", "content"}` or `{"from", "value"}`, with the names of speakers that are common.  The
functions here only rename; `parsing` checks the result.
"""

import json
from collections.abc import Mapping
from typing import Any

from fairlead.data.column_meaning import is_blank, meaning_of
from fairlead.data.formats import feedback
from fairlead.data.formats.transcript import open_transcript
from fairlead.data.row_problem import RowLocation, reject_row

Turn = dict[str, Any]

ROLE_OF: Mapping[str, str] = {
    "user": "user",
    "human": "user",
    "prompter": "user",
    "assistant": "assistant",
    "gpt": "assistant",
    "chatgpt": "assistant",
    "bot": "assistant",
    "model": "assistant",
    "system": "system",
    "developer": "system",
    "tool": "tool",
    "function": "tool",
    "observation": "tool",
    "function_response": "tool",
    "tool_response": "tool",
    "function_call": "assistant",
    "tool_call": "assistant",
}
CALL_SPEAKERS = frozenset({"function_call", "tool_call"})  # their text is the call
TURN_NOTES = frozenset({"toxic", "redacted", "turn_identifier"})  # moderation in WildChat
# Keys of a turn that are read here or by `parsing`.
TURN_KEYS = frozenset(
    """role from content value text reasoning_content reasoning thinking tool_calls function_call tool_call_id
    name train weight loss refusal images image audio audios videos video""".split()
)
SYSTEM_COLUMNS = ("system", "system_prompt")
LABELS: Mapping[object, bool] = {
    **dict.fromkeys(("true", "1", "yes", "good", "up", "desirable", "chosen", "1.0"), True),
    **dict.fromkeys(("false", "0", "no", "bad", "down", "undesirable", "rejected", "0.0"), False),
}


def read_turns(value: object, field: str, where: RowLocation) -> list[Turn]:
    """The turns of a conversation, as native messages.  JSON text is read too, which CSV files hold."""
    if isinstance(value, str):
        value = decoded(value)
    if not isinstance(value, list) or not value:
        remedy = 'Write [{"role": "user", "content": "…"}, {"role": "assistant", "content": "…"}].'
        reject_row(where, field, value, "is not a list of turns", remedy)
    return [_turn(item, f"{field}[{index}]", where) for index, item in enumerate(value)]


def read_answer(value: object, field: str, where: RowLocation) -> list[Turn]:
    """An answer: text, one turn, or a list of turns."""
    if isinstance(value, str):
        nested = decoded(value)
        if not _is_turn_list(nested):
            return [{"role": "assistant", "content": value}]
        value = nested
    return read_turns([value] if isinstance(value, dict) else value, field, where)


def read_question(value: object, field: str, where: RowLocation) -> list[Turn]:
    """A prompt: text, a transcript that ends with "Assistant:", one turn, or a list of turns."""
    if isinstance(value, str):
        nested = decoded(value)
        if not _is_turn_list(nested):
            return [*(open_transcript(value) or [{"role": "user", "content": value}])]
        value = nested
    return read_turns([value] if isinstance(value, dict) else value, field, where)


def with_system(turns: list[Turn], system: object, where: RowLocation) -> list[Turn]:
    """The turns after the message of a `system` column."""
    if is_blank(system):
        return turns
    if not isinstance(system, str):
        reject_row(where, "system", system, "is not a string", "Write text in quotes.")
    if turns and turns[0].get("role") == "system":
        if turns[0].get("content") == system:
            return turns
        remedy = "Keep one of them, for example with --ignore system."
        reject_row(where, "system", system, "differs from the system message of the conversation", remedy)
    return [{"role": "system", "content": system}, *turns]


def system_of(row: Mapping[str, Any], where: RowLocation) -> object:
    """The text of `system` or `system_prompt`; raises BadRow if both are there and differ."""
    present = {name: row[name] for name in SYSTEM_COLUMNS if not is_blank(row.get(name))}
    if len(set(map(str, present.values()))) > 1:
        remedy = "Leave one of them out with --ignore."
        reject_row(where, "system_prompt", present["system_prompt"], "differs from system", remedy)
    return next(iter(present.values()), None)


def is_conversation(value: object) -> bool:
    """Whether the value is a list of turns, or the JSON text of one, as in CSV files."""
    if isinstance(value, str):
        return _is_turn_list(decoded(value))
    return isinstance(value, list)


def read_history(value: object, where: RowLocation) -> list[Turn]:
    """The earlier turns in a `history` column: pairs of a question and its answer, or turns."""
    if is_blank(value):
        return []
    if isinstance(value, str):
        value = decoded(value)
    if _is_turn_list(value):
        return read_turns(value, "history", where)
    turns: list[Turn] = []
    for index, pair in enumerate(value if isinstance(value, list) else [value]):
        if not isinstance(pair, list) or len(pair) != 2 or not all(isinstance(text, str) for text in pair):
            remedy = 'Write [["question", "answer"], …].'
            reject_row(where, f"history[{index}]", pair, "is not a pair of question and answer", remedy)
        turns += [{"role": "user", "content": pair[0]}, {"role": "assistant", "content": pair[1]}]
    return turns


def read_label(row: Mapping[str, Any], where: RowLocation) -> bool | None:
    """Whether the answer is good, from `label` or `kto_tag`; None if the row has neither."""
    labels = {
        column: _label(row[column], column, where)
        for column in ("label", "kto_tag")
        if not is_blank(row.get(column))
    }
    if len(set(labels.values())) > 1:
        remedy = "Leave one of them out with --ignore."
        reject_row(where, "label", row["label"], f"contradicts kto_tag {row['kto_tag']}", remedy)
    return next(iter(labels.values()), None)


def read_step_labels(value: object, where: RowLocation) -> object:
    """Whether each step is right, as true and false; lists written as text, as in CSV files, are read too.

    Other values than labels of two kinds are refused: with -1, 0 would be neither right nor wrong.
    """
    labels = decoded(value) if isinstance(value, str) else value
    if not isinstance(labels, list):
        return labels
    read = [label_of(label) for label in labels]
    for index, label in enumerate(read):
        if label is None:
            remedy = "Write true or 1 for each right step and false or 0 for each wrong one."
            reject_row(where, f"labels[{index}]", labels[index], "says neither right nor wrong", remedy)
    return read


def decoded(text: str) -> object:
    """The value of JSON text that is a list or an object; other text as it is."""
    if text.lstrip().startswith(("[", "{")):
        try:
            return json.loads(text)
        except (ValueError, RecursionError):
            return text
    return text


def read_tags(value: object) -> list[str]:
    """Tags of a list, or of text with commas, which tables such as CSV hold."""
    if isinstance(value, str):
        value = decoded(value)
    if isinstance(value, str):
        value = [tag.strip() for tag in value.split(",") if tag.strip()]
    tags = value if isinstance(value, list) else [value]
    return [str(tag) for tag in tags if not is_blank(tag)]


def as_number(value: object) -> object:
    """The number that text holds, as in CSV files; other values as they are."""
    if isinstance(value, str):
        try:
            return float(value)
        except ValueError:
            return value
    return value


def _label(value: object, column: str, where: RowLocation) -> bool:
    label = label_of(value)
    if label is None:
        remedy = (
            f"Write true for a good answer and false for a bad one, or leave it out with --ignore {column}."
        )
        reject_row(where, column, value, "says neither good nor bad", remedy)
    return label


def label_of(value: object) -> bool | None:
    """Whether a label says good; None if it says neither."""
    if isinstance(value, bool):
        return value
    if isinstance(value, int | float):
        return bool(value) if value in (0, 1) else None
    if not isinstance(value, str):
        return None
    label = LABELS.get(value.strip().lower())
    # Beside -1, 0 may stand for neither, so numbers other than 0 and 1 say nothing.
    return feedback.as_thumb(value) if label is None and feedback.as_number(value) is None else label


def _turn(value: object, field: str, where: RowLocation) -> Turn:
    if not isinstance(value, dict):
        reject_row(where, field, value, "is not a turn", 'Write {"role": "user", "content": "…"}.')
    if "role" not in value and "from" not in value:
        reject_row(where, field, value, "is a turn without a role", 'Write {"role": "user", "content": "…"}.')
    key = "role" if "role" in value else "from"
    speaker = value.get(key)
    role = ROLE_OF.get(speaker.lower()) if isinstance(speaker, str) else None
    if role is None:
        remedy = f"Speakers are {', '.join(ROLE_OF)}."
        reject_row(where, f"{field}.{key}", speaker, "is not a known speaker", remedy)
    for name, content in value.items():
        if (
            name not in TURN_KEYS | TURN_NOTES
            and not is_blank(content)
            and meaning_of(name, content) is not None
        ):
            remedy = "Put it into a column of the row, or remove it from the turn."
            reject_row(where, f"{field}.{name}", content, "is not read, and would be lost", remedy)
    content = next((value[name] for name in ("content", "value", "text") if name in value), None)
    turn: Turn = {name: item for name, item in value.items() if name in TURN_KEYS and item is not None}
    for name in ("from", "value", "text", "loss"):
        turn.pop(name, None)
    turn |= {"role": role, "content": _joined(content)}
    if value.get("loss") is not None and role == "assistant":
        turn["train"] = bool(value["loss"])
    if isinstance(speaker, str) and speaker.lower() in CALL_SPEAKERS:
        turn |= {"content": "", "tool_calls": _calls(content, field, where)}
    return turn


def _calls(content: object, field: str, where: RowLocation) -> list[dict[str, Any]]:
    """The calls that a turn of the speaker `function_call` holds as JSON text."""
    calls = decoded(content) if isinstance(content, str) else content
    calls = calls if isinstance(calls, list) else [calls]
    if not all(isinstance(call, dict) and "name" in call for call in calls):
        remedy = 'Write {"name": "add", "arguments": {"a": 2}}.'
        reject_row(where, f"{field}.value", content, "is not the JSON of a tool call", remedy)
    return [{"type": "function", "function": call} for call in calls]


def _joined(content: object) -> object:
    """Text parts as one text; other contents are left for validation to report."""
    if isinstance(content, list) and all(
        isinstance(part, str) or (isinstance(part, dict) and isinstance(part.get("text"), str))
        for part in content
    ):
        return "".join(part if isinstance(part, str) else part["text"] for part in content)
    return content


def _is_turn_list(value: object) -> bool:
    return (
        isinstance(value, list)
        and bool(value)
        and all(isinstance(item, dict) and ("role" in item or "from" in item) for item in value)
    )
