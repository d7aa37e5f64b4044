"""The preview of a snapshot is counted by the database, and equals the snapshot in every figure."""

import random
from datetime import UTC, datetime
from typing import Any

import pytest
from sqlalchemy import Connection

from fairlead.data.records import Message
from fairlead.labels import (
    campaigns,
    chats,
    items,
    job_worker,
    judgements,
    leases,
    snapshot,
    snapshot_counts,
    snapshot_filters,
)
from fairlead.labels.assignments import Assignment
from fairlead.labels.campaigns import Campaign
from fairlead.labels.database import Database
from fairlead.labels.items import CandidateAnswer, NewItem
from fairlead.labels.judgements import NewJudgement
from fairlead.labels.snapshot_filters import SnapshotCounts, SnapshotFilters
from fairlead.labels.task_kinds import NUM_ANSWERS, TASK_KINDS, TaskKind
from fairlead.store.project import Project
from labels import build
from labels.snapshots import ANN, BEN, CAT, LEAD

RATERS = (ANN, BEN, CAT)
NUM_ITEMS = 10
TOOL_CALL = {"type": "function", "function": {"name": "add", "arguments": {"a": 2}}, "id": "call_1"}


@pytest.mark.parametrize("kind", TASK_KINDS)
def test_a_preview_equals_the_snapshot(database: Database, project: Project, kind: TaskKind) -> None:
    rng = random.Random(f"preview of {kind}")
    campaign = judge_at_random(database, kind, rng)
    with database.read() as connection:
        times = sorted(judgement.made_at for judgement in judgements.list_current(connection, campaign.id))
    alternatives = [filters_at_random(rng, campaign, times) for _ in range(12)]
    alternatives += [SnapshotFilters(), SnapshotFilters(by_item=True), SnapshotFilters(late=False)]
    with database.read() as connection:
        counted = snapshot_counts.count_rows(connection, campaign, alternatives)
    snapshots = [
        make(database, project, campaign, f"s{number}", filters)
        for number, filters in enumerate(alternatives)
    ]
    for filters, preview, of_snapshot in zip(alternatives, counted, snapshots, strict=True):
        if of_snapshot is None:
            assert preview.files == {} and preview.items == 0, filters
        else:
            assert preview == of_snapshot, filters
    assert len(set(map(str, snapshots))) > 5, "filters that count the same prove nothing"


def judge_at_random(database: Database, kind: TaskKind, rng: random.Random) -> Campaign:
    """Three people judge with two versions of the guidelines, correct some judgements and take some back."""
    with database.write() as connection:
        campaign = campaigns.create(
            connection,
            campaigns.CampaignSettings(
                name="Random",
                kind=kind,
                overlap=3,
                guidelines="Be kind.",
                options={"aspects": ["brief", "true"]} if kind in ("pairwise", "aspects") else {},
            ),
            by=LEAD,
        )
        items.add(connection, campaign, [item_at_random(kind, n, rng) for n in range(NUM_ITEMS)], by=LEAD)
        campaign = campaigns.set_state(connection, campaign, "open", by=LEAD)
    for number, rater in enumerate(RATERS):
        if number == 1:
            with database.write() as connection:
                campaigns.write_guidelines(connection, campaign, "Be brief.", by=LEAD)
        for _ in range(NUM_ITEMS - number):
            with database.write() as connection:
                (assignment,) = leases.lease_items(connection, campaign, rater)
                build.hold_longer(connection, assignment.id)
                if kind == "chat":
                    chat_at_random(connection, campaign, assignment, rng)
                if rng.random() < 0.2:  # the judgement comes late
                    leases.end(connection, assignment.id, "expired", at=datetime.now(UTC))
                for attempt in range(rng.choice((1, 1, 1, 2))):
                    new = NewJudgement(
                        key=f"{assignment.id}-{attempt}",
                        value=value_at_random(kind, assignment, rng),
                        active_ms=rng.choice((0, 60_000)),
                    )
                    judgements.submit(connection, assignment.id, rater, new)
                if rng.random() < 0.1:
                    judgements.skip(connection, assignment.id, rater, reason="unclear")
    return campaign


def item_at_random(kind: TaskKind, number: int, rng: random.Random) -> NewItem:
    low, high = NUM_ANSWERS[kind]
    texts = [f"Answer {n}\u3000" for n in range(rng.randint(low, min(high, 4)))]
    prompt = [Message("user", f"Question {number}?")]
    if kind in ("conversation", "chat"):
        if rng.random() < 0.4:
            prompt.insert(0, Message("system", "Be brief."))
        for turn in range(rng.randrange(3)):
            prompt += [Message("assistant", f"Turn {turn}"), Message("user", "Really?")]
        if rng.random() < 0.5:
            prompt.append(Message("assistant", "So it is.", trained=rng.random() < 0.7))
    return NewItem(tuple(prompt), tuple(CandidateAnswer((Message("assistant", text),)) for text in texts))


