"""Figures and verdicts in words."""

from fairlead.studio import phrases


def test_a_judged_conversation_in_words() -> None:
    assert (
        phrases.verdict({"turns": {"11": {"score": 2}, "1": {"label": True}}})
        == "turn 2: good; turn 12: score 2"
    )
