"""What grows with a campaign is found by an index or read once: the plans of SQLite, and how many statements there are.

Without statistics SQLite plans for a small table as for a large one.
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
from labels.build import ANN, BEN, after, judge, open_campaign, take


@pytest.fixture
def connection(files: Files, tmp_path: Path) -> Iterator[Connection]:
    opened = open_database(files.copy(tmp_path))
    with opened.write() as writing:
        yield writing
    opened.close()


@pytest.fixture
def one(connection: Connection) -> Campaign:
    made = open_campaign(connection, num_items=8, overlap=2)
    for rater in (ANN, BEN):
        for task in take(connection, made, rater, count=4):
            judge(connection, task, at=after(1))
    return made


def plans(connection: Connection, act: Callable[[], object]) -> list[tuple[str, str]]:
    """Each statement of the act, and how SQLite goes about it."""
    said: list[tuple[str, Any]] = []

    def heard(_: Any, __: Any, statement: str, parameters: Any, ___: Any, many: bool) -> None:
        if not many and not statement.startswith(("SAVEPOINT", "RELEASE", "EXPLAIN")):
            said.append((statement, parameters))

    event.listen(connection.engine, "before_cursor_execute", heard)
    act()
    event.remove(connection.engine, "before_cursor_execute", heard)
    explained = [
        (statement, connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {statement}", values))
        for statement, values in said
    ]
    return [(statement, "; ".join(str(row[3]) for row in rows)) for statement, rows in explained]


def of(found: list[tuple[str, str]], table: str) -> list[str]:
    return [plan for statement, plan in found if f"FROM {table} " in f"{statement} ".replace("\n", " ")]


def test_ones_own_pace_reads_one_index_and_no_row(connection: Connection, one: Campaign) -> None:
    today, total = of(
        plans(connection, lambda: labeller_stats.get_pace(connection, one.id, ANN, at=after(2))), "judgement"
    )
    assert "COVERING INDEX ix_judgement_sums (campaign_id=? AND rater=?)" in total
    assert "INDEX ix_judgement_sums (campaign_id=? AND rater=? AND made_at>?)" in today


def test_the_next_task_is_not_looked_for_among_all_that_the_person_did(
    connection: Connection, one: Campaign
) -> None:
    found = plans(connection, lambda: leases.lease_items(connection, one, ANN, at=after(2)))
    assert any(
        "INDEX ix_assignment_campaign_id_how_rater_seq (campaign_id=? AND how=? AND rater=? AND seq>?)"
        in plan
        for _, plan in found
    )
    [taken] = [
        plan for statement, plan in found if statement.startswith("UPDATE slot") and "EXISTS" in statement
    ]
    assert "ix_assignment_item_id_rater_how (item_id=? AND rater=?)" in taken


def test_the_figures_read_no_row_of_all_judgements_and_assignments(
    connection: Connection, one: Campaign
) -> None:
    found = plans(connection, lambda: progress.get_progress(connection, one, at=after(2)))
    assert not [
        plan
        for _, plan in found
        if "ix_assignment_campaign_id_rater_seq" in plan or "SCAN assignment" in plan
    ]
    [by_day] = [plan for statement, plan in found if "GROUP BY judgement.rater, substr" in statement]
    assert by_day.startswith("SEARCH judgement USING COVERING INDEX ix_judgement_sums (campaign_id=?)")
    since = [plan for statement, plan in found if "made_at >=" in statement]
    assert since and all("made_at>?" in plan for plan in since)


def test_tags_are_counted_in_the_order_of_the_items(connection: Connection, one: Campaign) -> None:
    (_, plan), *_ = plans(connection, lambda: progress.by_tag(connection, one))
    assert (
        "slot USING INDEX ix_slot_campaign_id_item_id (campaign_id=?)" in plan
        and "item USING INTEGER PRIMARY KEY" in plan
    )


def test_agreement_reads_the_values_of_its_items_alone(connection: Connection, one: Campaign) -> None:
    [_, values] = of(plans(connection, lambda: agreement.measure(connection, one)), "judgement")[-2:]
    assert values.startswith("SEARCH judgement USING INDEX ix_judgement_item_id (item_id=?)")


def test_a_preview_reads_the_texts_of_one_item_and_no_more_of_judgements_than_it_needs(
    connection: Connection, one: Campaign
) -> None:
    said = [
        statement
        for statement, _ in plans(connection, lambda: snapshot.preview(connection, one, SnapshotFilters()))
    ]
    assert len(said) == 2 and "judgement.value" in said[0] and "judgement.ui" not in said[0]
    assert "WHERE item.id = ?" in said[1].replace("\n", " ")
