"""Open WebUI's exports of feedback, a rating of 1 or -1 and a snapshot of the chat, and of rated chats.

The usual reading is a thumb for the rated message.  With `--kind comparison`, the message is compared with
the other answers to the same question (regenerations, and answers of other models): a rating of 1 says that
it is better, -1 that it is worse, as on the leaderboard of Open WebUI.  An edited message beats its original.
"""

import re
from collections.abc import Mapping
from typing import Any

from fairlead.data.formats import feedback
from fairlead.data.formats.feedback import Outcomes
from fairlead.data.formats.format import Conversion, Format, LeftOut, Row
from fairlead.data.formats.trace import KINDS
from fairlead.data.parsing import check_turns
from fairlead.data.records import Binary, Message, Messages
from fairlead.data.row_problem import RowLocation, reject_row

REASONING = re.compile(
    r"<details type=\"reasoning\".*?>\s*(?:<summary>.*?</summary>)?(.*?)</details>", re.DOTALL
)
EXPORT = "Export the feedback in the admin panel, under Evaluations, or drop the row with --drop."

ChatMessage = Mapping[str, Any]


def recognises(row: Row) -> bool:
    data = feedback.from_json(row.get("data"))
    return isinstance(data, dict) and "rating" in data and row.keys() >= {"meta", "type"}


def convert(row: Row, where: RowLocation) -> Conversion:
    outcomes = _read(row, where)
    return feedback.of_kind(outcomes, "binary")


def convert_to_comparisons(row: Row, where: RowLocation) -> Conversion:
    comparisons: Outcomes = [record for record in _read(row, where) if not isinstance(record, Binary)]
    if comparisons:
        return comparisons
    return LeftOut("ratings of messages that have no other answer beside them")


def convert_to_demonstrations(row: Row, where: RowLocation) -> Conversion:
    return feedback.to_imitate(_rated_only(_read(row, where)))


def _rated_only(outcomes: Outcomes) -> Outcomes:
    """The thumbs: nobody said of an answer beside a disliked message that it is good."""
    return [record for record in outcomes if isinstance(record, Binary | LeftOut)]


def _read(row: Row, where: RowLocation) -> Outcomes:
    data = feedback.read_object(row, "data", where)
    meta = feedback.read_object(row, "meta", where)
    messages, system = _chat(row, where)
    rated = messages.get(str(meta.get("message_id")))
    if rated is None:
        remedy = f"Its snapshot must hold it. {EXPORT}"
        reject_row(where, "meta.message_id", meta.get("message_id"), "is not a message of the chat", remedy)
    prompt = system + _path(rated, messages, where)
    check_turns(prompt, "snapshot", where, first="user", last="user")
    answer = (_message(rated, "assistant", where),)
    check_turns(answer, "snapshot", where, first="assistant", last="assistant")
    thumb = None if str(data.get("rating")) == "0" else feedback.as_thumb(data.get("rating"))
    rater = None if row.get("user_id") is None else str(row["user_id"])
    notes = {
        name: data.get(name)
        for name in ("model_id", "sibling_model_ids", "reason", "comment", "tags", "details")
    }
    notes |= {"chat_id": meta.get("chat_id"), "arena": meta.get("arena")}
    outcomes: Outcomes = []
    if thumb is None:
        outcomes.append(LeftOut("ratings that are neither 1 nor -1"))
    else:
        outcomes.append(
            feedback.carrying(Binary(prompt, answer, thumb), row.get("id"), {**notes, "rater": rater})
        )
    original = rated.get("originalContent")
    if isinstance(original, str) and original.strip():
        before = feedback.answer(original)
        if not feedback.same_text(before, answer):
            edit = feedback.compare(prompt, answer, before, where, rater=rater)
            outcomes.append(feedback.carrying(edit, row.get("id"), {**notes, "edited": True}))
    for sibling in [] if thumb is None else _siblings(rated, messages):
        outcomes.append(_against_sibling(prompt, answer, sibling, bool(thumb), rater, row, notes, where))
    return outcomes


def _against_sibling(
    prompt: Messages,
    answer: Messages,
    sibling: ChatMessage,
    is_better: bool,
    rater: str | None,
    row: Row,
    notes: Mapping[str, Any],
    where: RowLocation,
) -> Any:
    rating = (sibling.get("annotation") or {}).get("rating")
    other_thumb = feedback.as_thumb(rating) if rating is not None else None
    if other_thumb is is_better:
        return LeftOut("pairs of answers that were rated alike")
    if other_thumb is True:
        return LeftOut("pairs that the rating of the better answer gives too")
    other = (_message(sibling, "assistant", where),)
    if feedback.same_text(other, answer):
        return LeftOut("pairs of equal answers")
    chosen, rejected = (answer, other) if is_better else (other, answer)
    models = [notes.get("model_id"), sibling.get("model")]
    comparison = feedback.compare(prompt, chosen, rejected, where, rater=rater)
    return feedback.carrying(
        comparison, row.get("id"), {**notes, "models": models if is_better else models[::-1]}
    )


