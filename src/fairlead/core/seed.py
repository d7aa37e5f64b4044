"""Randomness as a pure function of a run's seed and of what the draw is for.

No generator lives across steps, so that a resumed run draws what the uninterrupted one would have drawn.
"""

import hashlib
import random


def derive_seed(seed: int, *purpose: str | int) -> int:
    """A 63-bit seed for one purpose, for example `derive(0, "rollout", step)`."""
    text = "/".join([str(seed), *map(str, purpose)])
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") >> 1


def derive_rng(seed: int, *purpose: str | int) -> random.Random:
    return random.Random(derive_seed(seed, *purpose))
