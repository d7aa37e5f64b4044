"""Average: interpolate the weights of two models.  WiSE-FT, arXiv:2109.01903; against the alignment tax,
arXiv:2309.06256

reads   two models of one shape, usually a model and what was trained from it      writes  model
run     fairlead train average name=between a=sft b=aligned weight=0.5

Nothing is trained.  Adapters are merged into their bases first, so the result is a whole model.
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
    name: str  # name of the model that is written
    a: ModelRef  # first model; its tokenizer is kept
    b: ModelRef  # second model, with the same shape and the same tokens
    weight: float = 0.5  # share of b: 0 is a, 1 is b
    seed: int = 0  # unused: nothing is random here

    def __post_init__(self) -> None:
        require(0 <= self.weight <= 1, "weight", self.weight, "is a share from 0 to 1")


@torch.no_grad()
def main(config: Config, run: Run) -> Artifact:
    if run.finished:
        return run.finished

    # 1. Both models, which may differ in their weights only
    model_a = load_policy(run.model_path("a"))
    model_b = load_policy(run.model_path("b"))
    weights_a = dict(model_a.network.named_parameters())
    weights_b = dict(model_b.network.named_parameters())
    advice = "Average a model with one that was trained from it."
    if {name: p.shape for name, p in weights_a.items()} != {name: p.shape for name, p in weights_b.items()}:
        raise ModelError(f"{config.a} and {config.b}: the models have different shapes. {advice}")
    if model_a.tokenizer.get_vocab() != model_b.tokenizer.get_vocab():
        raise ModelError(f"{config.a} and {config.b}: the models have different tokens. {advice}")

    # 2. Interpolate
    for name, weight in weights_a.items():
        weight.lerp_(weights_b[name], config.weight)

    # 3. Save
    final_folder = run.project.artifacts / KIND / config.name
    return run.publish(
        lambda folder: model_a.save(folder, final_folder=final_folder),
        metrics={"parameters": model_a.network.num_parameters()},
    )
