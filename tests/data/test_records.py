import json
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from fairlead.data.parsing import parse_row
from fairlead.data.records import (
    COLUMNS_BY_KIND,
    Binary,
    Comparison,
    Demonstration,
    Message,
    Messages,
    Prompt,
    Ranking,
    Rating,
    Record,
    Stepwise,
    ToolCall,
    carried,
    kind_of_record,
    kind_of_row,
    message_from_json,
    message_to_json,
    prompt_messages,
    prompt_text,
    to_row,
)
from fairlead.data.row_problem import RowLocation

ASKED = (Message("user", "2 + 2?"),)
FOUR = (Message("assistant", "4"),)
FIVE = (Message("assistant", "5"),)

words = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=8).filter(
    lambda text: bool(text.strip())
)
systems = st.lists(st.builds(Message, st.just("system"), words), max_size=1)
fractions = st.floats(0, 1)

values = st.dictionaries(words, st.none() | st.integers() | words, min_size=1, max_size=2)
carried_columns: dict[str, st.SearchStrategy[Any]] = {
    "tools": st.lists(st.fixed_dictionaries({"name": words, "parameters": values}), max_size=2).map(tuple),
    "id": st.none() | words,
    "metadata": st.none() | values,
}


def calls(first: str) -> st.SearchStrategy[Messages]:
    """A conversation in which the assistant thinks, calls tools and reads their results."""
    made = st.lists(st.builds(ToolCall, words, values, st.none() | words), min_size=1, max_size=2).map(tuple)
    asked = st.builds(Message, st.just("user"), words, name=st.none() | words)
    call = st.builds(Message, st.just("assistant"), st.just(""), tool_calls=made, trained=st.booleans())
    result = st.builds(Message, st.just("tool"), words, name=st.none() | words)
    answer = st.builds(Message, st.just("assistant"), words, reasoning=st.none() | words)
    turns = (asked, call, result) if first == "user" else (call, result, answer)
    return st.tuples(*turns)


def turns(first: str, num: int) -> st.SearchStrategy[Messages]:
    roles = ["user", "assistant"] if first == "user" else ["assistant", "user"]
    return st.tuples(*(st.builds(Message, st.just(roles[index % 2]), words) for index in range(num)))


prompts = st.builds(
    lambda system, rest: (*system, *rest), systems, turns("user", 1) | turns("user", 3) | calls("user")
)
answers = turns("assistant", 1) | turns("assistant", 3) | calls("assistant")
conversations = st.builds(lambda system, rest: (*system, *rest), systems, turns("user", 2) | turns("user", 4))
aspects = st.none() | st.dictionaries(words, fractions, min_size=1, max_size=2)
records: st.SearchStrategy[Record] = st.one_of(
    st.builds(Demonstration, prompts, answers, **carried_columns),
    st.builds(Demonstration, st.just(()), conversations),
    st.builds(
        Comparison,
        prompts,
        answers,
        answers,
        margin=st.none() | st.floats(0, 3),
        tie=st.sampled_from(["good", "bad"]),
        aspects=aspects,
        rater=st.none() | words,
        weight=st.floats(0, 10),
        confidence=st.none() | fractions,
        **carried_columns,
    ),
    st.lists(st.tuples(answers, st.integers(0, 4)), min_size=2, max_size=4).flatmap(
        lambda ranked: st.builds(
            Ranking,
            prompts,
            st.just(tuple(answer for answer, _ in ranked)),
            st.just(tuple(rank for _, rank in ranked)),
        )
    ),
    st.builds(Rating, prompts, answers, fractions, aspects),
    st.builds(Binary, prompts, answers, st.booleans(), **carried_columns),
    st.lists(st.tuples(words, st.booleans()), min_size=1, max_size=4).flatmap(
        lambda steps: st.builds(
            Stepwise,
            prompts,
            st.just(tuple(text for text, _ in steps)),
            st.just(tuple(right for _, right in steps)),
        )
    ),
    st.builds(Prompt, prompts, st.none() | words, st.lists(words, max_size=2).map(tuple), **carried_columns),
)


@given(records)
def test_a_record_survives_its_row_and_json(record: Record) -> None:
    row = json.loads(json.dumps(to_row(record)))
    kind = kind_of_row(row)
    assert kind is not None
    assert parse_row(kind, row, RowLocation("a.jsonl", 1)) == record
    assert to_row(parse_row(kind, row, RowLocation("a.jsonl", 1))) == row
    assert kind == kind_of_record(record)


def test_a_row_leaves_out_what_is_at_its_default() -> None:
    assert to_row(Comparison(ASKED, FOUR, FIVE, margin=2.0)) == {
        "prompt": [{"role": "user", "content": "2 + 2?"}],
        "chosen": [{"role": "assistant", "content": "4"}],
        "rejected": [{"role": "assistant", "content": "5"}],
        "margin": 2.0,
    }


def test_a_demonstration_counts_its_prompt_as_context() -> None:
    demonstration = Demonstration(ASKED, FOUR)
    assert demonstration.messages == (Message("user", "2 + 2?"), Message("assistant", "4"))
    assert demonstration.num_prompt_messages == 1


