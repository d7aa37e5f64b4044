import gzip
import io
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from fairlead.core import jsonl
from fairlead.data.records import RECORD_KINDS as ROW_KINDS
from fairlead.labels import campaigns, events, imports, items, job_worker, jobs, row_to_items, uploads
from fairlead.labels.campaigns import Campaign
from fairlead.labels.database import Database
from fairlead.labels.errors import Invalid, NotFound
from fairlead.labels.imports import ImportPreview, ImportSource
from fairlead.labels.items import Item
from fairlead.labels.uploads import Upload
from fairlead.store.artifact import Parent, Provenance, publish_artifact
from fairlead.store.project import Project, create_project

LEAD = "r-1ead1ead01"
ASKED = "\n\nHuman: 2?\n\nAssistant:"

WORKER = """
import functools, sys, threading
from pathlib import Path
from fairlead.labels import imports, job_worker
from fairlead.labels.database import open_database
from fairlead.store import project
imports.ROWS_PER_TRANSACTION = 5
home = project.load_project(Path(sys.argv[2]))
job_worker.run_worker(open_database(sys.argv[1]), {"import": functools.partial(imports.run, home)}, stop=threading.Event(), lease_s=1.0, poll_s=0.02)
"""


def user(text: str) -> list[dict[str, str]]:
    return [{"role": "user", "content": text}]


def said(text: str) -> list[dict[str, str]]:
    return [{"role": "assistant", "content": text}]


def pair(n: int) -> dict[str, Any]:
    return {"prompt": user(f"{n}?"), "chosen": said(f"yes {n}"), "rejected": said(f"no {n}")}


@pytest.fixture
def project(tmp_path: Path) -> Project:
    return create_project(tmp_path / "home")


def lines(*rows: Any) -> bytes:
    return "".join((row if isinstance(row, str) else json.dumps(row)) + "\n" for row in rows).encode()


def receive(project: Project, content: bytes) -> Path:
    return uploads.store(project, io.BytesIO(content), max_bytes=2**20)


def put(database: Database, project: Project, content: bytes, filename: str = "pairs.jsonl") -> Upload:
    found = uploads.inspect(receive(project, content), filename=filename, by=LEAD)
    with database.write() as connection:
        return uploads.register(connection, found)


def make(database: Database, kind: str = "pairwise", **settings: Any) -> Campaign:
    with database.write() as connection:
        return campaigns.create(
            connection, campaigns.CampaignSettings(name="Help", kind=kind, **settings), by=LEAD
        )


def into(
    database: Database, project: Project, one: Campaign, origin: ImportSource, **settings: Any
) -> jobs.Job:
    with database.write() as connection:
        imports.enqueue(connection, project, one, origin, by=LEAD, **settings)
    done = job_worker.run_one(database, {"import": lambda work: imports.run(project, work)})
    assert done is not None
    return done


def all_items(database: Database, one: Campaign) -> list[Item]:
    with database.read() as connection:
        return items.list_page(connection, one.id, limit=10_000)


def texts(item: Item) -> list[str]:
    return [answer.messages[-1].content for answer in item.answers]


def look(
    database: Database, project: Project, origin: ImportSource, kind: Any, **settings: Any
) -> ImportPreview:
    with database.read() as connection:
        return imports.preview(connection, project, origin, kind, **settings)


def rollouts(project: Project, name: str, rows: list[dict[str, Any]], model: str = "model/sft") -> None:
    def fill(folder: Path) -> None:
        jsonl.write(folder / "answers.jsonl", rows)

    parents = [Parent(model, "sha256:" + "1" * 64, "model")]
    publish_artifact(
        project,
        "rollouts",
        name,
        Provenance(parents=parents, config={"temperature": 0.7, "name": name}, seed=0, metrics={}),
        fill=fill,
    )


# ---------------------------------------------------------------- uploads


def test_an_upload_lies_in_the_project_under_a_name_of_ours(database: Database, project: Project) -> None:
    found = put(database, project, lines(pair(1)), "../../etc/pass\u0000wd .jsonl")
    assert found.filename == "passwd .jsonl"
    assert (project.data / "uploads" / found.path).read_bytes() == lines(pair(1))
    assert found.path.startswith("upload-") and found.path.endswith(".json")
    assert (found.format, found.row_kind, found.num_bytes) == ("native", "comparison", len(lines(pair(1))))
    with database.read() as connection:
        assert uploads.get(connection, found.id) == found
        told = events.list_after(connection, 0)
        with pytest.raises(NotFound, match="no upload 99"):
            uploads.get(connection, 99)
    assert "passwd" not in str(told)


