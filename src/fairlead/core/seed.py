"""Random numbers as a pure function of a run's seed and of the purpose of the draw.

No generator lives across steps, so a resumed run draws the same numbers as an uninterrupted one.
"""

import hashlib
import random


def derive_seed(seed: int, *purpose: str | int) -> int:
    """A 63-bit seed for one purpose, for example `derive_seed(0, "rollout", step)`."""
    text = "/".join([str(seed), *map(str, purpose)])
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") >> 1


def derive_rng(seed: int, *purpose: str | int) -> random.Random:
    return random.Random(derive_seed(seed, *purpose))
