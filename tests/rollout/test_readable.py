"""Prompts and answers that a reward model cannot read."""

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from pytest import approx

from fairlead.core import jsonl
from fairlead.core.errors import DataError
from fairlead.core.spelling import OPTIONS
from fairlead.data.records import Prompt
from fairlead.model.reward_model import new_reward_model
from fairlead.model.scalar_model import ScalarModel
from fairlead.recipes import compare
from fairlead.rollout.readable import PromptTrial, announced, read
from fairlead.rollout.records import Answer
from fairlead.rollout.rewards import from_model, pooled_scores, score_by_member, verify_reward_backend
from fairlead.store.project import create_project
from fairlead.store.run import Run, open_run
from fairlead.train.settings import Scoring
from fakes import answers, chat_format, save_model, tokenizer, turns

LONG = turns("word " * 60)
CONTROL = tokenizer().all_special_tokens[0]
PROMPTS = [turns("What is 3 plus 4?"), LONG, turns("What is 5 plus 6?"), turns(f"What is {CONTROL}?")]
ROWS = [Prompt(prompt, reference="7") for prompt in PROMPTS]
SCORING = Scoring(unreadable_score=-7.0)


@pytest.fixture
def model(tmp_path: Path) -> ScalarModel:
    made = new_reward_model(str(save_model(tmp_path / "base")), run_seed=0)
    made.network.config.max_position_embeddings = 48
    return made


@pytest.fixture
def run(tmp_path: Path) -> Iterator[Run]:
    project = create_project(tmp_path / "project")
    config = compare.Config(name="x", a="", b="", judge="")
    with open_run(project, "compare", config, kind="evaluation", quiet=True) as opened:
        yield opened


def warnings(run: Run) -> list[str]:
    rows = [row for _, row in jsonl.read(run.folder / "events.jsonl")]
    return [row["text"] for row in rows if row["event"] == "warning"]


def trial(scoring: Scoring, max_new_tokens: int = 4) -> PromptTrial:
    return PromptTrial(ROWS, max_new_tokens=max_new_tokens, scoring=scoring, source="prompts.jsonl")


def test_prompts_that_a_judge_cannot_read_are_refused_with_their_rows(model: ScalarModel, run: Run) -> None:
    tried = trial(SCORING)
    assert tried.try_model("reward = rm", model) == [ROWS[0], ROWS[2]]
    with pytest.raises(DataError) as caught:
        tried.finish(run)
    message = str(caught.value)
    assert message.startswith(
        "prompts.jsonl: reward = rm cannot read 2 of 4 prompts (row 2: the conversation"
    )
    assert "row 4: a user message contains the control token" in message
    assert message.endswith("Set unreadable_prompts=drop to leave them out, or take another judge.")


def test_a_command_with_options_is_told_the_option(model: ScalarModel, run: Run) -> None:
    run.spelling = OPTIONS
    tried = trial(SCORING)
    tried.try_model("reward = rm", model)
    with pytest.raises(DataError, match=r"Add --too-long drop to leave them out, or take another judge\.$"):
        tried.finish(run)


def test_they_can_be_left_out_and_are_counted(model: ScalarModel, run: Run) -> None:
    tried = trial(Scoring(unreadable_prompts="drop"))
    tried.try_model("reward = rm", model)
    assert tried.finish(run) == [0, 2]
    [warning] = warnings(run)
    assert "reward = rm cannot read 2 of 4 prompts" in warning and warning.endswith("They are left out.")
    rows = [row for _, row in jsonl.read(run.folder / "events.jsonl")]
    assert [(row["dropped"], row["of"]) for row in rows if row["event"] == "unreadable prompts"] == [(2, 4)]


def test_too_long_drop_leaves_them_out_too(model: ScalarModel, run: Run) -> None:
    tried = PromptTrial(ROWS, max_new_tokens=4, scoring=SCORING, source="prompts.jsonl", drops_long=True)
    tried.try_model("reward = rm", model)
    assert tried.finish(run) == [0, 2]


def test_leaving_out_every_prompt_is_refused(model: ScalarModel, run: Run) -> None:
    tried = PromptTrial(
        [Prompt(LONG)], max_new_tokens=4, scoring=Scoring(unreadable_prompts="drop"), source="p.jsonl"
    )
    tried.try_model("reward = rm", model)
    with pytest.raises(DataError, match="cannot read 1 of 1 prompt .* Correct the prompts, or take another"):
        tried.finish(run)


