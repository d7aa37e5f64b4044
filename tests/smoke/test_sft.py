from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from fairlead.core import config as configs
from fairlead.core import jsonl
from fairlead.core.errors import ConfigError, DataError
from fairlead.data.record_reader import read_demonstrations
from fairlead.data.split import split_by_prompt
from fairlead.model.policy import load_policy
from fairlead.recipes import sft
from fakes import Trained, check_finished, project_with_base, train

SETTINGS = {
    "name": "taught",
    "model": "base",
    "demonstrations": "data/demonstrations.jsonl",
    "epochs": 4,
    "batch": 8,
    "lr": 1e-2,
    "warmup": 2,
    "held_out": 0.1,
    "measure_every": 5,
    "checkpoints.every": 7,
}


@pytest.mark.parametrize("rank", [0, 4])
def test_it_learns_and_leaves_a_whole_artifact(tmp_path: Path, rank: int) -> None:
    project = project_with_base(tmp_path)
    settings = SETTINGS | {"rank": rank}
    made = train(project, sft, **settings)
    losses = made.series("loss")
    assert len(losses) == 20  # 40 demonstrations less a few held out, 8 at a time, four times over
    assert losses[-1] < losses[0] / 2
    held_out = [row["held_out_loss"] for row in made.rows if "held_out_loss" in row]
    assert len(held_out) == 4 and held_out[-1] < held_out[0]
    manifest = made.artifact.manifest
    assert manifest.metrics == {"loss": losses[-1], "held_out_loss": held_out[-1]}
    assert set(manifest.files) >= {"tokenizer.json", "chat_template.jinja"}
    assert ("model.safetensors" in manifest.files, "adapter_model.safetensors" in manifest.files) == (
        rank == 0,
        rank > 0,
    )
    assert load_policy(str(made.artifact.folder)).network.num_parameters() > 0
    check_finished(project, sft, made, **settings)


@pytest.mark.parametrize("rank", [0, 4])
def test_what_was_trained_in_bfloat16_is_saved_with_the_digits_of_float32(tmp_path: Path, rank: int) -> None:
    made = train(project_with_base(tmp_path), sft, **SETTINGS | {"rank": rank, "precision": "pure-bfloat16"})
    losses = made.series("loss")
    assert losses[-1] < losses[0] / 2
    (saved,) = (load_file(path) for path in made.artifact.folder.glob("*.safetensors"))
    master_weights = load_file(next((made.folder / "checkpoints").glob("*/weights.safetensors")))
    assert {name.replace(".default", "") for name in master_weights} == set(saved)
    for name, values in master_weights.items():
        values_saved = saved[name.replace(".default", "")]
        assert values_saved.dtype == torch.float32 and torch.equal(values_saved, values)
        assert not torch.equal(values, values.bfloat16().float()), name


def test_the_loss_is_the_mean_over_trained_tokens_of_the_whole_step(tmp_path: Path) -> None:
    project = project_with_base(tmp_path)
    made = train(
        project,
        sft,
        **SETTINGS | {"rank": 0, "held_out": 0.0, "batch": 40, "epochs": 1, "micro_tokens": 100},
    )
    policy = load_policy(str(project.artifacts / "model" / "base"))
    total, count = 0.0, 0
    for _, row in jsonl.read(project.data / "demonstrations.jsonl"):
        tokens = policy.tokenizer.apply_chat_template(row["prompt"] + row["completion"], tokenize=False)
        ids = policy.tokenizer(tokens, add_special_tokens=False, return_tensors="pt")["input_ids"]
        start = ids[0].tolist().index(policy.tokenizer.convert_tokens_to_ids("<|assistant|>")) + 1
        logps = policy.network(ids).logits[0].log_softmax(-1)
        for t in range(start, ids.shape[1]):
            total -= logps[t - 1, ids[0, t]].item()
            count += 1
    assert made.series("loss")[0] == pytest.approx(total / count, abs=1e-4)  # of order 7


def test_a_long_row_is_an_error_or_dropped_and_counted(tmp_path: Path) -> None:
    project = project_with_base(tmp_path)
    with pytest.raises(
        DataError,
        match=r"demonstrations.jsonl: .*Record \d+: .* has \d+ tokens; at most 25 fit.*too_long=drop",
    ):
        train(project, sft, **SETTINGS | {"max_tokens": 25})
    made = train(project, sft, **SETTINGS | {"max_tokens": 25, "too_long": "drop", "rank": 4})
    data = next(row for _, row in jsonl.read(made.folder / "events.jsonl") if row["event"] == "data")
    assert data["dropped"] > 0 and data["train"] + data["held_out"] + data["dropped"] == 40