def value_at_random(kind: TaskKind, assignment: Assignment, rng: random.Random) -> dict[str, Any]:
    if rng.random() < 0.1:
        return {"cannot": rng.choice(("judge", "unsafe"))}
    letters = "ABCD"[: len(assignment.order)]
    score = rng.randint(1, 7)

    def edit(letter: str) -> dict[str, Any]:
        before = assignment.item.answers[assignment.order[letters.index(letter)]].messages[-1].content
        return {"letter": letter, "text": rng.choice((before, f" {before.strip()}\n", f"{before} Or not."))}

    if kind == "pairwise":
        choice = rng.randint(1, 8)
        value: dict[str, Any] = {"choice": choice}
        if rng.random() < 0.4:
            value["edit"] = edit("A" if choice < 4 else "B")
        if rng.random() < 0.4:
            value["aspects"] = {"brief": rng.choice("A=B")}
        return value
    if kind == "ranking":
        ranked = rng.sample(letters, rng.randint(2, len(letters)))
        return {"ranks": {letter: rng.randint(1, len(letters)) for letter in ranked}}
    if kind == "edit":
        return edit(rng.choice(letters))
    if kind == "conversation":
        places = range(len(assignment.item.prompt))
        verdicts = ({"label": True}, {"label": False}, {"score": score})
        judged = rng.sample(places, rng.randint(1, min(3, len(places))))
        return {"turns": {str(place): rng.choice(verdicts) for place in judged}}
    by_kind: dict[TaskKind, dict[str, Any]] = {
        "rating": {"score": score},
        "thumbs": {"label": rng.random() < 0.5},
        "aspects": {"aspects": {"brief": score, "true": 1}},
        "demonstration": {"text": "An answer."},
        "chat": rng.choice(({}, {"score": score})),
    }
    return by_kind[kind]


def chat_at_random(
    connection: Connection, campaign: Campaign, assignment: Assignment, rng: random.Random
) -> None:
    chats.set_answerers(
        connection, campaign, [chats.Answerer("model:a", {}), chats.Answerer("model:b", {})], by=LEAD
    )
    for n in range(rng.randint(1, 3)):
        turn = chats.send_message(connection, campaign, assignment, n=n, message="Hello?")
        for place in (0, 1):
            text = rng.choice(("Hello.", " Hello.\t", "Hi.", ""))
            chats.store_answer(connection, turn.id, place, text=text, finished=True)
        for _ in range(rng.choice((1, 2))):  # the last choice counts
            chats.choose_answer(connection, campaign, assignment, n=n, choice=rng.randint(1, 8), seen={})
    if rng.random() < 0.3:  # a turn without an answer
        chats.send_message(connection, campaign, assignment, n=n + 1, message="And?")


def filters_at_random(rng: random.Random, campaign: Campaign, times: list[str]) -> SnapshotFilters:
    chosen: dict[str, Any] = {}
    if rng.random() < 0.5:
        chosen["by_item"] = True
    elif rng.random() < 0.5:
        chosen["equal_items"] = True
    if campaign.kind in ("pairwise", "chat"):
        chosen |= {"ties": rng.random() < 0.6, "min_margin": rng.choice((0, 0, 1, 2, 3))}
    for name, value in (
        ("guidelines", (rng.randint(1, 2),)),
        ("raters", tuple(rng.sample(RATERS, 2))),
        ("without_raters", (rng.choice(RATERS),)),
        ("since", times[len(times) // 3]),
        ("until", times[2 * len(times) // 3]),
        ("late", False),
        ("quick", False),
    ):
        if rng.random() < 0.2:
            chosen[name] = value
    return snapshot_filters.validate(campaign, SnapshotFilters(**chosen))


def make(
    database: Database, project: Project, campaign: Campaign, name: str, filters: SnapshotFilters
) -> SnapshotCounts | None:
    """The counts of the snapshot; None if it is refused because it would have no rows."""
    with database.write() as connection:
        snapshot.enqueue(connection, project, campaign, name, filters, by=LEAD)
    job = job_worker.run_one(database, {"snapshot": lambda work: snapshot.run(project, work)})
    assert job is not None
    if job.state == "failed":
        assert "No judgement passes these filters" in str(job.error)
        return None
    with database.read() as connection:
        return snapshot.get(connection, campaign.id, name).counts