def _chat(row: Row, where: RowLocation) -> tuple[dict[str, ChatMessage], Messages]:
    """The messages of the chat by id, and its system message."""
    snapshot = feedback.from_json(row.get("snapshot"))
    outer = snapshot.get("chat") if isinstance(snapshot, dict) else None
    inner = outer.get("chat") if isinstance(outer, dict) else None
    for chat in (inner, outer, snapshot):
        history = chat.get("history") if isinstance(chat, dict) else None
        messages = history.get("messages") if isinstance(history, dict) else None
        if isinstance(messages, dict):
            messages = [
                {"id": key, **message} if isinstance(message, dict) else message
                for key, message in messages.items()
            ]
        if isinstance(messages, list) and messages and isinstance(chat, dict):
            if not all(isinstance(message, dict) for message in messages):
                reject_row(where, "snapshot", messages, "has a message that is no object", EXPORT)
            params = chat.get("params")
            system = params.get("system") if isinstance(params, dict) else None
            leading = (Message("system", system),) if isinstance(system, str) and system.strip() else ()
            return {str(message.get("id")): message for message in messages}, leading
    reject_row(where, "snapshot", snapshot, "has no messages", EXPORT)


def _path(rated: ChatMessage, messages: Mapping[str, ChatMessage], where: RowLocation) -> Messages:
    """The messages before the rated one, from the first."""
    path: list[Message] = []
    seen: set[str] = set()
    parent_id = rated.get("parentId")
    while parent_id is not None:
        parent = messages.get(str(parent_id))
        if parent is None or str(parent_id) in seen:
            reject_row(where, "snapshot", parent_id, "is not an earlier message of the chat", EXPORT)
        seen.add(str(parent_id))
        path.insert(0, _message(parent, str(parent.get("role")), where))
        parent_id = parent.get("parentId")
    return tuple(path)


def _message(message: ChatMessage, role: str, where: RowLocation) -> Message:
    content = message.get("content")
    if role not in ("user", "assistant", "system") or message.get("role") != role:
        remedy = "Drop the row with --drop."
        reject_row(where, "snapshot", message.get("role"), f"is not the role of {role} messages", remedy)
    if not isinstance(content, str):
        reject_row(where, "snapshot", content, "is not the text of a message", "Drop the row with --drop.")
    if message.get("files") and role == "user":
        remedy = "Files are not read, so it is another question; drop the row with --drop."
        reject_row(where, "snapshot", content, "has files beside it", remedy)
    match = REASONING.search(content) if role == "assistant" else None
    if match is None:
        return Message("user" if role == "user" else "system" if role == "system" else "assistant", content)
    lines = [line.removeprefix("&gt;").removeprefix(">").strip() for line in match[1].strip().splitlines()]
    return Message("assistant", REASONING.sub("", content).strip(), reasoning="\n".join(lines))


def _siblings(rated: ChatMessage, messages: Mapping[str, ChatMessage]) -> list[ChatMessage]:
    """The other finished answers to the same message."""
    return [
        message
        for message in messages.values()
        if message is not rated
        and message.get("parentId") is not None
        and message.get("parentId") == rated.get("parentId")
        and message.get("role") == "assistant"
        and message.get("done") is not False
        and isinstance(message.get("content"), str)
        and message["content"].strip()
    ]


# ---------------------------------------------------------------- exports of chats


def recognises_chat(row: Row) -> bool:
    chat = feedback.from_json(row.get("chat"))
    return isinstance(chat, dict) and isinstance(chat.get("history"), dict) and "data" not in row


def convert_chat(row: Row, where: RowLocation) -> Conversion:
    """The rated messages of a chat, as thumbs."""
    return feedback.of_kind(_read_chat(row, where), "binary")


def convert_chat_to_comparisons(row: Row, where: RowLocation) -> Conversion:
    comparisons: Outcomes = [record for record in _read_chat(row, where) if not isinstance(record, Binary)]
    if comparisons:
        return comparisons
    return LeftOut("chats without a rated message that has other answers beside it")


def convert_chat_to_demonstrations(row: Row, where: RowLocation) -> Conversion:
    return feedback.to_imitate(_rated_only(_read_chat(row, where)))


def _read_chat(row: Row, where: RowLocation) -> Outcomes:
    chat = feedback.read_object(row, "chat", where)
    messages, _ = _chat({"snapshot": {"chat": chat}}, where)
    outcomes: Outcomes = []
    for message_id, message in messages.items():
        annotation = message.get("annotation")
        if not isinstance(annotation, dict) or annotation.get("rating") is None:
            continue
        rated = {
            "id": message_id,
            "user_id": row.get("user_id"),
            "data": {"model_id": message.get("model"), **annotation},
            "meta": {"message_id": message_id, "chat_id": row.get("id")},
            "snapshot": {"chat": chat},
        }
        outcomes += _read(rated, where)
    return outcomes or [LeftOut("chats without a rated message")]


CHAT_COLUMNS = frozenset(
    "id user_id title chat created_at updated_at share_id archived pinned meta folder_id".split()
)
COLUMNS = frozenset(
    "id user_id version type data meta snapshot details base_models created_at updated_at user".split()
)

FEEDBACK = Format(
    recognises=recognises,
    convert=convert,
    reads=dict.fromkeys(KINDS, COLUMNS),
    readings={"comparison": convert_to_comparisons, "demonstration": convert_to_demonstrations},
)
CHATS = Format(
    recognises=recognises_chat,
    convert=convert_chat,
    reads=dict.fromkeys(KINDS, CHAT_COLUMNS),
    readings={
        "comparison": convert_chat_to_comparisons,
        "demonstration": convert_chat_to_demonstrations,
    },
)