def test_long_rows_are_cut_at_the_prompt_or_at_the_answer_and_counted(tmp_path: Path) -> None:
    project = project_with_base(tmp_path)
    for name, choice in (("prompts", "truncate-prompt"), ("answers", "truncate-answer")):
        made = train(
            project, sft, **SETTINGS | {"name": name, "max_tokens": 25, "too_long": choice, "rank": 4}
        )
        left_out = made.artifact.manifest.metrics["left_out"]
        assert left_out["rows cut to fit"] > 0


def events(made: Trained, kind: str) -> list[dict[str, Any]]:
    return [row for _, row in jsonl.read(made.folder / "events.jsonl") if row["event"] == kind]


def loss_of_texts(model: Path, texts: list[str]) -> float:
    """Mean over all tokens but the first of each text, its end included, through nothing but transformers."""
    policy = load_policy(str(model))
    total, count = 0.0, 0
    for text in texts:
        ids = torch.tensor(
            [[*policy.tokenizer(text, add_special_tokens=False)["input_ids"], policy.tokenizer.eos_token_id]]
        )
        logps = policy.network(ids).logits[0].log_softmax(-1)
        total -= sum(logps[t - 1, ids[0, t]].item() for t in range(1, ids.shape[1]))
        count += ids.shape[1] - 1
    return total / count


@pytest.mark.parametrize("name", ["earlier.jsonl", "earlier.txt"])
def test_earlier_texts_are_replayed_and_not_forgotten(tmp_path: Path, name: str) -> None:
    project = project_with_base(tmp_path)
    texts = ["The dog is in the garden."] * 3
    if name.endswith(".txt"):
        texts = ["".join(text + "\n" for text in texts)]
        (project.data / name).write_text(texts[0], encoding="utf-8")
    else:
        jsonl.write(project.data / name, [{"text": text} for text in texts])
    settings = SETTINGS | {"rank": 0, "replay": f"data/{name}", "replay_share": 0.2}
    made = train(project, sft, **settings)
    without = train(project, sft, **SETTINGS | {"rank": 0, "name": "without"})
    assert sum("replay_loss" in row for row in made.rows) >= 10
    assert loss_of_texts(made.artifact.folder, texts) < 0.5 * loss_of_texts(without.artifact.folder, texts)
    assert (
        made.series("loss")[-1] < made.series("loss")[0] / 2
    )  # and the demonstrations are learned all the same
    check_finished(project, sft, made, **settings)


def test_the_first_step_with_replay_is_the_mean_over_both_and_logs_each_by_itself(tmp_path: Path) -> None:
    project = project_with_base(tmp_path)
    texts = ["The sky is blue.", "The grass is green.", "A small fox found a lantern in the garden."]
    jsonl.write(project.data / "earlier.jsonl", [{"text": text} for text in texts])
    common = SETTINGS | {"rank": 0, "held_out": 0.0, "batch": 40, "epochs": 1}
    alone = train(project, sft, **common | {"name": "alone"}).rows[0]
    # The forty demonstrations have some 500 trained tokens and the texts some 30: a share of a twentieth
    # takes each of them once or so.
    both = train(project, sft, **common | {"replay": "data/earlier.jsonl"}).rows[0]
    assert both["loss"] == pytest.approx(alone["loss"], abs=1e-5)
    each = [loss_of_texts(project.artifacts / "model" / "base", [text]) for text in texts]
    assert min(each) <= both["replay_loss"] <= max(each)
    assert both["grad_norm"] != alone["grad_norm"]


def test_earlier_demonstrations_are_replayed_with_their_own_mask(tmp_path: Path) -> None:
    project = project_with_base(tmp_path)
    rows = [row for _, row in jsonl.read(project.data / "demonstrations.jsonl")]
    jsonl.write(project.data / "earlier.jsonl", rows[:1])
    common = SETTINGS | {"rank": 0, "held_out": 0.0, "batch": 40, "epochs": 1}
    jsonl.write(project.data / "first.jsonl", rows[:1])
    alone = train(project, sft, **common | {"name": "alone", "demonstrations": "data/first.jsonl"}).rows[0]
    both = train(project, sft, **common | {"replay": "data/earlier.jsonl"})
    assert both.rows[0]["replay_loss"] == pytest.approx(alone["loss"], abs=1e-4)
    assert [event["rows"] for event in events(both, "replay")] == [1]


