"""Files of every import format can be judged in the studio, and what their rows carry reaches exports."""

import json

import pytest

from data.format_samples import SAMPLES, label_studio, open_webui
from fairlead.data.importer import FORMATS
from fairlead.labels import campaigns
from fairlead.labels.database import Database
from fairlead.labels.imports import ImportSource
from fairlead.labels.row_to_items import KINDS_OF_ROW
from fairlead.store.project import Project
from labels.import_files import LEAD, all_items, create_campaign, json_lines, run_import, upload
from labels.snapshots import ANN, judge_all, read_rows, take_snapshot


@pytest.mark.parametrize("format", [name for name in SAMPLES if name in FORMATS])
def test_a_file_of_the_format_makes_items(format: str, database: Database, project: Project) -> None:
    rows = SAMPLES[format] if FORMATS[format].gather else SAMPLES[format][:1]
    uploaded = upload(database, project, json_lines(*rows), f"{format}.jsonl")
    assert uploaded.format == format
    campaign = create_campaign(database, KINDS_OF_ROW[uploaded.row_kind][0])
    job = run_import(database, project, campaign, ImportSource(uploaded.id))
    assert job.state == "done", job.error
    items = all_items(database, campaign)
    assert items
    for item in items:
        expected_ids = {str(row[name]) for row in rows for name in ("id", "message_id") if name in row}
        assert not expected_ids or item.carried.get("id") in expected_ids
        assert item.carried.get("metadata") or format == "langsmith-examples"


def test_a_json_list_of_exports_reaches_a_snapshot(database: Database, project: Project) -> None:
    rows = [
        label_studio({"type": "pairwise", "value": {"selected": "right"}}) | {"id": 12},
        label_studio({"type": "pairwise", "value": {"selected": "left"}, "note": "b"}) | {"id": 13},
    ]
    rows[1]["data"] = {"prompt": "Another one?", "answer1": "Yes.", "answer2": "No."}
    uploaded = upload(database, project, json.dumps(rows, indent=2).encode(), "export.json")
    campaign = create_campaign(database, "pairwise")
    run_import(database, project, campaign, ImportSource(uploaded.id))
    items = all_items(database, campaign)
    assert {item.carried["id"] for item in items} == {"12", "13"}
    with database.write() as connection:
        campaign = campaigns.set_state(connection, campaign, "open", by=LEAD)
    judge_all(database, campaign, ANN, {item.prompt[0].content: {"choice": 1} for item in items})
    _, folder = take_snapshot(database, project, campaign, "from-label-studio")
    written = [row for path in folder.glob("*.jsonl") for row in read_rows(path)]
    assert {row["id"] for row in written} == {"12", "13"}
    assert all(row["metadata"]["annotation_id"] == 44 for row in written)


def test_what_is_left_out_is_set_aside_with_its_reason(database: Database, project: Project) -> None:
    uploaded = upload(database, project, json_lines(open_webui(1), open_webui(0)), "feedback.jsonl")
    campaign = create_campaign(database, "thumbs")
    job = run_import(database, project, campaign, ImportSource(uploaded.id))
    assert job.result is not None and job.result["added"] == 1
    assert job.result["set_aside"] >= 1
