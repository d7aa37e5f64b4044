"""Preference losses against TRL 1.16, on random log-probabilities.  Skipped where TRL is not installed.

`make test-oracle` installs TRL and runs this file.  TRL computes its losses inside a method of a trainer.
The tests therefore build a trainer without a model, with the attributes that the method reads, and pass a
"model" that returns the log-probabilities.
"""

import warnings
from collections import defaultdict
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from pytest import approx
from torch import Tensor

from fairlead.losses import binary, preference
from fairlead.losses.preference import PairLogps, PairTokens

with warnings.catch_warnings():  # TRL warns at import about itself
    warnings.simplefilter("ignore")
    trl = pytest.importorskip("trl", minversion="1.16")
    dpo_trainer = pytest.importorskip("trl.trainer.dpo_trainer")
    kto_trainer = pytest.importorskip("trl.trainer.kto_trainer")
    orpo_trainer = pytest.importorskip("trl.experimental.orpo.orpo_trainer")
    cpo_trainer = pytest.importorskip("trl.experimental.cpo.cpo_trainer")

ROWS = 12
LENGTH = 9  # tokens of a row, of which the first two are the prompt
WITHIN = 1e-6  # losses are of order 1


def generator(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def answers(seed: int) -> tuple[Tensor, Tensor]:
    """Token log-probabilities, zero outside the answer, and the mask of the answer.  [ROWS, LENGTH] each"""
    lengths = torch.randint(1, LENGTH - 1, (ROWS, 1), generator=generator(seed))
    places = torch.arange(LENGTH)
    mask = (places >= 2) & (places < 2 + lengths)
    return -torch.rand(ROWS, LENGTH, generator=generator(seed + 1), dtype=torch.float64) * 3 * mask, mask


def references(seed: int) -> Tensor:
    return -torch.rand(ROWS, generator=generator(seed), dtype=torch.float64) * 12


CHOSEN, CHOSEN_MASK = answers(10)
REJECTED, REJECTED_MASK = answers(20)
POLICY = PairLogps(CHOSEN.sum(dim=1), REJECTED.sum(dim=1))
REFERENCE = PairLogps(references(30), references(40))
TOKENS = PairTokens(CHOSEN_MASK.sum(dim=1).double(), REJECTED_MASK.sum(dim=1).double())


def bare(trainer: Any, **attributes: Any) -> Any:
    """An instance of the trainer's class without a call of its constructor."""
    instance = trainer.__new__(trainer)
    same = SimpleNamespace(device=torch.device("cpu"), gather=lambda x: x, gather_for_metrics=lambda x: x)
    common = dict(
        accelerator=same,
        model=SimpleNamespace(training=True),
        aux_loss_enabled=False,
        precompute_ref_logps=True,
    )
    counters = dict(_metrics=defaultdict(lambda: defaultdict(list)), _total_train_tokens=0, _tp_size=1)
    for name, value in (common | counters | attributes).items():
        setattr(instance, name, value)
    return instance


def model_returning(token_logps: Tensor) -> Any:
    """TRL asks for the log-probability of every token but the first."""
    logps = token_logps[:, 1:]
    zeros = torch.zeros_like(logps)
    outputs = SimpleNamespace(log_probs=logps, entropy=zeros, mean_logits=zeros, is_top1=zeros.bool())
    return lambda **_: outputs


def trl_dpo(row: int, loss_type: str, *, beta: float, label_smoothing: float = 0.0) -> float:
    trainer = bare(
        dpo_trainer.DPOTrainer,
        loss_types=[loss_type],
        loss_weights=[1.0],
        beta=beta,
        label_smoothing=label_smoothing,
        ld_alpha=None,
        f_divergence_type="reverse_kl",
        use_weighting=False,
    )
    mask = torch.stack([CHOSEN_MASK[row], REJECTED_MASK[row]])
    inputs = {
        "input_ids": torch.ones(2, LENGTH, dtype=torch.int64),
        "attention_mask": torch.ones(2, LENGTH, dtype=torch.int64),
        "completion_mask": mask.long(),
        "ref_chosen_logps": REFERENCE.chosen[row : row + 1],
        "ref_rejected_logps": REFERENCE.rejected[row : row + 1],
    }
    return float(
        trainer._compute_loss(model_returning(torch.stack([CHOSEN[row], REJECTED[row]])), inputs, False)
    )


@pytest.mark.parametrize(
    ("loss_type", "settings", "ours"),
    [
        ("sigmoid", {"beta": 0.1}, preference.dpo(POLICY, REFERENCE, beta=0.1)),
        (
            "robust",
            {"beta": 0.3, "label_smoothing": 0.2},
            preference.robust_dpo(POLICY, REFERENCE, beta=0.3, flip_rate=0.2),
        ),
        ("hinge", {"beta": 0.2}, preference.hinge(POLICY, REFERENCE, beta=0.2)),
        ("ipo", {"beta": 0.5}, preference.ipo(POLICY, REFERENCE, TOKENS, tau=0.5)),
        ("sft", {"beta": 0.1}, preference.chosen_nll(POLICY, TOKENS)),
    ],
)
def test_losses_of_pairs(loss_type: str, settings: dict[str, float], ours: Tensor) -> None:
    theirs = [trl_dpo(row, loss_type, **settings) for row in range(ROWS)]
    assert ours.tolist() == approx(theirs, abs=WITHIN)
    assert max(theirs) - min(theirs) > 0.1  # or equality would say little


def test_simpo() -> None:
    mean = preference.mean_logps(POLICY, TOKENS)
    trainer = bare(
        cpo_trainer.CPOTrainer, loss_type="simpo", beta=2.5, simpo_gamma=0.8, alpha=0.0, label_smoothing=0.0
    )
    theirs, _, _ = trainer.cpo_loss(mean.chosen, mean.rejected)
    assert preference.simpo(POLICY, TOKENS, beta=2.5, gamma=0.8).tolist() == approx(
        theirs.tolist(), abs=WITHIN
    )


def test_orpo() -> None:
    mean = preference.mean_logps(POLICY, TOKENS)
    trainer = bare(orpo_trainer.ORPOTrainer, beta=0.4)
    weighted = trainer.odds_ratio_loss(mean.chosen, mean.rejected)[
        0
    ]  # beta * log sigma(log odds ratio), which TRL subtracts
    theirs = -mean.chosen - weighted
    assert preference.orpo(POLICY, TOKENS, weight=0.4).tolist() == approx(theirs.tolist(), abs=WITHIN)


@pytest.mark.parametrize(
    "shift", [0.7, -0.7]
)  # a KL above zero, and an estimate below it, which counts as zero
def test_kto(shift: float) -> None:
    good = torch.arange(ROWS) % 3 > 0
    before = references(50)
    kl_logps, kl_before = references(60) + shift, references(60)
    trainer = bare(
        kto_trainer.KTOTrainer,
        loss_type="kto",
        beta=0.3,
        desirable_weight=1.2,
        undesirable_weight=0.7,
        calculate_KL=True,
    )
    trainer._compute_kl_logps = lambda model, batch: kl_logps
    ours = binary.kto(
        POLICY.chosen - before,
        good,
        beta=0.3,
        reference_point=max(0.0, shift),
        desirable_weight=1.2,
        undesirable_weight=0.7,
    )
    for row in range(ROWS):
        inputs = {
            "input_ids": torch.ones(1, LENGTH, dtype=torch.int64),
            "attention_mask": torch.ones(1, LENGTH, dtype=torch.int64),
            "completion_mask": CHOSEN_MASK[row : row + 1].long(),
            "label": good[row : row + 1],
            "ref_logps": before[row : row + 1],
            "ref_KL_logps": kl_before,
        }
        theirs = float(trainer._compute_loss(model_returning(CHOSEN[row : row + 1]), inputs, False))
        assert ours[row].item() == approx(theirs, abs=WITHIN)
