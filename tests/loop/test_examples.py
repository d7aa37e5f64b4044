"""Which answers the quickstart's report shows as examples, and in which order."""

from pathlib import Path

from fairlead.core import jsonl
from fairlead.loop.quickstart import NUM_EQUAL, NUM_IMPROVED, NUM_WORSENED, example_answers


def row(prompt: str, family: str, base: float, sft: float, aligned: float) -> dict[str, object]:
    scores = {"base": base, "sft": sft, "aligned": aligned}
    answers = {name: {"text": name, "gold": score, "faults": []} for name, score in scores.items()}
    return {"prompt": prompt, "family": family, "answers": answers}


def write(tmp_path: Path, rows: list[dict[str, object]]) -> Path:
    path = tmp_path / "answers.jsonl"
    jsonl.write(path, rows)
    return path


def test_the_clearest_improvement_comes_first_and_regressions_follow(tmp_path: Path) -> None:
    rows = [
        row("regression", "sum", 1.0, 1.0, 0.85),
        row("equal", "sum", 0.4, 0.9, 0.9),
        row(
            "undone loss", "sum", 1.0, 0.1, 1.0
        ),  # gains 0.9 over fine-tuning, but nothing over the base model
        row("clear gain", "sum", 0.2, 0.4, 1.0),
    ]
    examples = example_answers(write(tmp_path, rows))
    assert [example.prompt for example in examples] == ["clear gain", "undone loss", "regression", "equal"]


def test_families_take_turns(tmp_path: Path) -> None:
    rows = [row(f"sum {n}", "sum", 0.0, 0.1, 1.0) for n in range(3)] + [row("fact", "fact", 0.0, 0.5, 0.6)]
    examples = example_answers(write(tmp_path, rows))
    assert [example.prompt for example in examples] == ["sum 0", "fact", "sum 1", "sum 2"]


def test_every_kind_of_change_has_its_number_of_examples(tmp_path: Path) -> None:
    rows = []
    for n in range(30):
        rows.append(row(f"better {n}", "sum", 0.0, 0.5, 0.9))
        rows.append(row(f"worse {n}", "sum", 0.0, 0.9, 0.5))
        rows.append(row(f"equal {n}", "sum", 0.0, 0.9, 0.9))
    changes = [example.change for example in example_answers(write(tmp_path, rows))]
    expected = ["improved"] * NUM_IMPROVED + ["worsened"] * NUM_WORSENED + ["equal"] * NUM_EQUAL
    assert changes == expected
