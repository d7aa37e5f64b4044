import json
import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from fairlead.core.errors import ModelError
from fairlead.model.adapters import Lora
from fairlead.model.check_model import check_folder
from fairlead.model.load import load_causal_lm, load_tokenizer
from fakes import SHAPES, network, policy, save_model, shake


def without_tensor(folder: Path, part: str) -> str:
    """Delete one tensor whose name contains `part` from the folder's weights."""
    path = folder / "model.safetensors"
    weights = load_file(path)
    name = next(name for name in sorted(weights) if part in name)
    del weights[name]
    save_file(weights, path, metadata={"format": "pt"})
    return name


@pytest.mark.parametrize("shape", SHAPES)
def test_a_model_comes_back_as_it_was_saved(tmp_path: Path, shape: str) -> None:
    loaded = load_causal_lm(str(save_model(tmp_path / "m", shape)))
    expected = network(shape).state_dict()
    assert not loaded.training
    assert {name: p.dtype for name, p in loaded.state_dict().items()} == {
        name: torch.float32 for name in expected
    }
    assert all(torch.equal(value, expected[name]) for name, value in loaded.state_dict().items())


def test_half_precision_weights_are_trained_in_full_precision(tmp_path: Path) -> None:
    network("llama").half().save_pretrained(tmp_path / "m")
    assert {p.dtype for p in load_causal_lm(str(tmp_path / "m")).parameters()} == {torch.float32}


@pytest.mark.parametrize("shape", SHAPES)
def test_missing_weights_are_refused_and_never_made_up(tmp_path: Path, shape: str) -> None:
    folder = save_model(tmp_path / "m", shape)
    name = without_tensor(folder, ".1.")  # something of the second layer
    with pytest.raises(ModelError, match=rf"weights are missing or of the wrong shape \({name}\)"):
        load_causal_lm(str(folder))


def test_a_weight_of_the_wrong_shape_is_refused(tmp_path: Path) -> None:
    folder = save_model(tmp_path / "m")
    weights = load_file(folder / "model.safetensors")
    name = next(name for name in weights if name.endswith("layers.0.mlp.up_proj.weight"))
    weights[name] = weights[name][:-1].clone()
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(ModelError, match=rf"missing or of the wrong shape \({name}\)"):
        load_causal_lm(str(folder))


def test_a_folder_of_pickles_is_refused_unread(tmp_path: Path) -> None:
    folder = save_model(tmp_path / "m")
    (folder / "model.safetensors").unlink()
    (folder / "pytorch_model.bin").write_bytes(b"cos\nsystem\n(S'touch pwned'\ntR.")
    with pytest.raises(
        ModelError, match=r"pickle file \(pytorch_model.bin\), which can run code.*Refused.*safetensors"
    ):
        load_causal_lm(str(folder))


def test_what_is_no_model_is_refused(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "file.txt").write_text("x")
    folder = save_model(tmp_path / "m")
    (folder / "model.safetensors").unlink()
    for path, why in (
        ("empty", "is not a model: it has no config.json"),
        ("file.txt", "is a file. A model is a folder"),
        ("nothing", "no such model folder"),
        ("m", "has no weights in safetensors"),
    ):
        with pytest.raises(ModelError, match=f"{tmp_path / path}: {why}"):
            check_folder(str(tmp_path / path))
        with pytest.raises(ModelError, match=why):
            load_causal_lm(str(tmp_path / path))


def test_a_broken_configuration_is_one_sentence(tmp_path: Path) -> None:
    folder = save_model(tmp_path / "m")
    (folder / "config.json").write_text('{"model_type": "no such thing"}')
    with pytest.raises(ModelError, match=f"{folder}: cannot be read as a model: .*") as caught:
        load_causal_lm(str(folder))
    assert "\n" not in str(caught.value)


def test_broken_weights_are_one_sentence(tmp_path: Path) -> None:
    folder = save_model(tmp_path / "m")
    (folder / "model.safetensors").write_bytes((folder / "model.safetensors").read_bytes()[:1000])
    with pytest.raises(ModelError, match="model.safetensors: was not downloaded or copied completely"):
        load_causal_lm(str(folder))


