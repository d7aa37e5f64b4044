"""Small campaigns, and helpers to lease and judge items, for tests of labels and studio."""

import threading
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import Connection, select, update

from fairlead.data.records import Message
from fairlead.labels import campaigns, chats, items, judgements, leases, task_kinds
from fairlead.labels.assignments import Assignment, assignment_table
from fairlead.labels.campaigns import Campaign
from fairlead.labels.database import format_time, parse_time
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
    """An open campaign whose items have the prompts `Question 0?`, `Question 1?`, and so on."""
    campaign = campaigns.create(
        connection,
        campaigns.CampaignSettings(
            name=f"Helpful {kind}", kind=kind, guidelines="# How to\nBe fair.", **settings
        ),
        by=LEAD,
    )
    number = task_kinds.NUM_ANSWERS[kind][0] if num_answers is None else num_answers
    items.add(connection, campaign, [new_item(n, number) for n in range(num_items)], by=LEAD)
    return campaigns.set_state(connection, campaign, "open", by=LEAD)


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


def hold_longer(connection: Connection, assignment_id: str, by: timedelta = timedelta(days=1)) -> None:
    """As if the item had been handed out earlier: nobody's active time is longer than they held the item."""
    mine = assignment_table.c.token == assignment_id
    leased_at = connection.execute(select(assignment_table.c.leased_at).where(mine)).scalar_one()
    earlier = format_time(parse_time(leased_at) - by)
    connection.execute(update(assignment_table).where(mine).values(leased_at=earlier))


def judge(
    connection: Connection, assignment: Assignment, value: dict[str, Any] | None = None, **fields: Any
) -> judgements.Judgement:
    at = fields.pop("at", None)
    submitted = {"key": f"key-{assignment.id}", "value": value or VALUES["pairwise"]} | fields
    if fields.get("active_ms"):
        hold_longer(connection, assignment.id)
    return judgements.submit(
        connection, assignment.id, assignment.rater, judgements.NewJudgement(**submitted), at=at
    )


def add_chat_turn(
    connection: Connection,
    campaign: Campaign,
    assignment: Assignment,
    *,
    choice: int | None = 2,
    text: str | None = "Hello.",
) -> None:
    """Add a turn to a live chat.  `text` None leaves out the answers, and `choice` None the choice."""
    chats.set_answerers(
        connection, campaign, [chats.Answerer("model:a", {}), chats.Answerer("model:b", {})], by=LEAD
    )
    turn = chats.send_message(
        connection, campaign, assignment, n=len(chats.list_turns(connection, assignment.id)), message="Hello?"
    )
    if text is not None:
        for place in (0, 1):
            chats.store_answer(connection, turn.id, place, text=text, finished=True)
    if choice is not None:
        chats.choose_answer(connection, campaign, assignment, n=turn.n, choice=choice, seen={})


def lease(
    connection: Connection, campaign: Campaign, rater: str, count: int = 1, at: datetime = NOON
) -> list[Assignment]:
    return leases.lease_items(connection, campaign, rater, count=count, at=at)


def slot_states(connection: Connection, campaign: Campaign) -> dict[int, list[str]]:
    """The states of each item's slots, in order, by item id."""
    states: dict[int, list[str]] = {}
    for row in connection.execute(
        select(slot_table)
        .where(slot_table.c.campaign_id == campaign.id)
        .order_by(slot_table.c.item_id, slot_table.c.n)
    ):
        states.setdefault(row.item_id, []).append(row.state)
    return states


def run_at_once(calls: list[Callable[[], object]]) -> list[BaseException]:
    """Run each function in its own thread, all starting together.  Returns the exceptions."""
    failures: list[BaseException] = []
    barrier = threading.Barrier(len(calls))

    def run(call: Callable[[], object]) -> None:
        barrier.wait()
        try:
            call()
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=run, args=(call,)) for call in calls]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return failures
