"""What the benchmarks over seeds share: their arguments, and a file of results that grows a seed at a time.

A seed takes minutes.  What was found of one is written before the next begins, beside what the file holds of others, so that a benchmark
that was cut off, or is asked for one seed more, goes on where it stood.
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
        help="none: only sum up what the file of --json holds",
    )
    parser.add_argument("--out", type=Path, default=Path(out))
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--json", type=Path)
    return parser


def prepare(args: argparse.Namespace) -> None:
    torch.set_num_threads(args.threads)
    keep_freed_pages()


def each(args: argparse.Namespace, run_seed: Callable[[Path, int], Found]) -> dict[str, Found]:
    """What `one` finds in a folder of its own for each seed, with what the file holds already; a seed's findings are merged by name."""
    known: dict[str, Found] = (
        json.loads(args.json.read_text(encoding="utf-8"))["seeds"] if args.json and args.json.exists() else {}
    )
    for seed in map(str, args.seeds):
        known[seed] = known.get(seed, {}) | run_seed(args.out / f"seed-{seed}", int(seed))
        save(args, known, {})
    return dict(sorted(known.items(), key=lambda item: int(item[0])))


def save(args: argparse.Namespace, seeds: Mapping[str, Found], summary: Mapping[str, Any]) -> None:
    if args.json:
        args.json.parent.mkdir(parents=True, exist_ok=True)
        result = {"machine": machine(), **({"summary": summary} if summary else {}), "seeds": seeds}
        files.write_text(args.json, json.dumps(result, indent=2) + "\n")
