import hashlib

from fairlead.core.seed import derive_rng, derive_seed


def test_a_seed_is_the_first_63_bits_of_the_digest_of_its_purpose() -> None:
    bits = "".join(f"{byte:08b}" for byte in hashlib.sha256(b"7/rollout/3").digest())
    assert derive_seed(7, "rollout", 3) == int(bits[:63], 2)


def test_different_purposes_draw_differently_and_the_same_one_the_same() -> None:
    purposes: list[tuple[str | int, ...]] = [(), ("a",), ("b",), ("a", 1), ("a", 2), (1, "a")]
    seeds = [derive_seed(base, *purpose) for base in (0, 1) for purpose in purposes]
    assert len(set(seeds)) == len(seeds)
    assert all(0 <= each < 2**63 for each in seeds)
    assert derive_rng(0, "a").random() == derive_rng(0, "a").random() != derive_rng(0, "b").random()
