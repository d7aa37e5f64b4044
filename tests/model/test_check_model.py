"""A folder that is not what it claims to be is refused by one sentence that names the remedy."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from peft import IA3Config, LoraConfig, PromptTuningConfig, get_peft_model
from safetensors.torch import load_file, save_file
from transformers import (
    AutoModelForCausalLM,
    AutoModelForSequenceClassification,
    AutoModelForTokenClassification,
    BartConfig,
)

from fairlead.core.errors import ModelError
from fairlead.encoding.batching import collate
from fairlead.encoding.chat import Encoded
from fairlead.model.check_model import check_model
from fairlead.model.policy import load_policy
from fairlead.model.reward_model import load_reward_model
from fakes import network, save_model, tokenizer

POINTER = "version https://git-lfs.github.com/spec/v1\noid sha256:" + "0" * 64 + "\nsize 12345\n"
TOKENS = torch.tensor([[3, 9, 27, 81]])

Damage = Callable[[Path], object]


def write_config(folder: Path, **settings: object) -> None:
    path = folder / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | settings))


def write_weights(folder: Path, **extra: torch.Tensor) -> None:
    path = folder / "model.safetensors"
    save_file(load_file(path) | extra, path, metadata={"format": "pt"})


def into_shards(folder: Path) -> list[Path]:
    net = network("llama")
    (folder / "model.safetensors").unlink()
    net.save_pretrained(folder, max_shard_size="20KB")
    return sorted(folder.glob("*-of-*.safetensors"))


def move_tensor(folder: Path) -> None:
    first, second = into_shards(folder)[:2]
    shutil.copy(first, second)


def write_index(folder: Path, name: str | None) -> object:
    """The first tensor is said to stand in this file."""
    path = folder / "model.safetensors.index.json"
    index = json.loads(path.read_text())
    index["weight_map"][min(index["weight_map"])] = name
    return path.write_text(json.dumps(index))


def keep_only(folder: Path, *names: str) -> Path:
    for path in folder.iterdir():
        if path.name not in names:
            path.unlink()
    return folder


def without(path: Path) -> Path:
    path.unlink()
    return path


def link_nowhere(path: Path) -> None:
    path.unlink(missing_ok=True)
    path.symlink_to(path.parent / "gone")


DAMAGES: list[tuple[str, Damage, str]] = [
    (
        "no tokenizer",
        lambda f: keep_only(f, "config.json", "model.safetensors"),
        "no tokenizer can be read.*Copy the tokenizer files",
    ),
    (
        "settings of a tokenizer only",
        lambda f: keep_only(f, "config.json", "model.safetensors", "tokenizer_config.json"),
        "no tokenizer can be read",
    ),
    ("bitsandbytes", lambda f: write_config(f, quantization_config={"quant_method": "bnb"}), "base_bits=4"),
    ("gptq", lambda f: write_config(f, quantization_config={"quant_method": "gptq"}), "gptq.*full model"),
    (
        "nested",
        lambda f: write_config(f, text_config={"quantization_config": {"quant_method": "fp8"}}),
        "quantised already .config.json says fp8",
    ),
    ("older gptq", lambda f: (f / "quantize_config.json").write_text("{}"), "quantised already"),
    (
        "fp8 without a word",
        lambda f: write_weights(f, **{"model.norm.weight": torch.ones(32).to(torch.float8_e4m3fn)}),
        "model.norm.weight is stored as F8_E4M3",
    ),
    (
        "int8 without a word",
        lambda f: write_weights(f, **{"model.norm.weight": torch.ones(32, dtype=torch.int8)}),
        "is stored as I8",
    ),
    (
        "awq tensors",
        lambda f: write_weights(
            f, **{"model.layers.0.mlp.up_proj.qweight": torch.ones(2, dtype=torch.int32)}
        ),
        "it has a tensor model.layers.0.mlp.up_proj.qweight",
    ),
    (
        "pointer as weights",
        lambda f: (f / "model.safetensors").write_text(POINTER),
        "model.safetensors: is a Git LFS pointer.*git lfs pull",
    ),
    (
        "pointer as tokenizer",
        lambda f: (f / "tokenizer.json").write_text(POINTER),
        "tokenizer.json: is a Git LFS pointer",
    ),
    ("pointer as config", lambda f: (f / "config.json").write_text(POINTER), "is a Git LFS pointer"),
    (
        "pointer as template",
        lambda f: (f / "chat_template.jinja").write_text(POINTER),
        "chat_template.jinja: is a Git LFS pointer",
    ),
    (
        "page as template",
        lambda f: (f / "chat_template.jinja").write_text(
            "\n<!DOCTYPE html><html><body>Sign in</body></html>"
        ),
        "chat_template.jinja: is a web page.*Download the file itself",
    ),
    (
        "pruned file",
        lambda f: link_nowhere(f / "generation_config.json"),
        "generation_config.json: is a link to .*gone, which does not exist. Put the file there",
    ),
    ("pruned weights", lambda f: link_nowhere(f / "model.safetensors"), "model.safetensors: is a link to"),
    ("empty file", lambda f: (f / "tokenizer.json").write_text(""), "tokenizer.json: is empty"),
    (
        "half a file",
        lambda f: (f / "model.safetensors").write_bytes((f / "model.safetensors").read_bytes()[:-500]),
        "model.safetensors: was not downloaded or copied completely: it has .* bytes",
    ),
    ("half a tokenizer", lambda f: (f / "tokenizer.json").write_text('{"a": '), "is not valid JSON"),
    ("no shard", lambda f: without(into_shards(f)[1]), "shards that .* lists is missing, model-00002-of"),
    (
        "half a shard",
        lambda f: into_shards(f)[0].write_bytes(b"12345"),
        "00001-of-.*was not downloaded or copied completely",
    ),
    ("mixed shards", move_tensor, "does not hold .*different models"),
    (
        "shard elsewhere",
        lambda f: (into_shards(f), write_index(f, "../m2/model.safetensors")),
        "names '../m2/model.safetensors' as a shard, which is no file of this folder",
    ),
    ("no name", lambda f: (into_shards(f), write_index(f, None)), "names None as a shard"),
    (
        "no index",
        lambda f: (into_shards(f), without(f / "model.safetensors.index.json")),
        "index.json is missing",
    ),
    (
        "encoder-decoder",
        lambda f: BartConfig().save_pretrained(f),
        "is an encoder-decoder .bart.*Take a causal language model",
    ),
    ("no kind", lambda f: (f / "config.json").write_text("{}"), "names no model_type"),
    (
        "gguf",
        lambda f: (keep_only(f), (f / "model-q4.gguf").write_text("GGUF")),
        "weights are in GGUF",
    ),
    (
        "sentence-transformers",
        lambda f: (keep_only(f), (f / "modules.json").write_text("[]")),
        "sentence-transformers folder",
    ),
    (
        "folder of checkpoints",
        lambda f: (
            keep_only(f),
            save_model(f / "checkpoint-5"),
            save_model(f / "checkpoint-20"),
        ),
        "no config.json.*Did you mean .*checkpoint-20",
    ),
    (
        "adapter without its settings",
        lambda f: (keep_only(f), (f / "adapter_model.safetensors").write_text("")),
        "an adapter without adapter_config.json",
    ),
]


@pytest.mark.parametrize(("damage", "message"), [row[1:] for row in DAMAGES], ids=[row[0] for row in DAMAGES])
def test_a_damaged_folder_is_refused_before_anything_is_loaded(
    tmp_path: Path, damage: Damage, message: str
) -> None:
    folder = save_model(tmp_path / "m")
    check_model(str(folder))
    damage(folder)
    with pytest.raises(ModelError, match=message) as caught:
        check_model(str(folder))
    assert "\n" not in str(caught.value)
    with pytest.raises(ModelError, match=message):
        load_policy(str(folder))


def test_a_complete_folder_in_shards_is_read(tmp_path: Path) -> None:
    folder = save_model(tmp_path / "m")
    assert len(into_shards(folder)) > 2
    assert load_policy(str(folder)).network.num_parameters() == network("llama").num_parameters()


def adapter(root: Path, *, resize: int = 0, shape: str = "qwen2", **settings: object) -> Path:
    """A PEFT adapter as somebody else wrote it, on root/base."""
    folder = save_model(root / "base", shape)
    net = AutoModelForCausalLM.from_pretrained(folder)
    if resize:
        net.resize_token_embeddings(resize)
    options = {"r": 4, "target_modules": ["q_proj"], "task_type": "CAUSAL_LM", "init_lora_weights": False}
    adapted = get_peft_model(net, LoraConfig(**(options | settings)))  # type: ignore[arg-type]
    adapted.peft_config["default"].base_model_name_or_path = str(folder)
    adapted.save_pretrained(str(root / "adapter"), save_embedding_layers=bool(resize))
    torch.save(adapted(TOKENS).logits.detach(), root / "expected.pt")
    return root / "adapter"


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"use_dora": True},
        {"use_rslora": True},
        {"modules_to_save": ["lm_head"]},
        {"target_modules": ["q_proj", "embed_tokens"]},
        {"resize": 420},
        {"resize": 420, "modules_to_save": ["embed_tokens", "lm_head"]},
        {"trainable_token_indices": [3, 9]},
    ],
    ids=str,
)
def test_an_adapter_without_tokenizer_computes_what_peft_computes(
    tmp_path: Path, settings: dict[str, object]
) -> None:
    folder = adapter(tmp_path, **settings)  # type: ignore[arg-type]
    policy = load_policy(str(folder))
    assert policy.text(tokenizer()("a red fox")["input_ids"]) == "a red fox"
    expected = torch.load(tmp_path / "expected.pt")
    with torch.no_grad():
        torch.testing.assert_close(policy.network(TOKENS).logits, expected, atol=1e-4, rtol=1e-4)


def test_an_adapter_that_brings_one_side_of_the_new_embeddings_is_refused(tmp_path: Path) -> None:
    folder = adapter(tmp_path, resize=420)
    path = folder / "adapter_model.safetensors"
    weights = load_file(path)
    del weights["base_model.model.lm_head.weight"]
    save_file(weights, path)
    with pytest.raises(ModelError, match=f"420 rows of embeddings, its base has {len(tokenizer())}"):
        load_policy(str(folder))


def test_an_adapter_whose_base_is_elsewhere_names_the_line_to_change(tmp_path: Path) -> None:
    folder = adapter(tmp_path)
    settings = json.loads((folder / "adapter_config.json").read_text())
    settings["base_model_name_or_path"] = "/elsewhere/qwen"
    (folder / "adapter_config.json").write_text(json.dumps(settings))
    with pytest.raises(ModelError, match=r"not at /elsewhere/qwen.*base_model_name_or_path in .*adapter"):
        check_model(str(folder))


@pytest.mark.parametrize(
    ("parent", "remedy"),
    [
        ("model/base", "Make model/base again with the command that made it, or restore its folder."),
        ("file:qwen", "Put the base there, or a link to it: ln -s BASE /elsewhere/qwen"),
    ],
)
def test_an_artifact_whose_base_is_gone_is_not_to_be_edited(tmp_path: Path, parent: str, remedy: str) -> None:
    folder = adapter(tmp_path)
    settings = json.loads((folder / "adapter_config.json").read_text())
    settings["base_model_name_or_path"] = "/elsewhere/qwen"
    (folder / "adapter_config.json").write_text(json.dumps(settings))
    manifest = {"parents": [{"role": "demonstrations", "name": "file:x"}, {"role": "model", "name": parent}]}
    (folder / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(ModelError) as caught:
        check_model(str(folder))
    assert str(caught.value) == f"{folder}: the base of this adapter is not at /elsewhere/qwen. {remedy}"


def test_adapters_of_other_kinds(tmp_path: Path) -> None:
    base = save_model(tmp_path / "base", "qwen2")
    scaled = IA3Config(
        task_type="CAUSAL_LM", target_modules=["k_proj"], feedforward_modules=[], init_ia3_weights=False
    )
    prompt = PromptTuningConfig(task_type="CAUSAL_LM", num_virtual_tokens=4)
    for name, config in (("ia3", scaled), ("prompt", prompt)):
        adapted = get_peft_model(AutoModelForCausalLM.from_pretrained(base), config)
        adapted.peft_config["default"].base_model_name_or_path = str(base)
        adapted.save_pretrained(str(tmp_path / name))
    assert load_policy(str(tmp_path / "ia3")).network.num_parameters() > 0
    with pytest.raises(ModelError, match="is a PROMPT_TUNING adapter, which has no weights to merge"):
        load_policy(str(tmp_path / "prompt"))


def judge(root: Path, **settings: object) -> Path:
    """A reward model as TRL's RewardTrainer leaves it under LoRA."""
    folder = save_model(root / "base", "qwen2")
    torch.manual_seed(0)
    net = AutoModelForSequenceClassification.from_pretrained(
        folder, num_labels=1, pad_token_id=tokenizer().pad_token_id
    )
    options = {"r": 4, "target_modules": ["q_proj"], "task_type": "SEQ_CLS", "init_lora_weights": False}
    adapted = get_peft_model(net, LoraConfig(**(options | settings)))  # type: ignore[arg-type]
    adapted.peft_config["default"].base_model_name_or_path = str(folder)
    adapted.save_pretrained(str(root / "judge"))
    torch.save(adapted(TOKENS).logits.detach(), root / "expected.pt")
    return root / "judge"


