"""Prompts that leave no room for an answer: refused together, left out, or cut."""

import pytest

from fairlead.core.errors import DataError
from fairlead.core.spelling import OPTIONS
from fairlead.data.records import Message, Prompt
from fairlead.examples.prompts import fit_prompts
from fairlead.model.policy import Policy
from fakes import CONTEXT, assistant, policy, user

WORDS = " ".join(f"word{i}" for i in range(90))
SHORT = Prompt((user("Why?"),), reference="4", id="1")
LONG = Prompt(
    (Message("system", "Be brief."), user("Old?"), assistant(WORDS), user("New?")), tags=("sum",), id="2"
)
ONE_TURN = Prompt((user(WORDS),), id="3")


@pytest.fixture(scope="module")
def writer(tmp_path_factory: pytest.TempPathFactory) -> Policy:
    return policy(tmp_path_factory.mktemp("policy"))


def num_tokens(writer: Policy, prompt: Prompt) -> int:
    return len(writer.encode_prompt(prompt.prompt))


def test_all_long_prompts_are_in_one_error_with_what_each_choice_keeps(writer: Policy) -> None:
    with pytest.raises(DataError) as caught:
        fit_prompts(writer, [SHORT, LONG, ONE_TURN], "error", max_new_tokens=8, source="prompts.jsonl")
    long, one_turn = num_tokens(writer, LONG), num_tokens(writer, ONE_TURN)
    assert str(caught.value) == (
        f"prompts.jsonl: 2 prompts of 3 leave no room for 8 new tokens in the model's context of {CONTEXT}: "
        f"record 2 has {long} tokens, record 3 has {one_turn} tokens. "
        "Set too_long=drop to keep 1, too_long=truncate-prompt to keep 3 of the prompts, or lower "
        "max_new_tokens."
    )


def test_no_choice_is_offered_that_keeps_nothing(writer: Policy) -> None:
    with pytest.raises(DataError, match=r"has [0-9]+ tokens\. Set too_long=truncate-prompt to keep 1 of"):
        fit_prompts(writer, [ONE_TURN], "error", max_new_tokens=8, source="p")
    with pytest.raises(DataError, match=r"has [0-9]+ tokens\. Lower --max-new-tokens\.$"):
        fit_prompts(writer, [SHORT], "error", max_new_tokens=CONTEXT, source="p", spelling=OPTIONS)


def test_long_prompts_are_dropped_and_counted_and_the_others_keep_their_numbers(writer: Policy) -> None:
    fitted = fit_prompts(writer, [LONG, SHORT, ONE_TURN, SHORT], "drop", max_new_tokens=8, source="p")
    assert fitted.records == fitted.originals == [SHORT, SHORT]
    assert fitted.numbers == [2, 4]
    assert fitted.encoded == [writer.encode_prompt(SHORT.prompt)] * 2
    assert fitted.left_out == {"prompts too long": 2}


def test_a_cut_prompt_keeps_its_row_its_system_message_and_its_last_turn(writer: Policy) -> None:
    fitted = fit_prompts(writer, [LONG, ONE_TURN], "truncate-prompt", max_new_tokens=8, source="p")
    assert fitted.originals == [LONG, ONE_TURN]
    assert fitted.left_out == {"prompts cut to fit": 2}
    first, second = fitted.records
    assert first == Prompt((LONG.prompt[0], LONG.prompt[3]), tags=("sum",), id="2")
    assert WORDS.endswith(second.prompt[0].content) and len(second.prompt[0].content) > 100
    for record, tokens in zip(fitted.records, fitted.encoded, strict=True):
        assert tokens == writer.encode_prompt(record.prompt) and len(tokens) <= CONTEXT - 8
        assert tokens[-1:] == writer.encode_prompt(SHORT.prompt)[-1:]  # the turn of the assistant is opened


def test_a_file_of_which_nothing_fits_is_refused(writer: Policy) -> None:
    with pytest.raises(DataError, match="none of its 1 prompt leaves room for 8 new tokens"):
        fit_prompts(writer, [ONE_TURN], "drop", max_new_tokens=8, source="p")
    with pytest.raises(DataError, match="Lower max_new_tokens"):
        fit_prompts(writer, [SHORT], "truncate-prompt", max_new_tokens=CONTEXT, source="p")
