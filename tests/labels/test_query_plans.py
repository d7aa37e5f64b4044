"""Query plans of SQLite: what grows with a campaign is read through an index, or read once.

Without statistics, SQLite plans for a small table as for a large one.
"""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Connection, event

from databases import Files
from fairlead.labels import agreement, labeller_stats, leases, progress, snapshot
from fairlead.labels.campaigns import Campaign
from fairlead.labels.database import open_database
from fairlead.labels.snapshot_filters import SnapshotFilters
from labels.build import ANN, BEN, after, judge, lease, open_campaign


@pytest.fixture
def connection(files: Files, tmp_path: Path) -> Iterator[Connection]:
    opened = open_database(files.copy(tmp_path))
    with opened.write() as writing:
        yield writing
    opened.close()


@pytest.fixture
def campaign(connection: Connection) -> Campaign:
    judged = open_campaign(connection, num_items=8, overlap=2)
    for rater in (ANN, BEN):
        for assignment in lease(connection, judged, rater, count=4):
            judge(connection, assignment, at=after(1))
    return judged


def plans(connection: Connection, call: Callable[[], object]) -> list[tuple[str, str]]:
    """Each statement of the call, with the query plan of SQLite."""
    executed: list[tuple[str, Any]] = []

    def record(_: Any, __: Any, statement: str, parameters: Any, ___: Any, many: bool) -> None:
        if not many and not statement.startswith(("SAVEPOINT", "RELEASE", "EXPLAIN")):
            executed.append((statement, parameters))

    event.listen(connection.engine, "before_cursor_execute", record)
    call()
    event.remove(connection.engine, "before_cursor_execute", record)
    explained = [
        (statement, connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {statement}", values))
        for statement, values in executed
    ]
    return [(statement, "; ".join(str(row[3]) for row in rows)) for statement, rows in explained]


def plans_for(executed: list[tuple[str, str]], table: str) -> list[str]:
    """The plans of the statements that read from a table."""
    return [plan for statement, plan in executed if f"FROM {table} " in f"{statement} ".replace("\n", " ")]


def test_the_pace_of_a_rater_reads_indexes_only(connection: Connection, campaign: Campaign) -> None:
    today, total = plans_for(
        plans(connection, lambda: labeller_stats.get_pace(connection, campaign.id, ANN, at=after(2))),
        "judgement",
    )
    assert "COVERING INDEX ix_judgement_sums (campaign_id=? AND rater=?)" in total
    assert "INDEX ix_judgement_sums (campaign_id=? AND rater=? AND made_at>?)" in today


def test_the_next_item_is_selected_through_indexes(connection: Connection, campaign: Campaign) -> None:
    executed = plans(connection, lambda: leases.lease_items(connection, campaign, ANN, at=after(2)))
    assert any(
        "INDEX ix_assignment_campaign_id_how_rater_seq (campaign_id=? AND how=? AND rater=? AND seq>?)"
        in plan
        for _, plan in executed
    )
    reserved, anybodys = [
        plan for statement, plan in executed if statement.startswith("UPDATE slot") and "EXISTS" in statement
    ]
    for plan in (reserved, anybodys):
        assert "(campaign_id=? AND reserved_for=? AND state=?)" in plan
        assert "ix_assignment_item_id_rater_how (item_id=? AND rater=?)" in plan


def test_progress_scans_no_judgements_and_assignments(connection: Connection, campaign: Campaign) -> None:
    executed = plans(connection, lambda: progress.get_progress(connection, campaign, at=after(2)))
    assert not [
        plan
        for _, plan in executed
        if "ix_assignment_campaign_id_rater_seq (campaign_id=?)" in plan or "SCAN assignment" in plan
    ]
    [by_day] = [plan for statement, plan in executed if "GROUP BY judgement.rater, substr" in statement]
    assert by_day.startswith("SEARCH judgement USING COVERING INDEX ix_judgement_sums (campaign_id=?)")
    since = [plan for statement, plan in executed if "made_at >=" in statement]
    assert since and all("made_at>?" in plan for plan in since)


def test_tags_are_counted_in_the_order_of_the_items(connection: Connection, campaign: Campaign) -> None:
    (_, plan), *_ = plans(connection, lambda: progress.by_tag(connection, campaign))
    assert (
        "slot USING INDEX ix_slot_campaign_id_item_id (campaign_id=?)" in plan
        and "item USING INTEGER PRIMARY KEY" in plan
    )


def test_agreement_reads_judgements_of_shared_items_only(connection: Connection, campaign: Campaign) -> None:
    [_, values] = plans_for(plans(connection, lambda: agreement.measure(connection, campaign)), "judgement")[
        -2:
    ]
    assert values.startswith("SEARCH judgement USING INDEX ix_judgement_item_id (item_id=?)")


def test_a_preview_is_counted_by_two_statements_without_texts(
    connection: Connection, campaign: Campaign
) -> None:
    executed = plans(connection, lambda: snapshot.preview(connection, campaign, SnapshotFilters()))
    assert len(executed) == 2 and all("judgement.ui" not in statement for statement, _ in executed)
    assert all("GROUP BY" in statement and "SCAN judgement" not in plan for statement, plan in executed)
    # The texts of an item are read only to compare them with an edit.
    assert "item USING INTEGER PRIMARY KEY" in executed[0][1] and "item.prompt" not in executed[0][0]
