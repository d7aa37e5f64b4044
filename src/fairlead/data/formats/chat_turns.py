"""Read whole conversations and answers as messages, also as LangChain and tracing tools write them."""

from typing import Any

from fairlead.data.formats import feedback, turns
from fairlead.data.parsing import check_turns, read_messages
from fairlead.data.records import Messages
from fairlead.data.row_problem import RowLocation

LANGCHAIN_ROLES = {"human": "user", "ai": "assistant", "aimessagechunk": "assistant", "chat": "user"}
TEXT_PARTS = ("text", "input_text", "output_text")


def read_conversation(value: object, field: str, where: RowLocation) -> Messages:
    """The messages of a list of turns; a text is one turn of the user."""
    value = feedback.from_json(value)
    if isinstance(value, list) and len(value) == 1 and isinstance(value[0], list):
        value = value[0]  # LangChain logs a batch of conversations
    if isinstance(value, list):
        value = [_plain_turn(turn) for turn in value]
    elif isinstance(value, dict):
        value = _plain_turn(value)
    return read_messages(turns.read_question(value, field, where), field, where)


def read_answer(value: object, field: str, where: RowLocation) -> Messages:
    """An answer: a text, a message, or a list of messages."""
    value = feedback.from_json(value)
    if isinstance(value, list):
        value = [_plain_turn(turn) for turn in value]
    elif isinstance(value, dict):
        value = _plain_turn(value)
    messages = read_messages(turns.read_answer(value, field, where), field, where)
    check_turns(messages, field, where, first="assistant", last="assistant")
    return messages


def read_answer_or_conversation(value: object, field: str, where: RowLocation) -> Messages:
    """An answer, or a whole conversation that ends with one; the first role tells them apart."""
    value = feedback.from_json(value)
    if isinstance(value, list):
        return read_conversation(value, field, where)
    return read_answer(value, field, where)


def is_turn(value: object) -> bool:
    """Whether the value is one message in any of the known layouts."""
    turn = _plain_turn(value)
    return isinstance(turn, dict) and "content" in turn and ("role" in turn or "from" in turn)


def _plain_turn(turn: object) -> object:
    """The turn with `role` and `content`; anything else is returned for the reader to refuse."""
    if not isinstance(turn, dict):
        return turn
    plain: dict[str, Any] = turn
    if isinstance(turn.get("kwargs"), dict) and isinstance(turn.get("id"), list) and turn["id"]:
        name = str(turn["id"][-1]).removesuffix("Chunk").removesuffix("Message")  # a constructor
        plain = {"role": name, **_langchain_keys(turn["kwargs"])}
    elif isinstance(turn.get("data"), dict) and isinstance(turn.get("type"), str):
        plain = {"role": turn["type"], **_langchain_keys(turn["data"])}
    elif (
        "role" not in turn and "from" not in turn and isinstance(turn.get("type"), str) and "content" in turn
    ):
        plain = {"role": turn["type"], **_langchain_keys(turn)}
    role = plain.get("role")
    if isinstance(role, str):
        plain = {**plain, "role": LANGCHAIN_ROLES.get(role.lower(), role)}
    content = plain.get("content")
    if isinstance(content, list) and all(
        isinstance(part, dict) and part.get("type") in TEXT_PARTS and isinstance(part.get("text"), str)
        for part in content
    ):
        plain = {**plain, "content": "".join(part["text"] for part in content)}
    return plain


def _langchain_keys(message: dict[str, Any]) -> dict[str, Any]:
    """The keys of a LangChain message that a turn has too; the others are notes about the call."""
    kept = {name: message[name] for name in ("content", "tool_call_id") if message.get(name) is not None}
    extra = message.get("additional_kwargs")
    if isinstance(extra, dict) and extra.get("tool_calls"):
        kept["tool_calls"] = extra["tool_calls"]
    elif isinstance(message.get("tool_calls"), list) and message["tool_calls"]:
        kept["tool_calls"] = [
            {"id": call.get("id"), "function": {"name": call.get("name"), "arguments": call.get("args")}}
            if isinstance(call, dict) and "args" in call
            else call
            for call in message["tool_calls"]
        ]
    return kept
