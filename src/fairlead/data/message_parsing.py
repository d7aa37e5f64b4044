"""Parse single messages: role, content, reasoning, tool calls, and whether the message is trained.

Messages have the layout of OpenAI's API.  Their order is checked in `parsing`.
"""

import json
from collections.abc import Mapping
from typing import Any, cast

from fairlead.data.records import ROLES, Message, Role, ToolCall
from fairlead.data.row_problem import RowLocation, reject_row

# Message keys that are refused rather than ignored, because ignoring them would change what is trained.
REFUSED_KEYS = ("images", "image", "audio", "audios", "videos", "video")
FOREIGN = "messages with images, sound, video or files"
# The names under which data sets keep an assistant's reasoning.
REASONING_KEYS = ("reasoning_content", "reasoning", "thinking")
CALL_REMEDY = 'Write {"type": "function", "function": {"name": "add", "arguments": {"a": 2}}}.'


def parse_message(value: object, field: str, where: RowLocation) -> Message:
    """Parse one message.  `parsing.check_turns` checks the order of several."""
    if not isinstance(value, dict):
        reject_row(where, field, value, "is not a message", 'Write {"role": "user", "content": "…"}.')
    for key in REFUSED_KEYS:
        if value.get(key):
            reject_row(
                where,
                f"{field}.{key}",
                value[key],
                f"{FOREIGN} cannot be trained",
                "Drop the row with --drop.",
            )
    role, content = value.get("role"), value.get("content")
    role = "tool" if role == "function" else role  # the older name in OpenAI's API
    if role not in ROLES:
        reject_row(where, f"{field}.role", role, "is not a role", f"Roles are {', '.join(ROLES)}.")
    calls = _tool_calls(value, field, where)
    if calls and role != "assistant":
        why = f"a {role} message cannot call tools; only the assistant does"
        reject_row(where, f"{field}.tool_calls", value.get("tool_calls"), why, "Correct the role.")
    if calls and content is None:
        content = ""
    if content is None:
        reject_row(where, f"{field}.content", None, "is missing", "Fill it in, or drop the row with --drop.")
    if _has_foreign_part(content):
        remedy = "Drop the row with --drop."
        reject_row(where, f"{field}.content", content, f"{FOREIGN} cannot be trained", remedy)
    if not isinstance(content, str):
        reject_row(where, f"{field}.content", content, "is not a string", "Write text in quotes.")
    return Message(
        cast(Role, role),
        content,
        reasoning=_reasoning(value, role, field, where),
        tool_calls=calls,
        tool_call_id=_message_text(value, "tool_call_id", field, where) if role == "tool" else None,
        name=_message_text(value, "name", field, where),
        trained=_trained(value, role, field, where),
    )


def is_absent_system(value: object) -> bool:
    """Whether a message is a system message of null.  An empty one is a message: it replaces a default."""
    return isinstance(value, dict) and value.get("role") == "system" and value.get("content") is None


def _has_foreign_part(content: object) -> bool:
    """Whether a list of parts, as in OpenAI's API, has a part that is no text."""
    return isinstance(content, list) and any(
        isinstance(part, dict) and isinstance(part.get("type"), str) and "text" not in part["type"]
        for part in content
    )


def _message_text(value: Mapping[str, Any], key: str, field: str, where: RowLocation) -> str | None:
    """The text of an optional key; None if it is empty."""
    text = value.get(key)
    if not isinstance(text, str | None):
        reject_row(where, f"{field}.{key}", text, "is not a string", "Write text in quotes.")
    return text or None


def _reasoning(value: Mapping[str, Any], role: str, field: str, where: RowLocation) -> str | None:
    for key in REASONING_KEYS:
        text = _message_text(value, key, field, where)
        if text is None or not text.strip():
            continue
        if role != "assistant":
            why = f"a {role} message has no reasoning; only the assistant reasons"
            reject_row(where, f"{field}.{key}", text, why, "Correct the role, or remove the key.")
        return text
    return None


def _tool_calls(value: Mapping[str, Any], field: str, where: RowLocation) -> tuple[ToolCall, ...]:
    """The calls in OpenAI's layout, or with name and arguments at the top; `function_call` is read too."""
    key, calls = "tool_calls", value.get("tool_calls")
    if not calls and value.get("function_call"):
        key, calls = "function_call", [value["function_call"]]
    calls = decode_json(calls)
    if calls in (None, ""):
        return ()
    if not isinstance(calls, list):
        reject_row(where, f"{field}.{key}", calls, "is not a list of tool calls", CALL_REMEDY)
    return tuple(_tool_call(call, f"{field}.{key}[{index}]", where) for index, call in enumerate(calls))


def _tool_call(value: object, field: str, where: RowLocation) -> ToolCall:
    function = value.get("function", value) if isinstance(value, dict) else None
    if not isinstance(value, dict) or not isinstance(function, dict):
        reject_row(where, field, value, "is not a tool call", CALL_REMEDY)
    name, identity = function.get("name"), value.get("id")
    if not isinstance(name, str) or not name.strip():
        reject_row(where, f"{field}.name", name, "is not the name of a tool", CALL_REMEDY)
    arguments = function.get("arguments")
    decoded = {} if arguments in (None, "") else decode_json(arguments)
    if not isinstance(decoded, dict):
        reject_row(where, f"{field}.arguments", arguments, "is not a JSON object", CALL_REMEDY)
    if not isinstance(identity, str | None):
        reject_row(where, f"{field}.id", identity, "is not a string", "Write text in quotes.")
    return ToolCall(name, decoded, identity or None)


def _trained(value: Mapping[str, Any], role: str, field: str, where: RowLocation) -> bool:
    """Whether `train` and `weight` leave the message trained.  Only the assistant's messages are."""
    train, weight = value.get("train"), value.get("weight")
    if not isinstance(train, bool | None):
        reject_row(where, f"{field}.train", train, "is not true or false", "Write true or false.")
    if train is True and role != "assistant":
        why = f"a {role} message is never trained"
        reject_row(
            where, f"{field}.train", train, why, "Remove the key; only the assistant's turns are trained."
        )
    if isinstance(weight, bool) or weight not in (None, 0, 1):
        remedy = "Write 1 to train the message and 0 to leave it out; `weight` of a row scales whole rows."
        reject_row(where, f"{field}.weight", weight, "the weight of a message is 0 or 1", remedy)
    if role != "assistant":
        return True
    if train is not None and weight is not None and train != bool(weight):
        why = f"contradicts weight {weight:g}"
        reject_row(where, f"{field}.train", train, why, "Keep train or weight.")
    return train is not False and weight != 0


def decode_json(value: object) -> Any:
    """A list or an object that is given as JSON text, which tables such as CSV and Parquet need."""
    if not isinstance(value, str) or not value.lstrip().startswith(("[", "{")):
        return value
    try:
        return json.loads(value)
    except ValueError:
        return value
