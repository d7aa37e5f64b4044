"""Names that configuration keys had before they were grouped into tables.

A configuration may still use a former name: it is read as the present key.  The id of a run is a digest
over the flat names, so that projects from before the tables still find their finished runs.  The role of an
input in the lineage (`probe`, `ptx`, `constraints.harmless`) is its flat name too.
"""

from collections.abc import Mapping
from typing import Any

# Present key -> former name, where the former name is not the last part of the present key.
FORMER_NAMES = {
    "adapter.rank": "lora_rank",
    "adapter.alpha": "lora_alpha",
    "optim.bits": "optimizer_bits",
    "checkpoints.every": "checkpoint_every",
    "rewards.extra": "extra_rewards",
    "ptx.data": "ptx",
    "ptx.coef": "ptx_coef",
    "ptx.batch": "ptx_batch",
}

# Keys that did not exist before the tables, by recipe; "*" is every recipe.
# A run id leaves them out while they have their default.
ADDED = {
    "*": {
        "optim.schedule",
        "scoring.rule_timeout",
        "scoring.unreadable_prompts",
        "scoring.unreadable_score",
        "template.file",
        "template.arguments",
        "template.stop_tokens",
        "template.date",
        "template.fold_system",
        "too_long",
    },
    "ppo": {"ptx.too_long", "optim.weight_decay", "critic", "max_sampler_gap"},
    "grpo": {"optim.weight_decay", "max_sampler_gap"},
    "pretrain": {"optim.bits", "hardware.gradient_checkpointing"},
}


def flat_name(key: str) -> str:
    """`adapter.rank` -> `lora_rank`; `optim.lr` -> `lr`; `beta` -> `beta`"""
    return FORMER_NAMES.get(key, "template" if key == "template.file" else key.rpartition(".")[2])


def read_value(config: Mapping[str, Any], key: str) -> Any:
    """The value of a full key in a stored configuration, nested or flat."""
    table, _, leaf = key.rpartition(".")
    return config[table][leaf] if table in config else config[flat_name(key)]


def flat(recipe: str, values: Mapping[str, Any], defaults: Mapping[str, Any]) -> dict[str, Any]:
    """A configuration, full key -> value, under the flat names that a run id is computed from.

    `defaults` are the recipe's own, also by full key.
    """
    added = ADDED["*"] | ADDED.get(recipe, set())
    result: dict[str, Any] = {}
    for key, value in values.items():
        if key in added and key in defaults and defaults[key] == value:
            continue
        name = flat_name(key)
        result[key if name in result else name] = value  # two tables may have a key of the same name
    return result
