"""The text that the pocket world's base model is trained on: conversations with good and bad behaviour mixed.

run  python -m fairlead.rehearse.corpus OUT.jsonl --rows 300000 --seed 0
"""

import argparse
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from fairlead.core import jsonl, seed
from fairlead.rehearse import world


def conversations(num_rows: int, run_seed: int) -> Iterator[dict[str, Any]]:
    """Native rows with `messages`; held-out prompts never occur."""
    rng = seed.rng(run_seed, "corpus")
    written = 0
    while written < num_rows:
        task = world.draw_task(rng)
        if world.is_held_out(task.prompt):
            continue
        answer = world.answer(task, world.WILD, rng)
        yield {"messages": [{"role": "user", "content": task.prompt}, {"role": "assistant", "content": answer}]}
        written += 1


def main() -> None:
    parser = argparse.ArgumentParser(description="Write the pocket world's text for pre-training.")
    parser.add_argument("out", type=Path)
    parser.add_argument("--rows", type=int, default=300_000)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    count = jsonl.write(args.out, conversations(args.rows, args.seed))
    print(f"wrote {count} conversations to {args.out}")


if __name__ == "__main__":
    main()
