"""What people said, as rows that training reads: every kind of task by hand, filters, and a snapshot that is the same for the same data."""

import dataclasses
import json
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import delete, update

from fairlead.core.config import DatasetRef
from fairlead.data import record_reader
from fairlead.data.pair_metadata import read_pair_metadata
from fairlead.data.records import Binary, Comparison, Demonstration, Message, Ranking, Rating
from fairlead.labels import (
    assignments,
    campaigns,
    chats,
    events,
    items,
    job_worker,
    jobs,
    judgements,
    leases,
    native_rows,
    snapshot,
    snapshot_filters,
)
from fairlead.labels.campaigns import Campaign
from fairlead.labels.database import Database
from fairlead.labels.errors import Conflict, Invalid, NotFound
from fairlead.labels.items import CandidateAnswer, NewItem
from fairlead.labels.native_rows import LeftOut
from fairlead.labels.snapshot import Snapshot
from fairlead.labels.snapshot_filters import SnapshotCounts, SnapshotFilters
from fairlead.labels.task_kinds import TaskKind
from fairlead.store import lineage
from fairlead.store.artifact import load_artifact, verify_artifact
from fairlead.store.project import Project, create_project
from fairlead.store.run import open_run

LEAD, ANN, BEN, CAT = "r-1ead1ead01", "r-aaaaaaaaaa", "r-bbbbbbbbbb", "r-cccccccccc"


@pytest.fixture
def project(tmp_path: Path) -> Project:
    return create_project(tmp_path / "home")


def ask(*texts: str) -> tuple[Message, ...]:
    return tuple(Message("user" if place % 2 == 0 else "assistant", text) for place, text in enumerate(texts))


def item(number: int, *answers: str, **settings: Any) -> NewItem:
    given = tuple(
        CandidateAnswer((Message("assistant", text),), source=f"model/{text[0]}") for text in answers
    )
    return NewItem(ask(f"{number}?"), given, **settings)


def make(database: Database, kind: str, *new: NewItem, overlap: int = 3, **settings: Any) -> Campaign:
    with database.write() as connection:
        one = campaigns.create(
            connection,
            campaigns.CampaignSettings(
                name="Help", kind=kind, overlap=overlap, guidelines="Be kind.", **settings
            ),
            by=LEAD,
        )
        items.add(connection, one, new, by=LEAD)
        return campaigns.set_state(connection, one, "open", by=LEAD)


def judge(
    database: Database, one: Campaign, rater: str, values: dict[str, Any], **settings: Any
) -> dict[str, str]:
    """Everything that the rater is handed, by the prompt's text; of answers {"best": text} says which.  Returns the tokens."""
    tokens = {}
    for _ in values:
        with database.write() as connection:
            (task,) = leases.lease_items(connection, one, rater)
            asked = task.item.prompt[0].content
            value = values[asked](task) if callable(values[asked]) else values[asked]
            judgements.submit(
                connection,
                task.id,
                rater,
                judgements.NewJudgement(key=f"{task.id}-1", value=value, **{"active_ms": 30_000, **settings}),
            )
            tokens[asked] = task.id
    return tokens


def prefers(text: str, steps: int = 3, **more: Any) -> Any:
    """A pairwise value: the answer with this text is better, by 1 to 3 steps."""

    def value(task: assignments.Assignment) -> dict[str, Any]:
        first = task.item.answers[task.order[0]].messages[0].content == text
        return {"choice": 4 - steps if first else 5 + steps, **more}

    return value


def take(
    database: Database, project: Project, one: Campaign, name: str = "s", **filters: Any
) -> tuple[Snapshot, Path]:
    with database.write() as connection:
        snapshot.enqueue(connection, project, one, name, SnapshotFilters(**filters), by=LEAD)
    done = job_worker.run_one(database, {"snapshot": lambda work: snapshot.run(project, work)})
    assert done is not None and done.state == "done", done
    with database.read() as connection:
        return snapshot.get(connection, one.id, name), project.artifacts / "snapshot" / name


