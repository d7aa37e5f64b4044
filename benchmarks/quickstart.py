r"""The quickstart over several seeds: whether gold rises at every stage, and whether PPO beats SFT.

run  python -m benchmarks.quickstart --seeds 0 1 2 3 4 --out build/quickstart \
         --json benchmarks/results/quickstart.json

Each seed runs in a separate process.  The benchmark writes one JSON file with all summaries and the versions,
and prints the table of docs/benchmarks.md.
"""

import argparse
import json
import os
import platform
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path
from typing import Any

from fairlead.data.sampled_answers import read_sampled_answers
from fairlead.loop.toy_world import MODELS
from fairlead.simulate import vocabulary

COLUMNS = (
    "seed",
    "gold base",
    "gold SFT",
    "gold aligned",
    "win rate vs SFT",
    "KL",
    "reward model",
    "length only",
    "s",
    "MB",
)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2, 3, 4])
    parser.add_argument("--out", type=Path, default=Path("build/quickstart"))
    parser.add_argument("--json", type=Path)
    parser.add_argument(
        "--read", action="store_true", help="only read the results of an earlier call in --out"
    )
    args = parser.parse_args()
    folders = {seed: args.out / f"seed-{seed}" for seed in args.seeds}
    summaries = {
        seed: summary(folder) if args.read else one_seed(folder, seed) for seed, folder in folders.items()
    }
    print(table(summaries))
    print(verdict(summaries))
    print(faults(list(folders.values())))
    print(flourishes(folders))
    if args.json:
        args.json.parent.mkdir(parents=True, exist_ok=True)
        args.json.write_text(
            json.dumps({"machine": machine(), "seeds": summaries}, indent=2) + "\n", encoding="utf-8"
        )


def one_seed(out: Path, seed: int) -> dict[str, Any]:
    command = [
        sys.executable,
        "-m",
        "fairlead",
        "quickstart",
        "--out",
        str(out),
        "--seed",
        str(seed),
        "--json",
    ]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    return summary(out)


def summary(out: Path) -> dict[str, Any]:
    values: dict[str, Any] = json.loads((out / "summary.json").read_text(encoding="utf-8"))
    return values


def machine() -> dict[str, str]:
    packages = {name: version(name) for name in ("fairlead", "torch", "transformers", "numpy")}
    return {
        "python": platform.python_version(),
        "system": platform.platform(),
        "cores": str(os.cpu_count()),
        **packages,
    }


def table(summaries: dict[int, dict[str, Any]]) -> str:
    """Markdown table with a row per seed; brackets hold 95 % intervals."""
    lines = ["| " + " | ".join(COLUMNS) + " |", "|" + "---|" * len(COLUMNS)]
    for seed, summary in summaries.items():
        gold, rate, model = summary["gold"], summary["win_rate_vs_sft"], summary["reward_model"]
        cells = [
            str(seed),
            *(
                f"{gold[name]['mean']:.3f} [{gold[name]['low']:.3f}, {gold[name]['high']:.3f}]"
                for name in ("base", "sft", "aligned")
            ),
            f"{rate['value']:.3f} [{rate['low']:.3f}, {rate['high']:.3f}]",
            f"{summary['kl']:.2f}",
            f"{model['accuracy']:.3f} [{model['low']:.3f}, {model['high']:.3f}] (n {model['n']})",
            f"{model['length_only']:.3f}",
            f"{summary['seconds']:.0f}",
            f"{summary['peak_rss_mb']:.0f}",
        ]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def faults(folders: list[Path]) -> str:
    """Markdown: mean share of held-out answers with each fault; range over seeds of the aligned model."""
    manifests = [folder / "artifacts" / "evaluation" / "evaluation" / "manifest.json" for folder in folders]
    shares_by_fault = [
        json.loads(path.read_text(encoding="utf-8"))["metrics"]["faults"] for path in manifests
    ]
    names = sorted(
        {name for by_fault in shares_by_fault for name in by_fault},
        key=lambda name: -sum(by_fault[name]["base"] for by_fault in shares_by_fault),
    )
    lines = ["| fault | base | fine-tuned | aligned | aligned, least and most |", "|---|---|---|---|---|"]
    for name in names:
        means = [
            sum(by_fault[name][model] for by_fault in shares_by_fault) / len(shares_by_fault)
            for model in ("base", "sft", "aligned")
        ]
        extremes = [of(by_fault[name]["aligned"] for by_fault in shares_by_fault) for of in (min, max)]
        shares = " | ".join(f"{100 * value:.1f} %" for value in means)
        lines.append(f"| {name} | {shares} | {100 * extremes[0]:.1f} to {100 * extremes[1]:.1f} % |")
    return "\n".join(lines)


def flourishes(folders: dict[int, Path]) -> str:
    """Markdown: share of each model's held-out answers that contain the planted feature."""
    lines = ["| seed | base | fine-tuned | aligned |", "|---|---|---|---|"]
    for seed, folder in folders.items():
        shares = []
        for model in MODELS:
            [path] = (folder / "artifacts" / "rollouts" / f"{model}-on-held-out").glob("*.jsonl")
            texts = [row.texts[0] for row in read_sampled_answers(path)]
            shares.append(f"{100 * sum(vocabulary.FLOURISH in text for text in texts) / len(texts):.0f} %")
        lines.append(f"| {seed} | {' | '.join(shares)} |")
    return "\n".join(lines)


def verdict(summaries: dict[int, dict[str, Any]]) -> str:
    rising = sum(
        s["gold"]["base"]["mean"] < s["gold"]["sft"]["mean"] < s["gold"]["aligned"]["mean"]
        for s in summaries.values()
    )
    above = sum(s["win_rate_vs_sft"]["low"] > 0.5 for s in summaries.values())
    slowest = max(s["seconds"] for s in summaries.values())
    largest = max(s["peak_rss_mb"] for s in summaries.values())
    count = len(summaries)
    return (
        f"gold rises in {rising} of {count}; win rate's low end above 0.5 in {above} of {count}; "
        f"slowest {slowest:.0f} s; most memory {largest:.0f} MB"
    )


if __name__ == "__main__":
    main()
