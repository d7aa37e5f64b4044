"""What the knobs that many recipes share may be set to; each recipe's `__post_init__` asks this first, and then checks its own."""

from typing import Any

from fairlead.core.errors import require


def check_updates(config: Any) -> None:
    """The knobs of how weights are updated, in memory and in time."""
    require(config.lr > 0, "lr", config.lr, "must be positive")
    require(config.max_norm > 0, "max_norm", config.max_norm, "must be positive")
    require(config.checkpoint_every > 0, "checkpoint_every", config.checkpoint_every, "must be positive")
    require(
        config.micro_tokens >= 0,
        "micro_tokens",
        config.micro_tokens,
        "must not be negative; 0 takes what the memory holds",
    )
    require(
        config.lora_rank >= 0, "lora_rank", config.lora_rank, "must not be negative; 0 trains all weights"
    )
    adapted = config.base_bits == 32 or config.lora_rank > 0
    require(adapted, "base_bits", config.base_bits, "needs an adapter: lora_rank must be above 0")


def check_learning_from_rows(config: Any) -> None:
    """Those, and the knobs of a recipe that goes through files of rows and holds some of them out."""
    check_updates(config)
    require(config.batch > 0, "batch", config.batch, "must be positive")
    require(config.measure_every > 0, "measure_every", config.measure_every, "must be positive")
