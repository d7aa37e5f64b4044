"""A project, judged pairs and a table for jobs, for several test modules."""

from pathlib import Path

import pytest

from fairlead.labels import campaigns
from fairlead.labels.campaigns import Campaign
from fairlead.labels.database import Database
from fairlead.store.project import Project, create_project
from labels import job_steps
from labels.snapshots import ANN, BEN, LEAD, create_campaign, judge_all, new_item, prefers


@pytest.fixture
def project(tmp_path: Path) -> Project:
    return create_project(tmp_path / "home")


@pytest.fixture
def create_step_table(database: Database) -> None:
    with database.write() as connection:
        job_steps.metadata.create_all(connection)


@pytest.fixture
def judged(database: Database) -> Campaign:
    """Three pairs, judged by Ann with 3, 1 and a tie, and by Ben with 2, -1 and a tie.

    Ben has the second version of the guidelines, and is too fast to read the answers.
    """
    campaign = create_campaign(database, "pairwise", *[new_item(n, "a", "b") for n in (1, 2, 3)])
    judge_all(database, campaign, ANN, {"1?": prefers("a", 3), "2?": prefers("a", 1), "3?": {"choice": 4}})
    with database.write() as connection:
        campaigns.write_guidelines(connection, campaign, "Be brief.", by=LEAD)
    judge_all(
        database,
        campaign,
        BEN,
        {"1?": prefers("a", 2), "2?": prefers("b", 1), "3?": {"choice": 5}},
        active_ms=0,
    )
    return campaign
