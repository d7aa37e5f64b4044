import json
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from fairlead.core.errors import NonFiniteStep, ProjectError
from fairlead.store.name_conflicts import opening_lock
from fairlead.store.project import Project, create_project
from fairlead.store.run import open_run, run_id
from store.test_run import HOLD, Config, events, train, write_weights


def leave_unfinished(project: Project, **changes: Any) -> str:
    """A run that was killed after its first checkpoint."""
    with open_run(project, "sft", Config(**changes), kind="model", quiet=True) as run:
        run.log(1, loss=1.0)
        run.checkpoint_folder(1).mkdir(parents=True)
    return run.id


def test_the_name_of_a_run_at_work_is_taken_and_the_message_lists_the_difference(tmp_path: Path) -> None:
    project = create_project(tmp_path)
    with open_run(project, "sft", Config(), kind="model") as first:
        refused = pytest.raises(
            ProjectError,
            match=rf"{first.id} is at work and will publish model/m \(lr is 0.1 there and 0.2 here\)",
        )
        with refused, open_run(project, "sft", Config(lr=0.2), kind="model"):
            pass
        with open_run(project, "reward", Config(lr=0.2), kind="reward-model") as other:
            assert other.finished is None  # a name is taken only within its kind
        with open_run(project, "sft", Config(name="n", lr=0.2), kind="model") as named:
            assert named.finished is None
    assert not (project.runs / run_id("sft", Config(lr=0.2), {})).exists()


@pytest.mark.slow
@pytest.mark.skipif(not Path("/sys/kernel").is_dir(), reason="needs a folder in which nobody may write")
def test_a_project_that_cannot_be_written_is_named_with_a_remedy() -> None:
    with (
        pytest.raises(ProjectError, match="/sys/artifacts: .*Copy it to a folder that you may write to"),
        opening_lock(Project(Path("/sys"))),
    ):
        pass


def test_a_killed_run_keeps_its_name_until_it_is_finished_or_removed(tmp_path: Path) -> None:
    project = create_project(tmp_path)
    assert train(tmp_path, dies_at=8) == -signal.SIGKILL
    (folder,) = project.runs.iterdir()
    refused = pytest.raises(ProjectError, match=f"{folder.name} is unfinished.*remove {folder}")
    with refused, open_run(project, "sft", Config(), kind="model"):
        pass
    assert train(tmp_path, dies_at=0) == 0  # the same command resumes
    shutil.rmtree(project.artifacts / "model" / "m")
    with open_run(project, "sft", Config(), kind="model") as run:
        assert run.finished is None  # whoever removes an artifact gives its name free


def test_an_unfinished_run_of_an_earlier_version_keeps_its_name(tmp_path: Path) -> None:
    project = create_project(tmp_path)
    id = leave_unfinished(project)
    path = project.runs / id / "config.json"
    contents = json.loads(path.read_text())
    del contents["kind"]
    path.write_text(json.dumps(contents))
    with pytest.raises(ProjectError, match=id), open_run(project, "sft", Config(lr=0.2), kind="model"):
        pass
    with open_run(project, "reward", Config(lr=0.2), kind="reward-model") as run:
        assert run.finished is None


def test_a_run_killed_before_its_first_step_holds_no_name(tmp_path: Path) -> None:
    project = create_project(tmp_path)
    with subprocess.Popen([sys.executable, "-c", HOLD, str(tmp_path)], stdout=subprocess.PIPE) as child:
        assert child.stdout is not None and child.stdout.readline()
        child.kill()
    with open_run(project, "sft", Config(lr=0.2), kind="model") as run:
        assert run.finished is None


def test_an_error_before_the_first_step_leaves_no_folder_and_a_later_one_keeps_it(tmp_path: Path) -> None:
    project = create_project(tmp_path)
    with pytest.raises(ZeroDivisionError), open_run(project, "sft", Config(), kind="model") as run:
        run.event("data", train=3)
        raise ZeroDivisionError
    assert list(project.runs.iterdir()) == []
    with pytest.raises(NonFiniteStep), open_run(project, "sft", Config(), kind="model") as run:
        run.log(1, loss=1.0)
        run.log(2, loss=float("inf"))
    assert events(run) == ["opened", "failed"]
    with open_run(project, "sft", Config(lr=0.2), kind="model") as other:  # nothing could be resumed
        other.log(1, loss=1.0)
        other.checkpoint_folder(1).mkdir(parents=True)
    refused = pytest.raises(ProjectError, match="lr is 0.2 there and 0.1 here")
    with refused, open_run(project, "sft", Config(), kind="model"):
        pass


def test_a_stage_that_left_nothing_is_no_progress_of_its_run(tmp_path: Path) -> None:
    project = create_project(tmp_path)

    def fail(stage_steps: int) -> None:
        with (
            pytest.raises(RuntimeError, match="rule"),
            open_run(project, "rounds", Config(name="all"), kind="evaluation", quiet=True) as run,
            open_run(project, "sft", Config(name="stage"), kind="model", quiet=True) as stage,
        ):
            run.event("stage", run=stage.id)
            for step in range(stage_steps):
                stage.log(step + 1, loss=1.0)
            raise RuntimeError("rule")

    fail(stage_steps=0)
    assert not list(project.runs.iterdir())
    fail(stage_steps=1)
    assert len(list(project.runs.iterdir())) == 2


def test_another_maker_of_a_name_is_compared_setting_by_setting(tmp_path: Path) -> None:
    project = create_project(tmp_path)
    (project.data / "a.jsonl").write_text("1\n")
    with open_run(project, "sft", Config(data="data/a.jsonl"), kind="model") as run:
        run.publish(write_weights, metrics={})
    (project.data / "a.jsonl").write_text("2\n")
    (project.data / "b.jsonl").write_text("2\n")

    def message(recipe: str = "sft", **changes: Any) -> str:
        values: dict[str, Any] = {"data": "data/a.jsonl"} | changes
        with (
            pytest.raises(ProjectError) as refused,
            open_run(project, recipe, Config(**values), kind="model"),
        ):
            pass
        return str(refused.value)

    assert "inputs (the content of data has changed since)." in message()
    assert "(data is data/a.jsonl there and data/b.jsonl here; seed is 0 there and 3 here)" in message(
        data="data/b.jsonl", seed=3
    )
    assert "(the method is sft there and dpo here" in message("dpo")
    shutil.rmtree(project.runs)  # then the manifest of the artifact is compared
    assert "(the content of data has changed since; lr" not in message(lr=0.2)
    assert "lr is 0.1 there and 0.2 here" in message(lr=0.2)