def test_noise_makes_the_first_loss_another_and_the_held_out_loss_not(tmp_path: Path) -> None:
    project = project_with_base(tmp_path)
    common = SETTINGS | {"rank": 4, "epochs": 1, "lr": 1e-9, "measure_every": 1}
    quiet = train(project, sft, **common | {"name": "quiet"}).rows
    noisy = train(project, sft, **common | {"neftune_alpha": 10.0}).rows
    assert all(abs(one["loss"] - other["loss"]) > 1e-3 for one, other in zip(quiet, noisy, strict=True))
    assert noisy[0]["held_out_loss"] == pytest.approx(quiet[0]["held_out_loss"], abs=1e-5)


def test_it_stops_early_and_publishes_the_best_weights(tmp_path: Path) -> None:
    project = project_with_base(tmp_path)
    settings = SETTINGS | {
        "rank": 0,
        "lr": 0.05,
        "epochs": 40,
        "measure_every": 2,
        "patience": 3,
        "held_out": 0.2,
    }
    made = train(project, sft, **settings)
    measured = {row["step"]: row["held_out_loss"] for row in made.rows if "held_out_loss" in row}
    best = min(measured, key=lambda step: measured[step])
    assert (
        made.rows[-1]["step"] == best + 3 * 2 < 160
    )  # three measurements later, long before the forty epochs are over
    (stopped,) = events(made, "early stop")
    assert (stopped["step"], stopped["best_step"], stopped["held_out_loss"]) == (
        best + 6,
        best,
        measured[best],
    )
    metrics = made.artifact.manifest.metrics
    assert (metrics["best_step"], metrics["held_out_loss"]) == (best, measured[best])

    checkpoint = load_file(next((made.folder / "checkpoints").glob("*/weights.safetensors")))
    saved = load_file(made.artifact.folder / "model.safetensors")
    for name, values in saved.items():
        assert torch.equal(values, checkpoint[f"best.{name}"])
    assert not torch.equal(checkpoint["model.norm.weight"], checkpoint["best.model.norm.weight"])
    policy = load_policy(str(made.artifact.folder))
    rows = [row for _, row in jsonl.read(project.data / "demonstrations.jsonl")]
    apart = split_by_prompt(read_demonstrations(project.data / "demonstrations.jsonl"), held_out=0.2, seed=0)[
        1
    ]
    assert 0 < len(apart) < len(rows)
    encoded = [policy.encode(one.messages, num_context=one.num_prompt_messages) for one in apart]
    assert sft.mean_loss(policy, encoded, 1024) == pytest.approx(measured[best], abs=1e-4)
    check_finished(project, sft, made, **settings)


def test_patience_that_never_runs_out_still_publishes_the_best(tmp_path: Path) -> None:
    project = project_with_base(tmp_path)
    made = train(
        project,
        sft,
        **SETTINGS
        | {
            "rank": 4,
            "lr": 0.1,
            "schedule": "constant",
            "measure_every": 1,
            "patience": 1000,
            "held_out": 0.2,
        },
    )
    measured = {row["step"]: row["held_out_loss"] for row in made.rows}
    assert made.artifact.manifest.metrics["held_out_loss"] == min(measured.values()) < measured[max(measured)]
    assert events(made, "early stop") == []


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"patience": 2, "held_out": 0.0}, "patience = 2: needs held-out rows"),
        ({"replay_share": 1.0}, "replay_share = 1.0"),
        ({"neftune_alpha": -1.0}, "neftune_alpha = -1.0"),
    ],
)
def test_settings_that_mean_nothing_are_refused(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        configs.from_dict(sft.Config, SETTINGS | settings)


def test_a_replay_without_text_is_refused(tmp_path: Path) -> None:
    project = project_with_base(tmp_path)
    jsonl.write(project.data / "earlier.jsonl", [{"text": " "}])
    with pytest.raises(DataError, match=r"earlier.jsonl:1: text"):
        train(project, sft, **SETTINGS | {"replay": "data/earlier.jsonl"})
