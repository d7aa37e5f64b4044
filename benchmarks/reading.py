"""Whether a human reader agrees with the gold rule on pairs of answers to held-out prompts.

run  python -m benchmarks.reading draw demo pairs.md --seed 1        (demo: a finished quickstart)
     python -m benchmarks.reading score demo verdicts.txt --seed 1

Pairs are drawn at random and shown without scores.  pairs.md begins with the guideline of every new project.
The reader writes one line per pair: A, B or tie.
"""

import argparse
from collections.abc import Sequence
from pathlib import Path

from fairlead.core.seed import derive_rng
from fairlead.data.sampled_answers import read_sampled_answers
from fairlead.loop.toy_world import MODELS
from fairlead.simulate import gold
from fairlead.stats import interval

COUNT = 20


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("what", choices=("draw", "score"))
    parser.add_argument("quickstart", type=Path)
    parser.add_argument("file", type=Path)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    pairs = draw(args.quickstart, args.seed)
    if args.what == "draw":
        guideline = (args.quickstart / "guidelines" / "helpful.md").read_text(encoding="utf-8")
        args.file.write_text(page(guideline, pairs), encoding="utf-8")
        return
    reader_verdicts = [
        line.split()[-1].lower()
        for line in args.file.read_text(encoding="utf-8").splitlines()
        if line.strip()
    ]
    verdicts = [verdict(*pair) for pair in pairs]
    assert len(reader_verdicts) == len(verdicts), f"{len(reader_verdicts)} verdicts for {len(verdicts)} pairs"
    for number, (pair, reader_verdict, rule_verdict) in enumerate(
        zip(pairs, reader_verdicts, verdicts, strict=True), start=1
    ):
        if reader_verdict != rule_verdict:
            print(
                f"{number}: the reader said {reader_verdict}, the rule {rule_verdict}\n"
                f"   {pair[0]}\n   A {pair[1]}\n   B {pair[2]}"
            )
    agreed = interval.proportion(
        sum(
            reader_verdict == rule_verdict
            for reader_verdict, rule_verdict in zip(reader_verdicts, verdicts, strict=True)
        ),
        len(reader_verdicts),
    )
    print(f"agreed on {agreed.value * agreed.n:.0f} of {agreed.n} [{agreed.low:.2f}, {agreed.high:.2f}]")


def draw(quickstart: Path, run_seed: int) -> list[tuple[str, str, str]]:
    """(prompt, A, B): two models' answers that differ, in random order."""
    rows = {name: read_sampled_answers(_rows_of(quickstart, name)) for name in MODELS}
    rng = derive_rng(run_seed, "reading")
    drawn = []
    for number in rng.sample(range(len(rows["base"])), len(rows["base"])):
        first, second = rng.sample(MODELS, 2)
        texts = rows[first][number].texts[0], rows[second][number].texts[0]
        if texts[0] != texts[1]:
            drawn.append((rows[first][number].prompt[-1].content, *texts))
    return drawn[:COUNT]


def verdict(prompt: str, a: str, b: str) -> str:
    left, right = gold.judge(prompt, a).score, gold.judge(prompt, b).score
    return "tie" if abs(left - right) < 1e-9 else "a" if left > right else "b"


def page(guideline: str, pairs: Sequence[tuple[str, str, str]]) -> str:
    shown = [
        f"## {number}\n\nPrompt: {prompt}\n\nA: {a}\n\nB: {b}\n"
        for number, (prompt, a, b) in enumerate(pairs, start=1)
    ]
    return guideline + "\nOne line per pair: its number, then A, B or tie.\n\n" + "\n".join(shown)


def _rows_of(quickstart: Path, name: str) -> Path:
    [path] = (quickstart / "artifacts" / "rollouts" / f"{name}-on-held-out").glob("*.jsonl")
    return path


if __name__ == "__main__":
    main()
