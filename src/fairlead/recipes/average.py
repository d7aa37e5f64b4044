"""Average: interpolate the weights of two models.  WiSE-FT, arXiv:2109.01903; against the alignment tax,
arXiv:2309.06256

reads   two models of one shape, usually a model and what was trained from it      writes  model
run     fairlead train average name=between a=sft b=aligned weight=0.5

Nothing is trained.  Adapters are merged into their bases first, so the result is a whole model.
"""

from dataclasses import dataclass
from pathlib import Path

import torch

from fairlead.core.config import ModelRef
from fairlead.core.errors import ModelError, require
from fairlead.model.load import load_causal_lm, load_tokenizer, save_model
from fairlead.store.artifact import Artifact
from fairlead.store.run import Run
from fairlead.train import training_prompts

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
    network, other = load_causal_lm(run.model_path("a")), load_causal_lm(run.model_path("b"))
    tokenizer = load_tokenizer(run.model_path("a"))
    weights_a = dict(network.named_parameters())
    weights_b = dict(other.named_parameters())
    advice = "Average a model with one that was trained from it."
    if {name: p.shape for name, p in weights_a.items()} != {name: p.shape for name, p in weights_b.items()}:
        raise ModelError(f"{config.a} and {config.b}: the models have different shapes. {advice}")
    if tokenizer.get_vocab() != load_tokenizer(run.model_path("b")).get_vocab():
        raise ModelError(f"{config.a} and {config.b}: the models have different tokens. {advice}")

    # 2. Interpolate
    for name, weight in weights_a.items():
        weight.lerp_(weights_b[name], config.weight)

    # 3. Save
    def save_average(folder: Path) -> None:
        save_model(network, tokenizer, folder)
        training_prompts.write(run, folder)

    return run.publish(save_average, metrics={"parameters": network.num_parameters()})
