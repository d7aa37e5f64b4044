"""Outlines of judgements: short texts that the database writes, with all that decides which rows there are.

The outline of a preference is `2::`; that of a tie is `0:good:`; that of a ranking is `[1,1,null]`.
`value_of` makes a value from an outline, so that the code that writes rows can be asked for them.
Texts of raters and models are reduced to whether they are empty, equal or different.
"""

import json
from collections.abc import Callable, Mapping
from typing import Any

from sqlalchemy import ColumnElement, Integer, String, and_, case, cast, column, func, literal, or_, select
from sqlalchemy.sql.functions import aggregate_strings

from fairlead.data.records import Message, Messages, Role
from fairlead.labels.chats import ChatAnswer, ChatTurn, chat_answer_table, chat_choice_table, chat_turn_table
from fairlead.labels.items import item_table
from fairlead.labels.judgements import judgement_table
from fairlead.labels.task_kinds import TaskKind

# The characters that Python's str.strip() removes.
WHITESPACE = (
    "\t\n\x0b\x0c\r\x1c\x1d\x1e\x1f \x85\xa0\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008"
    "\u2009\u200a\u2028\u2029\u202f\u205f\u3000"
)
CANNOT = "cannot"  # the outline of a judgement that says that nobody can judge the item
UNUSUAL = "?"  # a message with tool calls, an empty one, or one that is not trained
ROLES: Mapping[str, Role] = {"s": "system", "u": "user", "a": "assistant"}
FIRST_TEXT, SECOND_TEXT, EDITED = "The first answer", "The second answer", "An edited answer"
TEXTS: Mapping[str, str | None] = {"none": None, "empty": "", "first": FIRST_TEXT, "second": SECOND_TEXT}


def outline(kind: TaskKind, dialect: str) -> ColumnElement[str]:
    """The outline of a row of the table of judgements."""
    return case(
        (judgement_table.c.value["cannot"].as_string().is_not(None), literal(CANNOT, String)),
        else_=_OUTLINES[kind](dialect),
    )


def value_of(kind: TaskKind, outline: str) -> dict[str, Any]:
    """A stored value with this outline, of an item whose answers are FIRST_TEXT, SECOND_TEXT and so on."""
    return {"cannot": "judge"} if outline == CANNOT else _VALUES[kind](outline)


def roles_of(outline: str) -> str:
    """The roles of the item's prompt, in outlines of conversations and live chats."""
    return "" if outline == CANNOT else outline.partition(";")[0]


def unusual_item(roles: str) -> int | None:
    """The id of the item, if it must be read."""
    return int(roles.removeprefix(UNUSUAL)) if roles.startswith(UNUSUAL) else None


def prompt_of(roles: str) -> Messages:
    """A prompt with these roles."""
    numbered = sorted((int(part[:-1]), part[-1]) for part in roles.split(",") if part)
    return tuple(Message(ROLES[role], f"Message {n}") for n, role in numbered)


def turns_of(outline: str) -> list[ChatTurn]:
    """The turns of a live chat with this outline."""
    turns: list[ChatTurn] = []
    if outline == CANNOT:
        return turns
    for part in filter(None, outline.split(";")[1:]):
        n, choice, continues, first, second = part.split(",")
        answers = (ChatAnswer(0, "", {}, TEXTS[first], True), ChatAnswer(1, "", {}, TEXTS[second], True))
        turns.append(
            ChatTurn(
                id=0,
                n=int(n),
                message="A message",
                answers=answers,
                choice=int(choice) if choice else None,
                continues=int(continues) if continues else None,
                seen={},
            )
        )
    return sorted(turns, key=lambda turn: turn.n)


# ---------------------------------------------------------------- written by the database


def _constant(_: str) -> ColumnElement[str]:
    """Whatever the value, the judgement becomes one row."""
    return literal("", String)


def _pairwise(dialect: str) -> ColumnElement[str]:
    """PREFERENCE:TIE:EDIT."""
    value = judgement_table.c.value
    edit = case(
        (value[("edit", "text")].as_string().is_(None), literal("", String)),
        else_=_edit(dialect, value[("edit", "text")].as_string(), value[("edit", "candidate")].as_string()),
    )
    preference: Any = func.coalesce(cast(value["preference"].as_string(), String), "")
    return _joined(":", preference, func.coalesce(value["tie"].as_string(), ""), edit)


def _ranking(dialect: str) -> ColumnElement[str]:
    """The ranks as JSON, with 1 for each answer that has a rank."""
    value = judgement_table.c.value
    ranks: Any = (
        func.json_extract(value, "$.ranks") if dialect == "sqlite" else cast(value["ranks"].as_json(), String)
    )
    for digit in "23456789":  # there are at most 8 answers
        ranks = func.replace(ranks, digit, "1")
    return func.replace(ranks, " ", "")


def _thumbs(_: str) -> ColumnElement[str]:
    return case((judgement_table.c.value["label"].as_boolean(), literal("up", String)), else_="down")


def _edit_kind(dialect: str) -> ColumnElement[str]:
    value = judgement_table.c.value
    return _edit(dialect, value["text"].as_string(), value["candidate"].as_string())


def _edit(dialect: str, text: Any, candidate: Any) -> ColumnElement[str]:
    """Whether the text differs from the last message of the answer."""
    answers = item_table.c.answers
    if dialect == "sqlite":
        path = literal("$[", String) + candidate + "].messages[#-1].content"
        before: Any = func.json_extract(answers, path)
    else:
        messages = answers.op("->")(cast(candidate, Integer)).op("->")("messages")
        before = messages.op("->")(-1).op("->>")("content")
    original = select(_stripped(before)).where(item_table.c.id == judgement_table.c.item_id).scalar_subquery()
    return case((_stripped(text) == original, literal("same", String)), else_="changed")


