"""UNA and UFT: an answer's implicit reward beside the score that somebody gave it.  arXiv:2408.15339, arXiv:2410.21438.

B = answers; returns [B], unreduced.  An answer's implicit reward is beta * log(pi(y|x) / ref(y|x)): eq. 5 of arXiv:2410.21438 with
f(x) = c = 0.  A score of 0.5 is neutral: there the answer is to stay as likely as the reference has it.  Of two answers without scores,
the rewards are compared as a reward model's are (`losses/reward.py: bradley_terry`): eq. 10 of arXiv:2408.15339, which is DPO's loss.
"""

import torch
from torch import Tensor
from torch.nn import functional as F


def squared_error(rewards: Tensor, scores: Tensor) -> Tensor:
    """(sigma(reward) - score)^2, score in 0..1: eq. 13 of arXiv:2408.15339; with score = 1, eq. 7 of arXiv:2410.21438.  [B], [B] -> [B]"""
    return (torch.sigmoid(rewards) - scores).square()


def cross_entropy(rewards: Tensor, scores: Tensor) -> Tensor:
    """-score * log sigma(reward) - (1 - score) * log(1 - sigma(reward)): eq. 12 of arXiv:2408.15339.  [B], [B] -> [B]"""
    return -scores * F.logsigmoid(rewards) - (1 - scores) * F.logsigmoid(-rewards)


def centred(scores: Tensor, prompts: Tensor) -> Tensor:
    """Scores moved so that those of one prompt average the neutral 0.5, held in 0..1.  [B], [B] -> [B]

    prompts: a number for each different prompt, from 0.  A prompt's only score is moved by the mean of all: it has no siblings.
    """
    counts = torch.bincount(prompts)[prompts]  # scores of the same prompt
    own_mean = torch.zeros_like(scores).index_add(0, prompts, scores)[prompts] / counts
    mean = torch.where(counts > 1, own_mean, scores.mean())
    return (0.5 + scores - mean).clamp(0, 1)
