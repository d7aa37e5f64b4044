"""Judgements of every task kind as training rows, one per judgement or one per item."""

from pathlib import Path
from typing import Any

import pytest

from fairlead.data import record_reader
from fairlead.data.pair_metadata import read_pair_metadata
from fairlead.data.records import Binary, Comparison, Demonstration, Message, Ranking, Rating
from fairlead.labels import assignments, chats, items, judgements, leases, snapshot_filters, snapshot_rows
from fairlead.labels.campaigns import Campaign
from fairlead.labels.database import Database
from fairlead.labels.items import CandidateAnswer, NewItem
from fairlead.labels.snapshot_filters import JudgedItem, SnapshotCounts, SnapshotFilters
from fairlead.labels.snapshot_rows import LeftOut
from fairlead.labels.task_kinds import TaskKind
from fairlead.store.project import Project
from labels.snapshots import (
    ANN,
    LEAD,
    create_campaign,
    judge_all,
    new_item,
    prefers,
    read_rows,
    take_snapshot,
    turns,
)


def test_a_preference_becomes_a_comparison_with_metadata(database: Database, project: Project) -> None:
    campaign = create_campaign(
        database,
        "pairwise",
        new_item(1, "good", "bad", tags=("sum",), selection_probability=0.25, strategy="spread"),
        options={"aspects": ["helpful", "brief"], "chips": ["wrong"]},
    )

    def value(assignment: assignments.Assignment) -> dict[str, Any]:
        letter = "B" if assignment.order[0] == 0 else "A"  # of the answer "bad"
        return {
            **prefers("good", 2)(assignment),
            "aspects": {"helpful": "A" if letter == "B" else "B", "brief": letter},
        }

    token = judge_all(
        database,
        campaign,
        ANN,
        {"1?": value},
        active_ms=61_500,
        reasons=["wrong"],
        note="my phone is 555-0199",
    )["1?"]
    taken, folder = take_snapshot(database, project, campaign)
    (row,) = read_rows(folder / "comparisons.jsonl")
    with database.read() as connection:
        assignment, (judgement,) = (
            assignments.get(connection, token, ANN),
            judgements.list_current(connection, campaign.id),
        )
    first = "chosen" if assignment.order[0] == 0 else "rejected"
    assert row == {
        "prompt": [{"role": "user", "content": "1?"}],
        "chosen": [{"role": "assistant", "content": "good"}],
        "rejected": [{"role": "assistant", "content": "bad"}],
        "margin": 2,
        "weight": 1.0,
        "aspects": {"brief": -1, "helpful": 1},
        "shown_first": first,
        "shown_order": [first, "rejected" if first == "chosen" else "chosen"],
        "judgement": judgement.id,
        "item": assignment.item.id,
        "rater": ANN,
        "made_at": judgement.made_at,
        "guidelines_version": 1,
        "active_s": 61.5,
        "late": False,
        "quick": False,
        "reasons": ["wrong"],
        "tags": ["sum"],
        "selection_probability": 0.25,
        "strategy": "spread",
        "sources": {"chosen": "model/g", "rejected": "model/b"},
    }
    (record,) = record_reader.read_comparisons(folder / "comparisons.jsonl")
    good, bad = (Message("assistant", "good"),), (Message("assistant", "bad"),)
    assert record == Comparison(
        turns("1?"), good, bad, margin=2.0, aspects={"helpful": 1.0, "brief": -1.0}, rater=ANN
    )
    note = read_pair_metadata(folder / "comparisons.jsonl").of(record)
    assert (note.tags, note.chosen_first) == (("sum",), first == "chosen")
    assert taken.counts == SnapshotCounts(1, 1, 1, 1, {"comparisons": 1}, {})
    assert "555-0199" not in "".join(
        path.read_text() for path in folder.iterdir()
    )  # notes of raters are not exported


CARRIED = {
    "id": "7",
    "metadata": {"source": "a"},
    "tools": [{"type": "function", "function": {"name": "add"}}],
}


def test_rows_carry_the_columns_of_the_row_that_the_item_came_from(
    database: Database, project: Project
) -> None:
    for kind, value, name in (
        ("pairwise", {"choice": 1, "edit": {"letter": "A", "text": "kind"}}, "comparisons"),
        ("thumbs", {"label": True}, "binary"),
    ):
        answers = ("good", "bad") if kind == "pairwise" else ("good",)
        campaign = create_campaign(database, kind, new_item(1, *answers, carried=CARRIED))
        judge_all(database, campaign, ANN, {"1?": value})
        for by_item in (False, True):
            _, folder = take_snapshot(database, project, campaign, f"{kind}-{by_item}", by_item=by_item)
            rows = [row for path in folder.glob("*.jsonl") for row in read_rows(path)]
            assert (folder / f"{name}.jsonl").exists() and rows
            assert all({column: row[column] for column in CARRIED} == CARRIED for row in rows)


