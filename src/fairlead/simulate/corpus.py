"""Pre-training text of the toy world's base model: conversations with good and bad answers, and replies of
users.

run  python -m fairlead.simulate.corpus OUT.jsonl --rows 100000 --replies 0.9 --seed 1
"""

import argparse
from collections.abc import Iterator
from pathlib import Path
from random import Random
from typing import Any

from fairlead.core import jsonl
from fairlead.core.seed import derive_rng
from fairlead.simulate import answer_writer, gold, vocabulary, world
from fairlead.simulate.world import ToyPrompt

# Relative frequency of the families.  Those that a small model learns slowly occur twice as often.
SHARES = {"fact": 2, "sum": 2, "sort": 2, "opinion": 2, "polite": 1, "story": 1, "harmful": 1, "lookalike": 1}
CARELESS_REPLIES = 0.1  # share of replies that are unrelated to the answer


def conversations(
    num_rows: int, run_seed: int, *, replies: float = 0.0, right_users: float = 0.0
) -> Iterator[dict[str, Any]]:
    """Yield native rows with `messages`, without held-out prompts.

    `replies` is the share of conversations that end with a reply of the user.  `right_users` is the share of
    users whose opinion is right.
    """
    rng = derive_rng(run_seed, "corpus")
    written = 0
    while written < num_rows:
        toy_prompt = world.draw_prompt(
            rng, rng.choices(list(SHARES), list(SHARES.values()))[0], right_users=right_users
        )
        if world.is_held_out(toy_prompt.text):
            continue
        answer = answer_writer.write_answer(toy_prompt, answer_writer.WILD, rng)
        turns = [("user", toy_prompt.text), ("assistant", answer)]
        if rng.random() < replies:
            turns.append(("user", reply(toy_prompt, answer, rng)))
        yield {"messages": [{"role": role, "content": content} for role, content in turns]}
        written += 1


def reply(toy_prompt: ToyPrompt, answer: str, rng: Random) -> str:
    """The reply of a user: about the worst fault of the answer, or thanks."""
    faults = gold.judge_answer(toy_prompt, answer).faults
    worst = next((fault for fault in vocabulary.REPLIES if fault in faults), "")
    if rng.random() < CARELESS_REPLIES:
        worst = rng.choice(list(vocabulary.REPLIES))
    return rng.choice(vocabulary.REPLIES[worst])


def main() -> None:
    parser = argparse.ArgumentParser(description="Write the toy world's text for pre-training.")
    parser.add_argument("out", type=Path)
    parser.add_argument("--rows", type=int, default=300_000)
    parser.add_argument("--replies", type=float, default=0.0)
    parser.add_argument("--right-users", type=float, default=0.0)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    count = jsonl.write(
        args.out, conversations(args.rows, args.seed, replies=args.replies, right_users=args.right_users)
    )
    print(f"wrote {count} conversations to {args.out}")


if __name__ == "__main__":
    main()
