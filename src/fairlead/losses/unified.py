"""UNA and UFT: fit an answer's implicit reward to its score.  arXiv:2408.15339, arXiv:2410.21438

The implicit reward is beta * log(pi(y|x) / ref(y|x)), eq. 5 of arXiv:2410.21438 with f(x) = c = 0.  A score
of 0.5 is neutral: the answer stays as likely as under the reference.  Two answers without scores are
compared with Bradley-Terry (`losses/reward.py`), eq. 10 of arXiv:2408.15339, which is DPO's loss.

B answers; returns [B], unreduced.
"""

import torch
from torch import Tensor
from torch.nn import functional as F


def squared_error(rewards: Tensor, scores: Tensor) -> Tensor:
    """(sigma(reward) - score)^2 with score in 0..1, eq. 13 of arXiv:2408.15339.  [B], [B] -> [B]

    With score = 1, eq. 7 of arXiv:2410.21438.
    """
    return (torch.sigmoid(rewards) - scores).square()


def cross_entropy(rewards: Tensor, scores: Tensor) -> Tensor:
    """-score log sigma(reward) - (1 - score) log(1 - sigma(reward)), eq. 12 of arXiv:2408.15339.

    [B], [B] -> [B]
    """
    return -scores * F.logsigmoid(rewards) - (1 - scores) * F.logsigmoid(-rewards)


def centred(scores: Tensor, prompts: Tensor) -> Tensor:
    """Shift the scores of each prompt to a mean of 0.5, the neutral score, and clamp to 0..1.

    [B], [B] -> [B]

    `prompts` numbers the prompts from 0.  A prompt with a single score is shifted by the mean of all scores.
    """
    counts = torch.bincount(prompts)[prompts]  # scores of the same prompt
    own_mean = torch.zeros_like(scores).index_add(0, prompts, scores)[prompts] / counts
    mean = torch.where(counts > 1, own_mean, scores.mean())
    return (0.5 + scores - mean).clamp(0, 1)