def test_code_that_a_model_brings_along_is_not_run(tmp_path: Path) -> None:
    folder = save_model(tmp_path / "m")
    config = json.loads((folder / "config.json").read_text())
    config |= {
        "model_type": "own",
        "auto_map": {"AutoConfig": "code.OwnConfig", "AutoModelForCausalLM": "code.Own"},
    }
    (folder / "config.json").write_text(json.dumps(config))
    (folder / "code.py").write_text(f"open({str(tmp_path / 'pwned')!r}, 'w')")
    with pytest.raises(ModelError):
        load_causal_lm(str(folder))
    assert not (tmp_path / "pwned").exists()


def test_a_tokenizer_without_padding_pads_with_its_end_token(tmp_path: Path) -> None:
    folder = save_model(tmp_path / "m")
    settings = json.loads((folder / "tokenizer_config.json").read_text())
    settings.pop("pad_token")
    (folder / "tokenizer_config.json").write_text(json.dumps(settings))
    loaded = load_tokenizer(str(folder))
    assert loaded.pad_token_id == loaded.eos_token_id


def test_a_tokenizer_that_cannot_end_is_refused(tmp_path: Path) -> None:
    folder = save_model(tmp_path / "m")
    settings = json.loads((folder / "tokenizer_config.json").read_text())
    settings.pop("eos_token")
    (folder / "tokenizer_config.json").write_text(json.dumps(settings))
    with pytest.raises(ModelError, match="no end-of-sequence token"):
        load_tokenizer(str(folder))


def test_a_folder_without_tokenizer_is_refused(tmp_path: Path) -> None:
    network("llama").save_pretrained(tmp_path / "m")
    with pytest.raises(ModelError, match="no tokenizer can be read"):
        load_tokenizer(str(tmp_path / "m"))


def test_an_adapter_without_base_or_weights_is_refused(tmp_path: Path) -> None:
    folder = tmp_path / "a"
    folder.mkdir()
    (folder / "adapter_config.json").write_text("{}")
    with pytest.raises(ModelError, match="has no adapter_model.safetensors"):
        load_causal_lm(str(folder))
    shutil.copy(save_model(tmp_path / "m") / "model.safetensors", folder / "adapter_model.safetensors")
    with pytest.raises(ModelError, match="does not name the base model"):
        load_causal_lm(str(folder))


def adapter(folder: Path) -> Path:
    made = policy(folder / "base", lora=Lora(2, 4))
    shake(made.trainable())
    made.save(folder / "adapter")
    return folder / "adapter"


def test_all_weights_of_a_merged_adapter_can_be_trained(tmp_path: Path) -> None:
    parameters = list(load_causal_lm(str(adapter(tmp_path))).parameters())
    assert parameters and all(parameter.requires_grad for parameter in parameters)


def test_an_adapter_with_a_missing_weight_is_refused(tmp_path: Path) -> None:
    folder = adapter(tmp_path)
    weights = load_file(folder / "adapter_model.safetensors")
    name = sorted(weights)[3]
    del weights[name]
    save_file(weights, folder / "adapter_model.safetensors")
    with pytest.raises(ModelError, match=rf"adapter's weights do not match adapter_config.json \({name}\)"):
        load_causal_lm(str(folder))


def test_an_adapter_of_another_base_is_refused(tmp_path: Path) -> None:
    folder = adapter(tmp_path)
    shutil.rmtree(tmp_path / "base")
    save_model(tmp_path / "base", "gpt2")
    with pytest.raises(ModelError, match=f"{folder}: "):
        load_causal_lm(str(folder))


def test_a_broken_adapter_is_one_sentence(tmp_path: Path) -> None:
    folder = adapter(tmp_path)
    path = folder / "adapter_model.safetensors"
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(
        ModelError, match="adapter_model.safetensors: was not downloaded or copied completely"
    ):
        load_causal_lm(str(folder))
