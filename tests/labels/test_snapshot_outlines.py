"""Outlines are read as they are written; `test_snapshot_counts` compares them with snapshots."""

from fairlead.data.records import Message
from fairlead.labels import snapshot_outlines


def test_what_is_stripped_is_what_python_strips() -> None:
    assert set(snapshot_outlines.WHITESPACE) == {char for char in map(chr, range(0x110000)) if char.isspace()}


def test_an_outline_gives_a_value_of_its_kind() -> None:
    value_of = snapshot_outlines.value_of
    assert value_of("pairwise", "-2::") == {"preference": -2, "tie": None}
    assert value_of("pairwise", "0:bad:") == {"preference": 0, "tie": "bad"}
    assert value_of("pairwise", "::same") == {"edit": {"candidate": 0, "text": snapshot_outlines.FIRST_TEXT}}
    assert value_of("ranking", "[1,null,1]") == {"ranks": [1, None, 1]}
    assert value_of("thumbs", "down") == {"label": False}
    assert value_of("conversation", '0u;{"1":{"score":1}}') == {"turns": {"1": {"score": 1}}}
    assert value_of("rating", snapshot_outlines.CANNOT) == {"cannot": "judge"}


def test_roles_and_turns_are_put_in_order() -> None:
    prompt = snapshot_outlines.prompt_of("10u,9a,0s")
    assert prompt == (
        Message("system", "Message 0"),
        Message("assistant", "Message 9"),
        Message("user", "Message 10"),
    )
    assert snapshot_outlines.unusual_item("?17") == 17 and snapshot_outlines.unusual_item("0u") is None
    second, first = "1,,,none,none", "0,2,0,first,empty"
    turns = snapshot_outlines.turns_of(f"0u;{second};{first}")
    assert [(turn.n, turn.choice, turn.continues) for turn in turns] == [(0, 2, 0), (1, None, None)]
    assert [answer.text for answer in turns[0].answers] == [snapshot_outlines.FIRST_TEXT, ""]
    assert [answer.text for answer in turns[1].answers] == [None, None]
    assert snapshot_outlines.turns_of("0u;") == []
