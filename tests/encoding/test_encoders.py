"""Encoders give the rows of the model that they come from."""

import pickle

import pytest

from fairlead.core.errors import DataError
from fairlead.encoding.chat import TooLong, encode_conversation, encode_prompt, encode_rows, encode_steps
from fairlead.encoding.encoders import PolicyEncoder, RewardEncoder
from fakes import chat_format, turns

CHAT = chat_format()
MESSAGES = turns("Why?", "So it is.\nAnd so.")


def test_a_policy_trains_the_answers() -> None:
    encoder = PolicyEncoder(CHAT)
    assert encoder.encode(MESSAGES, num_context=1) == encode_conversation(CHAT, MESSAGES, num_context=1)
    assert encoder.encode_rows(MESSAGES, num_context=0) == encode_rows(CHAT, MESSAGES)
    assert encoder.encode_prompt(MESSAGES[:1]) == encode_prompt(CHAT, MESSAGES[:1])


def test_a_reward_model_reads_the_last_turn_its_steps_or_the_whole_rendering() -> None:
    assert RewardEncoder(CHAT).encode(MESSAGES) == encode_conversation(CHAT, MESSAGES, num_context=1)
    assert RewardEncoder(CHAT, "\n").encode(MESSAGES) == encode_steps(CHAT, MESSAGES, "\n")
    whole = RewardEncoder(CHAT, reads_whole_rendering=True).encode(MESSAGES)
    assert list(whole.tokens) == CHAT.tokens(CHAT.render(MESSAGES, generation_prompt=False))
    assert sum(whole.trained) == 1 and whole.trained[-1]
    without_end = RewardEncoder(CHAT, reads_whole_rendering=True, skipped_padding=whole.tokens[-1])
    assert without_end.encode(MESSAGES).tokens == whole.tokens[:-1]
    with pytest.raises(TooLong, match="at most 2 fit"):
        without_end.encode(MESSAGES, max_tokens=2)


def test_a_rendering_of_nothing_is_refused() -> None:
    silent = chat_format("{% if messages | length > 2 %}x{% endif %}{{ '' if messages else '' }}")
    with pytest.raises(DataError, match="writes nothing"):
        RewardEncoder(silent, reads_whole_rendering=True).encode(MESSAGES)


def test_an_encoder_gives_the_same_rows_in_another_process() -> None:
    for encoder in (PolicyEncoder(CHAT), RewardEncoder(CHAT, "\n")):
        copy = pickle.loads(pickle.dumps(encoder))
        assert copy.settings == encoder.settings
        assert copy.chat.tokens("<|user|>Why?") == encoder.chat.tokens("<|user|>Why?")
