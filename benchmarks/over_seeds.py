"""Shared by benchmarks that run over several seeds: arguments, and a results file that grows seed by seed.

A seed takes minutes.  The results of a seed are written before the next seed starts, beside the results of
other seeds in the file.  An interrupted benchmark, or one called with further seeds, continues from there.
"""

import argparse
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch

from benchmarks.quickstart import machine
from fairlead.core import files
from fairlead.core.allocator import keep_freed_pages

Found = dict[str, Any]


def arguments(about: str | None, out: str) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=about, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--seeds",
        type=int,
        nargs="*",
        default=[0, 1, 2, 3, 4],
        help="seeds to run; without a value, only summarise the file of --json",
    )
    parser.add_argument("--out", type=Path, default=Path(out))
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--json", type=Path)
    return parser


def prepare(args: argparse.Namespace) -> None:
    torch.set_num_threads(args.threads)
    keep_freed_pages()


def each(args: argparse.Namespace, run_seed: Callable[[Path, int], Found]) -> dict[str, Found]:
    """Run every seed in a separate folder and merge its results by name with those in the file of --json."""
    results: dict[str, Found] = (
        json.loads(args.json.read_text(encoding="utf-8"))["seeds"] if args.json and args.json.exists() else {}
    )
    for seed in map(str, args.seeds):
        results[seed] = results.get(seed, {}) | run_seed(args.out / f"seed-{seed}", int(seed))
        save(args, results, {})
    return dict(sorted(results.items(), key=lambda item: int(item[0])))


def save(args: argparse.Namespace, seeds: Mapping[str, Found], summary: Mapping[str, Any]) -> None:
    if args.json:
        args.json.parent.mkdir(parents=True, exist_ok=True)
        result = {"machine": machine(), **({"summary": summary} if summary else {}), "seeds": seeds}
        files.write_text(args.json, json.dumps(result, indent=2) + "\n")
