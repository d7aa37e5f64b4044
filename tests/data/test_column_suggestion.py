"""What the columns of people's tables are guessed to hold."""

import pytest

from fairlead.data.column_suggestion import suggest

QUESTION = "What is the capital of France?"
ANSWER = "The capital of France is Paris, on the Seine."


@pytest.mark.parametrize(
    ("columns", "expected"),
    [
        ({"question": QUESTION, "gpt-4 answer": ANSWER, "Claude answer": ANSWER}, "prompt answer answer"),
        ({"Frage": QUESTION, "Antwort A": ANSWER, "Antwort B": ANSWER}, "prompt answer answer"),
        ({"prompt": QUESTION, "a": ANSWER, "b": ANSWER}, "prompt answer answer"),
        ({"instruction": QUESTION, "good": ANSWER, "bad": ANSWER}, "prompt chosen rejected"),
        ({"passage": ANSWER, "query": QUESTION, "reply": ANSWER}, "context prompt answer"),
        ({"Text": QUESTION, "x": ANSWER, "y": ANSWER}, "prompt answer answer"),  # by what they look like
        ({"x": ANSWER, "y": QUESTION}, "answer prompt"),
        ({"prompt": QUESTION, "response": ANSWER, "score": "4"}, "prompt answer score"),
        ({"prompt": QUESTION, "a": ANSWER, "b": ANSWER, "score": "4"}, "prompt answer answer -"),
        (
            {"prompt": QUESTION, "chosen": ANSWER, "rejected": ANSWER, "output": ANSWER},
            "prompt chosen rejected -",
        ),
        ({"row_id": "7", "question": QUESTION, "topic": "geography", "n": 3}, "id prompt - -"),
        ({"messages": [{"role": "user", "content": QUESTION}], "source": "forum"}, "messages -"),
        ({"price": "4", "amount": 7}, "- -"),
    ],
)
def test_columns_are_guessed_from_names_and_values(columns: dict[str, object], expected: str) -> None:
    guessed = suggest([columns, columns])
    assert " ".join(guessed.get(column, "-") for column in columns) == expected


def test_no_rows_have_no_columns() -> None:
    assert suggest([]) == {} and suggest([{"a": None}]) == {}
