"""Small campaigns for the tests of labels and studio."""

from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import Connection, select

from fairlead.data.records import Message
from fairlead.labels import campaigns, chats, items, judgements, leases, task_kinds
from fairlead.labels.assignments import Assignment
from fairlead.labels.campaigns import Campaign
from fairlead.labels.items import CandidateAnswer, NewItem, slot_table
from fairlead.labels.task_kinds import TaskKind

LEAD = "r-00000000aa"
ANN = "r-0000000001"
BEN = "r-0000000002"
CAT = "r-0000000003"
NOON = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)


def after(minutes: float) -> datetime:
    return NOON + timedelta(minutes=minutes)


def new_item(number: int, num_answers: int = 2, **fields: Any) -> NewItem:
    answers = tuple(
        CandidateAnswer((Message("assistant", f"Answer {i} to {number}."),), source=f"model-{i}")
        for i in range(num_answers)
    )
    return NewItem((Message("user", f"Question {number}?"),), answers, **fields)


def open_campaign(
    connection: Connection,
    *,
    kind: TaskKind = "pairwise",
    num_items: int = 6,
    num_answers: int | None = None,
    **settings: Any,
) -> Campaign:
    """A campaign that hands out work; Latin numbers in the prompts tell the items apart."""
    made = campaigns.create(
        connection,
        campaigns.CampaignSettings(
            name=f"Helpful {kind}", kind=kind, guidelines="# How to\nBe fair.", **settings
        ),
        by=LEAD,
    )
    number = task_kinds.NUM_ANSWERS[kind][0] if num_answers is None else num_answers
    items.add(connection, made, [new_item(n, number) for n in range(num_items)], by=LEAD)
    return campaigns.set_state(connection, made, "open", by=LEAD)


VALUES: dict[TaskKind, dict[str, Any]] = {
    "pairwise": {"choice": 2},
    "ranking": {"ranks": {"A": 1, "B": 2}},
    "rating": {"score": 3},
    "thumbs": {"label": True},
    "aspects": {"aspects": {"helpful": 1, "harmless": 2, "honest": 3}},
    "demonstration": {"text": "An answer."},
    "edit": {"letter": "A", "text": "A better answer."},
    "conversation": {"turns": {"0": {"label": True}}},
    "chat": {"score": 4},
}


def judge(
    connection: Connection, assignment: Assignment, value: dict[str, Any] | None = None, **more: Any
) -> judgements.Judgement:
    at = more.pop("at", None)
    fields = {"key": f"key-{assignment.id}", "value": value or VALUES["pairwise"]} | more
    return judgements.submit(
        connection, assignment.id, assignment.rater, judgements.NewJudgement(**fields), at=at
    )


def talk(
    connection: Connection,
    one: Campaign,
    task: Assignment,
    *,
    choice: int | None = 2,
    text: str | None = "Hello.",
) -> None:
    """A turn of a live chat, with two answers and a choice."""
    chats.set_answerers(
        connection, one, [chats.Answerer("model:a", {}), chats.Answerer("model:b", {})], by=LEAD
    )
    turn = chats.send_message(
        connection, one, task, n=len(chats.list_turns(connection, task.id)), message="Hello?"
    )
    if text is not None:
        for place in (0, 1):
            chats.store_answer(connection, turn.id, place, text=text, finished=True)
    if choice is not None:
        chats.choose_answer(connection, one, task, n=turn.n, choice=choice, seen={})


def take(
    connection: Connection, one: Campaign, rater: str, count: int = 1, at: datetime = NOON
) -> list[Assignment]:
    return leases.lease_items(connection, one, rater, count=count, at=at)


def slots(connection: Connection, one: Campaign) -> dict[int, list[str]]:
    """Item -> the states of its slots, in order."""
    found: dict[int, list[str]] = {}
    for row in connection.execute(
        select(slot_table)
        .where(slot_table.c.campaign_id == one.id)
        .order_by(slot_table.c.item_id, slot_table.c.n)
    ):
        found.setdefault(row.item_id, []).append(row.state)
    return found
