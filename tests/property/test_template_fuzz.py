"""Whatever is combined, an import and an encoding end in one of two ways: right, or refused with a remedy.

Each seed draws a template, a tokenizer, a data format and oddities of the text.  What is right is decided by
`template_oracle`, which renders with transformers alone.
"""

import json
import random
import sys
import tempfile
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any, get_args

import pytest

from chat_templates import PUBLISHED, Kind, generation_stops, tokenizer
from data.format_samples import SAMPLES
from data.sample_texts import BAD, GOOD, QUESTION
from fairlead.core.errors import FairleadError
from fairlead.core.template_settings import Template
from fairlead.data import importer
from fairlead.data.file_source import SourceRow
from fairlead.data.record_reader import read_records
from fairlead.data.records import Demonstration, Message, Messages, Prompt, Record, Stepwise
from fairlead.data.row_problem import RowLocation, RowProblem
from fairlead.encoding.chat import encode_prompt, encode_rows, encode_steps
from fairlead.encoding.chat_format import ChatFormat
from fairlead.examples.too_long import answers_of
from template_matrix import REMEDY, WEATHER
from template_oracle import assert_right, folded, sampling_prompt

NUM_CASES = 300
WORDS = (
    "orchard lantern harbour meadow thistle granite walnut sparrow pebble copper ribbon velvet marble timber "
    "saffron juniper cobalt hazel ember willow"
).split()
ODDITIES: tuple[Callable[[random.Random, str], str], ...] = (
    lambda draw, text: text,
    lambda draw, text: f"  {text} \n\n",
    lambda draw, text: f"\n\n{text}",
    lambda draw, text: text.replace(" ", "\r\n", 1),
    lambda draw, text: f"{text} 😀 é e\u0301 你好 \u200b\u3000",
    lambda draw, text: text + "x" * draw.randint(200, 900),
    lambda draw, text: f"{text} <think>\nmusing\n</think>\nindeed",
    lambda draw, text: f"{text} {{{{ 7 * 7 }}}} {{% raw %}} [INST] User: Assistant:",
    lambda draw, text: f"```python\n    if {text.split()[0]}:\n\treturn 1\n```",
    lambda draw, text: f"{text} <|im_end|> </s> <|eot_id|>",
)
OUTCOMES: Counter[str] = Counter()


class Drawn:
    """A combination: everything is a function of the seed."""

    def __init__(self, seed: int) -> None:
        self.draw = random.Random(f"fuzz {seed}")
        self.odd = self.draw.random() < 0.5
        self.published = self.draw.choice(PUBLISHED)
        self.base = self.draw.random() < 0.2
        kind: Kind | None = self.draw.choice(get_args(Kind)) if self.draw.random() < 0.4 else None
        self.tokens = tokenizer(
            self.published,
            base=self.base,
            kind=kind,
            unmarked=self.draw.random() < 0.15,
            adds_bos=self.draw.random() < 0.3,
            has_bos=self.draw.random() < 0.9,
            pad=self.draw.choice((None, "<|padding|>")),
            words=("granite", "velvet ") if self.draw.random() < 0.1 else (),
        )
        self.settings = Template(
            fold_system=self.draw.random() < 0.2, date=self.draw.choice(("", "", "2026-03-09"))
        )
        if self.draw.random() < 0.4:
            self.rows = exported(self)
        else:
            self.rows = [
                self.draw.choice((native, native, prompted, pair, openai, sharegpt, alpaca, prompts))(self)
            ]

    @property
    def day(self) -> str:
        return self.settings.date or "2025-01-01"

    def folded(self, prompt: Messages) -> Messages:
        return folded(prompt) if self.settings.fold_system else prompt

    def text(self, num_words: int = 4) -> str:
        text = " ".join(self.draw.choices(WORDS, k=num_words))
        if self.draw.random() < 0.01:
            return "   "
        return self.draw.choice(ODDITIES)(self.draw, text) if self.odd else text

    def turns(self) -> list[dict[str, Any]]:
        """A conversation in OpenAI's layout, not always a proper one."""
        draw = self.draw
        turns: list[dict[str, Any]] = []
        if draw.random() < 0.35:
            turns.append({"role": "system", "content": "" if draw.random() < 0.2 else self.text()})
        for _ in range(draw.randint(1, 3)):
            turns.append({"role": "user", "content": self.text()})
            if draw.random() < 0.03:
                turns.append({"role": "user", "content": self.text()})
            if draw.random() < 0.15:
                call = {"name": "get_weather", "arguments": {"city": self.text(1).strip() or "Oslo"}}
                identity = "call00001"
                turns += [
                    {
                        "role": "assistant",
                        "content": "",
                        "tool_calls": [{"id": identity, "type": "function", "function": call}],
                    },
                    {"role": "tool", "tool_call_id": identity, "name": "get_weather", "content": self.text()},
                ]
            answer: dict[str, Any] = {"role": "assistant", "content": self.text()}
            if draw.random() < 0.08:
                answer["reasoning_content"] = self.text()
            if draw.random() < 0.05:
                answer["train"] = False
            turns.append(answer)
        if draw.random() < 0.04:
            turns = turns[1:]  # may begin with the assistant
        return turns


