"""How long an answer can have taken, and how long reading takes."""

from datetime import datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fairlead.labels import work_time
from labels.build import NOON, after

SECOND = 1000


@pytest.mark.parametrize(
    ("text", "ms"),
    [
        ("", 0),
        ("four words of English", 4 * 240),
        ("incomprehensibly", 2 * 240),
        ("汉字，", 3 * 60_000 / 255),
        ("かな", 2 * 60_000 / 357),
        ("漢字かな and", 2 * 60_000 / 255 + 2 * 60_000 / 357 + 240),
        ("ไทย", 3 * 60),
        ("한국어 문장", 2 * 240),  # Korean has spaces
        ("x" * 100, 10 * 240),
    ],
)
def test_reading_takes_its_time_in_every_script(text: str, ms: float) -> None:
    assert work_time.reading_ms(text) == pytest.approx(ms)


def test_no_more_time_than_since_the_item_was_held() -> None:
    assert work_time.longest_active_ms(NOON, after(1), []) == 60 * SECOND
    assert work_time.longest_active_ms(after(1), NOON, []) == 0  # the clock was set back


def test_two_items_share_the_time_in_which_both_were_held() -> None:
    assert work_time.longest_active_ms(NOON, after(2), [(NOON, 50 * SECOND)]) == 70 * SECOND
    # The other was held for longer: its work may lie before this one, but both fit into two minutes.
    assert work_time.longest_active_ms(after(1), after(2), [(NOON, 30 * SECOND)]) == 60 * SECOND
    assert work_time.longest_active_ms(after(1), after(2), [(NOON, 90 * SECOND)]) == 30 * SECOND


@given(st.lists(st.tuples(st.integers(0, 60), st.integers(1, 60), st.floats(0, 1)), min_size=1, max_size=8))
def test_work_on_one_item_after_the_other_is_never_cut(tasks: list[tuple[int, int, float]]) -> None:
    """Items are held from any earlier moment on, and worked on in turn."""
    clock = NOON + timedelta(minutes=61)
    others: list[tuple[datetime, int]] = []
    for held_before, minutes, share in tasks:
        began = clock - timedelta(minutes=held_before)
        clock += timedelta(minutes=minutes)
        active_ms = int(minutes * 60 * SECOND * share)
        assert work_time.longest_active_ms(began, clock, others) >= active_ms
        others.append((began, active_ms))


def test_panes_share_the_active_time() -> None:
    assert work_time.cut_dwell({"A": 300, "B": 100}, 400) == {"A": 300, "B": 100}
    assert work_time.cut_dwell({"A": 30_000, "B": 10_000}, 400) == {"A": 300, "B": 100}
    assert work_time.cut_dwell({"A": 30_000}, 0) == {"A": 0}
