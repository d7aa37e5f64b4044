"""The full export: everything that was said about the items of a campaign, with what their rows held."""

import csv
import io
import json
from typing import Any

import pyarrow.parquet as parquet

from fairlead.labels import flags, full_export, judgements, leases
from fairlead.labels.campaigns import Campaign
from fairlead.labels.database import Database
from labels.build import add_chat_turn, judge, lease, open_campaign
from labels.snapshots import ANN, BEN, create_campaign, new_item

CARRIED = {"id": "row-1", "metadata": {"topic": "sums"}}


def exported(database: Database, campaign: Campaign) -> list[dict[str, Any]]:
    content = b"".join(full_export.write(database, campaign, "jsonl"))
    return [json.loads(line) for line in content.splitlines()]


def cells(database: Database, campaign: Campaign) -> list[dict[str, str]]:
    content = b"".join(full_export.write(database, campaign, "csv")).decode("utf-8-sig")
    return list(csv.DictReader(io.StringIO(content)))


def pairs_with_everything(database: Database) -> Campaign:
    """Three items: one judged, corrected and flagged; one skipped; one that nobody has seen."""
    rows = [new_item(n, "=yes", "no", carried=CARRIED, tags=("a", "b")) for n in range(3)]
    campaign = create_campaign(database, "pairwise", *rows, overlap=1)
    with database.write() as connection:
        first, second = leases.lease_items(connection, campaign, ANN, count=2)
        judge(connection, first, {"choice": 1}, note="At first.")
        judge(connection, first, {"choice": 8}, note="=cmd", key="a-second-key")
        flags.raise_flag(connection, first.id, ANN, reason="broken", note="A typo.")
        judgements.skip(connection, second.id, ANN, reason="too hard")
    return campaign


def test_every_judgement_skip_and_flag_has_a_row_beside_its_item(database: Database) -> None:
    campaign = pairs_with_everything(database)
    rows = exported(database, campaign)
    assert sorted(row["row"] for row in rows) == ["flag", "item", "judgement", "judgement", "skip"]
    for row in rows:
        assert (row["campaign"], row["kind"]) == (campaign.slug, "pairwise")
        assert (row["id"], row["metadata"], row["tags"]) == ("row-1", {"topic": "sums"}, ["a", "b"])
        assert [answer["model"] for answer in row["answers"]] == ["model/=", "model/n"]
    earlier, later = (row for row in rows if row["row"] == "judgement")
    assert (earlier["stands"], earlier["note"]) == (False, "At first.")
    assert (later["stands"], later["supersedes"]) == (True, earlier["judgement"])
    assert {row["row"]: row.get("note") for row in rows}["flag"] == "A typo."
    assert next(row for row in rows if row["row"] == "skip")["reasons"] == ["too hard"]
    assert all(row.get("rater", ANN) == ANN for row in rows)


def test_a_table_has_plain_texts_and_no_formulas(database: Database) -> None:
    campaign = pairs_with_everything(database)
    rows = cells(database, campaign)
    assert list(rows[0]) == list(full_export.table_columns(campaign))
    later = next(row for row in rows if row["stands"] == "true")
    assert later["note"] == "'=cmd" and later["prompt"].endswith("?")
    assert {later["answer_1"], later["answer_2"]} == {"'=yes", "no"}
    value = json.loads(later["value"])
    assert later["preferred_answer"] == ("1" if value["preference"] > 0 else "2")
    assert (
        later["margin"] == "3"
        and later["tags"] == "a, b"
        and json.loads(later["metadata"]) == {"topic": "sums"}
    )
    content = b"".join(full_export.write(database, campaign, "parquet"))
    same = parquet.read_table(io.BytesIO(content)).to_pylist()
    assert [row["row"] for row in same] == [row["row"] for row in rows]
    assert next(row for row in same if row["stands"])["note"] == "=cmd"


def test_each_kind_has_its_columns(database: Database) -> None:
    with database.write() as connection:
        rating = open_campaign(connection, kind="rating", num_items=1)
        judge(connection, lease(connection, rating, ANN)[0], {"score": 3})
        thumbs = open_campaign(connection, kind="thumbs", num_items=1)
        judge(connection, lease(connection, thumbs, ANN)[0], {"label": False})
        writing = open_campaign(connection, kind="demonstration", num_items=1)
        judge(connection, lease(connection, writing, ANN)[0], {"text": "An answer."})
        chat = open_campaign(connection, kind="chat", num_items=1)
        [held] = lease(connection, chat, BEN)
        add_chat_turn(connection, chat, held)
        judge(connection, held, {"score": 4})
    assert cells(database, rating)[0]["score"] == "3"
    assert cells(database, thumbs)[0]["label"] == "false"
    assert cells(database, writing)[0]["text"] == "An answer."
    [row] = exported(database, chat)
    assert [answer["model"] for answer in row["turns"][0]["answers"]] != [None, None]
    assert row["turns"][0]["message"] == "Hello?"
    assert json.loads(cells(database, chat)[0]["turns"]) == row["turns"]


def test_items_of_many_pages_come_once_and_of_other_campaigns_never(database: Database) -> None:
    number = 2 * full_export.ITEMS_PER_PAGE + 1
    with database.write() as connection:
        campaign = open_campaign(connection, num_items=number)
        open_campaign(connection, kind="rating", num_items=3)
    assert len({row["item"] for row in exported(database, campaign)}) == number