def test_a_packed_upload_is_stored_unpacked_and_bounded_by_what_it_unpacks_to(
    database: Database, project: Project
) -> None:
    content = lines(*[pair(n) for n in range(2000)])
    several = gzip.compress(content[:1000]) + gzip.compress(content[1000:])
    assert receive(project, several).read_bytes() == content
    bomb = gzip.compress(b"0" * 3_000_000)
    assert len(bomb) < 10_000
    with pytest.raises(Invalid, match="larger than 1 MiB"):
        receive(project, bomb)
    with pytest.raises(Invalid, match="cut off"):
        receive(project, several[:-20])
    with pytest.raises(Invalid, match="damaged"):
        receive(project, several[:50] + b"damage" + several[56:])
    assert len(list((project.data / "uploads").iterdir())) == 1  # what was refused leaves nothing


def test_an_upload_of_which_nothing_can_be_used_is_refused_and_removed(
    database: Database, project: Project
) -> None:
    cases = [
        (b"\n\n", "has no rows"),
        (b"hello\n", "rows.jsonl:1: .*not valid JSON"),
        (b"\xff\xfe\n", "rows.jsonl:1: .*not UTF-8"),
        (lines({"colour": "red"}), "rows.jsonl:1: no format has these columns: colour"),
        (
            lines({"prompt": user("2?"), "chosen": said("4"), "rejected": said("4")}),
            "rows.jsonl:1: chosen: .*equal",
        ),
        (b'[{"prompt": "2?"}, {]', "rows.jsonl:1: not valid JSON"),
    ]
    for content, why in cases:
        with pytest.raises(Invalid, match=why):
            put(database, project, content, "rows.jsonl")
    with pytest.raises(Invalid, match="is empty"):
        receive(project, b"")
    assert list((project.data / "uploads").iterdir()) == []


# ---------------------------------------------------------------- kinds of rows


@pytest.mark.parametrize(
    ("row", "kind_of_row", "kind", "expected"),
    [
        ({"prompt": "2?"}, "prompt", "demonstration", ("2?", [])),
        ({"prompt": "2?"}, "prompt", "chat", ("2?", [])),
        ({"instruction": "Add", "input": "2", "output": "4"}, "demonstration", "edit", ("Add\n\n2", ["4"])),
        ({"messages": [*user("2?"), *said("4")]}, "demonstration", "rating", ("2?", ["4"])),
        ({"messages": [*user("2?"), *said("4")]}, "demonstration", "conversation", ("4", [])),
        ({"messages": [*user("2?"), *said("4")]}, "demonstration", "demonstration", ("2?", [])),
        ({"conversations": [{"from": "human", "value": "2?"}, {"from": "gpt", "value": "4"}]}, "demonstration", "thumbs", ("2?", ["4"])),
        ({"chosen": f"{ASKED} 4", "rejected": f"{ASKED} 5"}, "comparison", "pairwise", ("2?", ["4", "5"])),
        ({"prompt": "2?", "completions": ["4", "5"]}, "answers", "pairwise", ("2?", ["4", "5"])),
        ({"prompt": "2?", "completions": [said("4"), said("5")], "finished": [True, False]}, "answers", "ranking", ("2?", ["4", "5"])),
        ({"prompt": user("2?"), "completions": [said("4"), said("5")], "ranks": [2, 1]}, "ranking", "ranking", ("2?", ["4", "5"])),
        ({"prompt": "2?", "completion": "4", "score": 0.5}, "rating", "aspects", ("2?", ["4"])),
        ({"prompt": "2?", "completion": "4", "label": True}, "binary", "thumbs", ("2?", ["4"])),
        ({"prompt": "2?", "completions": ["One.", "Two."], "labels": [True, False]}, "stepwise", "thumbs", ("2?", ["One.\n\nTwo."])),
    ],
)  # fmt: skip
def test_every_kind_of_row_becomes_the_items_of_a_task(
    database: Database,
    project: Project,
    row: dict[str, Any],
    kind_of_row: str,
    kind: str,
    expected: tuple[str, list[str]],
) -> None:
    found = put(database, project, lines(row))
    assert found.row_kind == kind_of_row
    one = make(database, kind)
    assert into(database, project, one, ImportSource(found.id)).result == {
        "rows": 1,
        "added": 1,
        "duplicates": 0,
        "set_aside": 0,
    }
    (item,) = all_items(database, one)
    assert (item.prompt[-1].content, texts(item)) == expected
    assert item.source == "pairs.jsonl"


