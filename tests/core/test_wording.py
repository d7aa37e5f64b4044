import pytest

from fairlead.core import wording


@pytest.mark.parametrize(
    ("number", "noun", "expected"),
    [
        (1, "row", "1 row"),
        (0, "row", "0 rows"),
        (1, "binary row", "1 binary row"),
        (3, "binary row", "3 binary rows"),
        (2, "person", "2 people"),
        (2, "batch", "2 batches"),
        (2, "reply", "2 replies"),
        (2, "day", "2 days"),
        (200_000, "row", "200,000 rows"),
    ],
)
def test_a_number_and_its_noun_agree(number: int, noun: str, expected: str) -> None:
    assert wording.count(number, noun) == expected
