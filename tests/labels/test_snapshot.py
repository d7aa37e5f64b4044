"""Snapshots: previews, the published artifact, equal digests for equal data, and unique names."""

import dataclasses
from pathlib import Path

import pytest
from sqlalchemy import delete, update

from fairlead.core.config import DatasetRef
from fairlead.data import record_reader
from fairlead.labels import (
    assignments,
    events,
    items,
    job_worker,
    jobs,
    judgements,
    snapshot,
)
from fairlead.labels.campaigns import Campaign
from fairlead.labels.database import Database
from fairlead.labels.errors import Conflict, NotFound
from fairlead.labels.snapshot_filters import SnapshotFilters
from fairlead.store import lineage
from fairlead.store.artifact import load_artifact, verify_artifact
from fairlead.store.project import Project
from fairlead.store.run import open_run
from labels.snapshots import (
    ANN,
    CAT,
    LEAD,
    create_campaign,
    judge_all,
    new_item,
    prefers,
    take_snapshot,
)


def test_a_preview_does_not_generalise_from_an_invalid_item(database: Database, judged: Campaign) -> None:
    """Such an item cannot be added, but an older database may contain one."""
    with database.write() as connection:
        first = judgements.list_current(connection, judged.id)[0].item_id
        texts = ({"role": "assistant", "content": text} for text in ("same", "same "))
        same = [{"messages": [text], "source": None, "params": None, "finished": None} for text in texts]
        connection.execute(
            update(items.item_table).where(items.item_table.c.id == first).values(answers=same)
        )
        counts, _ = snapshot.preview(connection, judged, SnapshotFilters())
    assert counts.files == {"comparisons": 6} and counts.left_out == {}


def test_a_preview_of_other_filters_matches_their_snapshots(
    database: Database, project: Project, judged: Campaign
) -> None:
    with database.read() as connection:
        _, alternatives = snapshot.preview(connection, judged, SnapshotFilters(ties=False))
    expected = {
        "ties kept": 6,
        "margin at least 1": 4,
        "margin at least 2": 2,
        "margin at least 3": 1,
        "one row for each item": 1,
        "without late and quick ones": 2,
        "no filter at all": 6,
    }
    assert {
        alternative.name: alternative.counts.files.get("comparisons", 0) for alternative in alternatives
    } == expected
    for number, alternative in enumerate(alternatives):
        taken, folder = take_snapshot(
            database, project, judged, f"s{number}", **dataclasses.asdict(alternative.filters)
        )
        assert taken.counts == alternative.counts
        assert len(record_reader.read_comparisons(folder / "comparisons.jsonl")) == expected[alternative.name]


# ---------------------------------------------------------------- the artifact


@dataclasses.dataclass(frozen=True, kw_only=True)
class Config:
    comparisons: DatasetRef
    name: str = "m"
    seed: int = 0


def write_weights(folder: Path) -> None:
    (folder / "weights").write_text("w")


def test_training_reads_a_snapshot_by_name_and_records_it_as_parent(
    database: Database, project: Project, judged: Campaign
) -> None:
    taken, folder = take_snapshot(database, project, judged, "help-1", ties=False)
    with open_run(project, "dpo", Config(comparisons="snapshot/help-1"), kind="model", quiet=True) as run:
        assert len(record_reader.read_comparisons(run.data_path("comparisons"))) == 4
        model = run.publish(write_weights, metrics={})
    assert [(parent.name, parent.digest, parent.role) for parent in model.manifest.parents] == [
        ("snapshot/help-1", taken.digest, "comparisons")
    ]
    assert lineage.verify(project, model).problems == []
    assert (
        snapshot.train_command(taken) == "fairlead train dpo name=dpo model=MODEL comparisons=snapshot/help-1"
    )
    assert load_artifact(folder).manifest.config["filters"]["ties"] is False
    with database.read() as connection:
        assert snapshot.list_all(connection, judged.id) == [taken]
        assert events.list_latest(connection, verbs=["snapshot.made"])[0].body == {
            "digest": taken.digest,
            "rows": {"comparisons": 4},
        }
        with pytest.raises(NotFound, match="no snapshot 'help-1'"):
            snapshot.get(connection, judged.id + 1, "help-1")


