"""distilabel: higher ratings are better."""

from data.conversions import judged, left_out, problem
from data.format_samples import SAMPLES
from data.sample_texts import BAD, GOOD, QUESTION, assistant, user


def test_ratings_of_generations_make_a_ranking() -> None:
    rated, pair, single = SAMPLES["distilabel"]
    assert judged("distilabel", rated) == [{BAD: 2, GOOD: 1}]
    assert judged("distilabel", pair) == [(GOOD, BAD)]
    assert judged("distilabel", pair, "ranking") == [{GOOD: 1, BAD: 2}]
    assert judged("distilabel", single) == [f"{QUESTION} / {GOOD}"]


def test_generations_without_ratings_are_counted() -> None:
    rated = SAMPLES["distilabel"][0]
    three = rated | {"generations": [BAD, GOOD, "Eggs fly."], "ratings": [2, 5, None]}
    assert judged("distilabel", three) == [{BAD: 2, GOOD: 1}]
    assert left_out("distilabel", three) == ["generations without a text or a rating"]
    assert left_out("distilabel", rated | {"ratings": None}) == ["prompts whose generations have no ratings"]
    assert left_out("distilabel", rated | {"ratings": [3, 3]}) == [
        "prompts whose generations have equal ratings"
    ]
    assert "has 1 rating for 2 generations" in problem("distilabel", rated | {"ratings": [3]})


def test_a_pair_that_contradicts_its_ratings_is_refused() -> None:
    pair = SAMPLES["distilabel"][1]
    assert "lower rating than rejected" in problem("distilabel", pair | {"chosen_rating": 0})
    assert left_out("distilabel", pair | {"chosen_rating": 1}) == ["pairs of answers with equal ratings"]
    assert left_out("distilabel", pair | {"status": "tie"}) == ["ties of the judge"]
    conversations = pair | {
        "chosen": [user(QUESTION), assistant(GOOD)],
        "rejected": [user(QUESTION), assistant(BAD)],
    }
    assert judged("distilabel", conversations) == [(GOOD, BAD)]


def test_a_pair_of_conversations_needs_no_prompt_beside_it() -> None:
    row = {
        "dataset": "mix",
        "chosen": [user(QUESTION), assistant(GOOD)],
        "chosen_rating": 5.0,
        "rejected": [user(QUESTION), assistant(BAD)],
        "rejected_rating": 3.0,
    }
    assert judged("distilabel", row) == [(GOOD, BAD)]
