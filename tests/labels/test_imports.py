"""Import jobs: previews, rows that are set aside, rollouts, repetition and killed workers."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from fairlead.labels import campaigns, events, imports, items, jobs
from fairlead.labels.database import Database
from fairlead.labels.errors import Invalid
from fairlead.labels.imports import ImportSource
from fairlead.store.project import Project
from labels.import_files import (
    LEAD,
    all_items,
    assistant,
    create_campaign,
    json_lines,
    pair,
    preview,
    run_import,
    upload,
    user,
)

WORKER = """
import functools, sys, threading
from pathlib import Path
from fairlead.labels import imports, job_worker
from fairlead.labels.database import open_database
from fairlead.store import project
imports.ROWS_PER_TRANSACTION = 5
opened = project.load_project(Path(sys.argv[2]))
handlers = {"import": functools.partial(imports.run, opened)}
job_worker.run_worker(
    open_database(sys.argv[1]), handlers, stop=threading.Event(), lease_s=1.0, poll_s=0.02
)
"""


def test_pairs_are_limited_per_row_and_per_transaction(database: Database, project: Project) -> None:
    rows = [
        {"prompt": f"{n}?", "completions": [f"{n}.{k}" for k in range(20 if n else 21)]} for n in range(4)
    ]
    origin = ImportSource(upload(database, project, json_lines(*rows)).id)
    campaign = create_campaign(database)
    assert run_import(database, project, campaign, origin, pairs="all").result == {
        "rows": 4,
        "added": 570,
        "duplicates": 0,
        "set_aside": 1,
    }
    with database.read() as connection:
        added = [
            event.body["count"] for event in events.list_after(connection, 0) if event.verb == "items.added"
        ]
        [problem] = imports.list_set_aside(connection, jobs.list_recent(connection)[0].id)
    assert added == [380, 190]  # two rows exceed the size of a transaction
    assert (problem.line, problem.why) == (1, "has 21 answers; all pairs can be formed of at most 20")


def test_unsuitable_task_kinds_are_rejected_before_the_job_is_queued(
    database: Database, project: Project
) -> None:
    campaign, prompts = (
        create_campaign(database),
        ImportSource(upload(database, project, json_lines({"prompt": "2?"})).id),
    )
    with database.write() as connection:
        with pytest.raises(Invalid, match="for rows of the kind prompt; choose one of: demonstration, chat"):
            imports.enqueue(connection, project, campaign, prompts, by=LEAD)
        for origin in (ImportSource(), ImportSource(prompts.upload, ("r",))):
            with pytest.raises(Invalid, match="one of the two"):
                imports.preview(connection, project, origin, "demonstration")


# ---------------------------------------------------------------- bad rows and duplicates


def test_bad_rows_are_counted_and_set_aside_with_their_problems(database: Database, project: Project) -> None:
    bad = {"prompt": user("3?"), "chosen": assistant(" "), "rejected": assistant("no")}
    equal = {"prompt": user("4?"), "chosen": assistant("yes"), "rejected": assistant("yes"), "tie": "good"}
    content = json_lines(pair(1), bad, "{broken", pair(2), equal, pair(1))
    uploaded = upload(database, project, content)
    previewed = preview(database, project, ImportSource(uploaded.id), "pairwise")
    assert (
        previewed.num_rows,
        previewed.num_items,
        previewed.more,
        [problem.line for problem in previewed.problems],
    ) == (
        6,
        3,
        False,
        [2, 3, 5],
    )
    campaign = create_campaign(database)
    job = run_import(database, project, campaign, ImportSource(uploaded.id))
    assert job.result == {"rows": 6, "added": 2, "duplicates": 1, "set_aside": 3}
    assert (job.num_done, job.num_all) == (6, 6)
    with database.read() as connection:
        problems = imports.list_set_aside(connection, job.id)
        assert imports.count_set_aside(connection, job.id) == 3
        assert [(problem.line, problem.field, problem.value) for problem in problems] == [
            (2, "chosen[0].content", '" "'),
            (3, "", '"{broken"'),
            (5, "rejected", '"yes"'),
        ]
    assert problems[0].row == bad and problems[0].remedy.startswith("Fill it in")
    assert [row["where"] for row in imports.to_json_rows(problems)] == ["line 2", "line 3", "line 5"]


def test_rows_that_cannot_be_stored_are_set_aside(database: Database, project: Project) -> None:
    nul, number = pair(2), {"prompt": "3?", "completions": ["a", "b"], "params": {"seed": 10**30}}
    nul["chosen"][0]["content"] = "a\0b"
    bad_name = {
        "prompt": user("4?"),
        "chosen": assistant("a"),
        "rejected": assistant("b"),
        "aspects": {"x\0": 5},
    }
    campaign, uploaded = (
        create_campaign(database),
        upload(database, project, json_lines(pair(1), nul, bad_name)),
    )
    job = run_import(database, project, campaign, ImportSource(uploaded.id))
    assert (job.state, job.result) == ("done", {"rows": 3, "added": 1, "duplicates": 0, "set_aside": 2})
    with database.read() as connection:
        problems = imports.list_set_aside(connection, job.id)
    assert [(problem.line, problem.why, problem.field) for problem in problems] == [
        (2, "contains a character that cannot be stored (NUL or half of a surrogate pair)", ""),
        (3, "is out of range", "aspects.x\ufffd"),
    ]
    assert problems[0].row == nul
    large = run_import(
        database,
        project,
        create_campaign(database),
        ImportSource(upload(database, project, json_lines(number)).id),
    )
    assert large.result == {"rows": 1, "added": 0, "duplicates": 0, "set_aside": 1}


def test_texts_that_nobody_can_read_are_set_aside(
    database: Database, project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert items.MAX_TEXT == 400_000  # as in the API
    monkeypatch.setattr(items, "MAX_TEXT", 4_000)
    monkeypatch.setattr(items, "MAX_ITEM_TEXT", 10_000)
    long = "x" * (items.MAX_TEXT + 1)
    rows = [
        {**pair(1), "chosen": assistant(long)},
        {**pair(2), "prompt": user(long)},
        {**pair(3), "metadata": {"note": long}},
        {"prompt": "4?", "completions": [f"{n}" * 3_000 for n in range(4)]},
        {**pair(5), "chosen": assistant(long[1:])},
    ]
    origin = ImportSource(upload(database, project, json_lines(pair(0), *rows)).id)
    campaign = create_campaign(database, "ranking")
    job = run_import(database, project, campaign, origin)
    assert job.result == {"rows": 6, "added": 2, "duplicates": 0, "set_aside": 4}
    with database.read() as connection:
        said = [(row.line, row.why) for row in imports.list_set_aside(connection, job.id)]
    assert [line for line, _ in said] == [2, 3, 4, 5] and "the limit is 4,000" in said[0][1]


def test_a_preview_shows_five_items_and_reads_the_first_rows_only(
    database: Database, project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    uploaded = upload(database, project, json_lines(*[pair(n) for n in range(30)]))
    monkeypatch.setattr(imports, "MAX_PREVIEW_ROWS", 10)
    previewed = preview(database, project, ImportSource(uploaded.id), "pairwise")
    assert (len(previewed.items), previewed.num_rows, previewed.num_items, previewed.more) == (
        5,
        10,
        10,
        True,
    )
    assert previewed.items[4].prompt[0].content == "4?"


# ---------------------------------------------------------------- the job


def test_an_import_into_an_open_campaign_can_be_repeated(database: Database, project: Project) -> None:
    campaign = create_campaign(database, overlap=2)
    first = upload(database, project, json_lines(*[pair(n) for n in range(3)]))
    run_import(database, project, campaign, ImportSource(first.id))
    with database.write() as connection:
        campaign = campaigns.set_state(connection, campaign, "open", by=LEAD)
    second = upload(database, project, json_lines(*[pair(n) for n in range(5)]))
    assert run_import(database, project, campaign, ImportSource(second.id), priority=50).result == {
        "rows": 5,
        "added": 2,
        "duplicates": 3,
        "set_aside": 0,
    }
    assert run_import(database, project, campaign, ImportSource(second.id)).result == {
        "rows": 5,
        "added": 0,
        "duplicates": 5,
        "set_aside": 0,
    }
    assert [item.priority for item in all_items(database, campaign)] == [0, 0, 0, 50, 50]
    with database.read() as connection:
        assert items.slot_counts(connection, [campaign.id]) == {
            campaign.id: {"open": 10, "held": 0, "done": 0}
        }


def test_a_deleted_upload_fails_the_import(database: Database, project: Project) -> None:
    campaign, uploaded = create_campaign(database), upload(database, project, json_lines(pair(1)))
    (project.data / "uploads" / uploaded.path).unlink()
    job = run_import(database, project, campaign, ImportSource(uploaded.id))
    assert (job.state, job.error) == (
        "failed",
        "pairs.jsonl: the uploaded file no longer exists. Upload it again.",
    )


def test_a_killed_import_resumes_and_adds_every_row_once(
    database: Database, database_url: str, project: Project, tmp_path: Path
) -> None:
    rows = [*[pair(n) for n in range(400)], "{broken", *[pair(n) for n in range(390, 420)]]
    campaign, uploaded = create_campaign(database), upload(database, project, json_lines(*rows))
    with database.write() as connection:
        id = imports.enqueue(connection, project, campaign, ImportSource(uploaded.id), by=LEAD)
    workers: list[subprocess.Popen[bytes]] = []
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2] / "src")}
    command = [sys.executable, "-c", WORKER, database_url, str(project.root)]

    def progress() -> jobs.Job:
        with database.read() as connection:
            return jobs.get(connection, id)

    try:
        for target in (20, 120):
            workers.append(subprocess.Popen(command, env=environment, cwd=tmp_path))
            end = time.monotonic() + 200
            while progress().num_done < target:
                assert time.monotonic() < end, "the import makes no progress"
            workers[-1].send_signal(signal.SIGKILL)
            workers[-1].wait(timeout=20)
        assert 120 <= progress().num_done < len(rows), "the import was over before it was killed"
        workers.append(subprocess.Popen(command, env=environment, cwd=tmp_path))
        end = time.monotonic() + 200
        while not progress().is_over:
            assert time.monotonic() < end, "the import does not end"
            time.sleep(0.02)
    finally:
        for worker in workers:
            worker.kill()
            worker.wait(timeout=20)
    assert progress().result == {"rows": 431, "added": 420, "duplicates": 10, "set_aside": 1}
    assert sorted(int(item.prompt[0].content[:-1]) for item in all_items(database, campaign)) == list(
        range(420)
    )
    with database.read() as connection:
        assert imports.count_set_aside(connection, id) == 1
        assert events.verify(connection).problem is None
