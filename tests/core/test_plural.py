import pytest

from fairlead.core.plural import agreeing, counted, plural


@pytest.mark.parametrize(
    ("word", "several"),
    [
        ("row", "rows"),
        ("person", "people"),
        ("person's", "people's"),
        ("reply", "replies"),
        ("key", "keys"),
        ("box", "boxes"),
        ("batch", "batches"),
        ("loss", "losses"),
        ("bad row", "bad rows"),
        ("other person", "other people"),
        ("binary", "binary rows"),
        ("category", "categories"),
        ("is", "are"),
        ("was", "were"),
        ("has", "have"),
        ("contradicts", "contradict"),
    ],
)
def test_plurals(word: str, several: str) -> None:
    assert plural(word) == several


def test_a_count_of_one_takes_the_singular_and_zero_does_not() -> None:
    assert [counted(n, "row") for n in (0, 1, 2, 12_000)] == ["0 rows", "1 row", "2 rows", "12,000 rows"]
    assert [agreeing(n, "was") for n in (1, 2)] == ["was", "were"]