def test_a_whole_conversation_has_no_context_and_goes_back_to_messages() -> None:
    conversation = Demonstration((), ASKED + FOUR)
    assert conversation.num_prompt_messages == 0
    assert to_row(conversation) == {
        "messages": [{"role": "user", "content": "2 + 2?"}, {"role": "assistant", "content": "4"}]
    }


def test_the_columns_tell_the_kind() -> None:
    assert kind_of_row({"messages": []}) == "demonstration"
    assert kind_of_row({"prompt": [], "completion": []}) == "demonstration"
    assert kind_of_row({"prompt": [], "chosen": []}) == "comparison"
    assert kind_of_row({"prompt": [], "rejected": []}) == "comparison"
    assert kind_of_row({"prompt": [], "ranks": []}) == "ranking"
    assert kind_of_row({"prompt": [], "completion": [], "score": 1}) == "rating"
    assert kind_of_row({"prompt": [], "completion": [], "aspects": {}}) == "rating"
    assert kind_of_row({"prompt": [], "completion": [], "label": True}) == "binary"
    assert kind_of_row({"prompt": [], "completions": [], "labels": []}) == "stepwise"
    assert kind_of_row({"prompt": [], "completions": [], "labels": [], "ranks": []}) == "ranking"
    assert (
        kind_of_row({"prompt": [], "completions": [], "finished": []}) == "ranking"
    )  # as before there were steps
    assert kind_of_row({"prompt": [], "labels": []}) == "prompt"
    assert kind_of_row({"prompt": [], "tags": []}) == "prompt"
    assert kind_of_row({"question": ""}) is None


def test_a_column_of_null_tells_nothing() -> None:
    assert kind_of_row({"prompt": [], "completion": [], "label": None, "chosen": None}) == "demonstration"


def test_each_kind_has_the_columns_of_the_contract() -> None:
    assert {kind: " ".join(sorted(columns)) for kind, columns in COLUMNS_BY_KIND.items()} == {
        "demonstration": "completion id messages metadata prompt tools",
        "comparison": ("aspects chosen confidence id margin metadata prompt rater rejected tie tools weight"),
        "ranking": "completions id metadata prompt ranks tools",
        "rating": "aspects completion id metadata prompt score tools",
        "binary": "completion id label metadata prompt tools",
        "stepwise": "completions id labels metadata prompt tools",
        "prompt": "id metadata prompt reference tags tools",
    }


def test_the_opening_of_a_conversation_ends_before_its_first_answer() -> None:
    system, more = Message("system", "Be brief."), (Message("user", "Sure?"), Message("assistant", "Yes."))
    assert prompt_messages(Demonstration((), (system, *ASKED, *FOUR, *more))) == (system, *ASKED)
    assert prompt_messages(Comparison(ASKED, FOUR, FIVE)) == ASKED
    assert prompt_messages(Prompt(())) == ()


def test_the_canonical_prompt_ignores_white_space_and_nothing_else() -> None:
    spaced = prompt_text(Prompt((Message("user", " 2  +\n2? "),)))
    assert spaced == prompt_text(Prompt(ASKED)) == "user: 2 + 2?"
    assert prompt_text(Prompt((Message("system", "2 + 2?"),))) != spaced


def test_the_canonical_prompt_tells_tool_calls_apart_but_not_their_ids_or_the_reasoning() -> None:
    def text(number: int, identity: str | None, reasoning: str | None = None) -> str:
        call = ToolCall("add", {"a": number}, identity)
        called = Message("assistant", "", reasoning=reasoning, tool_calls=(call,))
        return prompt_text(Prompt((*ASKED, called, Message("tool", "4"))))

    assert text(2, "call_1") == text(2, "call_2", reasoning="Hm.") != text(3, "call_1")


def test_a_message_in_the_layout_of_openai_leaves_out_what_it_does_not_have() -> None:
    assert message_to_json(Message("user", "2 + 2?")) == {"role": "user", "content": "2 + 2?"}
    call = ToolCall("add", {"a": 2, "b": 2}, "call_1")
    message = Message("assistant", "", reasoning="Hm.", tool_calls=(call,), trained=False)
    row = message_to_json(message)
    assert row == {
        "role": "assistant",
        "content": "",
        "reasoning_content": "Hm.",
        "tool_calls": [
            {
                "id": "call_1",
                "type": "function",
                "function": {"name": "add", "arguments": {"a": 2, "b": 2}},
            }
        ],
        "train": False,
    }
    assert message_from_json(json.loads(json.dumps(row))) == message
    result = Message("tool", "4", tool_call_id="call_1", name="add")
    assert message_from_json(message_to_json(result)) == result


def test_a_record_made_from_another_keeps_its_id_metadata_and_tools() -> None:
    tool = {"type": "function", "function": {"name": "add"}}
    record = Comparison(ASKED, FOUR, FIVE, tools=(tool,), id="7", metadata={"source": "a"})
    assert to_row(Prompt(record.prompt, **carried(record))) == {
        "prompt": [{"role": "user", "content": "2 + 2?"}],
        "tools": [tool],
        "id": "7",
        "metadata": {"source": "a"},
    }
    assert len({record, record}) == 1  # records with mappings can be counted
