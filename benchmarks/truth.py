"""Whether a toy-world reward model tells right from wrong answers when neither has a fault of manner.

run  python -m benchmarks.truth build/quickstart/seed-4/artifacts/reward-model/reward

Reports, per family, the share of training-side prompts whose right answer scores higher; ties count as
failures.
"""

import argparse
import random

import torch

from fairlead.data.records import Message
from fairlead.encoding.batching import collate, map_micro_batches
from fairlead.model.reward_model import load_reward_model
from fairlead.simulate import answer_writer, world

NUM_PROMPTS = 480


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("reward_model")
    model = load_reward_model(parser.parse_args().reward_model)
    rng = random.Random(0)
    tasks = world.draw_prompts(3, "rm", NUM_PROMPTS, held_out=False)
    answers = [
        (rng.choice(answer_writer.correct_answers(task)), answer_writer.wrong_answer(task, rng))
        for task in tasks
    ]
    rows = [
        model.encode((Message("user", task.text), Message("assistant", text)))
        for task, pair in zip(tasks, answers, strict=True)
        for text in pair
    ]
    with torch.no_grad():
        scores = map_micro_batches(
            model.scores, collate(rows, pad_id=model.pad_id, device=model.device), 4096
        )
    right = (scores[0::2] > scores[1::2]).tolist()
    for family in world.FAMILIES:
        wins = [won for task, won in zip(tasks, right, strict=True) if task.family == family]
        print(f"{family:10} {sum(wins) / len(wins):.2f} of {len(wins)}")


if __name__ == "__main__":
    main()