def test_several_answers_become_pairs_or_an_item_each(database: Database, project: Project) -> None:
    row = {
        "prompt": "2?",
        "completions": ["a", "b", "c"],
        "models": ["one", "two", None],
        "model": "three",
        "tags": ["sum"],
    }
    origin = ImportSource(put(database, project, lines(row)).id)
    by_kind: dict[tuple[str, str], list[list[str]]] = {}
    for kind, pairs in (("pairwise", "each"), ("pairwise", "all"), ("rating", "each"), ("edit", "each")):
        one = make(database, kind)
        into(database, project, one, origin, pairs=pairs)
        by_kind[kind, pairs] = [texts(item) for item in all_items(database, one)]
    assert by_kind == {
        ("pairwise", "each"): [["a", "b"], ["c", "a"]],  # each is in one pair; the odd one meets the first
        ("pairwise", "all"): [["a", "b"], ["a", "c"], ["b", "c"]],
        ("rating", "each"): [["a"], ["b"], ["c"]],
        ("edit", "each"): [["a", "b", "c"]],
    }
    assert [answer.source for answer in all_items(database, one)[0].answers] == ["one", "two", "three"]
    assert all_items(database, one)[0].tags == ("sum",)


def test_all_pairs_of_many_answers_are_bounded_in_a_row_and_in_a_transaction(
    database: Database, project: Project
) -> None:
    rows = [
        {"prompt": f"{n}?", "completions": [f"{n}.{k}" for k in range(20 if n else 21)]} for n in range(4)
    ]
    origin = ImportSource(put(database, project, lines(*rows)).id)
    one = make(database)
    assert into(database, project, one, origin, pairs="all").result == {
        "rows": 4,
        "added": 570,
        "duplicates": 0,
        "set_aside": 1,
    }
    with database.read() as connection:
        added = [
            event.body["count"] for event in events.list_after(connection, 0) if event.verb == "items.added"
        ]
        [aside] = imports.list_set_aside(connection, jobs.list_recent(connection)[0].id)
    assert added == [380, 190]  # two rows make more than enough for one transaction
    assert (aside.line, aside.why) == (1, "has 21 answers; all pairs can be formed of at most 20")


def test_what_a_row_says_of_its_answers_is_kept_beside_them(database: Database, project: Project) -> None:
    cases = [
        (pair(1), "pairwise", [{"given": {"place": "chosen"}}, {"given": {"place": "rejected"}}]),
        ({"prompt": "2?", "completion": "4", "score": 0.5}, "rating", [{"given": {"score": 0.5}}]),
        ({"prompt": "2?", "completion": "4", "label": False}, "thumbs", [{"given": {"label": False}}]),
    ]
    for row, kind, expected in cases:
        one = make(database, kind)
        into(database, project, one, ImportSource(put(database, project, lines(row)).id), model="base")
        (item,) = all_items(database, one)
        assert [answer.params for answer in item.answers] == expected
        assert {answer.source for answer in item.answers} == {"base"}


def test_a_kind_of_task_that_rows_cannot_become_is_refused_before_anything_is_queued(
    database: Database, project: Project
) -> None:
    one, prompts = make(database), ImportSource(put(database, project, lines({"prompt": "2?"})).id)
    with database.write() as connection:
        with pytest.raises(Invalid, match="for rows of the kind prompt; choose one of: demonstration, chat"):
            imports.enqueue(connection, project, one, prompts, by=LEAD)
        for origin in (ImportSource(), ImportSource(prompts.upload, ("r",))):
            with pytest.raises(Invalid, match="one of the two"):
                imports.preview(connection, project, origin, "demonstration")


# ---------------------------------------------------------------- bad rows and duplicates


