"""Files of every import format can be judged in the studio, and what their rows carry reaches exports."""

import json

import pytest

from data.format_samples import SAMPLES
from data.tool_samples import label_studio, open_webui
from fairlead.data.file_source import SourceRow
from fairlead.data.importer import FORMATS
from fairlead.data.row_problem import RowLocation
from fairlead.labels import campaigns, row_parsing, row_to_items
from fairlead.labels.database import Database
from fairlead.labels.imports import ImportSource
from fairlead.labels.row_parsing import ParsedRow
from fairlead.labels.row_to_items import KINDS_OF_ROW
from fairlead.store.project import Project
from labels.import_files import LEAD, all_items, create_campaign, json_lines, run_import, upload
from labels.snapshots import ANN, judge_all, read_rows, take_snapshot


@pytest.mark.parametrize("format", SAMPLES)
def test_rows_of_every_format_are_items_that_keep_their_notes(format: str) -> None:
    rows = [
        SourceRow(RowLocation("rows.jsonl", line), row) for line, row in enumerate(SAMPLES[format], start=1)
    ]
    guessed, remaining = row_parsing.choose_format(rows)
    assert guessed == format
    for parsed in row_parsing.parse_rows(remaining, format):
        assert isinstance(parsed, ParsedRow) or parsed.why.startswith("holds ")
        if not isinstance(parsed, ParsedRow):
            continue
        items, problems = row_to_items.to_items(parsed, row_to_items.task_kinds_of(parsed.kind)[0])
        assert items and not problems
        ids = {str(parsed.row[name]) for name in ("id", "external_id") if parsed.row.get(name) is not None}
        for item in items:
            # A chat gives an item for each rated message, which has the id of the message.
            assert not ids or item.carried["id"] in ids | {"m3"}
            if "source" in parsed.row:  # a column that no format reads
                assert item.carried["metadata"]["source"] == parsed.row["source"]


@pytest.mark.parametrize("format", ["label-studio", "langfuse", "open-assistant-table"])
def test_a_file_of_the_format_makes_items(format: str, database: Database, project: Project) -> None:
    rows = SAMPLES[format] if FORMATS[format].gather else SAMPLES[format][:1]
    uploaded = upload(database, project, json_lines(*rows), f"{format}.jsonl")
    assert uploaded.format == format
    campaign = create_campaign(database, KINDS_OF_ROW[uploaded.row_kind][0])
    run_import(database, project, campaign, ImportSource(uploaded.id))
    (item,) = all_items(database, campaign)
    assert item.carried["id"] in ("12", "trace-1", "q1") and item.carried["metadata"]


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
