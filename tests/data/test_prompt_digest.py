import pytest

from fairlead.data.prompt_digest import prompt_digest, trained_prompt_digests
from fairlead.data.records import Comparison, Demonstration, Message, Messages
from fakes import assistant, turns, user


@pytest.mark.parametrize(
    "other",
    ["  What is\n 2 + 2?", "WHAT IS 2 + 2?", "What\u00a0is 2 + 2?", "What is \uff12 + \uff12?"],
)
def test_case_white_space_and_unicode_form_do_not_matter(other: str) -> None:
    assert prompt_digest((user("What is 2 + 2?"),)) == prompt_digest((user(other),))


def test_composed_and_decomposed_letters_are_equal() -> None:
    assert prompt_digest((user("caf\u00e9"),)) == prompt_digest((user("cafe\u0301"),))


def test_other_words_and_other_turns_are_other_prompts() -> None:
    prompts: list[Messages] = [
        (user("2 + 2?"),),
        (user("2 + 3?"),),
        turns("2 + 2?", "4", "and 3?"),
        turns("2 + 2? 4", "and 3?", "so?"),
    ]
    assert len({prompt_digest(prompt) for prompt in prompts}) == 4


def test_a_system_message_makes_no_other_prompt() -> None:
    assert prompt_digest((Message("system", "Be brief."), user("Hi"))) == prompt_digest((user("hi"),))
    assert prompt_digest((Message("system", "Be brief."),)) is None


def test_every_trained_turn_of_a_conversation_is_an_answer_to_a_prompt() -> None:
    conversation = turns("a", "b", "c", "d")
    expected = {prompt_digest(turns("a")), prompt_digest(turns("a", "b", "c"))}
    assert trained_prompt_digests(Demonstration((), conversation)) == expected
    context_only = (user("a"), Message("assistant", "b", trained=False), user("c"), assistant("d"))
    assert prompt_digest(turns("a", "b", "c")) in trained_prompt_digests(Demonstration((), context_only))
    pair = Comparison(turns("a", "b", "c"), (assistant("d"),), (assistant("e"),))
    assert trained_prompt_digests(pair) == {prompt_digest(turns("a", "b", "c"))}
