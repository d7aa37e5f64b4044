import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from fairlead.core import jsonl
from fairlead.core.config import RewardModelRef
from fairlead.core.errors import ConfigError, GateRefused, ModelError
from fairlead.store.artifact import Parent, Provenance, publish_artifact
from fairlead.store.project import PROJECT_FILE, create_project, load_project
from fairlead.store.run import Run, open_run
from fairlead.train.admission_gate import Admission, check_admission, read_admission


def write(folder: Path, content: Any) -> Path:
    folder.mkdir(exist_ok=True)
    (folder / "admission.json").write_text(content if isinstance(content, str) else json.dumps(content))
    return folder


def test_a_verdict_with_its_reasons_is_read(tmp_path: Path) -> None:
    found = read_admission(
        write(tmp_path, {"verdict": "refuse", "reasons": ["No better than length."], "accuracy": 0.5})
    )
    assert found == Admission("refuse", ("No better than length.",))
    found = read_admission(
        write(
            tmp_path,
            {"verdict": "refuse", "reasons": ["No better than a coin."], "warnings": ["Few prompts."]},
        )
    )
    assert found == Admission("refuse", ("No better than a coin.",), ("Few prompts.",))


def test_a_model_without_a_report_was_never_examined(tmp_path: Path) -> None:
    assert read_admission(tmp_path) is None


def test_a_report_that_is_no_file_is_not_taken_for_none(tmp_path: Path) -> None:
    (tmp_path / "admission.json").mkdir()
    with pytest.raises(ModelError, match=r"admission\.json: is not a file"):
        read_admission(tmp_path)
    (tmp_path / "admission.json").rmdir()
    (tmp_path / "admission.json").symlink_to("nowhere")
    with pytest.raises(ModelError, match=r"admission\.json: is not a file"):
        read_admission(tmp_path)


@pytest.mark.parametrize(
    "content",
    [
        "",
        "{",
        "[]",
        "3",
        '"refuse"',
        "[" * 100_000,
        "\udcff",
        {"verdict": "maybe", "reasons": []},
        {"reasons": []},
    ]
    + [
        {"verdict": "admit", "reasons": "good"},
        {"verdict": "admit", "reasons": [1]},
        {"verdict": ["admit"], "reasons": []},
    ]
    + [{"verdict": "admit", "reasons": [], "warnings": "none"}],
)
def test_what_is_no_report_is_refused(tmp_path: Path, content: Any) -> None:
    if content == "\udcff":
        (tmp_path / "admission.json").write_bytes(b"\xff\xfe")
    else:
        write(tmp_path, content)
    with pytest.raises(ModelError, match="admission.json: (cannot be read as JSON|needs a verdict)"):
        read_admission(tmp_path)


def test_a_report_that_is_far_too_large_is_not_read(tmp_path: Path) -> None:
    write(tmp_path, {"verdict": "admit", "reasons": ["x" * (1 << 20)]})
    with pytest.raises(ModelError, match="larger than 1048576 bytes"):
        read_admission(tmp_path)


def test_reasons_cannot_write_on_the_terminal_as_they_like(tmp_path: Path) -> None:
    found = read_admission(
        write(tmp_path, {"verdict": "refuse", "reasons": ["a\x1b[2Jb\nc", "y" * 5000] + ["z"] * 100})
    )
    assert found is not None
    assert found.reasons[0] == "a [2Jb c" and len(found.reasons[1]) == 300 and len(found.reasons) == 20


# ---------------------------------------------------------------- the gate


@dataclass(frozen=True, kw_only=True)
class Config:
    name: str = "m"
    reward: RewardModelRef
    constraints: dict[RewardModelRef, float] = field(default_factory=dict)
    seed: int = 0


@contextmanager
def opened(root: Path, reports: dict[str, Any], **settings: Any) -> Iterator[Run]:
    """A run paid by reward models with these reports."""
    project = load_project(root) if (root / PROJECT_FILE).exists() else create_project(root)
    for name, report in reports.items():

        def fill(folder: Path, report: Any = report) -> None:
            (folder / "config.json").write_text("{}")
            if report is not None:
                write(folder, report)

        publish_artifact(
            project, "reward-model", name, Provenance(parents=(), config={}, seed=0, metrics={}), fill=fill
        )
    (project.data / "rule.py").write_text("")
    with open_run(project, "toy", Config(**settings), kind="model", quiet=True) as run:
        yield run


def warnings(run: Run) -> list[str]:
    return [row["text"] for _, row in jsonl.read(run.folder / "events.jsonl") if row["event"] == "warning"]


REFUSED = {
    "verdict": "refuse",
    "reasons": ["No better than length.", "No better than a coin."],
    "warnings": ["Few prompts."],
}
ADMITTED = {"verdict": "admit", "reasons": []}
CHECKED = ADMITTED | {"leaks": {"rows": 0, "of": 9, "by": {}, "excluded": True, "not_checked": []}}


def test_a_refused_reward_model_stops_the_run_with_the_reasons(tmp_path: Path) -> None:
    with (
        opened(tmp_path, {"judge": REFUSED}, reward="judge") as run,
        pytest.raises(
            GateRefused,
            match="reward = judge: .* refuses .*: No better than length. No better than a coin. Fix it, .* "
            "trust=judge",
        ) as caught,
    ):
        check_admission(run, ["reward"], trust="")
    assert caught.value.exit_code == 3


