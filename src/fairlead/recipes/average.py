"""Average: a model between two others, weight by weight.  arXiv:2109.01903 (WiSE-FT); against the alignment tax, arXiv:2309.06256

reads   two models of one shape, usually one and what was trained from it      writes  model
run     fairlead train average name=between a=sft b=aligned weight=0.5

Nothing is trained.  Adapters are merged into their bases first, so that what is written is a whole model.
"""

from dataclasses import dataclass

import torch

from fairlead.core.config import ModelRef
from fairlead.core.errors import ModelError, require
from fairlead.model.policy import load_policy
from fairlead.store.artifact import Artifact
from fairlead.store.run import Run

KIND = "model"


@dataclass(frozen=True, kw_only=True)
class Config:
    name: str  # of the model that is written
    a: ModelRef  # the one model: its tokenizer is kept
    b: ModelRef  # the other one, of the same shape and with the same tokens
    weight: float = 0.5  # share of b: 0 is a, 1 is b
    seed: int = 0

    def __post_init__(self) -> None:
        require(0 <= self.weight <= 1, "weight", self.weight, "is a share from 0 to 1")


def main(config: Config, run: Run) -> Artifact:
    if run.finished:
        return run.finished

    # 1. Both models, which must be the same but for their weights
    one, other = load_policy(run.model_path("a")), load_policy(run.model_path("b"))
    weights, others = dict(one.network.named_parameters()), dict(other.network.named_parameters())
    if {name: p.shape for name, p in weights.items()} != {name: p.shape for name, p in others.items()}:
        raise ModelError(
            f"{config.a} and {config.b}: are models of different shapes. Average one with what was trained from it."
        )
    if one.tokenizer.get_vocab() != other.tokenizer.get_vocab():
        raise ModelError(
            f"{config.a} and {config.b}: read different tokens. Average one with what was trained from it."
        )

    # 2. Between them
    with torch.no_grad():
        for name, weight in weights.items():
            weight.lerp_(others[name], config.weight)

    # 3. Save
    home = run.project.artifacts / KIND / config.name
    return run.publish(
        lambda folder: one.save(folder, final_folder=home),
        metrics={"parameters": one.network.num_parameters()},
    )