def with_tools(turns: list[dict[str, Any]]) -> dict[str, Any]:
    return {"tools": [WEATHER]} if any("tool_calls" in turn for turn in turns) else {}


def native(drawn: Drawn) -> dict[str, Any]:
    turns = drawn.turns()
    return {"messages": turns, "id": "row-1"} | with_tools(turns)


def prompted(drawn: Drawn) -> dict[str, Any]:
    turns = drawn.turns()
    return {"prompt": turns[:-1], "completion": turns[-1:]} | with_tools(turns)


def pair(drawn: Drawn) -> dict[str, Any]:
    """Answers of one turn, or of all turns after the first question."""
    turns = drawn.turns()
    other = {"role": "assistant", "content": drawn.text(5)}
    questions = [i for i, turn in enumerate(turns) if turn["role"] == "user"]
    start = questions[0] + 1 if questions and drawn.draw.random() < 0.3 else len(turns) - 1
    rejected = [*turns[start:-1], other]
    return {"prompt": turns[:start], "chosen": turns[start:], "rejected": rejected} | with_tools(turns)


def openai(drawn: Drawn) -> dict[str, Any]:
    turns = drawn.turns()
    for turn in turns:
        for call in turn.get("tool_calls", ()):
            call["function"]["arguments"] = json.dumps(call["function"]["arguments"])
    return {"messages": turns} | with_tools(turns)


def sharegpt(drawn: Drawn) -> dict[str, Any]:
    names = {"system": "system", "user": "human", "assistant": "gpt"}
    turns = [turn for turn in drawn.turns() if turn["role"] in names and "tool_calls" not in turn]
    return {"conversations": [{"from": names[turn["role"]], "value": turn["content"]} for turn in turns]}


def alpaca(drawn: Drawn) -> dict[str, Any]:
    return {
        "instruction": drawn.text(),
        "input": drawn.draw.choice(("", drawn.text())),
        "output": drawn.text(),
    }


def prompts(drawn: Drawn) -> dict[str, Any]:
    return {"prompt": drawn.turns()[:-1]}


def exported(drawn: Drawn) -> list[dict[str, Any]]:
    """What a tool exports, with other texts in it."""
    format = drawn.draw.choice(sorted(SAMPLES))
    sample = SAMPLES[format]
    rows = sample if importer.FORMATS[format].gather is not None else [drawn.draw.choice(sample)]
    replacements = {text: drawn.text() for text in (QUESTION, GOOD, BAD)}

    def changed(value: Any) -> Any:
        if isinstance(value, dict):
            return {key: changed(item) for key, item in value.items()}
        if isinstance(value, list):
            return [changed(item) for item in value]
        if isinstance(value, str) and not value.lstrip().startswith(("{", "[")):
            for text, other in replacements.items():
                value = value.replace(text, other)
        return value

    return [changed(row) for row in rows]


