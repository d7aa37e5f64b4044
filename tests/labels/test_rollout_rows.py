"""Rows of rollouts: answers of several models to the same prompts."""

from pathlib import Path

import pytest

from fairlead.labels import rollout_rows
from fairlead.labels.database import Database
from fairlead.labels.errors import Invalid
from fairlead.labels.imports import ImportSource
from fairlead.store.project import Project, create_project
from labels.import_files import (
    all_items,
    answer_texts,
    assistant,
    create_campaign,
    preview,
    publish_rollouts,
    run_import,
    user,
)


def test_answers_of_two_rollouts_to_a_prompt_are_paired(database: Database, project: Project) -> None:
    for name, model in (("old", "model/old"), ("new", "model/new")):
        rows = [
            {
                "prompt": user("2?"),
                "completions": [assistant(f"{name} 1"), assistant(f"{name} 2")],
                "finished": [True, False],
            },
            {
                "prompt": user(f"only {name}"),
                "completions": [assistant("same"), assistant("other")],
                "finished": [True, True],
            },
            {
                "prompt": user("3?"),
                "completions": [assistant("same"), assistant(f"{name}")],
                "finished": [True, True],
            },
        ]
        publish_rollouts(project, name, rows, model)
    campaign = create_campaign(database)
    origin = ImportSource(rollouts=("rollouts/old", "rollouts/new"))
    assert run_import(database, project, campaign, origin).result == {
        "rows": 3,
        "added": 5,
        "duplicates": 0,
        "set_aside": 0,
    }
    paired = all_items(database, campaign)
    assert [answer_texts(item) for item in paired] == [
        ["old 1", "new 1"],
        ["old 2", "new 2"],
        ["same", "other"],
        ["same", "old"],
        ["new", "same"],
    ]
    assert [(answer.source, answer.finished) for answer in paired[1].answers] == [
        ("model/old", False),
        ("model/new", False),
    ]
    assert paired[0].answers[1].params == {"temperature": 0.7, "rollouts": "rollouts/new"}
    assert {rollout.label for rollout in rollout_rows.list_all(project)} == {"rollouts/new", "rollouts/old"}


def test_only_rollouts_of_the_project_can_be_imported(
    database: Database, project: Project, tmp_path: Path
) -> None:
    other = create_project(tmp_path / "other")
    publish_rollouts(other, "theirs", [{"prompt": user("2?"), "completions": [assistant("4")]}])
    publish_rollouts(project, "ours", [{"prompt": user("2?"), "completions": [assistant("4")]}])
    assert preview(database, project, ImportSource(rollouts=("rollouts/ours",)), "rating").num_items == 1
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
            preview(database, project, ImportSource(rollouts=(ref,)), "rating")