def test_equal_data_has_equal_digests(database: Database, project: Project, judged: Campaign) -> None:
    first, folder = take_snapshot(database, project, judged, "first")
    second, _ = take_snapshot(database, project, judged, "second")
    other, _ = take_snapshot(database, project, judged, "other", ties=False)
    judge_all(database, judged, CAT, {f"{n}?": prefers("a") for n in (1, 2, 3)})
    later, _ = take_snapshot(database, project, judged, "later")
    assert first.digest == second.digest and len({first.digest, other.digest, later.digest}) == 3
    assert verify_artifact(load_artifact(folder)) == []  # the first snapshot is unchanged


def test_snapshot_names_are_unique(database: Database, project: Project, judged: Campaign) -> None:
    take_snapshot(database, project, judged, "taken")
    with database.write() as connection, pytest.raises(Conflict, match="already a snapshot 'taken'"):
        snapshot.enqueue(connection, project, judged, "taken", SnapshotFilters(), by=LEAD)
    with database.write() as connection:  # two requests at the same time
        for _ in range(2):
            snapshot.enqueue(connection, project, judged, "both", SnapshotFilters(), by=LEAD)
    handlers: dict[str, job_worker.JobHandler] = {"snapshot": lambda work: snapshot.run(project, work)}
    ended = [job_worker.run_one(database, handlers) for _ in range(2)]
    assert [job and job.state for job in ended] == ["done", "failed"]


def test_the_next_worker_registers_the_snapshot_of_a_killed_worker(
    database: Database, project: Project, judged: Campaign
) -> None:
    with database.write() as connection:
        snapshot.enqueue(connection, project, judged, "s", SnapshotFilters(), by=LEAD)
    leased = jobs.lease_next(database, frozenset(["snapshot"]), lease_s=0.0)
    assert leased is not None
    snapshot.run(project, leased)
    with database.write() as connection:  # as if the worker died before this transaction
        connection.execute(delete(snapshot.snapshot_table))
    job = job_worker.run_one(database, {"snapshot": lambda work: snapshot.run(project, work)})
    assert job is not None and (job.state, job.attempts) == ("done", 2)
    with database.read() as connection:
        assert snapshot.get(connection, judged.id, "s").counts.files == {"comparisons": 6}


def test_a_snapshot_without_rows_fails_and_leaves_no_files(
    database: Database, project: Project, judged: Campaign
) -> None:
    with database.write() as connection:
        snapshot.enqueue(connection, project, judged, "empty", SnapshotFilters(raters=(CAT,)), by=LEAD)
    job = job_worker.run_one(database, {"snapshot": lambda work: snapshot.run(project, work)})
    assert (
        job is not None and job.state == "failed" and "No judgement passes these filters" in (job.error or "")
    )
    assert list((project.artifacts / "snapshot").glob("[!.]*")) == []


def test_corrected_and_withdrawn_judgements_are_left_out(database: Database, project: Project) -> None:
    campaign = create_campaign(database, "pairwise", new_item(1, "a", "b"), new_item(2, "a", "b"))
    tokens = judge_all(database, campaign, ANN, {"1?": prefers("a"), "2?": prefers("a")})
    with database.write() as connection:
        again = prefers("b", 1)(assignments.get(connection, tokens["1?"], ANN))
        judgements.submit(
            connection, tokens["1?"], ANN, judgements.NewJudgement(key="corrected-1", value=again)
        )
        judgements.skip(connection, tokens["2?"], ANN, reason="unclear")
    _, folder = take_snapshot(database, project, campaign)
    assert [
        (comparison.chosen[0].content, comparison.margin)
        for comparison in record_reader.read_comparisons(folder / "comparisons.jsonl")
    ] == [("b", 1.0)]