def test_bad_rows_are_set_aside_with_line_field_value_and_remedy_and_all_are_counted(
    database: Database, project: Project
) -> None:
    bad = {"prompt": user("3?"), "chosen": said(" "), "rejected": said("no")}
    equal = {"prompt": user("4?"), "chosen": said("yes"), "rejected": said("yes"), "tie": "good"}
    content = lines(pair(1), bad, "{broken", pair(2), equal, pair(1))
    found = put(database, project, content)
    shown = look(database, project, ImportSource(found.id), "pairwise")
    assert (shown.num_rows, shown.num_items, shown.more, [problem.line for problem in shown.problems]) == (
        6,
        3,
        False,
        [2, 3, 5],
    )
    one = make(database)
    done = into(database, project, one, ImportSource(found.id))
    assert done.result == {"rows": 6, "added": 2, "duplicates": 1, "set_aside": 3}
    assert (done.num_done, done.num_all) == (6, 6)
    with database.read() as connection:
        aside = imports.list_set_aside(connection, done.id)
        assert imports.count_set_aside(connection, done.id) == 3
        assert [(each.line, each.field, each.value) for each in aside] == [
            (2, "chosen[0].content", '" "'), (3, "", '"{broken"'), (5, "rejected", '"yes"'),
        ]  # fmt: skip
    assert aside[0].row == bad and aside[0].remedy.startswith("Fill it in")
    assert [row["where"] for row in imports.to_json_rows(aside)] == ["line 2", "line 3", "line 5"]


def test_repeated_and_empty_answers_are_left_out_and_told_while_the_others_are_used(
    database: Database, project: Project
) -> None:
    row = {"prompt": "2?", "completions": ["a", "", "a", "b"]}
    found = put(database, project, lines(row, {"prompt": "3?", "completions": ["a", "a"]}))
    shown = look(database, project, ImportSource(found.id), "pairwise")
    assert [[answer.messages[0].content for answer in item.answers] for item in shown.items] == [["a", "b"]]
    assert [(each.line, each.field) for each in shown.problems] == [
        (1, "completions[1][0].content"), (1, "completions[2]"), (2, "completions[1]"), (2, "completions"),
    ]  # fmt: skip
    assert [each.row["prompt"] for each in shown.problems] == ["2?", "2?", "3?", "3?"]


def test_texts_that_no_database_holds_are_set_aside_and_the_import_goes_on(
    database: Database, project: Project
) -> None:
    nul, number = pair(2), {"prompt": "3?", "completions": ["a", "b"], "params": {"seed": 10**30}}
    nul["chosen"][0]["content"] = "a\0b"
    bad_name = {"prompt": user("4?"), "chosen": said("a"), "rejected": said("b"), "aspects": {"x\0": 5}}
    one, found = make(database), put(database, project, lines(pair(1), nul, bad_name))
    done = into(database, project, one, ImportSource(found.id))
    assert (done.state, done.result) == ("done", {"rows": 3, "added": 1, "duplicates": 0, "set_aside": 2})
    with database.read() as connection:
        aside = imports.list_set_aside(connection, done.id)
    assert [(each.line, each.why, each.field) for each in aside] == [
        (2, "contains a character that cannot be stored (NUL or half of a surrogate pair)", ""), (3, "is out of range", "aspects.x\ufffd"),
    ]  # fmt: skip
    assert aside[0].row == nul
    large = into(database, project, make(database), ImportSource(put(database, project, lines(number)).id))
    assert large.result == {"rows": 1, "added": 0, "duplicates": 0, "set_aside": 1}


def test_a_ranking_with_the_same_answer_twice_is_set_aside(database: Database, project: Project) -> None:
    row = {"prompt": user("2?"), "completions": [said("a"), said("b"), said("a")], "ranks": [1, 2, 3]}
    for kind, added in (("ranking", 0), ("pairwise", 1)):
        done = into(
            database, project, make(database, kind), ImportSource(put(database, project, lines(row)).id)
        )
        assert done.result == {"rows": 1, "added": added, "duplicates": 0, "set_aside": 1}


