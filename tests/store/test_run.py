import dataclasses
import hashlib
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from fairlead.core import config as configs
from fairlead.core import files
from fairlead.core.config import DatasetRef, ModelRef, RewardModelRef
from fairlead.core.errors import NonFiniteStep, ProjectError
from fairlead.core.partial_module import load_names
from fairlead.store import lineage
from fairlead.store.artifact import Artifact, Provenance, code_version, list_artifacts, publish_artifact
from fairlead.store.project import Project, create_project, load_project
from fairlead.store.run import Run, find_run, open_run, run_id


@dataclasses.dataclass(frozen=True, kw_only=True)
class Config:
    name: str = "m"
    data: DatasetRef | None = None
    model: ModelRef | None = None
    reward: RewardModelRef | None = None
    lr: float = 0.1
    seed: int = 0


HOLD = """
import dataclasses, sys, time
from pathlib import Path
from fairlead.store import project, run

@dataclasses.dataclass(frozen=True, kw_only=True)
class Config:
    name: str = "m"
    seed: int = 0

with run.open_run(project.load_project(Path(sys.argv[1])), "sft", Config(), kind="model") as opened:
    print(opened.id, flush=True)
    time.sleep(60)
"""

# A recipe in small: a "weight" that depends on every step, a checkpoint each third step.  It is killed from
# outside, or by itself in the middle of a row of metrics.
TRAIN = """
import dataclasses, os, signal, sys
from pathlib import Path
from fairlead.core import files
from fairlead.store import project, run

@dataclasses.dataclass(frozen=True, kw_only=True)
class Config:
    name: str = "m"
    seed: int = 5

dies_at = int(sys.argv[2])
home = project.load_project(Path(sys.argv[1]))
with run.open_run(home, "sft", Config(), kind="model", quiet=True) as opened:
    if opened.finished is None:
        step, weight = 0, opened.seed
        if latest := opened.latest_checkpoint():
            step = latest[0]
            weight = int((latest[1] / "weight").read_text())
            opened.rewind(step)
        while step < 20:
            step += 1
            weight = weight * 31 % 1009
            if step == dies_at:
                with open(opened.folder / "metrics.jsonl", "a") as half:
                    half.write('{"step": ')
                os.kill(os.getpid(), signal.SIGKILL)
            opened.log(step, loss=weight / 7)
            if step % 3 == 0:
                with files.atomic_folder(opened.checkpoint_folder(step)) as folder:
                    (folder / "weight").write_text(str(weight))
                opened.prune_checkpoints()
        opened.publish(lambda folder: (folder / "weight").write_text(str(weight)), metrics={"steps": step})
"""


def publish(project: Project, kind: str, name: str, *names: str) -> Artifact:
    def fill(folder: Path) -> None:
        for each in names or ("content",):
            (folder / each).write_text(name)

    return publish_artifact(
        project, kind, name, Provenance(parents=(), config={}, seed=0, metrics={}), fill=fill
    )


def write_weights(folder: Path) -> None:
    (folder / "weights").write_text("w")


def events(run: Run) -> list[str]:
    return [json.loads(line)["event"] for line in (run.folder / "events.jsonl").read_text().splitlines()]


