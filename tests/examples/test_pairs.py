from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest
from transformers import PreTrainedTokenizerBase

from fairlead.core.errors import DataError
from fairlead.core.template_settings import Template
from fairlead.data.records import Comparison, Demonstration
from fairlead.encoding.batching import group_tokens
from fairlead.encoding.chat import Encoded, TooLong
from fairlead.encoding.encoders import PolicyEncoder
from fairlead.encoding.record_rows import SingleOrPair, encode_demonstration
from fairlead.examples.pairs import (
    EncodedSplit,
    encode_and_split,
    encode_prompts,
    micro_answers,
    pair_weights,
    sides,
    without_ties,
)
from fairlead.examples.too_long import leaves
from fairlead.forward.backend import Backend
from fairlead.train.settings import Data
from fakes import chat_format, policy, tokenizer, turns

RECORDS = [Demonstration(turns(f"question {i % 10}"), turns("", f"answer {i}")[1:]) for i in range(40)]


def length_of(record: Demonstration) -> int:
    number = int(record.completion[0].content.split()[1])
    if number == 7:
        raise TooLong("has 9 tokens; at most 8 fit.")
    return number


@dataclass(frozen=True)
class Settings:
    data: Data
    seed: int = 1


@dataclass(frozen=True)
class Model:
    context: int | None = 8
    tokenizer: PreTrainedTokenizerBase = field(default_factory=tokenizer)

    @property
    def encoder(self) -> PolicyEncoder:
        return PolicyEncoder(chat_format())


def split(
    records: list[Demonstration], encode: Callable[[Demonstration], int], data: Data
) -> EncodedSplit[Demonstration, int]:
    def encode_record(encoder: PolicyEncoder, record: Demonstration, max_tokens: int | None) -> int:
        assert max_tokens == 8  # the model's context
        return encode(record)

    return encode_and_split(Model(), records, encode_record, Settings(data), source="data.jsonl")


def test_a_prompt_is_sampled_with_the_tools_that_it_was_trained_with(tmp_path: Path) -> None:
    file = tmp_path / "tools.jinja"
    file.write_text(
        "{% for tool in tools or [] %}{{ tool.function.name }} {% endfor %}"
        "{% for m in messages %}<|{{ m.role }}|>{{ m.content }}<|end|>{% endfor %}"
        "{% if add_generation_prompt %}<|assistant|>{% endif %}",
        encoding="utf-8",
    )
    model = policy(tmp_path / "model", template=Template(file=str(file)))
    tools = ({"type": "function", "function": {"name": "lantern"}},)
    row = Demonstration(turns("Where?"), turns("", "Here.")[1:], tools=tools)
    [trained] = encode_demonstration(model, row, None)
    with_tools, without = encode_prompts(
        model, [row.prompt, row.prompt], max_new_tokens=1, source="rows", tools=[row.tools, ()]
    )
    assert with_tools == trained.tokens[: trained.trained.index(True)]
    assert without == with_tools[-len(without) :] != with_tools


def test_records_and_rows_stay_side_by_side_and_prompts_on_one_side() -> None:
    rows = split(RECORDS, length_of, Data(too_long="drop", held_out=0.3))
    assert rows.num_dropped == 1 and rows.left_out == {"rows too long": 1}
    for records, encoded in ((rows.train, rows.train_rows), (rows.held_out, rows.held_out_rows)):
        assert [length_of(record) for record in records] == encoded
    assert len(rows.train) + len(rows.held_out) == 39
    assert rows.held_out and not {r.prompt for r in rows.train} & {r.prompt for r in rows.held_out}


def test_nothing_is_held_out_on_request() -> None:
    rows = split(RECORDS[:5], length_of, Data(too_long="error", held_out=0.0))
    assert (rows.train, rows.held_out) == (RECORDS[:5], [])


def test_another_fault_is_an_error_even_when_long_rows_are_dropped() -> None:
    def faulty(record: Demonstration) -> int:
        raise DataError("a control token.")

    with pytest.raises(DataError, match="data.jsonl: record 1: a control token"):
        split(RECORDS, faulty, Data(too_long="drop", held_out=0.3))


