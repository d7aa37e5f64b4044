"""What a model of the pocket world can still do, whatever its manners: multiple choice by likelihood, per family.

run  python -m benchmarks.skills build/quickstart/seed-0/artifacts/model/sft

Of a right answer and four wrong ones to a prompt, all without a fault of manner, the likeliest per token must be the right one.
Prompts are from the training side of the world's split, the same for every model.
"""

import argparse
from collections.abc import Sequence

import torch

from fairlead.core import seed
from fairlead.data.records import Message
from fairlead.model.batch import collate, in_micro_batches
from fairlead.model.policy import Policy, load_policy
from fairlead.rehearse import gold, world
from fairlead.stats import interval

PER_FAMILY = 240
WRONG = 4


def right(policy: Policy, families: Sequence[str], *, per_family: int = PER_FAMILY, run_seed: int = 0) -> list[bool]:
    """Whether each prompt's right answer is the likeliest, families one after the other."""
    rows, counts = [], []
    for family in families:
        for task in world.tasks(run_seed, "skills", per_family, held_out=False, family=family):
            options = choices(task, run_seed)
            counts.append(len(options))
            prompt = Message("user", task.prompt)
            rows += [policy.encode((prompt, Message("assistant", text)), num_context=1) for text in options]
    batch = collate(rows, pad_id=policy.pad_id, device=policy.device)
    with torch.no_grad():
        sums = in_micro_batches(lambda part: policy.token_logps(part).sum(dim=1), batch, 4096, packed=policy.paths.packed)
    means = (sums / batch.response_mask.sum(dim=1)).split(counts)
    return [int(part.argmax()) == 0 for part in means]


def choices(task: world.Task, run_seed: int) -> list[str]:
    """A right answer, then different wrong ones."""
    rng = seed.rng(run_seed, "choices", task.prompt)
    wrong: dict[str, None] = {}
    for _ in range(200):
        text = world.wrong_answer(task, rng)
        if gold.judge_task(task, text).correct == 0.0:
            wrong[text] = None
        if len(wrong) == WRONG:
            break
    return [rng.choice(world.right_answers(task)), *wrong]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("models", nargs="+")
    for model in parser.parse_args().models:
        policy = load_policy(model)
        print(model)
        for family in world.FAMILIES:
            found = right(policy, [family])
            share = interval.proportion(sum(found), len(found))
            print(f"  {family:10} {share.value:.3f} [{share.low:.3f}, {share.high:.3f}] of {share.n}")


if __name__ == "__main__":
    main()