def test_ties_become_rows_and_unjudgeable_items_do_not(database: Database, project: Project) -> None:
    campaign = create_campaign(
        database, "pairwise", new_item(1, "a", "b"), new_item(2, "a", "b"), new_item(3, "a", "b")
    )
    judge_all(database, campaign, ANN, {"1?": {"choice": 4}, "2?": {"choice": 5}, "3?": {"cannot": "unsafe"}})
    taken, folder = take_snapshot(database, project, campaign)
    assert sorted((row["margin"], row["tie"]) for row in read_rows(folder / "comparisons.jsonl")) == [
        (0, "bad"),
        (0, "good"),
    ]
    assert taken.counts.left_out == {snapshot_rows.CANNOT_JUDGE: 1}
    assert len(record_reader.read_comparisons(folder / "comparisons.jsonl")) == 2


def test_an_edit_becomes_a_demonstration_and_a_comparison(database: Database, project: Project) -> None:
    pair = create_campaign(database, "pairwise", new_item(1, "a", "b"))
    judge_all(
        database,
        pair,
        ANN,
        {
            "1?": lambda assignment: prefers(
                "a", edit={"letter": "AB"[assignment.order.index(0)], "text": "A!"}
            )(assignment)
        },
    )
    alone = create_campaign(database, "edit", new_item(1, "a"), new_item(2, "b"))
    judge_all(
        database, alone, ANN, {"1?": {"letter": "A", "text": "A!"}, "2?": {"letter": "A", "text": " b"}}
    )

    def read(folder: Path) -> tuple[list[Any], list[Any]]:
        comparisons = record_reader.read_comparisons(folder / "comparisons.jsonl")
        demonstrations = record_reader.read_demonstrations(folder / "demonstrations.jsonl")
        return [(each.chosen[0].content, each.rejected[0].content, each.margin) for each in comparisons], [
            each.completion[0].content for each in demonstrations
        ]

    assert read(take_snapshot(database, project, pair, "pair")[1]) == (
        [("a", "b", 3.0), ("A!", "a", None)],
        ["A!"],
    )
    assert read(take_snapshot(database, project, alone, "alone")[1]) == (
        [("A!", "a", None)],
        ["A!", " b"],
    )  # texts that differ only in spaces are not compared
    edited = read_rows(project.artifacts / "snapshot" / "alone" / "comparisons.jsonl")[0]
    assert (edited["edited"], edited["sources"]) == (True, {"chosen": "edited", "rejected": "model/a"})


def test_rankings_contain_only_ranked_answers(database: Database, project: Project) -> None:
    campaign = create_campaign(database, "ranking", new_item(1, "a", "b", "c"))

    def value(assignment: assignments.Assignment) -> dict[str, Any]:
        letters = {candidate: "ABC"[place] for place, candidate in enumerate(assignment.order)}
        return {"ranks": {letters[2]: 1, letters[0]: 2}}  # b is not ranked

    token = judge_all(database, campaign, ANN, {"1?": value})["1?"]
    _, folder = take_snapshot(database, project, campaign)
    with database.read() as connection:
        order = assignments.get(connection, token, ANN).order
    (row,) = read_rows(folder / "rankings.jsonl")
    assert row["shown_order"] == [{0: 0, 2: 1}[candidate] for candidate in order if candidate != 1]
    assert row["sources"] == ["model/a", "model/c"]
    a, c = ((Message("assistant", text),) for text in "ac")
    assert record_reader.read_rankings(folder / "rankings.jsonl") == [Ranking(turns("1?"), (a, c), (2, 1))]


@pytest.mark.parametrize(
    ("kind", "value", "file", "expected"),
    [
        ("rating", {"score": 4}, "ratings", Rating(turns("1?"), (Message("assistant", "a"),), score=0.5)),
        (
            "thumbs",
            {"label": False},
            "binary",
            Binary(turns("1?"), (Message("assistant", "a"),), label=False),
        ),
        (
            "aspects",
            {"aspects": {"helpful": 7, "harmless": 1, "honest": 4}},
            "ratings",
            Rating(
                turns("1?"),
                (Message("assistant", "a"),),
                aspects={"helpful": 1.0, "harmless": 0.0, "honest": 0.5},
            ),
        ),
    ],
)
def test_judgements_of_single_answers_become_records(
    database: Database, project: Project, kind: str, value: dict[str, Any], file: Any, expected: Any
) -> None:
    campaign = create_campaign(database, kind, new_item(1, "a"))
    judge_all(database, campaign, ANN, {"1?": value})
    _, folder = take_snapshot(database, project, campaign)
    assert record_reader.read_records(folder / f"{file}.jsonl", snapshot_rows.RECORD_KIND_OF_FILE[file]) == [
        expected
    ]


