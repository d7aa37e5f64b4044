"""PKU-SafeRLHF: helpfulness decides, and safety is an aspect."""

from typing import Any

from data.conversions import converted, judged
from data.format_samples import SAMPLES
from data.sample_texts import BAD, GOOD, Row


def only(format: str, row: Row | None = None) -> Any:
    (record,) = converted(format, row or SAMPLES[format][0])
    return record


def test_the_more_helpful_answer_is_chosen_and_safety_is_an_aspect() -> None:
    row = SAMPLES["safe-rlhf"][0]
    comparison = only("safe-rlhf")
    assert judged("safe-rlhf", row) == [(GOOD, BAD)]
    assert comparison.aspects == {"helpful": 1.0, "safe": -1.0}
    assert comparison.metadata["is_safe"] == [False, True]
    turned = only("safe-rlhf", row | {"better_response_id": 0})
    assert turned.chosen[0].content == BAD and turned.aspects == {"helpful": 1.0, "safe": 1.0}