def test_a_run_writes_down_what_was_asked(tmp_path: Path) -> None:
    project = create_project(tmp_path)
    pairs = publish(project, "dataset", "pairs", "pairs.jsonl")
    with open_run(project, "dpo", Config(data="pairs", model="o/n"), kind="model") as run:
        assert (run.recipe, run.seed, run.quiet, run.finished, bool(run.stop)) == (
            "dpo",
            0,
            False,
            None,
            False,
        )
        assert run.folder == project.runs / run.id
        written = json.loads((run.folder / "config.json").read_text())
    resolved = {"name": "m", "data": "pairs", "model": "o/n", "reward": None, "lr": 0.1, "seed": 0}
    inputs = {
        "data": {"ref": "pairs", "name": "dataset/pairs", "digest": pairs.manifest.digest},
        "model": {"ref": "o/n", "name": "hub:o/n", "digest": "hub:o/n"},
    }
    assert written == {
        "recipe": "dpo",
        "kind": "model",
        "config": resolved,
        "inputs": inputs,
        "code": code_version(),
    }
    assert run.config == resolved
    asked = {
        "recipe": "dpo",
        "config": resolved,
        "inputs": {"data": pairs.manifest.digest, "model": "hub:o/n"},
    }
    canonical = json.dumps(asked, sort_keys=True, separators=(",", ":"))
    assert run.id == "dpo-m-" + hashlib.sha256(canonical.encode()).hexdigest()[:10]


def test_the_same_command_finds_the_same_run_and_another_one_does_not(tmp_path: Path) -> None:
    project = create_project(tmp_path)
    (project.data / "a.jsonl").write_text("1\n")

    def id_of(recipe: str = "sft", **changes: object) -> str:
        values: dict[str, object] = {"data": "data/a.jsonl"} | changes
        with open_run(project, recipe, Config(**values), kind="model") as run:  # type: ignore[arg-type]
            return run.id

    first = id_of()
    assert id_of() == first
    others = [id_of("dpo"), id_of(lr=0.2), id_of(seed=1), id_of(name="n")]
    (project.data / "a.jsonl").write_text("2\n")
    others.append(id_of())
    assert len({first, *others}) == 6


def test_a_config_is_written_once(tmp_path: Path) -> None:
    project = create_project(tmp_path)
    with open_run(project, "sft", Config(), kind="model") as run:
        (run.folder / "config.json").write_text("kept")
    with open_run(project, "sft", Config(), kind="model") as run:
        assert (run.folder / "config.json").read_text() == "kept"


def test_parents_are_the_inputs_by_role(tmp_path: Path) -> None:
    project = create_project(tmp_path)
    publish(project, "dataset", "pairs")
    (project.root / "rule.py").touch()
    config = Config(model="o/n", data="pairs", reward="rule:rule.py")
    with open_run(project, "ppo", config, kind="model") as run:
        assert [(parent.role, parent.name) for parent in run.parents] == [
            ("data", "dataset/pairs"),
            ("model", "hub:o/n"),
            ("reward", "file:./rule.py"),
        ]


def test_data_is_the_only_rows_of_an_artifact_or_the_path(tmp_path: Path) -> None:
    project = create_project(tmp_path)
    one = publish(project, "dataset", "one", "train.jsonl", "README.md")
    (project.data / "a.jsonl").touch()
    for ref, expected in (
        ("one", one.folder / "train.jsonl"),
        ("data/a.jsonl", project.data / "a.jsonl"),
        ("data", project.data),
    ):
        with open_run(project, "sft", Config(data=ref), kind="model") as run:
            assert run.data_path("data") == expected


def test_of_several_files_the_one_with_the_name_of_the_field_is_read_or_the_one_asked_for(
    tmp_path: Path,
) -> None:
    project = create_project(tmp_path)
    many = publish(project, "dataset", "many", "data.jsonl", "more.jsonl", "answers.jsonl")
    other = publish(project, "dataset", "other", "train.jsonl")
    with open_run(project, "sft", Config(data="many"), kind="model") as run:
        assert run.data_path("data") == many.folder / "data.jsonl"
        assert run.data_path("data", rows="more") == many.folder / "more.jsonl"
    with open_run(project, "sft", Config(data="other"), kind="model") as run:
        assert run.data_path("data", rows="more") == other.folder / "train.jsonl"


