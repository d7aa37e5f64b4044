"""Every method on the pocket world: gold reward over the SFT model that each starts from, at about equal compute.

run  python -m benchmarks.methods --seeds 0 1 2 3 4 --out build/methods --json benchmarks/results/methods.json

All methods of a seed start from one SFT model and have the same comparisons by simulated people, or the reward model that was trained on
them (whose cost is counted with the methods that use it).  Compute is the seconds that a method's own runs took, on as many threads as the
benchmark has; epochs and steps are set so that it is about the same for all.  Gold is the mean over 448 held-out prompts; the gain is
paired by prompt, and its interval is Student's over the seeds.
"""

from dataclasses import dataclass
from typing import Any

from fairlead.recipes import best_of_n, dpo, grpo, kto, ppo, sft, uft

LONGEST = 64
KL_ROWS = 4096


@dataclass(frozen=True)
class Method:
    """One way from the SFT model to a better one: what is run, with its documented defaults but for what stands here."""

    recipe: Any
    reads: str  # comparisons, binary, reward, or mix
    settings: dict[str, Any]


def offline(**settings: Any) -> Method:
    return Method(dpo, "comparisons", settings)


def online(recipe: Any, **settings: Any) -> Method:
    return Method(recipe, "reward", {"max_new_tokens": LONGEST, **settings})


# Documented settings for a model of this size (docs/algorithms), with as many epochs or steps as take about the same time.
SMALL: dict[str, Any] = {"lora_rank": 0, "lr": 1e-4}
METHODS: dict[str, Method] = {
    "SFT, more epochs": Method(sft, "demonstrations", {**SMALL, "epochs": 8}),
    "DPO": offline(**SMALL, epochs=2),
    "cDPO": offline(**SMALL, epochs=2, flip_rate=0.1),
    "robust DPO": offline(**SMALL, epochs=2, loss="robust", flip_rate=0.1),
    "IPO": offline(**SMALL, epochs=2, loss="ipo"),
    "hinge": offline(**SMALL, epochs=2, loss="hinge"),
    "SimPO": offline(**SMALL, epochs=2, loss="simpo"),
    "ORPO": offline(**SMALL, epochs=2, loss="orpo"),
    "DPO+NLL": offline(**SMALL, epochs=2, nll_weight=1.0),
    "KTO": Method(kto, "binary", {**SMALL, "epochs": 2}),
    "UFT": Method(uft, "mix", {**SMALL, "epochs": 2, "beta": 0.1}),
    "best-of-n, then SFT": Method(best_of_n, "reward", {"n": 8, "max_new_tokens": LONGEST}),
    "PPO": online(ppo, **SMALL, steps=20, epochs=1, minibatches=4, kl_coef=0.1),
    "GRPO": online(grpo, **SMALL, steps=30),
    "RLOO": online(grpo, **SMALL, steps=30, baseline="leave-one-out"),
    "REINFORCE++": online(grpo, **SMALL, steps=30, baseline="batch"),
}
