from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from fairlead.core import jsonl
from fairlead.core.errors import DataError
from fairlead.model.policy import load_policy
from fairlead.recipes import sft
from fakes import check_finished, project_with_base, train

SETTINGS = {
    "name": "taught", "model": "base", "demonstrations": "data/demonstrations.jsonl",
    "epochs": 4, "batch": 8, "lr": 1e-2, "warmup": 2, "held_out": 0.1, "measure_every": 5, "checkpoint_every": 7,
}  # fmt: skip


@pytest.mark.parametrize("rank", [0, 4])
def test_it_learns_and_leaves_a_whole_artifact(tmp_path: Path, rank: int) -> None:
    project = project_with_base(tmp_path)
    settings = SETTINGS | {"lora_rank": rank}
    made = train(project, sft, **settings)
    losses = made.series("loss")
    assert len(losses) == 20  # 40 demonstrations less a few held out, 8 at a time, four times over
    assert losses[-1] < losses[0] / 2
    held_out = [row["held_out_loss"] for row in made.rows if "held_out_loss" in row]
    assert len(held_out) == 4 and held_out[-1] < held_out[0]
    manifest = made.artifact.manifest
    assert manifest.metrics == {"loss": losses[-1], "held_out_loss": held_out[-1]}
    assert set(manifest.files) >= {"tokenizer.json", "chat_template.jinja"}
    assert ("model.safetensors" in manifest.files, "adapter_model.safetensors" in manifest.files) == (rank == 0, rank > 0)
    assert load_policy(str(made.artifact.folder)).network.num_parameters() > 0
    check_finished(project, sft, made, **settings)


@pytest.mark.parametrize("rank", [0, 4])
def test_what_was_trained_in_bfloat16_is_saved_with_the_digits_of_float32(tmp_path: Path, rank: int) -> None:
    made = train(project_with_base(tmp_path), sft, **SETTINGS | {"lora_rank": rank, "precision": "pure-bfloat16"})
    losses = made.series("loss")
    assert losses[-1] < losses[0] / 2
    (saved,) = (load_file(path) for path in made.artifact.folder.glob("*.safetensors"))
    masters = load_file(next((made.folder / "checkpoints").glob("*/weights.safetensors")))
    assert {name.replace(".default", "") for name in masters} == set(saved)
    for name, values in masters.items():
        values_saved = saved[name.replace(".default", "")]
        assert values_saved.dtype == torch.float32 and torch.equal(values_saved, values)
        assert not torch.equal(values, values.bfloat16().float()), name


def test_the_loss_is_the_mean_over_trained_tokens_of_the_whole_step(tmp_path: Path) -> None:
    project = project_with_base(tmp_path)
    made = train(project, sft, **SETTINGS | {"lora_rank": 0, "held_out": 0.0, "batch": 40, "epochs": 1, "micro_tokens": 100})
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
    with pytest.raises(DataError, match=r"demonstrations.jsonl: record \d+: .* has \d+ tokens; at most 25 fit.*too_long=drop"):
        train(project, sft, **SETTINGS | {"max_tokens": 25})
    made = train(project, sft, **SETTINGS | {"max_tokens": 25, "too_long": "drop", "lora_rank": 4})
    data = next(row for _, row in jsonl.read(made.folder / "events.jsonl") if row["event"] == "data")
    assert data["dropped"] > 0 and data["train"] + data["held_out"] + data["dropped"] == 40