def _conversation(dialect: str) -> ColumnElement[str]:
    """ROLES;TURNS, with the turns as JSON."""
    value = judgement_table.c.value
    turns: Any = (
        func.json_extract(value, "$.turns") if dialect == "sqlite" else cast(value["turns"].as_json(), String)
    )
    turns = func.replace(turns, " ", "")
    for score in range(2, 11):
        turns = func.replace(turns, f'"score":{score}}}', '"score":1}')
    return _joined(";", _roles(dialect), turns)


def _chat(dialect: str) -> ColumnElement[str]:
    """ROLES;TURN;TURN;… with N,CHOICE,CONTINUES,TEXT,TEXT for each turn."""
    first, second, choice = chat_answer_table.alias(), chat_answer_table.alias(), chat_choice_table.alias()
    last_choice = (
        select(func.max(chat_choice_table.c.id))
        .where(chat_choice_table.c.turn_id == chat_turn_table.c.id)
        .correlate(chat_turn_table)
        .scalar_subquery()
    )
    none = literal("none", String)
    first_text = case((first.c.text.is_(None), none), (_stripped(first.c.text) == "", "empty"), else_="first")
    second_text = case(
        (second.c.text.is_(None), none),
        (_stripped(second.c.text) == "", "empty"),
        (_stripped(second.c.text) == _stripped(first.c.text), "first"),
        else_="second",
    )
    parts: list[Any] = [
        cast(chat_turn_table.c.n, String),
        func.coalesce(cast(choice.c.choice, String), ""),
        func.coalesce(cast(choice.c.continues, String), ""),
        first_text,
        second_text,
    ]
    of_turn = _joined(",", *parts)
    turns = (
        select(aggregate_strings(of_turn, ";"))
        .select_from(chat_turn_table)
        .join(first, and_(first.c.turn_id == chat_turn_table.c.id, first.c.place == 0))
        .join(second, and_(second.c.turn_id == chat_turn_table.c.id, second.c.place == 1))
        .outerjoin(choice, choice.c.id == last_choice)
        .where(chat_turn_table.c.token == judgement_table.c.token)
        .correlate(judgement_table)
        .scalar_subquery()
    )
    return _joined(";", _roles(dialect), func.coalesce(turns, ""))


def _roles(dialect: str) -> ColumnElement[str]:
    """Number and role of each message of the item's prompt: `0s,1u,2a`.

    An item with an unusual message is `?ID`: it is read, because its rows depend on more than roles.
    """
    prompt = item_table.c.prompt
    if dialect == "sqlite":
        elements: Any = func.json_each(prompt).table_valued("key", "value")
        message: Any = elements.c.value

        def of_message(name: str) -> Any:
            return func.json_extract(message, f"$.{name}")

        number = cast(elements.c.key, String)
    else:
        elements = func.json_array_elements(prompt).table_valued(column("value"), with_ordinality="key")
        elements = elements.render_derived()

        def of_message(name: str) -> Any:
            return elements.c.value.op("->>")(name)

        number = cast(elements.c.key - 1, String)
    is_unusual = or_(
        of_message("role").not_in(tuple(ROLES.values())),
        of_message("tool_calls").is_not(None),
        of_message("train").is_not(None),
        _stripped(of_message("content")) == "",
    )
    role = case((is_unusual, literal(UNUSUAL, String)), else_=func.substr(of_message("role"), 1, 1))
    roles = aggregate_strings(number + role, ",")
    has_unusual = func.max(case((is_unusual, 1), else_=0)) == 1
    of_item = case((has_unusual, literal(UNUSUAL, String) + cast(item_table.c.id, String)), else_=roles)
    return (
        select(of_item)
        .select_from(item_table.join(elements, literal(True)))
        .where(item_table.c.id == judgement_table.c.item_id)
        .group_by(item_table.c.id)
        .correlate(judgement_table)
        .scalar_subquery()
    )


def _joined(separator: str, first: Any, *others: Any) -> ColumnElement[str]:
    joined: ColumnElement[str] = first
    for other in others:
        joined = joined.concat(literal(separator, String)).concat(other)
    return joined


def _stripped(text: Any) -> Any:
    return func.trim(text, WHITESPACE)


_OUTLINES: Mapping[TaskKind, Callable[[str], ColumnElement[str]]] = {
    "pairwise": _pairwise,
    "ranking": _ranking,
    "rating": _constant,
    "thumbs": _thumbs,
    "aspects": _constant,
    "demonstration": _constant,
    "edit": _edit_kind,
    "conversation": _conversation,
    "chat": _chat,
}


# ---------------------------------------------------------------- values from outlines


def _pairwise_value(outline: str) -> dict[str, Any]:
    preference, tie, edit = outline.split(":")
    value: dict[str, Any] = {"preference": int(preference), "tie": tie or None} if preference else {}
    return value | ({"edit": _edit_value(edit)} if edit else {})


def _edit_value(outline: str) -> dict[str, Any]:
    return {"candidate": 0, "text": FIRST_TEXT if outline == "same" else EDITED}


_VALUES: Mapping[TaskKind, Callable[[str], dict[str, Any]]] = {
    "pairwise": _pairwise_value,
    "ranking": lambda outline: {"ranks": json.loads(outline)},
    "rating": lambda _: {"score": 1},
    "thumbs": lambda outline: {"label": outline == "up"},
    "aspects": lambda _: {"aspects": {"helpful": 1}},
    "demonstration": lambda _: {"text": EDITED},
    "edit": _edit_value,
    "conversation": lambda outline: {"turns": json.loads(outline.partition(";")[2])},
    "chat": lambda _: {},  # the rows come from the turns
}
