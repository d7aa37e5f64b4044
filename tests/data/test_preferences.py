import pytest

from fairlead.core.errors import DataError
from fairlead.data import preferences
from fairlead.data.preferences import Preference
from fairlead.data.records import Comparison, Message, Messages, Ranking

ASKED = (Message("user", "What?"),)


def said(text: str) -> Messages:
    return (Message("assistant", text),)


CLEAR = Comparison(ASKED, said("good"), said("bad"))
TIE = Comparison(ASKED, said("one"), said("two"), tie="good", aspects={"kind": 0.5})
MUTE = Comparison(ASKED, said("good"), said("bad"), weight=0.0)
RANKING = Ranking(ASKED, (said("a"), said("b"), said("c")), (7, -3, 7))
FLAT = Ranking(ASKED, (said("a"), said("b")), (1, 1))


def test_ranks_begin_at_one_whatever_a_row_calls_them() -> None:
    assert [preferences.ranks_of(one) for one in (CLEAR, TIE, RANKING, FLAT)] == [
        (1, 2),
        (1, 1),
        (2, 1, 2),
        (1, 1),
    ]


def test_only_what_decides_something_is_compared_by_baselines() -> None:
    a, b, c = RANKING.completions
    assert preferences.pairs_of([CLEAR, RANKING, TIE]) == [
        CLEAR,
        Comparison(ASKED, b, a),
        Comparison(ASKED, b, c),
    ]


def test_ties_are_left_out_unless_they_are_learned_from() -> None:
    every: list[Preference] = [CLEAR, TIE, MUTE, RANKING, FLAT]
    assert preferences.select_usable(every, "x", ties=False) == ([CLEAR, RANKING], 2, 1)
    usable = preferences.select_usable(every, "x", ties=False)
    assert preferences.left_out(every, usable) == {"ties": 2, "rows of no use": 1}
    assert preferences.select_usable(every, "x", ties=True) == ([CLEAR, TIE, RANKING], 2, 1)


def test_of_aspects_only_their_own_rows_are_used() -> None:
    assert preferences.select_usable([CLEAR, TIE], "x", ties=False, aspects=["kind", "true"]) == ([TIE], 1, 1)
    with pytest.raises(DataError, match="x: none of its 2 rows can be used for training: none judges true"):
        preferences.select_usable([CLEAR, TIE], "x", ties=False, aspects=["true"])


def test_rows_that_decide_nothing_are_refused() -> None:
    with pytest.raises(DataError, match="x: all 2 rows are ties"):
        preferences.select_usable([TIE, FLAT], "x", ties=False)
    with pytest.raises(
        DataError, match="x: none of its 2 rows can be used for training: each is a tie or has weight 0"
    ):
        preferences.select_usable([MUTE, TIE], "x", ties=False)


def test_members_draw_whole_prompts() -> None:
    rows = [Comparison((Message("user", f"{i // 3}?"),), said("a"), said("b")) for i in range(60)]
    assert preferences.bootstrap_counts(rows, run_seed=0, member=0) == [1] * 60
    one, other = (preferences.bootstrap_counts(rows, run_seed=0, member=member) for member in (1, 2))
    assert one != other and one == preferences.bootstrap_counts(rows, run_seed=0, member=1)
    for times in (one, other):
        assert all(len(set(times[i : i + 3])) == 1 for i in range(0, 60, 3))
        assert sum(times) == 60 and 0 in times and max(times) > 1


def test_a_held_out_side_of_ties_tests_nothing() -> None:
    preferences.require_preference([TIE, RANKING], "x")
    with pytest.raises(DataError, match="x: all 2 held-out rows are ties"):
        preferences.require_preference([TIE, FLAT], "x")