def test_a_reward_model_as_an_adapter_scores_as_in_peft(tmp_path: Path) -> None:
    model = load_reward_model(str(judge(tmp_path)))
    batch = collate([Encoded(tuple(TOKENS[0].tolist()), (False, False, True, True))], pad_id=0)
    with torch.no_grad():
        scores = model.scores(batch)[:, None]
    torch.testing.assert_close(scores, torch.load(tmp_path / "expected.pt"), atol=1e-4, rtol=1e-4)


def test_an_adapter_is_read_for_its_own_task_only(tmp_path: Path) -> None:
    folder = judge(tmp_path)
    with pytest.raises(ModelError, match=r"SEQ_CLS.*not of a language model.*reward=NAME.*/base\."):
        load_policy(str(folder))
    path = folder / "adapter_model.safetensors"
    weights = load_file(path)
    del weights["base_model.model.score.weight"]
    save_file(weights, path)
    with pytest.raises(ModelError, match="holds no head 'score', so the scores would be random"):
        load_reward_model(str(folder))
    with pytest.raises(ModelError, match=r"CAUSAL_LM.*not of a reward model.*fairlead train reward"):
        load_reward_model(str(adapter(tmp_path / "other")))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"num_hidden_layers": 1}, r"declares 1 layers, but the weights hold more \(model.layers.1"),
        ({"num_attention_heads": 5}, "number of attention heads .5.. Correct its config.json"),
        ({"rope_scaling": {"type": "weird", "factor": 2}}, "KeyError 'weird'. Correct its config.json"),
    ],
)
def test_a_configuration_that_does_not_fit_the_weights_is_refused(
    tmp_path: Path, settings: dict[str, object], message: str
) -> None:
    folder = save_model(tmp_path / "m")
    write_config(folder, **settings)
    with pytest.raises(ModelError, match=message):
        load_policy(str(folder))


