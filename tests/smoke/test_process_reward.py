import dataclasses
import json
from pathlib import Path
from typing import Any

import pytest
import torch
from pytest import approx

from fairlead.core import config as configs
from fairlead.core import jsonl
from fairlead.core.errors import ConfigError, DataError, GateRefused
from fairlead.data.record_reader import read_stepwise
from fairlead.data.record_writer import write_records
from fairlead.data.records import Stepwise
from fairlead.data.split import split_by_prompt
from fairlead.encoding.record_rows import encode_stepwise
from fairlead.model import from_scratch
from fairlead.model.reward_config import StepSettings
from fairlead.model.reward_model import load_reward_model, new_reward_model
from fairlead.model.scalar_model import ScalarModel
from fairlead.recipes import best_of_n, grpo, ppo, process_reward
from fairlead.rollout.rewards import open_reward
from fakes import Trained, answers, chat_format, check_finished, project_with_base, save_model, train, turns

SETTINGS: dict[str, Any] = {
    "name": "verifier",
    "model": "base",
    "stepwise": "data/stepwise.jsonl",
    "epochs": 6,
    "batch": 8,
    "lr": 3e-3,
    "warmup": 2,
    "held_out": 0.3,
    "measure_every": 5,
    "checkpoints.every": 7,
}


def step_scores(model: ScalarModel, prompt: str, steps: list[str]) -> list[float]:
    """From the text alone: the conversation is cut behind each step, and the head looked at on its last
    token.
    """
    text = model.tokenizer.apply_chat_template(
        [{"role": "user", "content": prompt}, {"role": "assistant", "content": "\n".join(steps)}],
        tokenize=False,
    )
    assert isinstance(text, str)
    found, end = [], text.rindex("\n".join(steps))
    for step in steps:
        end += len(step)
        ids = model.tokenizer(text[:end], add_special_tokens=False, return_tensors="pt")["input_ids"]
        found.append(model.network(ids).logits.item())
        end += 1
    return found


@pytest.mark.parametrize("rank", [0, 4])
def test_it_finds_the_wrong_steps_and_shows_its_evidence(tmp_path: Path, rank: int) -> None:
    project = project_with_base(tmp_path)
    settings = SETTINGS | {"rank": rank}
    made = train(project, process_reward, **settings)
    assert made.series("loss")[-1] < made.series("loss")[0] / 4
    evidence = made.artifact.manifest.metrics
    assert (
        evidence["train"] + evidence["held_out"] == 40
        and evidence["held_out_prompts"] == evidence["held_out"]
    )
    assert evidence["accuracy"]["value"] == 1.0 > evidence["majority"]["value"]
    assert evidence["first_wrong"]["value"] == 1.0 and evidence["first_wrong"]["n"] == evidence["held_out"]
    assert evidence["first_wrong_of_faulty"]["n"] + evidence["passed_of_sound"]["n"] == evidence["held_out"]
    assert evidence["lead"]["value"] == approx(
        1 - max(evidence["majority"]["value"], evidence["by_place"]["value"])
    )
    assert evidence["held_out_loss"]["value"] == approx(
        [row["held_out_loss"] for row in made.rows if "held_out_loss" in row][-1]
    )
    check_finished(project, process_reward, made, **settings)

    # What was saved, from the text alone: every step of the held-out answers, and the scale of the rewards
    model = load_reward_model(str(made.artifact.folder))
    _, held_out = split_by_prompt(read_stepwise(project.data / "stepwise.jsonl"), held_out=0.3, seed=0)
    losses, least = [], []
    with torch.no_grad():
        for row in held_out:
            scores = torch.tensor(step_scores(model, row.prompt[0].content, list(row.completions)))
            assert [score > 0 for score in scores.tolist()] == list(row.labels)
            losses += [
                torch.nn.functional.binary_cross_entropy_with_logits(
                    scores, torch.tensor(row.labels).float(), reduction="none"
                )
            ]
            least.append(scores.sigmoid().min())
    assert evidence["held_out_loss"]["value"] == approx(torch.cat(losses).mean().item(), abs=1e-4)
    assert model.scale.mean == approx(torch.stack(least).mean().item(), abs=1e-4)
    assert model.scale.std == approx(torch.stack(least).std().item(), abs=1e-4)
    pay = open_reward(str(made.artifact.folder), micro_tokens=100)
    good, bad = pay(
        answers([held_out[0].prompt] * 2, ["It is fox.\nIt is fox.", "It is fox.\nWhat is it please!"])
    ).values.tolist()
    assert good > 0.5 > -0.5 > bad