def read_rows(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


# ---------------------------------------------------------------- kinds of task


def test_a_preference_becomes_a_comparison_with_what_is_known_about_it(
    database: Database, project: Project
) -> None:
    one = make(
        database, "pairwise", item(1, "good", "bad", tags=("sum",), selection_probability=0.25, strategy="spread"),
        options={"aspects": ["helpful", "brief"], "chips": ["wrong"]},
    )  # fmt: skip

    def value(task: assignments.Assignment) -> dict[str, Any]:
        letter = "B" if task.order[0] == 0 else "A"  # of the answer "bad"
        return {
            **prefers("good", 2)(task),
            "aspects": {"helpful": "A" if letter == "B" else "B", "brief": letter},
        }

    token = judge(
        database, one, ANN, {"1?": value}, active_ms=61_500, reasons=["wrong"], note="my phone is 555-0199"
    )["1?"]
    made, folder = take(database, project, one)
    (row,) = read_rows(folder / "comparisons.jsonl")
    with database.read() as connection:
        task, (kept,) = assignments.get(connection, token, ANN), judgements.list_current(connection, one.id)
    first = "chosen" if task.order[0] == 0 else "rejected"
    assert row == {
        "prompt": [{"role": "user", "content": "1?"}], "chosen": [{"role": "assistant", "content": "good"}],
        "rejected": [{"role": "assistant", "content": "bad"}], "margin": 2, "weight": 1.0, "aspects": {"brief": -1, "helpful": 1},
        "shown_first": first, "shown_order": [first, "rejected" if first == "chosen" else "chosen"], "judgement": kept.id,
        "item": task.item.id, "rater": ANN, "made_at": kept.made_at, "guidelines_version": 1, "active_s": 61.5, "late": False,
        "quick": False,
        "reasons": ["wrong"], "tags": ["sum"], "selection_probability": 0.25, "strategy": "spread",
        "sources": {"chosen": "model/g", "rejected": "model/b"},
    }  # fmt: skip
    (record,) = record_reader.read_comparisons(folder / "comparisons.jsonl")
    good, bad = (Message("assistant", "good"),), (Message("assistant", "bad"),)
    assert record == Comparison(
        ask("1?"), good, bad, margin=2.0, aspects={"helpful": 1.0, "brief": -1.0}, rater=ANN
    )
    note = read_pair_metadata(folder / "comparisons.jsonl").of(record)
    assert (note.tags, note.chosen_first) == (("sum",), first == "chosen")
    assert made.counts == SnapshotCounts(1, 1, 1, 1, {"comparisons": 1}, {})
    assert "555-0199" not in "".join(
        path.read_text() for path in folder.iterdir()
    )  # notes of people stay where they are


def test_ties_and_those_that_nobody_could_judge(database: Database, project: Project) -> None:
    one = make(database, "pairwise", item(1, "a", "b"), item(2, "a", "b"), item(3, "a", "b"))
    judge(database, one, ANN, {"1?": {"choice": 4}, "2?": {"choice": 5}, "3?": {"cannot": "unsafe"}})
    made, folder = take(database, project, one)
    assert sorted((row["margin"], row["tie"]) for row in read_rows(folder / "comparisons.jsonl")) == [
        (0, "bad"),
        (0, "good"),
    ]
    assert made.counts.left_out == {native_rows.CANNOT_JUDGE: 1}
    assert len(record_reader.read_comparisons(folder / "comparisons.jsonl")) == 2


def test_an_edit_is_a_demonstration_and_better_than_what_it_was_made_from(
    database: Database, project: Project
) -> None:
    pair = make(database, "pairwise", item(1, "a", "b"))
    judge(
        database,
        pair,
        ANN,
        {"1?": lambda task: prefers("a", edit={"letter": "AB"[task.order.index(0)], "text": "A!"})(task)},
    )
    alone = make(database, "edit", item(1, "a"), item(2, "b"))
    judge(database, alone, ANN, {"1?": {"letter": "A", "text": "A!"}, "2?": {"letter": "A", "text": " b"}})

    def read(folder: Path) -> tuple[list[Any], list[Any]]:
        compared = record_reader.read_comparisons(folder / "comparisons.jsonl")
        shown = record_reader.read_demonstrations(folder / "demonstrations.jsonl")
        return [(each.chosen[0].content, each.rejected[0].content, each.margin) for each in compared], [
            each.completion[0].content for each in shown
        ]

    assert read(take(database, project, pair, "pair")[1]) == ([("a", "b", 3.0), ("A!", "a", None)], ["A!"])
    assert read(take(database, project, alone, "alone")[1]) == (
        [("A!", "a", None)],
        ["A!", " b"],
    )  # only spaces: nothing to compare
    edited = read_rows(project.artifacts / "snapshot" / "alone" / "comparisons.jsonl")[0]
    assert (edited["edited"], edited["sources"]) == (True, {"chosen": "edited", "rejected": "model/a"})


def test_rankings_speak_of_what_was_ranked(database: Database, project: Project) -> None:
    one = make(database, "ranking", item(1, "a", "b", "c"))

    def value(task: assignments.Assignment) -> dict[str, Any]:
        letters = {candidate: "ABC"[place] for place, candidate in enumerate(task.order)}
        return {"ranks": {letters[2]: 1, letters[0]: 2}}  # b is not ranked

    token = judge(database, one, ANN, {"1?": value})["1?"]
    _, folder = take(database, project, one)
    with database.read() as connection:
        order = assignments.get(connection, token, ANN).order
    (row,) = read_rows(folder / "rankings.jsonl")
    assert row["shown_order"] == [{0: 0, 2: 1}[candidate] for candidate in order if candidate != 1]
    assert row["sources"] == ["model/a", "model/c"]
    a, c = ((Message("assistant", text),) for text in "ac")
    assert record_reader.read_rankings(folder / "rankings.jsonl") == [Ranking(ask("1?"), (a, c), (2, 1))]


@pytest.mark.parametrize(
    ("kind", "value", "file", "expected"),
    [
        ("rating", {"score": 4}, "ratings", Rating(ask("1?"), (Message("assistant", "a"),), score=0.5)),
        ("thumbs", {"label": False}, "binary", Binary(ask("1?"), (Message("assistant", "a"),), label=False)),
        (
            "aspects", {"aspects": {"helpful": 7, "harmless": 1, "honest": 4}}, "ratings",
            Rating(ask("1?"), (Message("assistant", "a"),), aspects={"helpful": 1.0, "harmless": 0.0, "honest": 0.5}),
        ),
    ],
)  # fmt: skip
def test_single_answers_become_what_training_reads(
    database: Database, project: Project, kind: str, value: dict[str, Any], file: Any, expected: Any
) -> None:
    one = make(database, kind, item(1, "a"))
    judge(database, one, ANN, {"1?": value})
    _, folder = take(database, project, one)
    assert record_reader.read_records(folder / f"{file}.jsonl", native_rows.RECORD_KIND_OF_FILE[file]) == [
        expected
    ]


def test_demonstrations_and_turns_of_conversations(database: Database, project: Project) -> None:
    written = make(database, "demonstration", item(1))
    judge(database, written, ANN, {"1?": {"text": "One.\n"}})
    _, folder = take(database, project, written, "written")
    assert record_reader.read_demonstrations(folder / "demonstrations.jsonl") == [
        Demonstration(ask("1?"), (Message("assistant", "One.\n"),))
    ]
    talk = make(database, "conversation", NewItem(ask("1?", "one", "2?", "two")))
    judge(
        database,
        talk,
        ANN,
        {"1?": {"turns": {"3": {"label": True}, "1": {"score": 7}, "2": {"label": False}}}},
    )
    made, folder = take(database, project, talk, "talk")
    assert record_reader.read_binary(folder / "binary.jsonl") == [
        Binary(ask("1?", "one", "2?"), (Message("assistant", "two"),), label=True)
    ]
    assert record_reader.read_ratings(folder / "ratings.jsonl") == [
        Rating(ask("1?"), (Message("assistant", "one"),), score=1.0)
    ]
    assert made.counts.left_out == {native_rows.USER_TURN: 1}


def test_each_turn_of_a_live_conversation_is_a_comparison_with_what_was_said_before(
    database: Database, project: Project
) -> None:
    one = make(database, "chat", NewItem(ask("Hello")), overlap=1)
    with database.write() as connection:
        chats.set_answerers(
            connection, one, [chats.Answerer("model:a", {}), chats.Answerer("model:b", {})], by=LEAD
        )
        (task,) = leases.lease_items(connection, one, ANN)
        for n, choice in enumerate((7, 4, 1)):
            turn = chats.send_message(connection, one, task, n=n, message=f"Question {n}?")
            for place in (0, 1):
                chats.store_answer(connection, turn.id, place, text=f"{n} {'AB'[place]}", finished=True)
            if n < 2:
                chats.choose_answer(connection, one, task, n=n, choice=choice, seen={})
        judgements.submit(
            connection, task.id, ANN, judgements.NewJudgement(key="chat-key-1", value={}, active_ms=60_000)
        )
        sources = [
            [answer.source for answer in each.answers] for each in chats.list_turns(connection, task.id)
        ]
    made, folder = take(database, project, one)
    first, second = record_reader.read_comparisons(folder / "comparisons.jsonl")
    assert (first.prompt, first.chosen[0].content, first.rejected[0].content, first.margin) == (
        ask("Question 0?"),
        "0 B",
        "0 A",
        2.0,
    )
    assert second.prompt == (*ask("Question 0?", "0 B", "Question 1?"),) and second.tie == "good"
    rows_read = read_rows(folder / "comparisons.jsonl")
    assert (rows_read[0]["shown_first"], rows_read[0]["sources"]) == (
        "rejected",
        {"chosen": sources[0][1], "rejected": sources[0][0]},
    )
    assert made.counts.files == {"comparisons": 2}  # the turn without a choice is none


# ---------------------------------------------------------------- one row for each item


def values_together(database: Database, kind: str, values: list[dict[str, Any]], *answers: str) -> list[Any]:
    """What the kept values of several people come to, without a database."""
    task: TaskKind = kind  # type: ignore[assignment]
    one = Campaign(
        1,
        "s",
        "n",
        task,
        {"aspects": [], "chips": [], "points": 5},
        "open",
        3,
        None,
        "EUR",
        "",
        60,
        "seed",
        LEAD,
        "",
    )
    shown = tuple(CandidateAnswer((Message("assistant", text),)) for text in answers)
    asked = ask("1?", "one") if kind == "conversation" else ask("1?")
    of = items.Item(1, 1, "", asked, shown, (), None, 0, None, "all", "", "")
    order = tuple(range(len(answers)))
    made = [
        judgements.Judgement(
            n,
            1,
            1,
            f"t{n}",
            f"r-{n}",
            value,
            None,
            (),
            "",
            order,
            1,
            1000,
            {},
            {},
            False,
            False,
            False,
            None,
            "",
        )
        for n, value in enumerate(values)
    ]
    return list(native_rows.rows_of_item(one, of, made))


def pair(preference: float, tie: str | None = None, **more: Any) -> dict[str, Any]:
    return {"preference": preference, "tie": tie, **more}


def test_several_preferences_become_one_by_their_mean(database: Database) -> None:
    (out,) = values_together(database, "pairwise", [pair(-3), pair(-1), pair(1), pair(0, "good")], "a", "b")
    assert (out.row["chosen"][0]["content"], out.row["margin"], out.row["confidence"]) == (
        "b",
        0.75,
        0.5,
    )  # |(-3 - 1 + 1 + 0) / 4|; 2 of 4
    assert (out.row["num_judgements"], out.row["raters"], out.row["active_s"]) == (
        4,
        ["r-0", "r-1", "r-2", "r-3"],
        4.0,
    )
    assert "shown_first" not in out.row and "rater" not in out.row
    (tie,) = values_together(
        database, "pairwise", [pair(0, "bad"), pair(0, "bad"), pair(0, "good")], "a", "b"
    )
    assert (tie.row["tie"], tie.row["margin"], tie.row["confidence"]) == ("bad", 0, 0.6667)
    for undecided in ([pair(2), pair(-2)], [pair(0, "bad"), pair(0, "good")]):
        assert values_together(database, "pairwise", undecided, "a", "b") == [
            LeftOut(native_rows.UNDECIDED, 2)
        ]
    sides = [pair(1, aspects={"kind": 1}), pair(1, aspects={"kind": 0, "brief": -1})]
    (aspects,) = values_together(database, "pairwise", sides, "a", "b")
    assert aspects.row["aspects"] == {"brief": -1.0, "kind": 0.5}
    flipped = [{**each, "preference": -1} for each in sides]
    assert values_together(database, "pairwise", flipped, "a", "b")[0].row["aspects"] == {
        "brief": 1.0,
        "kind": -0.5,
    }


def test_several_verdicts_of_other_kinds_become_one(database: Database) -> None:
    (ranked,) = values_together(
        database,
        "ranking",
        [{"ranks": [1, 2, None]}, {"ranks": [2, 1, None]}, {"ranks": [1, 2, 3]}],
        "a",
        "b",
        "c",
    )
    assert ranked.row["ranks"] == [1, 2, 3]  # means 4/3, 5/3, 3
    (score,) = values_together(database, "rating", [{"score": 1}, {"score": 4}], "a")
    assert score.row["score"] == 0.375  # (2.5 - 1) / 4
    (thumb,) = values_together(database, "thumbs", [{"label": True}, {"label": False}, {"label": True}], "a")
    assert (thumb.row["label"], thumb.row["confidence"]) == (True, 0.6667)
    assert values_together(database, "thumbs", [{"label": True}, {"label": False}], "a") == [
        LeftOut(native_rows.UNDECIDED, 2)
    ]
    (turn,) = values_together(database, "conversation", [{"turns": {"1": {"label": True}}}] * 2)
    assert (turn.file, turn.row["completion"][0]["content"], turn.row["label"]) == ("binary", "one", True)
    texts = values_together(database, "demonstration", [{"text": "A"}, {"text": "B"}])
    assert [each.row["completion"][0]["content"] for each in texts] == ["A", "B"]


# ---------------------------------------------------------------- filters


@pytest.fixture
def judged(database: Database) -> Campaign:
    """Three items.  Ann: 3, 1, tie.  Ben, under the second guidelines and too fast: 2, -1, tie."""
    one = make(database, "pairwise", *[item(n, "a", "b") for n in (1, 2, 3)])
    judge(database, one, ANN, {"1?": prefers("a", 3), "2?": prefers("a", 1), "3?": {"choice": 4}})
    with database.write() as connection:
        campaigns.write_guidelines(connection, one, "Be brief.", by=LEAD)
    judge(
        database, one, BEN, {"1?": prefers("a", 2), "2?": prefers("b", 1), "3?": {"choice": 5}}, active_ms=0
    )
    return one


@pytest.mark.parametrize(
    ("filters", "num_rows", "left_out"),
    [
        ({}, 6, {}),
        ({"ties": False}, 4, {"a tie": 2}),
        ({"min_margin": 2}, 4, {"the margin is too small": 2}),
        ({"min_margin": 3, "ties": False}, 1, {"the margin is too small": 3, "a tie": 2}),
        ({"by_item": True}, 1, {native_rows.UNDECIDED: 4}),
        ({"guidelines": (2,)}, 3, {"another version of the guidelines": 3}),
        ({"raters": (ANN,)}, 3, {"another person": 3}),
        ({"without_raters": (ANN, CAT)}, 3, {"another person": 3}),
        ({"quick": False}, 3, {"faster than anybody reads": 3}),
        ({"until": "2020-01-01T00:00:00.000000Z", "raters": (ANN,)}, 0, {"another person": 3, "another time": 3}),
        ({"since": "2020-01-01T00:00:00.000000Z"}, 6, {}),
        ({"by_item": True, "quick": False}, 3, {"faster than anybody reads": 3}),
    ],
)  # fmt: skip
def test_filters_keep_what_they_say_and_count_the_rest(
    database: Database, judged: Campaign, filters: dict[str, Any], num_rows: int, left_out: dict[str, int]
) -> None:
    with database.read() as connection:
        counts, _ = snapshot.preview(connection, judged, SnapshotFilters(**filters))
    assert (counts.files.get("comparisons", 0), counts.left_out, counts.judgements) == (num_rows, left_out, 6)


def test_an_item_whose_texts_training_refuses_is_not_taken_for_all_in_a_preview(
    database: Database, judged: Campaign
) -> None:
    """No such item comes in any more; one may be there from before."""
    with database.write() as connection:
        first = judgements.list_current(connection, judged.id)[0].item_id
        texts = ({"role": "assistant", "content": text} for text in ("same", "same "))
        same = [{"messages": [text], "source": None, "params": None, "finished": None} for text in texts]
        connection.execute(
            update(items.item_table).where(items.item_table.c.id == first).values(answers=same)
        )
        counts, _ = snapshot.preview(connection, judged, SnapshotFilters())
    assert counts.files == {"comparisons": 6} and counts.left_out == {}


def test_a_preview_says_what_would_change_and_it_comes_true(
    database: Database, project: Project, judged: Campaign
) -> None:
    with database.read() as connection:
        _, others = snapshot.preview(connection, judged, SnapshotFilters(ties=False))
    expected = {
        "ties kept": 6, "margin at least 1": 4, "margin at least 2": 2, "margin at least 3": 1, "one row for each item": 1,
        "without late and quick ones": 2, "no filter at all": 6,
    }  # fmt: skip
    assert {each.name: each.counts.files.get("comparisons", 0) for each in others} == expected
    for number, each in enumerate(others):
        made, folder = take(database, project, judged, f"s{number}", **dataclasses.asdict(each.filters))
        assert made.counts == each.counts
        assert len(record_reader.read_comparisons(folder / "comparisons.jsonl")) == expected[each.name]


def test_the_comparisons_of_an_item_can_weigh_one_together(
    database: Database, project: Project, judged: Campaign
) -> None:
    _, folder = take(database, project, judged, equal_items=True)
    assert [each.weight for each in record_reader.read_comparisons(folder / "comparisons.jsonl")] == [0.5] * 6


def test_filters_that_mean_nothing_are_refused_together(database: Database, judged: Campaign) -> None:
    wrong = SnapshotFilters(min_margin=4, since="yesterday", by_item=True, equal_items=True)
    with pytest.raises(Invalid) as refused:
        snapshot_filters.validate(judged, wrong)
    assert sorted(refused.value.problems) == ["equal_items", "min_margin", "since"]
    with pytest.raises(Invalid, match="rating judgements have no margin"):
        snapshot_filters.validate(dataclasses.replace(judged, kind="rating"), SnapshotFilters(min_margin=1))


def test_what_was_corrected_or_withdrawn_is_not_in_it(database: Database, project: Project) -> None:
    one = make(database, "pairwise", item(1, "a", "b"), item(2, "a", "b"))
    tokens = judge(database, one, ANN, {"1?": prefers("a"), "2?": prefers("a")})
    with database.write() as connection:
        again = prefers("b", 1)(assignments.get(connection, tokens["1?"], ANN))
        judgements.submit(
            connection, tokens["1?"], ANN, judgements.NewJudgement(key="corrected-1", value=again)
        )
        judgements.skip(connection, tokens["2?"], ANN, reason="unclear")
    _, folder = take(database, project, one)
    assert [
        (each.chosen[0].content, each.margin)
        for each in record_reader.read_comparisons(folder / "comparisons.jsonl")
    ] == [("b", 1.0)]


# ---------------------------------------------------------------- the artifact


@dataclasses.dataclass(frozen=True, kw_only=True)
class Config:
    comparisons: DatasetRef
    name: str = "m"
    seed: int = 0


def write_weights(folder: Path) -> None:
    (folder / "weights").write_text("w")


def test_training_finds_it_by_name_and_has_it_as_parent(
    database: Database, project: Project, judged: Campaign
) -> None:
    made, folder = take(database, project, judged, "help-1", ties=False)
    with open_run(project, "dpo", Config(comparisons="snapshot/help-1"), kind="model", quiet=True) as run:
        assert len(record_reader.read_comparisons(run.data_path("comparisons"))) == 4
        model = run.publish(write_weights, metrics={})
    assert [(each.name, each.digest, each.role) for each in model.manifest.parents] == [
        ("snapshot/help-1", made.digest, "comparisons")
    ]
    assert lineage.verify(project, model) == []
    assert (
        snapshot.train_command(made) == "fairlead train dpo name=dpo model=MODEL comparisons=snapshot/help-1"
    )
    assert load_artifact(folder).manifest.config["filters"]["ties"] is False
    with database.read() as connection:
        assert snapshot.list_all(connection, judged.id) == [made]
        assert events.list_latest(connection, verbs=["snapshot.made"])[0].body == {
            "digest": made.digest,
            "rows": {"comparisons": 4},
        }
        with pytest.raises(NotFound, match="no snapshot 'help-1'"):
            snapshot.get(connection, judged.id + 1, "help-1")


def test_the_same_data_has_the_same_digest_and_other_data_another(
    database: Database, project: Project, judged: Campaign
) -> None:
    first, folder = take(database, project, judged, "first")
    second, _ = take(database, project, judged, "second")
    other, _ = take(database, project, judged, "other", ties=False)
    judge(database, judged, CAT, {f"{n}?": prefers("a") for n in (1, 2, 3)})
    later, _ = take(database, project, judged, "later")
    assert first.digest == second.digest and len({first.digest, other.digest, later.digest}) == 3
    assert verify_artifact(load_artifact(folder)) == []  # and the first did not change


def test_a_name_is_taken_once(database: Database, project: Project, judged: Campaign) -> None:
    take(database, project, judged, "taken")
    with database.write() as connection, pytest.raises(Conflict, match="already a snapshot 'taken'"):
        snapshot.enqueue(connection, project, judged, "taken", SnapshotFilters(), by=LEAD)
    with database.write() as connection:  # two asked at the same time
        for _ in range(2):
            snapshot.enqueue(connection, project, judged, "both", SnapshotFilters(), by=LEAD)
    handlers: dict[str, job_worker.JobHandler] = {"snapshot": lambda work: snapshot.run(project, work)}
    ended = [job_worker.run_one(database, handlers) for _ in range(2)]
    assert [job and job.state for job in ended] == ["done", "failed"]


def test_one_that_was_made_by_a_killed_worker_is_registered_by_the_next(
    database: Database, project: Project, judged: Campaign
) -> None:
    with database.write() as connection:
        snapshot.enqueue(connection, project, judged, "s", SnapshotFilters(), by=LEAD)
    held = jobs.lease_next(database, frozenset(["snapshot"]), lease_s=0.0)
    assert held is not None
    snapshot.run(project, held)
    with database.write() as connection:  # as if the transaction after the artifact had not ended
        connection.execute(delete(snapshot.snapshot_table))
    done = job_worker.run_one(database, {"snapshot": lambda work: snapshot.run(project, work)})
    assert done is not None and (done.state, done.attempts) == ("done", 2)
    with database.read() as connection:
        assert snapshot.get(connection, judged.id, "s").counts.files == {"comparisons": 6}


def test_nothing_to_keep_is_said_and_leaves_nothing(
    database: Database, project: Project, judged: Campaign
) -> None:
    with database.write() as connection:
        snapshot.enqueue(connection, project, judged, "empty", SnapshotFilters(raters=(CAT,)), by=LEAD)
    done = job_worker.run_one(database, {"snapshot": lambda work: snapshot.run(project, work)})
    assert (
        done is not None
        and done.state == "failed"
        and "No judgement passes these filters" in (done.error or "")
    )
    assert list((project.artifacts / "snapshot").glob("[!.]*")) == []