def test_a_file_of_which_nothing_fits_is_refused() -> None:
    with pytest.raises(DataError, match="data.jsonl: none of its 1 record fits"):
        split(RECORDS[7:8], length_of, Data(too_long="drop", held_out=0.0))


def test_ties_are_left_out_and_a_file_of_ties_is_refused() -> None:
    clear = Comparison(turns("a"), turns("", "b")[1:], turns("", "c")[1:])
    tie = Comparison(turns("a"), turns("", "b")[1:], turns("", "c")[1:], tie="bad")
    assert without_ties([tie, clear, tie], "data.jsonl") == [clear]
    with pytest.raises(DataError, match="data.jsonl: all 2 comparisons are ties"):
        without_ties([tie, tie], "data.jsonl")


def test_chosen_answers_come_first() -> None:
    chosen, rejected = (Encoded((1, 2), (False, True)),), (Encoded((3, 4, 5), (False, True, True)),)
    other = (Encoded((6, 7), (False, True)),)
    assert sides([(chosen, rejected), (other, other)]) == [chosen, other, rejected, other]


def test_a_pair_takes_its_prompt_once_where_prompts_are_shared() -> None:
    chosen = Encoded((1, 2, 3, 4), (False, False, True, True))
    rejected = Encoded((1, 2, 5, 6, 7), (False, False, True, True, True))
    other = Encoded((9, 2, 5), (False, False, True))
    assert group_tokens((chosen, rejected), share_prompts=True) == 2 + 2 + 3
    assert group_tokens((chosen, rejected), share_prompts=False) == 2 * 5
    assert group_tokens((chosen, other), share_prompts=True) == 2 * 4
    assert group_tokens((chosen, rejected), share_prompts=True, packed=True) == 2 + 2 + 3
    assert group_tokens((chosen, other), share_prompts=True, packed=True) == 4 + 3


def test_turns_that_do_not_share_a_prompt_take_all_their_tokens() -> None:
    first = Encoded((1, 2, 3), (False, True, True))
    second = Encoded((1, 2, 4, 5, 6), (False, False, False, False, True))
    assert group_tokens((first, second), share_prompts=True, packed=True) == 3 + 5


def compared(*weights: float) -> list[Comparison]:
    return [
        Comparison(turns("a"), turns("", "b")[1:], turns("", "c")[1:], weight=weight) for weight in weights
    ]


def test_only_the_ratios_of_weights_count() -> None:
    assert (
        pair_weights(compared(1, 3, 0, 4), "x").tolist()
        == pair_weights(compared(10, 30, 0, 40), "x").tolist()
        == [0.5, 1.5, 0.0, 2.0]
    )
    assert pair_weights(compared(1, 1, 1), "x").tolist() == [
        1.0,
        1.0,
        1.0,
    ]  # exactly, so that unweighted rows are as they were


def test_weights_that_are_all_zero_are_refused() -> None:
    with pytest.raises(DataError, match=r"data.jsonl: every comparison to train on has weight 0"):
        pair_weights(compared(0, 0), "data.jsonl")


def answer(num_prompt: int, num_tokens: int) -> Encoded:
    return Encoded(
        tuple(range(num_prompt)) + (99,) * num_tokens, (False,) * num_prompt + (True,) * num_tokens
    )


@pytest.mark.parametrize(
    "way",
    [dict(packed=True), dict(packed=False, share_prompts=True), dict(packed=False, share_prompts=False)],
)
def test_every_item_of_a_mix_is_in_one_micro_batch_that_fits(way: dict[str, Any]) -> None:
    items: list[SingleOrPair] = [((answer(5, 3 + i % 4),),) for i in range(7)]
    items += [((answer(6, 2),), (answer(6, 4 + i),)) for i in range(5)]
    paths = replace(Backend(), **way)
    groups = micro_answers(paths, items, 40)
    assert sorted(i for group in groups for i in group) == list(range(12))
    assert len(groups) < 12
    for group in groups:
        rows = leaves([items[i] for i in group])
        if way["packed"]:  # one prompt and both answers of a pair
            assert (
                sum(sum(map(len, leaves(item))) - 6 * (len(item) - 1) for item in (items[i] for i in group))
                <= 40
            )
        elif not way["share_prompts"]:
            assert len(rows) * max(len(row) for row in rows) <= 40
