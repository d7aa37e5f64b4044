from pathlib import Path

import pytest

from fairlead.core import digest

# From FIPS 180-2, appendix B.1: SHA-256 of "abc".
ABC = "sha256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"


def test_the_digest_of_abc_is_the_published_one(tmp_path: Path) -> None:
    (tmp_path / "abc").write_bytes(b"abc")
    assert digest.of_bytes(b"abc") == ABC
    assert digest.of_file(tmp_path / "abc") == ABC
    assert digest.short(ABC) == "ba7816bf8f"


def test_files_are_listed_in_order_without_the_hidden_ones(tmp_path: Path) -> None:
    (tmp_path / "sub" / ".cache").mkdir(parents=True)
    for name in ("b", "sub/a", ".hidden", "sub/.cache/x"):
        (tmp_path / name).write_bytes(b"abc")
    assert list(digest.of_files(tmp_path).items()) == [("b", ABC), ("sub/a", ABC)]


def test_json_is_digested_in_its_canonical_form() -> None:
    assert digest.of_json({"b": [1, 2.5], "a": "é"}) == digest.of_bytes('{"a":"é","b":[1,2.5]}'.encode())
    assert digest.of_json({"a": 1}) != digest.of_json({"a": 1.0})


def test_what_has_no_json_has_no_digest() -> None:
    with pytest.raises(ValueError, match="JSON compliant"):
        digest.of_json({"a": float("inf")})