def test_an_artifact_without_the_rows_that_are_wanted_says_what_it_has(tmp_path: Path) -> None:
    project = create_project(tmp_path)
    two = publish(project, "dataset", "two", "train.jsonl", "test.jsonl")
    publish(project, "dataset", "none", "README.md")
    listed = f"it has test.jsonl, train.jsonl. Name one of these files: data={two.folder / 'test.jsonl'}."
    several = f"data = 'two': dataset/two has no data.jsonl; {listed}"
    for ref, refusal in (
        ("two", several),
        ("none", "data = 'none': dataset/none has no data.jsonl; it has no rows."),
    ):
        with (
            open_run(project, "sft", Config(data=ref), kind="model") as run,
            pytest.raises(ProjectError, match=refusal),
        ):
            run.data_path("data")
    with open_run(
        project, "sft", Config(data=str(two.folder / "test.jsonl")), kind="model"
    ) as run:  # what it says can be done
        assert run.data_path("data") == two.folder / "test.jsonl"


def test_a_model_is_a_folder_or_a_name_of_the_hub(tmp_path: Path) -> None:
    project = create_project(tmp_path)
    made = publish(project, "model", "base")
    judge = publish(project, "reward-model", "judge")
    (project.root / "rule.py").touch()
    for model, reward, expected in (
        ("base", "judge", (str(made.folder), str(judge.folder))),
        ("o/n", "rule:fairlead.simulate.gold", ("o/n", "rule:fairlead.simulate.gold")),
        ("o/n", "rule:rule.py", ("o/n", f"rule:{project.root / 'rule.py'}")),
    ):
        with open_run(project, "ppo", Config(model=model, reward=reward), kind="model") as run:
            assert (run.model_path("model"), run.model_path("reward")) == expected


def test_a_name_of_the_hub_is_no_data(tmp_path: Path) -> None:
    refused = pytest.raises(AssertionError, match="is a model of the Hub")
    with open_run(create_project(tmp_path), "sft", Config(model="o/n"), kind="model") as run, refused:
        run.data_path("model")


def test_an_input_that_is_not_there_leaves_no_folder(tmp_path: Path) -> None:
    project = create_project(tmp_path)
    with (
        pytest.raises(ProjectError, match="data = 'none'"),
        open_run(project, "sft", Config(data="none"), kind="model"),
    ):
        pass
    assert list(project.runs.iterdir()) == []


def test_what_is_published_has_the_runs_inputs_and_settings(tmp_path: Path) -> None:
    project = create_project(tmp_path)
    publish(project, "dataset", "pairs")
    with open_run(project, "sft", Config(data="pairs", seed=4), kind="model") as run:
        made = run.publish(write_weights, metrics={"loss": 0.5})
        assert run.finished == made
    manifest = made.manifest
    assert (made.label, manifest.seed, manifest.run, manifest.metrics) == (
        "model/m",
        4,
        run.id,
        {"loss": 0.5},
    )
    assert (manifest.parents, manifest.config) == (run.parents, run.config)
    assert events(run) == ["opened", "finished"]
    assert lineage.verify(project, made).problems == []


def test_what_is_left_out_is_an_event_and_stands_in_the_manifest(tmp_path: Path) -> None:
    with open_run(create_project(tmp_path), "sft", Config(), kind="model") as run:
        run.record_data({"rows too long": 2, "ties": 0}, train=7)
        run.record_data({"rows too long": 1, "rows cut to fit": 4}, train=5)
        made = run.publish(write_weights, metrics={"loss": 0.5})
    assert made.manifest.metrics == {"loss": 0.5, "left_out": {"rows too long": 3, "rows cut to fit": 4}}
    rows = [json.loads(line) for line in (run.folder / "events.jsonl").read_text().splitlines()]
    data = [
        {key: row[key] for key in ("train", "dropped", "left_out")} for row in rows if row["event"] == "data"
    ]
    assert data == [
        {"train": 7, "dropped": 2, "left_out": {"rows too long": 2}},
        {"train": 5, "dropped": 1, "left_out": {"rows too long": 1, "rows cut to fit": 4}},
    ]


