"""Log-probabilities of responses under the policy and under the frozen reference, computed once.

The reference is the policy before training.  Its log-probabilities are cached in the project under the
digest of the model and the rows.  A run with another learning rate on the same rows reads them from disk,
and training never holds a second network in memory.
"""

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

import torch
from torch import Tensor

from fairlead.core import digest
from fairlead.encoding.record_rows import Pair, SingleOrPair
from fairlead.examples.pairs import answer_logps, micro_answers, pair_logps
from fairlead.losses.preference import PairLogps
from fairlead.model.policy import Policy
from fairlead.store.run import Run
from fairlead.train.settings import TrainingSettings
from fairlead.train.tensor_cache import cached


@torch.no_grad()
def all_answer_logps(policy: Policy, items: Sequence[SingleOrPair], micro_tokens: int) -> Tensor:
    """Log-probabilities of the answers of all items in order, over micro-batches, without gradients.

    [answers]
    """
    offsets = answer_offsets(items)
    logps = torch.zeros(sum(len(item) for item in items), device=policy.device)
    for index in micro_answers(policy.backend, items, micro_tokens):
        answer_ids = [offsets[i] + k for i in index for k in range(len(items[i]))]
        logps[answer_ids] = answer_logps(policy, [answer for i in index for answer in items[i]])
    return logps


@torch.no_grad()
def all_pair_logps(policy: Policy, pairs: Sequence[Pair], micro_tokens: int) -> PairLogps:
    """Summed log-probabilities of both answers, over micro-batches, without gradients.  [pairs] each"""
    zeros = torch.zeros(len(pairs), device=policy.device)
    logps = PairLogps(zeros, zeros.clone())
    for index in micro_answers(policy.backend, pairs, micro_tokens):
        part = pair_logps(policy, [pairs[i] for i in index])
        logps.chosen[index] = part.chosen
        logps.rejected[index] = part.rejected
    return logps


def answer_offsets(items: Sequence[SingleOrPair]) -> list[int]:
    """Index of each item's first answer in the list of all answers."""
    offsets = [0]
    for item in items:
        offsets.append(offsets[-1] + len(item))
    return offsets[:-1]


def reference_answer_logps(
    run: Run,
    policy: Policy,
    items: Sequence[SingleOrPair],
    micro_tokens: int,
    config: TrainingSettings,
) -> Tensor:
    """`all_answer_logps` of the policy as it is now, cached in the project.  [answers]"""
    rows = _rows_digest(items)
    depends_on = _depends_on(run, rows, config)
    tensors = cached(
        run,
        "reference",
        depends_on | {"form": "answers"},
        lambda: {"logps": all_answer_logps(policy, items, micro_tokens)},
    )
    return tensors["logps"].to(policy.device)


def reference_pair_logps(
    run: Run,
    policy: Policy,
    pairs: Sequence[Pair],
    micro_tokens: int,
    config: TrainingSettings,
) -> PairLogps:
    """`all_pair_logps` of the policy as it is now, cached in the project.  [pairs] each"""
    rows = _rows_digest(pairs)
    depends_on = _depends_on(run, rows, config)
    tensors = cached(
        run, "reference", depends_on, lambda: all_pair_logps(policy, pairs, micro_tokens)._asdict()
    )
    return PairLogps(**{side: logps.to(policy.device) for side, logps in tensors.items()})


def _rows_digest(items: Sequence[SingleOrPair]) -> str:
    return digest.of_json([[asdict(row) for row in answer] for item in items for answer in item])


def _depends_on(run: Run, rows: str, config: TrainingSettings) -> dict[str, Any]:
    """What the log-probabilities depend on: the model, its number formats, and the rows."""
    return {
        "model": run.inputs["model"].digest,
        "precision": config.hardware.precision,
        "base_bits": config.adapter.base_bits,
        "rows": rows,
    }