def test_answers_that_may_be_too_long_are_announced(model: ScalarModel, run: Run) -> None:
    tried = PromptTrial(ROWS[:1], max_new_tokens=20, scoring=SCORING, source="prompts.jsonl")
    tried.try_model("reward = rm", model)
    assert tried.finish(run) == [0]
    assert warnings(run) == [
        "reward = rm: 1 of 1 prompt and max_new_tokens = 20 may pass its context of 48 tokens. An answer "
        "that does scores unreadable_score = -7. Lower max_new_tokens, or take a judge with a longer context."
    ]


def test_an_answer_that_cannot_be_read_gets_the_stated_score(model: ScalarModel, run: Run) -> None:
    texts = ["The answer is 7.", "word " * 60, f"It is {CONTROL}.", "It is 7."]
    asked = answers([PROMPTS[0]] * 4, texts)
    reward = announced(run, "reward = rm", from_model(model, micro_tokens=64, scoring=SCORING), SCORING)
    scores = reward(asked)
    alone = from_model(model, micro_tokens=64)([asked[0], asked[3]]).values
    assert scores.unreadable.tolist() == [False, True, True, False]
    assert scores.values.tolist() == approx([float(alone[0]), -7.0, -7.0, float(alone[1])], abs=1e-5)
    reward(asked)
    [warning] = warnings(run)  # once
    assert "reward = rm: cannot read 2 of 4 answers (the conversation has" in warning
    assert "score unreadable_score = -7 and are counted" in warning
    nothing = reward([asked[1], asked[2]])  # all of them
    assert nothing.values.tolist() == [-7.0, -7.0]


def test_an_ensemble_reads_an_answer_if_every_member_does(model: ScalarModel) -> None:
    reward = from_model(model, micro_tokens=64, scoring=SCORING)
    by_member = score_by_member([reward, reward], answers([PROMPTS[0]] * 2, ["It is 7.", "word " * 60]))
    pooled = pooled_scores(by_member, pool="mean-variance", penalty=0.5, scoring=SCORING)
    assert pooled.unreadable.tolist() == [False, True]
    assert torch.equal(pooled.values, by_member.values[0])


OPENS = (
    "{% for tool in tools or [] %}{{ tool.function.name }} {% endfor %}"
    "{% for m in messages %}<|{{ m.role }}|>{{ '<think>' if m.role == 'assistant' }}{{ m.content }}<|end|>"
    "{% endfor %}{% if add_generation_prompt %}<|assistant|><think>{% endif %}"
)


def test_prompts_of_a_judge_whose_template_opens_a_reasoning_are_tried_with_one(
    model: ScalarModel, run: Run
) -> None:
    model.chat = chat_format(OPENS)
    tried = trial(Scoring(unreadable_prompts="drop"), max_new_tokens=1)
    assert tried.try_model("reward = rm", model) == [ROWS[0], ROWS[2]]
    verify_reward_backend(run, model, [ROWS[0]], "float32")


def test_an_answer_is_judged_with_the_tools_of_its_row(model: ScalarModel) -> None:
    model.chat = chat_format(OPENS)
    tools = ({"type": "function", "function": {"name": "lantern"}},)
    row = Prompt(PROMPTS[0], tools=tools)
    text = "So.</think>7."
    judge = from_model(model, micro_tokens=1000)
    with_tools, without = (
        judge([Answer(prompt, text, True, number=1)]).values for prompt in (row, Prompt(PROMPTS[0]))
    )
    encoded = read(model, PROMPTS[0], text, tools)
    assert not isinstance(encoded, str)
    assert str(model.tokenizer.decode(list(encoded.tokens))).startswith("lantern")
    assert with_tools != without


def test_a_prompt_is_tried_with_its_tools(model: ScalarModel, run: Run) -> None:
    model.chat = chat_format(OPENS.replace("<think>", ""))
    long_name = "lantern " * 40  # with its tools the prompt is longer than the judge's context
    tools = ({"type": "function", "function": {"name": long_name}},)
    rows = [Prompt(PROMPTS[0]), Prompt(PROMPTS[0], tools=tools)]
    tried = PromptTrial(rows, max_new_tokens=1, scoring=SCORING, source="prompts.jsonl")
    assert tried.try_model("reward = rm", model) == rows[:1]
    with pytest.raises(DataError, match=r"cannot read 1 of 2 prompts \(row 2: the conversation has"):
        tried.finish(run)


def test_a_rule_that_compares_needs_references(run: Run) -> None:
    rows = [Prompt(PROMPTS[0], reference="7"), Prompt(PROMPTS[2])]
    tried = PromptTrial(rows, max_new_tokens=4, scoring=SCORING, source="prompts.jsonl")
    tried.require_references("reward = rule:maths")
    with pytest.raises(DataError, match=r"cannot read 1 of 2 prompts \(row 2: has no reference, with which"):
        tried.finish(run)