def test_a_config_of_its_own_can_be_published(tmp_path: Path) -> None:
    with open_run(create_project(tmp_path), "sft", Config(), kind="model") as run:
        assert run.publish(write_weights, metrics={}, config={"lora": 8}).manifest.config == {"lora": 8}


def test_a_finished_run_has_nothing_left_to_do(tmp_path: Path) -> None:
    project = create_project(tmp_path)
    with open_run(project, "sft", Config(), kind="model") as run:
        run.log(1, loss=1.0)
        made = run.publish(write_weights, metrics={})
    with open_run(project, "sft", Config(), kind="model") as again:
        assert again.finished == made
        assert again.read_metrics() == [{"step": 1, "loss": 1.0}]
    assert events(again) == ["opened", "finished"]


def test_a_name_made_by_something_else_is_refused(tmp_path: Path) -> None:
    project = create_project(tmp_path)
    publish(project, "model", "imported")
    with open_run(project, "sft", Config(), kind="model") as run:
        run.publish(write_weights, metrics={})
    for config, maker in ((Config(lr=0.2), run.id), (Config(name="imported"), "another command")):
        refused = pytest.raises(ProjectError, match=f"was made by {maker}.*Choose another name=")
        with refused, open_run(project, "sft", config, kind="model"):
            pass
    assert [folder.name for folder in project.runs.iterdir()] == [run.id]
    with open_run(project, "reward", Config(), kind="reward-model") as other:
        assert other.finished is None  # a name is taken only within its kind


def test_two_processes_cannot_work_on_one_run_and_a_killed_one_lets_go(tmp_path: Path) -> None:
    project = create_project(tmp_path)
    with subprocess.Popen([sys.executable, "-c", HOLD, str(tmp_path)], stdout=subprocess.PIPE) as child:
        assert child.stdout is not None
        id = child.stdout.readline().decode().strip()

        @dataclasses.dataclass(frozen=True, kw_only=True)
        class Config:
            name: str = "m"
            seed: int = 0

        refused = pytest.raises(ProjectError, match=f"{id}: another process is using this run")
        with refused, open_run(project, "sft", Config(), kind="model"):
            pass
        child.kill()
        assert child.wait(timeout=30) == -signal.SIGKILL
    with open_run(project, "sft", Config(), kind="model") as run:
        assert run.id == id


def test_a_run_lets_go_when_it_is_closed_by_an_exception(tmp_path: Path) -> None:
    project = create_project(tmp_path)
    before = signal.getsignal(signal.SIGINT)
    with pytest.raises(RuntimeError), open_run(project, "sft", Config(), kind="model"):
        raise RuntimeError
    assert signal.getsignal(signal.SIGINT) == before
    with open_run(project, "sft", Config(), kind="model") as run:
        assert run.finished is None


def test_ctrl_c_asks_the_run_to_stop(tmp_path: Path) -> None:
    with open_run(create_project(tmp_path), "sft", Config(), kind="model") as run:
        os.kill(os.getpid(), signal.SIGINT)
        assert run.stop


def test_metrics_have_no_time_and_refuse_what_is_no_number(tmp_path: Path) -> None:
    with open_run(create_project(tmp_path), "sft", Config(), kind="model") as run:
        run.log(1, loss=0.5, num_pairs=4)
        with pytest.raises(NonFiniteStep, match="step 2: loss is nan"):
            run.log(2, loss=float("nan"))
        assert (run.folder / "metrics.jsonl").read_text() == '{"step": 1, "loss": 0.5, "num_pairs": 4}\n'


def test_events_have_their_time_and_details(tmp_path: Path) -> None:
    with open_run(create_project(tmp_path), "sft", Config(), kind="model") as run:
        run.event("evaluated", step=3, gold=0.5)
    last = json.loads((run.folder / "events.jsonl").read_text().splitlines()[-1])
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\+00:00", last.pop("at"))
    assert last == {"event": "evaluated", "step": 3, "gold": 0.5}