def test_swapped_labels_give_the_opposite(tmp_path: Path) -> None:
    project = project_with_base(tmp_path)
    rows = [row for _, row in jsonl.read(project.data / "stepwise.jsonl")]
    jsonl.write(
        project.data / "swapped.jsonl",
        [row | {"labels": [not label for label in row["labels"]]} for row in rows],
    )
    made = train(project, process_reward, **SETTINGS | {"stepwise": "data/swapped.jsonl", "rank": 0})
    pay = open_reward(str(made.artifact.folder), micro_tokens=1000)
    good, bad = pay(
        answers([read_stepwise(project.data / "stepwise.jsonl")[0].prompt] * 2, ["It is fox.", "What is it!"])
    ).values.tolist()
    assert bad > good


def verifier(tmp_path: Path, **options: Any) -> tuple[Any, Trained]:
    project = project_with_base(tmp_path)
    return project, train(
        project, process_reward, **SETTINGS | {"epochs": 1, "rank": 4, "name": "verifier"} | options
    )


def test_separator_and_pool_are_stored_with_the_model(tmp_path: Path) -> None:
    _, made = verifier(tmp_path, separator=" ## ", pool="last")
    config = json.loads((made.artifact.folder / "config.json").read_text())
    assert (config["reward_steps"], config["reward_step_separator"], config["reward_step_pool"]) == (
        True,
        " ## ",
        "last",
    )
    model = load_reward_model(str(made.artifact.folder))
    row = model.encode(turns("Say it.", "It is red. ## It is\nblue."))
    assert sum(row.trained) == 2


def test_the_verdict_stands_beside_the_model_and_is_heeded(tmp_path: Path) -> None:
    project = project_with_base(tmp_path)
    train_rows, held_out = split_by_prompt(
        read_stepwise(project.data / "stepwise.jsonl"), held_out=0.3, seed=0
    )
    wrong = [dataclasses.replace(row, labels=tuple(not label for label in row.labels)) for row in held_out]
    write_records(
        project.data / "misjudged.jsonl", [*train_rows, *wrong]
    )  # what it learns fails on what it is tested on
    made = train(project, process_reward, **SETTINGS | {"stepwise": "data/misjudged.jsonl", "rank": 4})
    report = json.loads((made.artifact.folder / "admission.json").read_text())
    assert report["verdict"] == made.artifact.manifest.metrics["verdict"] == "refuse"
    settings = {
        "name": "paid",
        "model": "base",
        "prompts": "data/prompts.jsonl",
        "reward": "verifier",
        "max_new_tokens": 8,
    }
    with pytest.raises(GateRefused, match="content-blind baseline"):
        train(project, grpo, **settings, steps=2, batch=8, group=4, rank=4)
    paid = train(project, grpo, **settings, steps=2, batch=8, group=4, rank=4, trust="verifier")
    assert len(paid.rows) == 2


def ends_of_scale(made: Trained) -> tuple[float, float]:
    """Rewards of an answer with a step that is surely wrong, and of an answer with right steps only."""
    model = load_reward_model(str(made.artifact.folder))
    return (0 - model.scale.mean) / model.scale.std, (1 - model.scale.mean) / model.scale.std


@pytest.mark.parametrize("rank", [0, 4])
def test_ppo_can_be_paid_by_steps(tmp_path: Path, rank: int) -> None:
    project, judge = verifier(tmp_path, epochs=6)
    settings = {
        "name": "paid",
        "model": "base",
        "prompts": "data/prompts.jsonl",
        "reward": "verifier",
        "trust": "verifier",
    }
    made = train(project, ppo, **settings, steps=3, batch=8, epochs=1, max_new_tokens=8, rank=rank)
    low, high = ends_of_scale(judge)
    assert all(low - 1e-5 <= row["score"] <= high + 1e-5 for row in made.rows)
    assert len({row["score"] for row in made.rows}) == 3


