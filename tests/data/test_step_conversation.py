"""Steps that the assistant answers with + and -."""

from data.conversions import converted, judged, problem
from data.format_samples import SAMPLES
from data.sample_texts import assistant, user
from fairlead.data.importer import first_format
from fairlead.data.records import Stepwise


def test_plus_and_minus_are_labels_and_no_answers_to_imitate() -> None:
    row = SAMPLES["step-conversation"][0]
    assert judged("step-conversation", row) == [[("Step 1: 2 + 3 = 5.", True), ("Step 2: 5 + 4 = 8.", False)]]
    (record,) = converted("step-conversation", row)
    assert isinstance(record, Stepwise) and record.prompt[0].content == "What is 2 + 3 + 4?"


def test_without_a_question_before_the_first_step_the_row_is_refused() -> None:
    row = {"messages": [user("2 + 3 = 5."), assistant("+")]}
    assert "has no question before a first step" in problem("step-conversation", row)
    uneven = {"messages": [user("Q Step 1: x"), assistant("+"), user("Step 2: y")]}
    assert "steps that alternate with their labels" in problem("step-conversation", uneven)


def test_a_conversation_about_signs_is_a_demonstration() -> None:
    row = {"messages": [user("Which sign adds?"), assistant("+"), user("Thanks"), assistant("Welcome.")]}
    assert first_format(row) == "openai"