def test_the_latest_checkpoint_is_that_of_the_highest_step(tmp_path: Path) -> None:
    with open_run(create_project(tmp_path), "sft", Config(), kind="model") as run:
        assert run.latest_checkpoint() is None
        assert run.checkpoint_folder(12) == run.folder / "checkpoints" / "step-00000012"
        for step in (2, 100_000_000, 9):
            with files.atomic_folder(run.checkpoint_folder(step)) as folder:
                write_weights(folder)
        (run.folder / "checkpoints" / "step-notes").mkdir()
        assert run.latest_checkpoint() == (100_000_000, run.checkpoint_folder(100_000_000))


def test_pruning_keeps_the_latest(tmp_path: Path) -> None:
    with open_run(create_project(tmp_path), "sft", Config(), kind="model") as run:
        run.prune_checkpoints()
        for step in (1, 2, 3, 4):
            run.checkpoint_folder(step).mkdir(parents=True)
        for keep, left in ((5, [1, 2, 3, 4]), (4, [1, 2, 3, 4]), (2, [3, 4]), (1, [4]), (0, [])):
            run.prune_checkpoints(keep)
            present = sorted(path.name for path in (run.folder / "checkpoints").iterdir())
            assert present == [f"step-{step:08d}" for step in left]


def test_opening_clears_up_after_a_killed_process(tmp_path: Path) -> None:
    project = create_project(tmp_path)
    with open_run(project, "sft", Config(), kind="model") as run:
        run.checkpoint_folder(3).mkdir(parents=True)
        (run.folder / "checkpoints" / ".step-00000006.part-12").mkdir()
        (run.folder / ".config.json.part-12").touch()
        with open(run.folder / "events.jsonl", "a") as half:
            half.write('{"at": ')
        run.log(1, loss=1.0)
    with open_run(project, "sft", Config(), kind="model") as again:
        present = sorted(path.relative_to(again.folder).as_posix() for path in again.folder.rglob("*"))
        assert present == [
            ".lock",
            "checkpoints",
            "checkpoints/step-00000003",
            "config.json",
            "events.jsonl",
            "metrics.jsonl",
        ]
        assert events(again) == ["opened", "opened"]


def test_metrics_start_empty_when_there_is_no_checkpoint_to_go_on_from(tmp_path: Path) -> None:
    project = create_project(tmp_path)
    with open_run(project, "sft", Config(), kind="model") as run:
        run.log(1, loss=1.0)
    with open_run(project, "sft", Config(), kind="model") as run:
        assert run.read_metrics() == []


def train(root: Path, dies_at: int, kill_after_s: float | None = None) -> int:
    with subprocess.Popen([sys.executable, "-c", TRAIN, str(root), str(dies_at)]) as child:
        if kill_after_s is not None:
            time.sleep(kill_after_s)
            child.kill()
        return child.wait(timeout=60)


def outcome(root: Path) -> tuple[bytes, str, str, list[str]]:
    project = load_project(root)
    (artifact,) = list_artifacts(project)
    run = find_run(project, "m")
    assert lineage.verify(project, None).problems == []
    weight = (artifact.folder / "weight").read_text()
    left = sorted(path.name for path in (run / "checkpoints").iterdir())
    return (run / "metrics.jsonl").read_bytes(), weight, artifact.manifest.digest, left


def test_a_run_killed_anywhere_ends_as_one_that_was_never_killed(tmp_path: Path) -> None:
    whole, killed = create_project(tmp_path / "whole").root, create_project(tmp_path / "killed").root
    assert train(whole, dies_at=0) == 0
    weight = 5
    for _ in range(20):
        weight = weight * 31 % 1009
    assert outcome(whole)[1] == str(weight)
    for dies_at in (2, 3, 8, 20):  # before the first checkpoint, at one, between two, at the end
        assert train(killed, dies_at) == -signal.SIGKILL
    train(killed, dies_at=0, kill_after_s=0.4)  # wherever that is
    assert train(killed, dies_at=0) == 0
    assert outcome(killed) == outcome(whole)


