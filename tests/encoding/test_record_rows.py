"""Which tokens of each kind of record are trained."""

import pytest

from fairlead.core.errors import DataError
from fairlead.data.records import Binary, Comparison, Demonstration, Prompt, Ranking, Stepwise
from fairlead.encoding import record_rows
from fairlead.encoding.chat import Encoded
from fairlead.encoding.encoders import PolicyEncoder, RewardEncoder
from fakes import assistant, chat_format, user

CHAT = chat_format()
POLICY, REWARD = PolicyEncoder(CHAT), RewardEncoder(CHAT)
PROMPT, YES, NO = (user("Is it so?"),), (assistant("Yes."),), (assistant("No."),)


def trained(row: Encoded) -> str:
    return CHAT.decode(
        [token for token, is_trained in zip(row.tokens, row.trained, strict=True) if is_trained]
    )


def test_answers_are_trained_with_the_token_that_ends_them() -> None:
    for rows in (
        record_rows.encode_demonstration(POLICY, Demonstration(PROMPT, YES), None),
        record_rows.encode_response(POLICY, Binary(PROMPT, YES, label=True), None),
        *record_rows.encode_single_response(POLICY, Binary(PROMPT, YES, label=True), None),
        record_rows.encode_pair(POLICY, Comparison(PROMPT, YES, NO), None)[0],
    ):
        assert [trained(row) for row in rows] == ["Yes.<|end|>"]


def test_a_reward_model_reads_each_answer() -> None:
    rows = record_rows.encode_preference(REWARD, Ranking(PROMPT, (YES, NO), (1, 2)), None)
    assert [trained(row) for row in rows] == ["Yes.<|end|>", "No.<|end|>"]


def test_equal_sides_are_refused_unless_they_tie() -> None:
    same = Comparison(PROMPT, YES, YES)
    with pytest.raises(DataError, match="are the same"):
        record_rows.encode_pair(POLICY, same, None)
    with pytest.raises(DataError, match="are the same"):
        record_rows.encode_preference(REWARD, same, None)
    assert len(record_rows.encode_preference(REWARD, Comparison(PROMPT, YES, YES, tie="good"), None)) == 2


def test_the_ends_of_steps_are_marked() -> None:
    encoder = RewardEncoder(CHAT, "\n")
    row = record_rows.encode_stepwise(encoder, Stepwise(PROMPT, (" One. ", "Two."), (True, False)), None)
    assert sum(row.trained) == 2
    with pytest.raises(DataError, match="step 1 contains the separator"):
        record_rows.encode_stepwise(encoder, Stepwise(PROMPT, ("One.\nor", "Two."), (True, False)), None)


def test_nothing_of_a_prompt_is_trained() -> None:
    row = record_rows.encode_whole_prompt(POLICY, Prompt(PROMPT), None)
    assert CHAT.decode(row.tokens) == CHAT.render(PROMPT, generation_prompt=True) and not any(row.trained)