def test_layer_types_that_do_not_fit_are_no_bug(tmp_path: Path) -> None:
    folder = save_model(tmp_path / "m", "qwen2")
    write_config(folder, num_hidden_layers=3, layer_types=["full_attention"] * 2)
    with pytest.raises(ModelError, match="must be equal to the number of `layer_types`.*config.json"):
        load_policy(str(folder))


def test_layers_for_several_tokens_ahead_may_be_left_out(tmp_path: Path) -> None:
    folder = save_model(tmp_path / "m")
    write_config(folder, num_hidden_layers=1, num_nextn_predict_layers=1)
    assert load_policy(str(folder)).network.config.num_hidden_layers == 1


def test_adapters_on_each_other_are_refused(tmp_path: Path) -> None:
    folder = adapter(tmp_path)
    other = tmp_path / "other"
    shutil.copytree(folder, other)
    for one, base in ((folder, other), (other, folder)):
        settings = json.loads((one / "adapter_config.json").read_text())
        (one / "adapter_config.json").write_text(
            json.dumps(settings | {"base_model_name_or_path": str(base)})
        )
    with pytest.raises(ModelError, match="its base is an adapter on this adapter again. Write the path"):
        check_model(str(folder))


def test_an_adapter_of_an_unknown_kind_names_its_settings(tmp_path: Path) -> None:
    folder = adapter(tmp_path)
    settings = json.loads((folder / "adapter_config.json").read_text())
    (folder / "adapter_config.json").write_text(json.dumps(settings | {"peft_type": "NEWER"}))
    with pytest.raises(ModelError, match="KeyError 'NEWER'. Check base_model_name_or_path and peft_type"):
        load_policy(str(folder))


def test_other_models_are_no_reward_models(tmp_path: Path) -> None:
    language_model = save_model(tmp_path / "m")
    with pytest.raises(ModelError, match="no head .score.. Train a reward model"):
        load_reward_model(str(language_model))
    steps = AutoModelForTokenClassification.from_config(network("llama").config)
    steps.save_pretrained(tmp_path / "steps")
    tokenizer().save_pretrained(tmp_path / "steps")
    with pytest.raises(ModelError, match="is a token classifier .LlamaForTokenClassification"):
        load_reward_model(str(tmp_path / "steps"))
