"""The oracle of the template matrix tells a wrong row from a right one."""

from dataclasses import replace

import pytest

from chat_templates import PUBLISHED, generation_stops, token_id, tokenizer
from fairlead.data.records import Message
from fairlead.encoding.chat import Encoded
from template_oracle import assert_right, folded

[CHATML] = [published for published in PUBLISHED if published.name == "SmolLM2"]
TOKENS = tokenizer(CHATML)
STOPS = generation_stops(CHATML, TOKENS)
END = token_id(TOKENS, "<|im_end|>")
MESSAGES = (
    Message("system", "Be brief."),
    Message("user", "Which fruits are purple?"),
    Message("assistant", "Plums and elderberries."),
    Message("user", "Which animals sleep standing?"),
    Message("assistant", "Horses, elephants."),
)


def right_row() -> Encoded:
    """Both answers and their ends are trained."""
    text = "".join(f"<|im_start|>{turn.role}\n{turn.content}<|im_end|>\n" for turn in MESSAGES)
    encoding = TOKENS(text, add_special_tokens=False, return_offsets_mapping=True)
    spans = []
    for turn in MESSAGES:
        if turn.role == "assistant":
            start = text.index(turn.content)
            spans.append((start, text.index("<|im_end|>", start) + len("<|im_end|>")))
    trained = [
        any(left < stop and right > start for start, stop in spans)
        for left, right in encoding["offset_mapping"]
    ]
    size = max(i for i, flag in enumerate(trained) if flag) + 1
    return Encoded(tuple(encoding["input_ids"][:size]), tuple(trained[:size]))


def check(row: Encoded, *, num_context: int = 0) -> None:
    assert_right([row], MESSAGES, TOKENS, stops=STOPS, num_context=num_context)


def test_a_right_row_passes() -> None:
    check(right_row())


def test_another_number_of_trained_turns_is_wrong() -> None:
    with pytest.raises(AssertionError, match="2 spans are trained for 1 turns"):
        check(right_row(), num_context=3)
    untrained = (*MESSAGES[:2], replace(MESSAGES[2], trained=False), *MESSAGES[3:])
    with pytest.raises(AssertionError, match="2 spans are trained for 1 turns"):
        assert_right([right_row()], untrained, TOKENS, stops=STOPS)


def test_a_token_of_the_prompt_must_not_be_trained() -> None:
    row = right_row()
    first = row.trained.index(True)
    trained = tuple(flag or i == first - 1 for i, flag in enumerate(row.trained))
    with pytest.raises(AssertionError, match="sampled after"):
        check(Encoded(row.tokens, trained))


def test_another_prompt_is_wrong() -> None:
    row = right_row()
    with pytest.raises(AssertionError, match="sampled after"):
        check(Encoded(row.tokens[1:], row.trained[1:]))


def test_an_answer_has_to_end_with_a_stop_token() -> None:
    row = right_row()
    with pytest.raises(AssertionError, match="nothing stops"):
        check(Encoded(row.tokens[:-1], row.trained[:-1]))


def test_nothing_is_trained_after_the_first_stop_token() -> None:
    row = right_row()
    with pytest.raises(AssertionError, match="sampling would stop inside turn 4"):
        check(Encoded((*row.tokens, END), (*row.trained, True)))


def test_an_answer_has_to_be_whole() -> None:
    row = right_row()
    last = len(row) - 2
    with pytest.raises(AssertionError, match="lacks 'Horses, elephants.'"):
        check(Encoded((*row.tokens[:last], row.tokens[-1]), (*row.trained[:last], True)))


def test_reasoning_and_calls_must_not_be_lost() -> None:
    reasoned = (*MESSAGES[:4], replace(MESSAGES[4], reasoning="Ponder stables."))
    with pytest.raises(AssertionError, match="lacks 'Ponder stables.'"):
        assert_right([right_row()], reasoned, TOKENS, stops=STOPS)


def test_a_folded_system_message_stands_in_the_first_question() -> None:
    first, *rest = folded(MESSAGES)
    assert first == Message("user", "Be brief.\n\nWhich fruits are purple?")
    assert tuple(rest) == MESSAGES[2:]
