import re
from pathlib import Path

import pytest

import fairlead
from fairlead.core.plural import agreeing, counted, left_out_text, listed, plural
from fairlead.data.row_problem import bad_rows_error


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


@pytest.mark.parametrize(
    ("n", "sentence"),
    [
        (0, "0 of 0 rows cannot be used."),
        (1, "1 of 1 row cannot be used."),
        (2, "2 of 2 rows cannot be used."),
    ],
)
def test_bad_rows_are_counted_in_words_that_agree(n: int, sentence: str) -> None:
    assert str(bad_rows_error([], n, n, "")).removeprefix("\n").startswith(sentence.rstrip("."))


@pytest.mark.parametrize(("n", "text"), [(0, "0 ties"), (1, "1 tie"), (1200, "1,200 ties")])
def test_reasons_for_leaving_out_agree(n: int, text: str) -> None:
    assert left_out_text({"ties": n}) == text
    assert left_out_text({"held-out rows seen in training": 1}) == "1 held-out row seen in training"


# A count in braces, then a plain plural: "{len(rows)} rows" is wrong for one row.
COUNT = re.compile(
    r"\{(len\([^{}]*\)|[\w.]*num_[\w.]*|[\w.]*count)(:,)?\} (rows|prompts|pairs|records|items|"
    r"answers|responses|labels|shards|steps|tokens|judgements|raters|people|members|words)\b"
)
ALWAYS_SEVERAL = {
    "model/load.py",
    "stats/content_blind.py",
    "stats/interval.py",
    "simulate/world.py",
    "examples/too_long.py",
    "model/reward_config.py",
}


def test_no_message_writes_a_plural_after_a_count_that_may_be_one() -> None:
    source = Path(fairlead.__file__).parent
    faults = [
        f"{path.relative_to(source)}:{number}: {line.strip()}"
        for path in sorted(source.rglob("*.py"))
        if path.relative_to(source).as_posix() not in ALWAYS_SEVERAL
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1)
        if COUNT.search(line)
    ]
    assert faults == []


def test_a_long_list_ends_with_the_number_of_the_others() -> None:
    assert listed(["a", "b"]) == "a, b"
    assert listed(list("abcdefghijklmno")) == "a, b, c, d, e, f, g, h, i, j, k, l and 3 more"