def test_a_run_is_found_by_id_beginning_and_what_it_made(tmp_path: Path) -> None:
    project = create_project(tmp_path)
    with pytest.raises(ProjectError, match="The project has no runs yet"):
        find_run(project, "sft")
    with open_run(project, "sft", Config(name="a"), kind="model") as first:
        first.publish(write_weights, metrics={})
    with open_run(project, "sft", Config(name="ab"), kind="model") as second:
        pass
    for ref in (first.id, first.id[:-1], "sft-a-", "a", "model/a"):
        assert find_run(project, ref) == first.folder, ref
    assert find_run(project, "sft-ab") == second.folder
    with pytest.raises(ProjectError, match=f"ambiguous: it matches the runs .*{second.id}"):
        find_run(project, "sft")
    for ref in ("", "none", "../runs", "ab"):
        with pytest.raises(ProjectError, match=f"The project has: .*{first.id}"):
            find_run(project, ref)
    shutil.rmtree(project.runs)
    with pytest.raises(ProjectError, match="its folder is missing from .*runs. Restore it"):
        find_run(project, "a")


def test_the_id_of_a_run_goes_before_the_name_of_an_artifact(tmp_path: Path) -> None:
    project = create_project(tmp_path)
    with open_run(project, "sft", Config(name="a"), kind="model") as first:
        pass
    with open_run(project, "sft", Config(name=first.id), kind="model") as second:
        second.publish(write_weights, metrics={})
    assert find_run(project, first.id) == first.folder


# ids that Fairlead computed when configurations were flat, for inputs with the digest "sha256:ROLE"
FORMER_RUN_IDS = [
    (
        "sft",
        ["model=base", "demonstrations=d.jsonl", "adapter.rank=8", "checkpoints.every=7", "lr=2e-4"],
        "sft-a-09105d3c61",
    ),
    ("dpo", ["model=base", "comparisons=c.jsonl", "optim.bits=8", "weight_decay=0.1"], "dpo-a-c949cb2bc4"),
    ("pretrain", ["documents=t.txt", "steps=10", "micro_tokens=512"], "pretrain-a-d890966dfb"),
    (
        "ppo",
        [
            "model=base",
            "reward=r",
            "prompts=p.jsonl",
            "probe=q",
            "ptx.data=d.jsonl",
            "ptx.coef=0.2",
            "rewards.extra={s=0.5}",
            'keep="best"',
        ],
        "ppo-a-aca3d575c2",
    ),
    ("grpo", ["model=base", "reward=r", "prompts=p.jsonl", "kl_budget=3"], "grpo-a-8b8ff03d8a"),
    ("reward", ["model=base", "comparisons=c.jsonl", "adapter.rank=0"], "reward-a-71e9d2afd7"),
]


@pytest.mark.parametrize(("recipe", "words", "expected"), FORMER_RUN_IDS)
def test_a_run_keeps_its_id_from_before_the_tables(recipe: str, words: list[str], expected: str) -> None:
    config_class = load_names(f"fairlead.recipes.{recipe}", ("Config", "KIND")).Config
    config = configs.load(config_class, None, ["name=a", *words])
    assert run_id(recipe, config, {role: f"sha256:{role}" for role in configs.refs(config)}) == expected


def test_a_new_key_away_from_its_default_makes_another_run() -> None:
    config_class = load_names("fairlead.recipes.dpo", ("Config", "KIND")).Config
    words = ["name=a", "model=base", "comparisons=c.jsonl"]
    plain, linear = (configs.load(config_class, None, [*words, *more]) for more in ([], ["schedule=linear"]))
    assert run_id("dpo", plain, {}) != run_id("dpo", linear, {})