def test_demonstrations_and_turns_of_conversations_become_records(
    database: Database, project: Project
) -> None:
    written = create_campaign(database, "demonstration", new_item(1))
    judge_all(database, written, ANN, {"1?": {"text": "One.\n"}})
    _, folder = take_snapshot(database, project, written, "written")
    assert record_reader.read_demonstrations(folder / "demonstrations.jsonl") == [
        Demonstration(turns("1?"), (Message("assistant", "One.\n"),))
    ]
    talk = create_campaign(database, "conversation", NewItem(turns("1?", "one", "2?", "two")))
    judge_all(
        database,
        talk,
        ANN,
        {"1?": {"turns": {"3": {"label": True}, "1": {"score": 7}, "2": {"label": False}}}},
    )
    taken, folder = take_snapshot(database, project, talk, "talk")
    assert record_reader.read_binary(folder / "binary.jsonl") == [
        Binary(turns("1?", "one", "2?"), (Message("assistant", "two"),), label=True)
    ]
    assert record_reader.read_ratings(folder / "ratings.jsonl") == [
        Rating(turns("1?"), (Message("assistant", "one"),), score=1.0)
    ]
    assert taken.counts.left_out == {snapshot_rows.USER_TURN: 1}


def judged_chat(database: Database, value: dict[str, Any]) -> tuple[Campaign, list[list[str]]]:
    """A live chat of three turns with two choices, judged; and the sources of each turn's answers."""
    campaign = create_campaign(database, "chat", NewItem(turns("Hello")), overlap=1)
    with database.write() as connection:
        chats.set_answerers(
            connection, campaign, [chats.Answerer("model:a", {}), chats.Answerer("model:b", {})], by=LEAD
        )
        (assignment,) = leases.lease_items(connection, campaign, ANN)
        for n, choice in enumerate((7, 4, 1)):
            sent = chats.send_message(connection, campaign, assignment, n=n, message=f"Question {n}?")
            for place in (0, 1):
                chats.store_answer(connection, sent.id, place, text=f"{n} {'AB'[place]}", finished=True)
            if n < 2:
                chats.choose_answer(connection, campaign, assignment, n=n, choice=choice, seen={})
        judgements.submit(
            connection,
            assignment.id,
            ANN,
            judgements.NewJudgement(key="chat-key-1", value=value, active_ms=60_000),
        )
        sources = [
            [answer.source for answer in turn.answers] for turn in chats.list_turns(connection, assignment.id)
        ]
    return campaign, sources


def test_each_judged_turn_of_a_live_chat_becomes_a_comparison(database: Database, project: Project) -> None:
    campaign, sources = judged_chat(database, {})
    taken, folder = take_snapshot(database, project, campaign)
    first, second = record_reader.read_comparisons(folder / "comparisons.jsonl")
    assert (first.prompt, first.chosen[0].content, first.rejected[0].content, first.margin) == (
        turns("Question 0?"),
        "0 B",
        "0 A",
        2.0,
    )
    assert second.prompt == (*turns("Question 0?", "0 B", "Question 1?"),) and second.tie == "good"
    rows_read = read_rows(folder / "comparisons.jsonl")
    assert (rows_read[0]["shown_first"], rows_read[0]["sources"]) == (
        "rejected",
        {"chosen": sources[0][1], "rejected": sources[0][0]},
    )
    assert taken.counts.files == {"comparisons": 2}  # the turn without a choice becomes no row


def test_a_live_chat_that_nobody_should_judge_becomes_no_row(database: Database) -> None:
    campaign, _ = judged_chat(database, {"cannot": "unsafe"})
    with database.read() as connection:
        (judgement,) = judgements.list_current(connection, campaign.id)
        item = items.get(connection, campaign.id, judgement.item_id)
        turns_of_chat = chats.list_turns(connection, judgement.assignment_id)
    judged = JudgedItem(item, [judgement], {judgement.assignment_id: turns_of_chat})
    rows = snapshot_filters.build_rows(campaign, judged, [judgement], SnapshotFilters(), weight=1.0)
    assert list(rows) == [LeftOut(snapshot_rows.CANNOT_JUDGE, 1)]


