"""Rows that are too long: what each choice keeps, and that a cut row is what its record would give."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from fairlead.core.errors import DataError
from fairlead.core.template_settings import Template
from fairlead.data.records import (
    Binary,
    Comparison,
    Demonstration,
    Message,
    Ranking,
    Record,
    Stepwise,
    ToolCall,
)
from fairlead.encoding.chat import Encoded
from fairlead.encoding.record_rows import (
    encode_demonstration,
    encode_pair,
    encode_preference,
    encode_response,
)
from fairlead.examples.pairs import encode_and_split, encode_prompts
from fairlead.examples.too_long import (
    FittedRecords,
    RowEncoder,
    cut_rows,
    leaves,
    without_beginning,
    without_end,
)
from fairlead.model.from_scratch import CHAT_TEMPLATE
from fairlead.model.policy import Policy, load_policy
from fairlead.model.reward_model import new_reward_model
from fairlead.model.scalar_model import ScalarModel
from fairlead.train.settings import Data, LongRows
from fakes import assistant, policy, save_model, tokenizer, user

LIMIT = 48
SHORT = Demonstration((user("Why?"),), (assistant("So."),))
LONG_WORDS = " ".join(f"word{i}" for i in range(60))


@dataclass(frozen=True)
class Settings:
    data: Data
    seed: int = 1


@pytest.fixture(scope="module")
def writer(tmp_path_factory: pytest.TempPathFactory) -> Policy:
    return policy(tmp_path_factory.mktemp("policy"))


@pytest.fixture(scope="module")
def scorer(tmp_path_factory: pytest.TempPathFactory) -> ScalarModel:
    return new_reward_model(str(save_model(tmp_path_factory.mktemp("reward"))), run_seed=0)


def fit(
    model: Any, encode: Callable[..., Any], records: Sequence[Record], choice: LongRows, limit: int = LIMIT
) -> FittedRecords[Any, Any]:
    encoder: RowEncoder[Any, Any] = RowEncoder(model, lambda record, n: encode(model, record, n), limit)
    return encoder.fit_records(records, choice, source="rows.jsonl")


def text(encoded: Encoded) -> str:
    return str(tokenizer().decode(list(encoded.tokens)))


def trained_text(encoded: Encoded) -> str:
    tokens = [token for token, trained in zip(encoded.tokens, encoded.trained, strict=True) if trained]
    return str(tokenizer().decode(tokens))


def test_an_error_counts_the_long_rows_and_what_each_choice_keeps(writer: Policy) -> None:
    long_prompt = Demonstration((user(LONG_WORDS),), (assistant("So."),))
    long_answer = Demonstration((user("Why?"),), (assistant(LONG_WORDS),))
    both = Demonstration((user(LONG_WORDS),), (assistant(LONG_WORDS),))
    records = [SHORT, long_prompt, SHORT, long_answer, both]
    with pytest.raises(DataError) as caught:
        fit(writer, encode_demonstration, records, "error")
    message = str(caught.value)
    assert message.startswith(
        "rows.jsonl: 3 rows of 5 have more tokens than fit. Record 2: the conversation has "
    )
    assert f"at most {LIMIT} fit. Set too_long=drop to keep 2 rows, " in message
    assert message.endswith("too_long=truncate-prompt to keep 3, or too_long=truncate-answer to keep 3.")
    kept: dict[LongRows, int] = {"drop": 2, "truncate-prompt": 3, "truncate-answer": 3}
    for choice, number in kept.items():
        assert len(fit(writer, encode_demonstration, records, choice).fitted) == number


def test_rows_that_fit_are_not_touched(writer: Policy) -> None:
    choices: tuple[LongRows, ...] = ("error", "drop", "truncate-prompt", "truncate-answer")
    for choice in choices:
        result = fit(writer, encode_demonstration, [SHORT], choice)
        assert result.left_out == {}
        assert result.fitted[0].record is SHORT


def test_a_cut_prompt_keeps_the_system_message_and_the_newest_turns(writer: Policy) -> None:
    system = Message("system", "Be kind.")
    older = (user("One two three four five six seven eight?"), assistant("Nine ten eleven twelve thirteen."))
    newer = (user("And then?"), assistant("More."))
    last = user("The end?")
    record = Demonstration((system, *older, *newer, last), (assistant("Yes."),))
    result = fit(writer, encode_demonstration, [record], "truncate-prompt")
    (fitted,) = result.fitted
    assert result.left_out == {"rows cut to fit": 1}
    assert fitted.original is record
    assert fitted.record == replace(record, prompt=(system, *newer, last))
    assert fitted.rows == encode_demonstration(writer, fitted.record, LIMIT)
    # A limit that leaves no room for the middle turns
    (fitted,) = fit(writer, encode_demonstration, [record], "truncate-prompt", 30).fitted
    assert fitted.record == replace(record, prompt=(system, last))


def test_the_first_kept_turn_loses_the_beginning_of_its_text(writer: Policy) -> None:
    record = Demonstration((user(LONG_WORDS),), (assistant("So."),))
    (fitted,) = fit(writer, encode_demonstration, [record], "truncate-prompt").fitted
    (rows,) = leaves(fitted.rows)
    (turn,) = fitted.record.prompt
    assert LONG_WORDS.endswith(turn.content) and len(turn.content) > 20
    assert LIMIT - 8 <= len(rows) <= LIMIT  # as much as fits, up to the white space at a border
    assert trained_text(rows) == trained_text(leaves(encode_demonstration(writer, SHORT, None))[0])


def test_a_conversation_loses_its_oldest_exchanges(writer: Policy) -> None:
    old, new = (user(LONG_WORDS), assistant("Yes.")), (user("And?"), assistant("No."))
    (fitted,) = fit(writer, encode_demonstration, [Demonstration((), (*old, *new))], "truncate-prompt").fitted
    assert fitted.record == Demonstration((), new)


def test_tool_results_stay_with_their_call(writer: Policy) -> None:
    call = Message("assistant", "Wait.", tool_calls=(ToolCall("add", {}),))
    turns = (user(LONG_WORDS), assistant("Yes."), user("And?"), call, Message("tool", "4"))
    record = Demonstration(turns, (assistant("It is 4."),))
    (fitted,) = fit(writer, _encode_without_tools, [record], "truncate-prompt").fitted
    assert fitted.record.prompt == turns[2:]


def _encode_without_tools(model: Policy, record: Demonstration, limit: int | None) -> Encoded:
    """The template of the fakes writes no tool calls, so each turn is given as a user's or an assistant's."""
    messages = tuple(
        user(message.content) if message.role == "tool" else Message(message.role, message.content)
        for message in record.messages
    )
    return model.encode(messages, num_context=record.num_prompt_messages, max_tokens=limit)


def test_a_cut_answer_trains_no_end_token(writer: Policy) -> None:
    record = Demonstration((user("Why?"),), (assistant(LONG_WORDS),))
    (fitted,) = fit(writer, encode_demonstration, [record], "truncate-answer").fitted
    (rows,) = leaves(fitted.rows)
    (whole,) = leaves(encode_demonstration(writer, record, None))
    assert rows == Encoded(whole.tokens[:LIMIT], whole.trained[:LIMIT])
    assert not writer.stop_ids & {t for t, trained in zip(rows.tokens, rows.trained, strict=True) if trained}


def test_a_row_whose_prompt_fills_the_limit_is_left_out_by_a_cut_answer(writer: Policy) -> None:
    record = Demonstration((user(LONG_WORDS),), (assistant("So."),))
    result = fit(writer, encode_demonstration, [record, SHORT], "truncate-answer")
    assert [fitted.record for fitted in result.fitted] == [SHORT]
    assert result.left_out == {"rows too long": 1}


def test_rows_of_one_conversation_are_cut_one_by_one() -> None:
    first, second = (
        Encoded((1, 2, 3), (False, True, False)),
        Encoded((1, 2, 3, 4), (False, False, False, True)),
    )
    assert leaves(cut_rows((first, second), 3)) == [first]
    assert cut_rows((second,), 3) is None
    assert cut_rows(((first,), (second,)), 3) is None  # one side of a pair would train nothing


def test_pairs_that_a_cut_makes_equal_are_left_out(writer: Policy, scorer: ScalarModel) -> None:
    same = Comparison((user("Why?"),), (assistant(LONG_WORDS + " yes"),), (assistant(LONG_WORDS + " no"),))
    other = replace(same, rejected=(assistant("No. " + LONG_WORDS),))
    for model, encode in ((writer, encode_pair), (scorer, encode_preference)):
        result = fit(model, encode, [same, other], "truncate-answer")
        assert [fitted.original for fitted in result.fitted] == [other]
        assert all(len(row) <= LIMIT for row in leaves(result.fitted[0].rows))


def test_both_answers_keep_the_same_cut_prompt(writer: Policy) -> None:
    record = Comparison((user(LONG_WORDS),), (assistant("Because of one thing."),), (assistant("So."),))
    (fitted,) = fit(writer, encode_pair, [record], "truncate-prompt").fitted
    assert (fitted.record.chosen, fitted.record.rejected) == (record.chosen, record.rejected)
    assert fitted.rows == encode_pair(writer, fitted.record, LIMIT)


def test_a_reward_model_reads_a_cut_answer_at_its_end_token(scorer: ScalarModel) -> None:
    answers = ((assistant(LONG_WORDS),), (assistant("No."),), (assistant("Yes " + LONG_WORDS),))
    record = Ranking((user("Why?"),), answers, (1, 2, 3))
    (fitted,) = fit(scorer, encode_preference, [record], "truncate-answer").fitted
    assert fitted.record.completions[1] == answers[1]
    assert all(
        a[0].content.startswith(b[0].content) for a, b in zip(answers, fitted.record.completions, strict=True)
    )
    for row in leaves(fitted.rows):
        assert len(row) <= LIMIT and row.tokens[-1] in scorer.stop_ids
    assert fitted.rows == encode_preference(scorer, fitted.record, LIMIT)


def test_steps_are_left_out_with_their_labels(scorer: ScalarModel) -> None:
    record = Stepwise((user("Why?"),), ("First.", "Second.", LONG_WORDS), (True, True, False))

    def encode(model: ScalarModel, record: Stepwise, limit: int | None) -> Encoded:
        return model.encode((*record.prompt, assistant("\n".join(record.completions))), max_tokens=limit)

    (fitted,) = fit(scorer, encode, [record], "truncate-answer").fitted
    assert fitted.record == Stepwise(record.prompt, ("First.", "Second."), (True, True))


def test_rows_of_a_prompt_stay_on_one_side_when_each_loses_another_part_of_it(writer: Policy) -> None:
    records = [
        Binary((user(f"{LONG_WORDS} {i % 8}"),), (assistant("So. " * (1 + i // 8)),), label=True)
        for i in range(32)
    ]
    data = Data(too_long="truncate-prompt", max_tokens=LIMIT, held_out=0.4)
    rows = encode_and_split(writer, records, encode_response, Settings(data), source="rows.jsonl")
    sides = [{record.prompt[0].content[-1] for record in side} for side in (rows.train, rows.held_out)]
    assert len(rows.train) + len(rows.held_out) == 32 and not sides[0] & sides[1]
    assert len({record.prompt for record in rows.train}) > len(sides[0])  # the prompts lost different parts
    assert rows.left_out == {"rows cut to fit": 32}


def test_a_fault_of_a_cut_row_names_its_place(writer: Policy) -> None:
    def encode(model: Policy, record: Demonstration, limit: int | None) -> tuple[Encoded, ...]:
        if record.prompt[0].content != LONG_WORDS:
            raise DataError("a fault.")
        return (model.encode(record.messages, num_context=1, max_tokens=limit),)

    record = Demonstration((user(LONG_WORDS),), (assistant("So."),))
    with pytest.raises(DataError, match=r"rows.jsonl: record 1, cut to 48 tokens: a fault\."):
        fit(writer, encode, [record], "truncate-prompt")


def test_text_is_cut_at_tokens_and_always_becomes_shorter() -> None:
    for words in ("one two three", "ééé", "  a b"):
        num_tokens = len(tokenizer()(words, add_special_tokens=False)["input_ids"])
        for n in range(1, num_tokens):
            shorter = without_beginning(tokenizer(), words, n)
            assert shorter is None or (words.endswith(shorter) and len(shorter) < len(words))
            shorter = without_end(tokenizer(), words, n)
            assert shorter is None or (words.strip().startswith(shorter) and len(shorter) < len(words))
        assert without_beginning(tokenizer(), words, num_tokens) is None
        assert without_end(tokenizer(), words, num_tokens) is None


def test_refused_records_are_counted_and_the_first_is_shown(writer: Policy) -> None:
    fake = replace(SHORT, prompt=(user("a <|end|> b"),))

    def split(*records: Demonstration) -> None:
        encode_and_split(
            writer, records, encode_demonstration, Settings(Data(held_out=0.0)), source="rows.jsonl"
        )

    first = r"rows.jsonl: record 2: a user message contains the control token '<\|end\|>'"
    aside = r"`fairlead data check rows.jsonl --model MODEL --drop` sets such rows aside"
    with pytest.raises(DataError, match=f"{first}.* 1 record of 3 is refused; {aside}"):
        split(SHORT, fake, SHORT)
    with pytest.raises(DataError, match=f"{first}.* 2 records of 3 are refused; {aside}"):
        split(SHORT, fake, fake)
    with pytest.raises(DataError, match="record 1: .* All 2 records are refused"):
        split(fake, fake)
    prompts = [SHORT.prompt, fake.prompt]
    with pytest.raises(DataError, match=f"{first}.* 1 record of 2 is refused; {aside}"):
        encode_prompts(writer, prompts, max_new_tokens=1, source="rows.jsonl")


def test_the_tools_of_a_prompt_are_in_it(tmp_path: Path) -> None:
    settings = Template(file=str(tmp_path / "tools.jinja"))
    (tmp_path / "tools.jinja").write_text("{{ tools | tojson if tools }}" + CHAT_TEMPLATE)
    reader = load_policy(str(save_model(tmp_path / "m")), template=settings)
    tools = ({"name": "weather"},)
    with_tools, without = encode_prompts(
        reader, [SHORT.prompt] * 2, tools=[tools, ()], max_new_tokens=1, source="rows.jsonl"
    )
    assert "weather" in reader.chat.decode(with_tools)
    assert "weather" not in reader.chat.decode(without)
