"""Answers with the scores of a forum."""

from data.conversions import converted, judged, left_out, problem
from data.format_samples import SAMPLES
from data.sample_texts import BAD, GOOD, QUESTION
from fairlead.data.records import Ranking


def test_a_higher_score_ranks_higher() -> None:
    for row in SAMPLES["scored-answers"]:
        assert judged("scored-answers", row) == [{GOOD: 1, BAD: 2}]
    answers = {"text": [GOOD, BAD, "Eggs fly."], "score": [1, 1, 7]}
    row = {"title": QUESTION, "selftext": "In a pan.", "answers": answers}
    assert judged("scored-answers", row) == [{GOOD: 2, BAD: 2, "Eggs fly.": 1}]
    (record,) = converted("scored-answers", row)
    assert isinstance(record, Ranking) and record.prompt[0].content == f"{QUESTION}\n\nIn a pan."


def test_equal_scores_are_counted_and_words_refused() -> None:
    row = {"question": QUESTION, "answers": [{"text": GOOD, "score": 2}, {"text": BAD, "score": 2}]}
    assert left_out("scored-answers", row) == ["questions with fewer than two answers of different score"]
    row = {"question": QUESTION, "answers": [{"text": GOOD, "score": "high"}]}
    assert problem("scored-answers", row).startswith('answers[0].score: "high": is not a number')
