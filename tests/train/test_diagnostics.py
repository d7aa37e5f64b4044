from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from fairlead.core import jsonl
from fairlead.store.project import create_project
from fairlead.store.run import Run, open_run
from fairlead.train import diagnostics

WELL = {
    "ratio": 1.0,
    "clip_frac": 0.1,
    "explained_variance": 0.5,
    "entropy": 1.0,
    "finished_frac": 1.0,
    "score_std": 0.2,
    "kl": 1.0,
    "response_tokens": 10.0,
    "score": 0.5,
}


def counts(rows: list[dict[str, float]]) -> dict[str, int]:
    return {sign.name: sign.num_ill for sign in diagnostics.examine(rows) if sign.num_ill}


def test_a_healthy_run_shows_no_sign() -> None:
    signs = diagnostics.examine([WELL] * 20)
    assert {sign.name for sign in signs} == set(WELL) - {"score"}
    assert all((sign.num_ill, sign.num_steps) == (0, 20) for sign in signs)


@pytest.mark.parametrize(
    "name, value",
    [
        ("ratio", 1.02),
        ("ratio", 0.98),
        ("clip_frac", 0.31),
        ("explained_variance", -0.01),
        ("entropy", 0.19),
        ("finished_frac", 0.89),
    ]
    + [("score_std", 0.41)],
)
def test_each_sign_is_counted(name: str, value: float) -> None:
    assert counts([WELL, WELL | {name: value}, WELL, WELL | {name: value}]) == {name: 2}


@pytest.mark.parametrize(
    "name, value", [("clip_frac", 0.3), ("explained_variance", 0.0), ("entropy", 0.21), ("score_std", 0.39)]
)
def test_what_is_within_the_range_is_not(name: str, value: float) -> None:
    assert counts([WELL, WELL | {name: value}]) == {}


def test_a_negative_kl_counts_when_it_persists() -> None:
    kls = [0.0, -0.1, -0.1, 0.1, -0.1, -0.2, -0.1, 0.3, -0.5, -0.1, -0.1, -0.1]
    assert counts([WELL | {"kl": kl} for kl in kls]) == {"kl": 3 + 4}  # the pair at the start is noise
    assert counts([WELL | {"kl": -0.01}] * 9) == {}


def test_length_is_a_sign_where_the_score_goes_with_it() -> None:
    longer = [WELL | {"response_tokens": 10.0 + 2 * i, "score": 0.1 * i} for i in range(6)]
    assert counts(longer) == {"response_tokens": 3}  # 16, 18 and 20 are over 15
    assert counts([row | {"score": -row["score"]} for row in longer]) == {}
    assert counts([row | {"score": 0.5} for row in longer]) == {}


def test_a_metric_that_was_not_measured_is_no_sign() -> None:
    assert [sign.name for sign in diagnostics.examine([{"clip_frac": 0.4}])] == ["clip_frac"]
    assert diagnostics.examine([]) == []


@dataclass(frozen=True, kw_only=True)
class Config:
    name: str = "m"
    seed: int = 0


@pytest.fixture
def run(tmp_path: Path) -> Iterator[Run]:
    with open_run(create_project(tmp_path), "toy", Config(), kind="model", quiet=True) as run:
        yield run


def said(run: Run, kind: str) -> list[dict[str, object]]:
    return [row for _, row in jsonl.read(run.folder / "events.jsonl") if row["event"] == kind]


def test_a_run_says_how_often_in_one_line(run: Run) -> None:
    for step in range(1, 21):
        run.log(
            step,
            clip_frac=0.5 if step <= 6 else 0.1,
            explained_variance=-1.0 if step <= 2 else 0.5,
            entropy=1.0,
        )
    diagnostics.report(run)
    [event] = said(run, "health")
    assert event["clip_frac"] == {"steps": 6, "of": 20} and event["explained_variance"] == {
        "steps": 2,
        "of": 20,
    }
    assert event["entropy"] == {"steps": 0, "of": 20}
    [warning] = said(run, "warning")  # 2 of 20 steps are a tenth, and not more
    assert (
        warning["text"]
        == "in 6 of 20 steps more than 0.3 of the tokens were clipped (steps are too large; lower lr or "
        "epochs)."
    )


def test_a_healthy_run_warns_of_nothing(run: Run) -> None:
    run.log(1, clip_frac=0.1)
    diagnostics.report(run)
    assert said(run, "warning") == [] and len(said(run, "health")) == 1


# ---------------------------------------------------------------- nothing learned


@pytest.mark.parametrize(
    ("row", "what"),
    [
        ({"equal_frac": 1.0, "score": 1.0}, "all responses scored the same"),
        ({"grad_norm": 0.0, "score": 1.0}, "the gradient was zero"),
        ({"kl_k3": 0.0, "kl": 0.0, "score": 1.0}, "KL never left 0"),
        ({"loss": 0.6931}, "loss never left its start"),
        ({"sft_loss": 2.0, "dpo_loss": 0.6931}, "dpo_loss never left its start"),
    ],
)
def test_a_run_that_learned_nothing_says_so(run: Run, row: dict[str, float], what: str) -> None:
    for step in range(1, 7):
        run.log(step, **row)
        diagnostics.warn_early(run, step)
    diagnostics.report_learning(run)
    early, final = (str(warning["text"]) for warning in said(run, "warning"))
    assert early.startswith("so far nothing was learned: in 5 of 5 steps ") and what in early
    assert final.startswith("nothing was learned: in 6 of 6 steps ") and what in final
    assert diagnostics.read_nothing_learned(run.folder) == final


@pytest.mark.parametrize(
    "rows",
    [
        [{"equal_frac": 1.0, "score": 1.0}] * 2,  # too few steps to say
        [{"equal_frac": step % 2, "score": 1.0} for step in range(6)],
        [{"equal_frac": 0.9, "score": 1.0}] * 6,
        [{"loss": 0.6931}] * 5 + [{"loss": 0.6}],
        [{"held_out_loss": 0.5, "loss": 1 / step} for step in range(1, 7)],
        [{"policy_loss": 0.0, "score": 1.0}] * 6,  # about 0 by construction
        [{"kl_k3": 0.0, "score": 1.0}] * 3 + [{"kl_k3": 1e-3, "score": 1.0}],
        [{"grad_norm": 0.0 if step < 3 else 1.0} for step in range(6)],
    ],
)
def test_a_run_that_learned_does_not(run: Run, rows: list[dict[str, float]]) -> None:
    for step, row in enumerate(rows, start=1):
        run.log(step, **row)
    diagnostics.report_learning(run)
    assert said(run, "warning") == [] and diagnostics.read_nothing_learned(run.folder) == ""