@pytest.mark.parametrize("seed", range(NUM_CASES))
def test_a_combination_is_right_or_refused_with_a_remedy(seed: int, tmp_path: Path) -> None:
    OUTCOMES[outcome(seed, tmp_path / "rows.jsonl")] += 1


def outcome(seed: int, path: Path) -> str:
    """Right or refused.  Raises AssertionError if a refusal names no remedy, or a row is not right."""
    drawn = Drawn(seed)
    try:
        records = imported(drawn, path)
        chat = ChatFormat(
            drawn.tokens,
            drawn.settings,
            declared=None if drawn.base else generation_stops(drawn.published, drawn.tokens),
            source=drawn.published.name,
        )
        for record in records:
            verify(record, chat, drawn)
    except FairleadError as error:
        assert REMEDY.search(str(error)), f"no remedy in {str(error)!r} for {drawn.rows}"
        return "refused"
    return "right"


def test_most_combinations_are_right() -> None:
    """Refusing everything would be no achievement."""
    if sum(OUTCOMES.values()) == NUM_CASES:  # all of them ran in this process
        assert OUTCOMES["right"] > NUM_CASES / 2


def imported(drawn: Drawn, path: Path) -> list[Record]:
    def source(rows: list[dict[str, Any]]) -> list[SourceRow | RowProblem]:
        return [SourceRow(RowLocation("rows.jsonl", i), row) for i, row in enumerate(rows, start=1)]

    report = importer.import_file(source(drawn.rows), path)
    return list(read_records(path, report.kind))


def verify(record: Record, chat: ChatFormat, drawn: Drawn) -> None:
    """Encode the record as the recipes do, and have the oracle look at every row."""
    if isinstance(record, Prompt):
        tokens = encode_prompt(chat, record.prompt, tools=record.tools)
        turns = drawn.folded(record.prompt)
        assert list(tokens) == sampling_prompt(drawn.tokens, turns, record.tools, {}, drawn.day)
    elif isinstance(record, Demonstration):
        verify_answer(chat, drawn, record.messages, record.num_prompt_messages, record)
    elif isinstance(record, Stepwise):
        verify_steps(chat, drawn, record)
    else:
        for answer in answers_of(record):
            verify_answer(chat, drawn, record.prompt + answer, len(record.prompt), record)


def verify_steps(chat: ChatFormat, drawn: Drawn, record: Stepwise) -> None:
    """The row goes on from the prompt of sampling, and has a mark for each step at most."""
    answer = Message("assistant", "\n".join(record.completions))
    row = encode_steps(chat, (*record.prompt, answer), "\n", tools=record.tools)
    prompt = sampling_prompt(drawn.tokens, drawn.folded(record.prompt), record.tools, {}, drawn.day)
    assert list(row.tokens[: len(prompt)]) == prompt
    steps = "\n".join(record.completions).splitlines()
    assert not any(row.trained[: len(prompt)]) and 0 < sum(row.trained) <= len(steps)


def verify_answer(
    chat: ChatFormat, drawn: Drawn, messages: Messages, num_context: int, record: Record
) -> None:
    rows = encode_rows(chat, messages, num_context=num_context, tools=record.tools)
    assert_right(
        rows,
        messages,
        drawn.tokens,
        stops=chat.stop_ids,
        num_context=num_context,
        tools=record.tools,
        day=drawn.day,
        fold_system=drawn.settings.fold_system,
    )


def main() -> None:
    """`python tests/property/test_template_fuzz.py 300 2300`: more seeds than the tests have."""
    first, last = map(int, sys.argv[1:])
    with tempfile.TemporaryDirectory() as scratch:
        for seed in range(first, last):
            try:
                OUTCOMES[outcome(seed, Path(scratch) / "rows.jsonl")] += 1
            except Exception as error:  # each seed is reported
                OUTCOMES["wrong"] += 1
                print(f"seed {seed}: {type(error).__name__}: {error}", flush=True)
    print(dict(OUTCOMES))


if __name__ == "__main__":
    main()