def test_best_of_n_can_be_chosen_by_steps(tmp_path: Path) -> None:
    project, made = verifier(tmp_path, epochs=6)
    settings = {
        "name": "best",
        "model": "base",
        "prompts": "data/prompts.jsonl",
        "reward": "verifier",
        "trust": "verifier",
    }
    best = train(project, best_of_n, **settings, n=2, max_new_tokens=12)
    low, high = ends_of_scale(made)
    answers = [row for _, row in jsonl.read(best.artifact.folder / "answers.jsonl")]
    assert all(low - 1e-5 <= score <= high + 1e-5 for row in answers for score in row["scores"])


def test_a_step_with_the_separator_inside_is_named(tmp_path: Path) -> None:
    project = project_with_base(tmp_path)
    rows = [row for _, row in jsonl.read(project.data / "stepwise.jsonl")]
    rows[4]["completions"] = ["It is red.\nIt is blue."]
    rows[4]["labels"] = [True]
    jsonl.write(project.data / "long.jsonl", rows)
    settings = SETTINGS | {"stepwise": "data/long.jsonl", "rank": 4}
    with pytest.raises(DataError, match=r"data/long.jsonl: record 5: step 1 contains the separator '\\n'"):
        train(project, process_reward, **settings)
    assert (
        train(
            project, process_reward, **settings | {"separator": "\n\n", "epochs": 1}
        ).artifact.manifest.metrics["dropped"]
        == 0
    )


def test_a_template_that_changes_the_steps_is_noticed(tmp_path: Path) -> None:
    model = new_reward_model(str(save_model(tmp_path / "base")), run_seed=0)
    model.set_steps(StepSettings("\n", "minimum"))
    record = Stepwise(turns("So?"), (" It is red. ", "It is blue."), (True, False))
    assert sum(encode_stepwise(model.encoder, record, None).trained) == 2
    raised = "(message['content'] | upper if message['role'] == 'assistant' else message['content'])"
    model.chat = chat_format(from_scratch.CHAT_TEMPLATE.replace("message['content']", raised))
    with pytest.raises(DataError, match="its 2 steps have 0 ends among the model's tokens"):
        encode_stepwise(model.encoder, record, None)


def test_labels_of_one_kind_teach_nothing(tmp_path: Path) -> None:
    project = project_with_base(tmp_path)
    rows = [row for _, row in jsonl.read(project.data / "stepwise.jsonl")]
    jsonl.write(project.data / "right.jsonl", [row | {"labels": [True] * len(row["labels"])} for row in rows])
    with pytest.raises(DataError, match="data/right.jsonl: all [0-9]+ steps to train on are right"):
        train(project, process_reward, **SETTINGS | {"stepwise": "data/right.jsonl", "rank": 4})


WORDS = ["name=verifier", "model=base", "stepwise=data/stepwise.jsonl"]


@pytest.mark.parametrize(
    ("word", "why"), [("separator=", "must not be empty"), (r"separator=\n\n", "contains a backslash")]
)
def test_a_separator_that_cannot_be_meant(word: str, why: str) -> None:
    with pytest.raises(ConfigError, match=why):
        configs.load(process_reward.Config, overrides=[*WORDS, word])


def test_a_line_break_is_written_in_quotes() -> None:
    assert configs.load(process_reward.Config, overrides=[*WORDS, r'separator="\n\n"']).separator == "\n\n"


def test_long_answers_are_refused_or_dropped_and_counted(tmp_path: Path) -> None:
    project = project_with_base(tmp_path)
    settings = SETTINGS | {"max_tokens": 40, "rank": 4, "epochs": 1}
    with pytest.raises(DataError, match="Set too_long=drop"):
        train(project, process_reward, **settings)
    evidence = train(project, process_reward, **settings | {"too_long": "drop"}).artifact.manifest.metrics
    assert evidence["dropped"] > 0 and evidence["train"] + evidence["held_out"] + evidence["dropped"] == 40
