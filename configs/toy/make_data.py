"""Write the toy data that the quickstart does not make: binary rows and stepwise rows.

run  python configs/toy/make_data.py fairlead-quickstart
"""

import sys
from pathlib import Path

from fairlead.core.seed import derive_rng
from fairlead.data.record_reader import read_comparisons
from fairlead.data.record_writer import write_records
from fairlead.data.records import Binary, Comparison, Message, Stepwise
from fairlead.simulate import answer_writer, world

NUM_STEPWISE = 1000
STEPS_PER_ANSWER = 2


def binary_rows(comparisons: list[Comparison]) -> list[Binary]:
    """A thumb up for each chosen answer and a thumb down for each rejected one; ties are left out."""
    rows = []
    for comparison in comparisons:
        if comparison.tie is None:
            rows.append(Binary(comparison.prompt, comparison.chosen, True))
            rows.append(Binary(comparison.prompt, comparison.rejected, False))
    return rows


def stepwise_rows(seed: int = 0) -> list[Stepwise]:
    """Answers whose steps are independently right or wrong, with equal probability."""
    rng = derive_rng(seed, "stepwise")
    rows = []
    for toy_prompt in world.draw_prompts(seed, "stepwise", NUM_STEPWISE, held_out=False):
        labels = tuple(rng.random() < 0.5 for _ in range(STEPS_PER_ANSWER))
        steps = tuple(
            rng.choice(answer_writer.correct_answers(toy_prompt))
            if is_right
            else answer_writer.wrong_answer(toy_prompt, rng)
            for is_right in labels
        )
        rows.append(Stepwise((Message("user", toy_prompt.text),), steps, labels))
    return rows


def main() -> None:
    if len(sys.argv) != 2:
        raise SystemExit("usage: python configs/toy/make_data.py PROJECT")
    project = Path(sys.argv[1])
    comparisons = project / "artifacts" / "dataset" / "comparisons" / "rows.jsonl"
    if not comparisons.is_file():
        raise SystemExit(f"{comparisons} does not exist. Run first: fairlead quickstart --out {project}")
    for name, rows in (
        ("binary", binary_rows(read_comparisons(comparisons))),
        ("stepwise", stepwise_rows()),
    ):
        path = project / "data" / f"{name}.jsonl"
        print(f"wrote {write_records(path, rows)} rows to {path}")


if __name__ == "__main__":
    main()