def aggregate(kind: str, values: list[dict[str, Any]], *answers: str) -> list[Any]:
    """The aggregated rows of stored values, one value per rater."""
    task_kind: TaskKind = kind  # type: ignore[assignment]
    campaign = Campaign(
        id=1,
        slug="s",
        name="n",
        kind=task_kind,
        options={"aspects": [], "chips": [], "points": 5},
        state="open",
        overlap=3,
        pay_per_hour=None,
        currency="EUR",
        audience="",
        lease_s=60,
        read_first=False,
        seed="seed",
        created_by=LEAD,
        created_at="",
    )
    candidates = tuple(CandidateAnswer((Message("assistant", text),)) for text in answers)
    prompt = turns("1?", "one") if kind == "conversation" else turns("1?")
    item = items.Item(1, 1, "", prompt, candidates, (), None, 0, None, "all", "", "")
    order = tuple(range(len(answers)))
    judgements_of_item = [
        judgements.Judgement(
            id=n,
            campaign_id=1,
            item_id=1,
            assignment_id=f"t{n}",
            rater=f"r-{n}",
            value=value,
            margin=None,
            reasons=(),
            note="",
            order=order,
            guidelines_version=1,
            active_ms=1000,
            dwell_ms={},
            ui={},
            late=False,
            quick=False,
            implausible=False,
            withdraws=False,
            supersedes=None,
            made_at="",
        )
        for n, value in enumerate(values)
    ]
    return list(snapshot_rows.rows_of_item(campaign, item, judgements_of_item))


def pair(preference: float, tie: str | None = None, **fields: Any) -> dict[str, Any]:
    return {"preference": preference, "tie": tie, **fields}


def test_preferences_are_aggregated_by_their_mean() -> None:
    (aggregated,) = aggregate("pairwise", [pair(-3), pair(-1), pair(1), pair(0, "good")], "a", "b")
    assert (
        aggregated.row["chosen"][0]["content"],
        aggregated.row["margin"],
        aggregated.row["confidence"],
    ) == (
        "b",
        0.75,
        0.5,
    )  # |(-3 - 1 + 1 + 0) / 4|; 2 of 4
    assert (aggregated.row["num_judgements"], aggregated.row["raters"], aggregated.row["active_s"]) == (
        4,
        ["r-0", "r-1", "r-2", "r-3"],
        4.0,
    )
    assert "shown_first" not in aggregated.row and "rater" not in aggregated.row
    (tie,) = aggregate("pairwise", [pair(0, "bad"), pair(0, "bad"), pair(0, "good")], "a", "b")
    assert (tie.row["tie"], tie.row["margin"], tie.row["confidence"]) == ("bad", 0, 0.6667)
    for undecided in ([pair(2), pair(-2)], [pair(0, "bad"), pair(0, "good")]):
        assert aggregate("pairwise", undecided, "a", "b") == [LeftOut(snapshot_rows.UNDECIDED, 2)]
    sides = [pair(1, aspects={"kind": 1}), pair(1, aspects={"kind": 0, "brief": -1})]
    (aspects,) = aggregate("pairwise", sides, "a", "b")
    assert aspects.row["aspects"] == {"brief": -1.0, "kind": 0.5}
    flipped = [{**value, "preference": -1} for value in sides]
    assert aggregate("pairwise", flipped, "a", "b")[0].row["aspects"] == {
        "brief": 1.0,
        "kind": -0.5,
    }


def test_judgements_of_other_task_kinds_are_aggregated() -> None:
    (ranked,) = aggregate(
        "ranking",
        [{"ranks": [1, 2, None]}, {"ranks": [2, 1, None]}, {"ranks": [1, 2, 3]}],
        "a",
        "b",
        "c",
    )
    assert ranked.row["ranks"] == [1, 2, 3]  # means 4/3, 5/3, 3
    (score,) = aggregate("rating", [{"score": 1}, {"score": 4}], "a")
    assert score.row["score"] == 0.375  # (2.5 - 1) / 4
    (thumb,) = aggregate("thumbs", [{"label": True}, {"label": False}, {"label": True}], "a")
    assert (thumb.row["label"], thumb.row["confidence"]) == (True, 0.6667)
    assert aggregate("thumbs", [{"label": True}, {"label": False}], "a") == [
        LeftOut(snapshot_rows.UNDECIDED, 2)
    ]
    (turn,) = aggregate("conversation", [{"turns": {"1": {"label": True}}}] * 2)
    assert (turn.file, turn.row["completion"][0]["content"], turn.row["label"]) == ("binary", "one", True)
    texts = aggregate("demonstration", [{"text": "A"}, {"text": "B"}])
    assert [demonstration.row["completion"][0]["content"] for demonstration in texts] == ["A", "B"]
