"""What a policy says of given answers, each summed over its tokens; and what it said before it was trained, computed once.

The reference is the policy as training found it.  Its numbers are kept in the project's cache under the digest of the model and of the
rows, so that another learning rate on the same rows reads them from the disk, and no second network is in memory.
"""

from collections.abc import Sequence
from dataclasses import asdict

import torch
from torch import Tensor

from fairlead.core import digest
from fairlead.core.precision import Precision
from fairlead.examples.pairs import Pair, SingleOrPair, answer_logps, micro_answers, pair_logps
from fairlead.losses.preference import PairLogps
from fairlead.model.policy import Policy
from fairlead.store.run import Run
from fairlead.train.tensor_cache import cached


@torch.no_grad()
def all_answer_logps(policy: Policy, items: Sequence[SingleOrPair], micro_tokens: int) -> Tensor:
    """`answer_logps` of all the answers of all items, one item after the other, over micro-batches.  [answers]"""
    starts = answer_offsets(items)
    found = torch.zeros(sum(len(item) for item in items), device=policy.device)
    for index in micro_answers(policy.backend, items, micro_tokens):
        at = [starts[i] + k for i in index for k in range(len(items[i]))]
        found[at] = answer_logps(policy, [row for i in index for row in items[i]])
    return found


@torch.no_grad()
def all_pair_logps(policy: Policy, pairs: Sequence[Pair], micro_tokens: int) -> PairLogps:
    """`pair_logps` over micro-batches, without gradients.  [pairs] each"""
    found = PairLogps(*(torch.zeros(len(pairs), device=policy.device) for _ in range(2)))
    for index in policy.backend.micro_groups(pairs, micro_tokens):
        part = pair_logps(policy, [pairs[i] for i in index])
        found.chosen[index], found.rejected[index] = part
    return found


def answer_offsets(items: Sequence[SingleOrPair]) -> list[int]:
    """Where each item's first answer stands when the answers of all are in one list."""
    starts = [0]
    for item in items:
        starts.append(starts[-1] + len(item))
    return starts[:-1]


def reference_answer_logps(
    run: Run,
    policy: Policy,
    items: Sequence[SingleOrPair],
    micro_tokens: int,
    *,
    precision: Precision,
    base_bits: int,
) -> Tensor:
    """`all_answer_logps` of the policy as it is now, from the cache where they were computed before.  [answers]"""
    rows = digest.of_json([asdict(row) for item in items for row in item])
    depends_on = dict(model=run.inputs["model"].digest, precision=precision, base_bits=base_bits, rows=rows)
    found = cached(
        run,
        "reference",
        depends_on | {"form": "answers"},
        lambda: {"logps": all_answer_logps(policy, items, micro_tokens)},
    )
    return found["logps"].to(policy.device)


def reference_pair_logps(
    run: Run,
    policy: Policy,
    pairs: Sequence[Pair],
    micro_tokens: int,
    *,
    precision: Precision,
    base_bits: int,
) -> PairLogps:
    """`all_pair_logps` of the policy as it is now, from the cache where they were computed before.  [pairs] each"""
    rows = digest.of_json([asdict(row) for pair in pairs for row in pair])
    depends_on = dict(model=run.inputs["model"].digest, precision=precision, base_bits=base_bits, rows=rows)
    found = cached(
        run, "reference", depends_on, lambda: all_pair_logps(policy, pairs, micro_tokens)._asdict()
    )
    return PairLogps(**{side: logps.to(policy.device) for side, logps in found.items()})