@pytest.mark.parametrize("trust", ["judge", "reward-model/judge", " other , judge"])
def test_unless_it_is_trusted_by_name(tmp_path: Path, trust: str) -> None:
    with opened(
        tmp_path, {"judge": REFUSED, "other": ADMITTED}, reward="judge", constraints={"other": 0.5}
    ) as run:
        check_admission(run, ["reward", "constraints.other"], trust=trust)
        one, two = warnings(run)
        assert one.startswith(
            "reward = judge: the admission report refuses this reward model, which is trusted anyway: "
            "No better"
        )
        assert two == "reward = judge: the admission report warns: Few prompts."


def test_to_trust_one_is_not_to_trust_another(tmp_path: Path) -> None:
    with opened(
        tmp_path, {"judge": ADMITTED, "other": REFUSED}, reward="judge", constraints={"other": 0.5}
    ) as run:
        with pytest.raises(GateRefused, match=r"constraints\.other = other"):
            check_admission(run, ["reward", "constraints.other"], trust="judge")
        with pytest.raises(ConfigError, match="trust = 'juge': juge is not a reward model of this run"):
            check_admission(run, ["reward", "constraints.other"], trust="juge")


def test_warnings_and_silence_are_passed_on(tmp_path: Path) -> None:
    doubtful = {"verdict": "admit with warnings", "reasons": [], "warnings": ["Few pairs."]}
    with opened(
        tmp_path, {"judge": doubtful, "other": None}, reward="judge", constraints={"other": 0.5}
    ) as run:
        check_admission(run, ["reward", "constraints.other"], trust="")
        one, two = warnings(run)
        assert one == "reward = judge: the admission report warns: Few pairs."
        assert two.startswith("constraints.other = other: this reward model was never evaluated")


@pytest.mark.parametrize("reward", ["rule:fairlead.simulate.gold", "rule:data/rule.py"])
def test_rules_need_no_admission(tmp_path: Path, reward: str) -> None:
    with opened(tmp_path, {}, reward=reward) as run:
        check_admission(run, ["reward"], trust="")
        assert warnings(run) == []


# ---------------------------------------------------------------- examined later


def evaluate(
    run: Run,
    name: str,
    report: dict[str, Any],
    *,
    role: str = "model",
    file: str = "admission.json",
    sha: str = "",
) -> None:
    """An evaluation of the reward model that the run is paid by."""
    parent = Parent("reward-model/judge", sha or run.inputs["reward"].digest, role)

    def fill(folder: Path) -> None:
        (folder / file).write_text(json.dumps(report))

    publish_artifact(
        run.project,
        "evaluation",
        name,
        Provenance(parents=[parent], config={}, seed=0, metrics={}),
        fill=fill,
    )


def test_the_newest_evaluation_of_the_same_model_counts(tmp_path: Path) -> None:
    with opened(tmp_path, {"judge": REFUSED}, reward="judge") as run:
        evaluate(run, "z-first", CHECKED)
        check_admission(run, ["reward"], trust="")
        assert warnings(run) == []
        evaluate(run, "a-second", {"verdict": "refuse", "reasons": ["It pays for length."]})
        with pytest.raises(
            GateRefused,
            match="reward = judge: evaluation/a-second refuses this reward model: It pays for length",
        ):
            check_admission(run, ["reward"], trust="")
        check_admission(run, ["reward"], trust="judge")


def test_an_evaluation_without_a_check_for_leaks_lifts_no_refusal(tmp_path: Path) -> None:
    with opened(tmp_path, {"judge": REFUSED}, reward="judge") as run:
        evaluate(run, "unchecked", ADMITTED)
        with pytest.raises(GateRefused, match="the admission report refuses this reward model: No better"):
            check_admission(run, ["reward"], trust="")


def test_a_model_that_was_never_examined_is_admitted_by_an_evaluation(tmp_path: Path) -> None:
    with opened(tmp_path, {"judge": None}, reward="judge") as run:
        evaluate(run, "examined", ADMITTED)
        (run.project.artifacts / "evaluation" / "broken").mkdir()
        check_admission(run, ["reward"], trust="")
        assert warnings(run) == []


def test_a_folder_from_elsewhere_is_known_by_its_digest(tmp_path: Path) -> None:
    theirs = tmp_path / "theirs"
    theirs.mkdir()
    (theirs / "config.json").write_text("{}")
    with opened(tmp_path / "project", {}, reward=str(theirs)) as run:
        evaluate(run, "examined", REFUSED)
        with pytest.raises(GateRefused, match="evaluation/examined refuses"):
            check_admission(run, ["reward"], trust="")
    (theirs / "config.json").write_text('{"other": 1}')
    with opened(tmp_path / "project", {}, reward=str(theirs)) as run:
        check_admission(run, ["reward"], trust="")
        assert "never evaluated" in warnings(run)[0]


@pytest.mark.parametrize(
    "other", [{"sha": "sha256:" + "0" * 64}, {"role": "judge"}, {"file": "verdict.json"}]
)
def test_an_evaluation_of_something_else_says_nothing(tmp_path: Path, other: dict[str, str]) -> None:
    with opened(tmp_path, {"judge": REFUSED}, reward="judge") as run:
        evaluate(run, "else", ADMITTED, **other)
        with pytest.raises(GateRefused, match="the admission report refuses"):
            check_admission(run, ["reward"], trust="")