def test_a_preview_shows_five_items_and_looks_at_the_first_rows_only(
    database: Database, project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = put(database, project, lines(*[pair(n) for n in range(30)]))
    monkeypatch.setattr(imports, "MAX_PREVIEW_ROWS", 10)
    shown = look(database, project, ImportSource(found.id), "pairwise")
    assert (len(shown.items), shown.num_rows, shown.num_items, shown.more) == (5, 10, 10, True)
    assert shown.items[4].prompt[0].content == "4?"


# ---------------------------------------------------------------- rollouts


def test_answers_of_two_rollouts_to_one_prompt_meet_in_pairs_with_their_models_kept(
    database: Database, project: Project
) -> None:
    for name, model in (("old", "model/old"), ("new", "model/new")):
        rows = [
            {
                "prompt": user("2?"),
                "completions": [said(f"{name} 1"), said(f"{name} 2")],
                "finished": [True, False],
            },
            {
                "prompt": user(f"only {name}"),
                "completions": [said("same"), said("other")],
                "finished": [True, True],
            },
            {"prompt": user("3?"), "completions": [said("same"), said(f"{name}")], "finished": [True, True]},
        ]
        rollouts(project, name, rows, model)
    one = make(database)
    origin = ImportSource(rollouts=("rollouts/old", "rollouts/new"))
    assert into(database, project, one, origin).result == {
        "rows": 3,
        "added": 5,
        "duplicates": 0,
        "set_aside": 0,
    }
    found = all_items(database, one)
    assert [texts(item) for item in found] == [
        ["old 1", "new 1"], ["old 2", "new 2"], ["same", "other"], ["same", "old"], ["new", "same"],
    ]  # fmt: skip
    assert [(answer.source, answer.finished) for answer in found[1].answers] == [
        ("model/old", False),
        ("model/new", False),
    ]
    assert found[0].answers[1].params == {"temperature": 0.7, "rollouts": "rollouts/new"}
    assert {each.label for each in imports.list_rollouts(project)} == {"rollouts/new", "rollouts/old"}


def test_only_rollouts_of_the_project_can_be_named(
    database: Database, project: Project, tmp_path: Path
) -> None:
    other = create_project(tmp_path / "other")
    rollouts(other, "theirs", [{"prompt": user("2?"), "completions": [said("4")]}])
    rollouts(project, "ours", [{"prompt": user("2?"), "completions": [said("4")]}])
    assert look(database, project, ImportSource(rollouts=("rollouts/ours",)), "rating").num_items == 1
    beside = project.artifacts / "rollouts" / ".." / "rollouts" / "ours"
    for ref in (
        "none",
        "rollouts/none",
        str(beside),
        "artifacts/rollouts/ours",
        str(other.artifacts / "rollouts" / "theirs"),
        "../other/artifacts/rollouts/theirs",
    ):
        with pytest.raises(Invalid, match="not among the rollouts of this project"):
            look(database, project, ImportSource(rollouts=(ref,)), "rating")


# ---------------------------------------------------------------- the job


def test_an_import_can_come_in_the_middle_of_a_campaign_and_be_repeated(
    database: Database, project: Project
) -> None:
    one = make(database, overlap=2)
    first = put(database, project, lines(*[pair(n) for n in range(3)]))
    into(database, project, one, ImportSource(first.id))
    with database.write() as connection:
        one = campaigns.set_state(connection, one, "open", by=LEAD)
    second = put(database, project, lines(*[pair(n) for n in range(5)]))
    assert into(database, project, one, ImportSource(second.id), priority=50).result == {
        "rows": 5,
        "added": 2,
        "duplicates": 3,
        "set_aside": 0,
    }
    assert into(database, project, one, ImportSource(second.id)).result == {
        "rows": 5,
        "added": 0,
        "duplicates": 5,
        "set_aside": 0,
    }
    assert [item.priority for item in all_items(database, one)] == [0, 0, 0, 50, 50]
    with database.read() as connection:
        assert items.slot_counts(connection, [one.id]) == {one.id: {"open": 10, "held": 0, "done": 0}}


def test_a_file_that_is_gone_is_said(database: Database, project: Project) -> None:
    one, found = make(database), put(database, project, lines(pair(1)))
    (project.data / "uploads" / found.path).unlink()
    done = into(database, project, one, ImportSource(found.id))
    assert (done.state, done.error) == (
        "failed",
        "pairs.jsonl: the uploaded file no longer exists. Upload it again.",
    )


def test_an_import_that_is_killed_goes_on_and_adds_every_row_once(
    database: Database, database_url: str, project: Project, tmp_path: Path
) -> None:
    rows = [*[pair(n) for n in range(400)], "{broken", *[pair(n) for n in range(390, 420)]]
    one, found = make(database), put(database, project, lines(*rows))
    with database.write() as connection:
        id = imports.enqueue(connection, project, one, ImportSource(found.id), by=LEAD)
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
                assert time.monotonic() < end, "the import does not go on"
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
    assert sorted(int(item.prompt[0].content[:-1]) for item in all_items(database, one)) == list(range(420))
    with database.read() as connection:
        assert imports.count_set_aside(connection, id) == 1
        assert events.verify(connection).problem is None


def test_every_kind_of_row_has_kinds_of_tasks() -> None:
    assert set(row_to_items.KINDS_OF_ROW) == {*ROW_KINDS, "answers"}
