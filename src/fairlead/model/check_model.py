"""Check a model folder before anything is loaded: is it what it claims to be, and is it complete?

`check_model` reads names, sizes and headers of files only, so it costs milliseconds for any model.  What
shows only in a loaded network (weights that are not finite, attention to later tokens, token ids without an
embedding) is checked by `check_network.py`.  This module imports no torch.
"""

import json
import struct
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from fairlead.core.errors import ModelError
from fairlead.core.plural import agreeing, counted
from fairlead.store.artifact import MANIFEST

PICKLES = ("*.bin", "*.pt", "*.pth", "*.ckpt", "*.pkl")
ADAPTER_CONFIG = "adapter_config.json"
ADAPTER_WEIGHTS = "adapter_model.safetensors"
INDEX = "model.safetensors.index.json"
LFS_POINTER = b"version https://git-lfs.github.com/spec/"
WEB_PAGES = (b"<!doctype html", b"<html")  # a download that was answered with a page, such as a login

# A tokenizer needs one of these files.  Without any, transformers makes an empty tokenizer for some models.
TOKENIZER_FILES = (
    "tokenizer.json",
    "tokenizer.model*",
    "vocab.json",
    "vocab.txt",
    "vocab.bpe",
    "*.tiktoken",
    "tekken.json",
    "spiece.model",
    "spm.model",
    "sentencepiece*.model",
    "source.spm",
    "prophetnet.tokenizer",
    "encoder.json",
)
BYTE_TOKENIZERS = ("ByT5Tokenizer", "PerceiverTokenizer", "CanineTokenizer")  # need no vocabulary file

# Folders that people name instead of a model, each by a file that only such folders have.
OTHER_FOLDERS = {
    "modules.json": "is a sentence-transformers folder, which embeds texts and generates none. "
    "Take a causal language model.",
    "model_index.json": "is a diffusers folder, which generates images. Take a causal language model.",
    "params.json": "has the original layout of its publisher. Take the folder in the layout of transformers, "
    "with config.json and safetensors; on the Hub its name often ends in -hf.",
    "zero_to_fp32.py": "is a DeepSpeed checkpoint. Run its zero_to_fp32.py with --safe_serialization, "
    "and name the folder that it writes.",
    "latest": "is a DeepSpeed checkpoint. Convert it with zero_to_fp32.py, and name the folder that it "
    "writes.",
    ".metadata": "is a sharded checkpoint of torch.distributed. Merge it into safetensors first, for example "
    "with `accelerate merge-weights`.",
    "snapshots": "is a folder of the Hub's cache. Name the folder below its snapshots/ that has config.json.",
}
OTHER_WEIGHTS = {
    "*.gguf": "GGUF, the quantised format of llama.cpp",
    "*.h5": "TensorFlow's format",
    "*.msgpack": "Flax's format",
    "*.onnx": "ONNX",
    "*.npz": "MLX's or NumPy's format",
}
# Adapters that PEFT cannot merge into the weights: they work by additional inputs or layers.
UNMERGEABLE = (
    "PROMPT_TUNING",
    "PREFIX_TUNING",
    "P_TUNING",
    "MULTITASK_PROMPT_TUNING",
    "ADAPTION_PROMPT",
    "CARTRIDGE",
    "CPT",
    "POLY",
    "XLORA",
)

# Files that only quantised folders have, and ends of tensor names that only quantised layers have.
QUANTISED_FILES = ("quantize_config.json", "quant_config.json", "hf_quant_config.json")
QUANTISED_TENSORS = (
    ".qweight",
    ".qzeros",
    ".weight_packed",
    ".weight_scale",
    ".weight_scale_inv",
    ".weight.absmax",
    ".weight.quant_map",
    ".SCB",
    "_proj_blocks",
    "_proj_scales",
)
FLOAT_DTYPES = ("F64", "F32", "F16", "BF16")  # dtypes of weights that can be trained


def check_model(reference: str) -> None:
    """Raise ModelError unless a local folder is a complete model, or an adapter on one.

    A name like `org/model` is left to the Hub; its configuration is checked when it is loaded.
    """
    folder = local_folder(reference)
    if folder is None:
        return
    try:
        check_links(folder)
        if (folder / ADAPTER_CONFIG).is_file():
            _check_adapter(folder)
        else:
            check_folder(reference)
            check_tokenizer_files(folder)
    except OSError as error:
        raise ModelError(f"{error.filename}: cannot be read: {error.strerror}.") from error


def check_links(folder: Path) -> None:
    """Raise ModelError if a link in the folder leads nowhere, as in a pruned cache of the Hub."""
    for path in sorted(folder.iterdir()):
        if path.is_symlink() and not path.exists() and not path.name.startswith("."):
            in_cache = path.parent.parent.name == "snapshots"
            remedy = "Download the model again" if in_cache else "Put the file there"
            raise ModelError(
                f"{path}: is a link to {path.readlink()}, which does not exist"
                f"{', as in a pruned cache of the Hub' if in_cache else ''}. "
                f"{remedy}, or remove the link if the model does not need this file."
            )


def is_local(reference: str) -> bool:
    """Whether a name that does not exist can only have been meant as a path."""
    return reference.startswith((".", "/", "~")) or reference.count("/") != 1


def check_folder(reference: str) -> None:
    """Raise ModelError unless a local folder has a configuration and complete weights that can be trained."""
    folder = local_folder(reference)
    if folder is None:
        return
    if not (folder / "config.json").is_file():
        _refuse_folder(folder)
    config = read_json(folder / "config.json")
    check_config(config, reference)
    for name in QUANTISED_FILES:
        if (folder / name).is_file():
            _refuse_quantised(reference, f"the folder has {name}")
    check_weights(folder)


def local_folder(reference: str) -> Path | None:
    """The folder of a local model; None for a name on the Hub.  Raises ModelError for anything else."""
    folder = Path(reference)
    if not folder.exists():
        if is_local(reference):
            raise ModelError(f"{reference}: no such model folder.")
        return None
    if not folder.is_dir():
        _refuse_file(folder)
    return folder


def check_config(config: Mapping[str, Any], reference: str) -> None:
    """Raise ModelError if config.json describes something else than a decoder with full weights."""
    if not config.get("model_type"):
        raise ModelError(
            f"{reference}: config.json names no model_type, so the architecture is unknown. "
            "Copy config.json from the original model."
        )
    nested = [value for value in config.values() if isinstance(value, dict)]
    for part in (config, *nested):
        settings = part.get("quantization_config") or part.get("compression_config")
        if settings:
            method = settings.get("quant_method") if isinstance(settings, dict) else None
            _refuse_quantised(reference, f"config.json says {method or 'quantization_config'}")
    if config.get("is_encoder_decoder"):
        raise ModelError(
            f"{reference}: is an encoder-decoder ({config['model_type']}). Fairlead trains decoders, which "
            "read prompt and answer as one text. Take a causal language model."
        )


def check_tokenizer_files(folder: Path) -> None:
    """Raise ModelError if the folder has no tokenizer, or one of its files was not downloaded."""
    present = sorted({path for pattern in TOKENIZER_FILES for path in folder.glob(pattern)})
    settings = folder / "tokenizer_config.json"
    templates = [folder / "chat_template.jinja", *sorted(folder.glob("additional_chat_templates/*.jinja"))]
    for path in (*present, settings, *templates):
        if path.is_file() and (path.stat().st_size or path not in templates):  # an empty template is none
            check_downloaded(path)
    if settings.is_file() and read_json(settings).get("tokenizer_class") in BYTE_TOKENIZERS:
        return
    if not present:
        raise ModelError(
            f"{folder}: no tokenizer can be read: the folder has none of tokenizer.json, tokenizer.model, "
            "vocab.json and vocab.txt. Copy the tokenizer files from the model that this one was made from."
        )
    for path in present:
        if path.suffix == ".json":
            read_json(path)


def has_tokenizer(folder: Path) -> bool:
    """Whether a folder has any file that belongs to a tokenizer."""
    patterns = (*TOKENIZER_FILES, "tokenizer_config.json")
    return any(True for pattern in patterns for _ in folder.glob(pattern))


def check_weights(folder: Path) -> None:
    """Raise ModelError unless the safetensors files are complete and hold full weights."""
    for path in weight_files(folder):
        _check_dtypes(read_header(path), folder)


def weight_files(folder: Path) -> list[Path]:
    """The safetensors files of a model.  Raises ModelError if one is missing."""
    if (folder / "model.safetensors").is_file():
        return [folder / "model.safetensors"]
    if (folder / INDEX).is_file():
        return _indexed_shards(folder)
    paths = sorted(folder.glob("*.safetensors"))
    if not paths:
        _refuse_weights(folder)
    if any("-of-" in path.name for path in paths):
        raise ModelError(
            f"{folder}: the weights are in {counted(len(paths), 'shard')}, but {INDEX} is missing. Copy it "
            "from where the shards come from."
        )
    return paths


def read_header(path: Path) -> dict[str, Any]:
    """The header of a safetensors file: tensor name -> dtype, shape, offsets.

    Raises ModelError if the file is not complete.
    """
    check_downloaded(path)
    size = path.stat().st_size
    with open(path, "rb") as file:
        start = file.read(8)
        length = struct.unpack("<Q", start)[0] if len(start) == 8 else 0
        if not 2 <= length <= size - 8:
            raise _not_whole(
                path, f"{counted(size, 'byte')} {agreeing(size, 'is')} too few, or not safetensors"
            )
        try:
            header = json.loads(file.read(length))
            header.pop("__metadata__", None)
            end = max((entry["data_offsets"][1] for entry in header.values()), default=0)
        except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
            raise _not_whole(path, "its header cannot be read") from error
    expected = 8 + length + end
    if size < expected:
        raise _not_whole(path, f"it has {size:,} of {counted(expected, 'byte')}")
    return header  # type: ignore[no-any-return]


def read_json(path: Path) -> dict[str, Any]:
    """A JSON object in a model folder.  Raises ModelError."""
    check_downloaded(path)
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        raise ModelError(f"{path}: is not valid JSON: {error}. Download or copy the file again.") from error
    if not isinstance(content, dict):
        raise ModelError(f"{path}: is not a JSON object. Download or copy the file again.")
    return content


def check_downloaded(path: Path) -> None:
    """Raise ModelError if a file is a Git LFS pointer, a web page, or empty."""
    with open(path, "rb") as file:
        start = file.read(256)
    if start.removeprefix(b"\xef\xbb\xbf").lstrip().lower().startswith(WEB_PAGES):
        raise ModelError(
            f"{path}: is a web page, not the file of a model. Download the file itself; on the Hub, its "
            "address has /resolve/ in place of /blob/."
        )
    if start.startswith(LFS_POINTER):
        raise ModelError(
            f"{path}: is a Git LFS pointer, a text that stands for the real file. "
            "Run `git lfs pull` in the folder, or download the file."
        )
    if not start:
        raise ModelError(f"{path}: is empty. Download or copy the file again.")


def adapter_base(folder: Path) -> str:
    """The base of an adapter: a folder, or a name on the Hub.  Folders are stored relative to the adapter."""
    settings = read_json(folder / ADAPTER_CONFIG)
    base = str(settings.get("base_model_name_or_path") or "")
    if not base or (folder / base).resolve() == folder.resolve():
        raise ModelError(f"{folder}: {ADAPTER_CONFIG} does not name the base model.")
    base_folder = (folder / base).resolve()
    return str(base_folder) if base_folder.is_dir() else base


def adapter_task(folder: Path) -> str:
    """The task that a PEFT adapter was trained for: CAUSAL_LM, SEQ_CLS, or an empty string."""
    return str(read_json(folder / ADAPTER_CONFIG).get("task_type") or "")


def is_adapter(reference: str) -> bool:
    return (Path(reference) / ADAPTER_CONFIG).is_file()


def _check_adapter(folder: Path) -> None:
    chain = [folder.resolve()]  # an adapter may be on an adapter
    while is_adapter(str(chain[-1])):
        check_adapter_folder(chain[-1])
        base = adapter_base(chain[-1])
        chain.append(Path(base).resolve())
        if chain[-1] in chain[:-1]:
            raise ModelError(
                f"{folder}: its base is an adapter on this adapter again. Write the path or the Hub name of "
                f"the base model into base_model_name_or_path in {folder / ADAPTER_CONFIG}."
            )
    check_model(base)
    if has_tokenizer(folder):
        check_tokenizer_files(folder)


def check_adapter_folder(folder: Path) -> None:
    """Raise ModelError unless the adapter's own files are complete, and its base exists."""
    settings = read_json(folder / ADAPTER_CONFIG)
    if not (folder / ADAPTER_WEIGHTS).is_file():
        shards = sorted(folder.glob("adapter_model-*.safetensors"))
        if shards:
            raise ModelError(
                f"{folder}: the adapter's weights are in {counted(len(shards), 'shard')}. "
                f"Save the adapter again with one {ADAPTER_WEIGHTS}."
            )
        inner = next(_inner_models(folder), None)
        hint = f" Did you mean {inner}?" if inner else ""
        raise ModelError(f"{folder}: the adapter has no {ADAPTER_WEIGHTS}. Pickle files are refused.{hint}")
    read_header(folder / ADAPTER_WEIGHTS)
    kind = str(settings.get("peft_type") or "")
    if kind in UNMERGEABLE:
        raise ModelError(
            f"{folder}: is a {kind} adapter, which has no weights to merge into its base. "
            "Fairlead reads adapters that PEFT can merge, such as LoRA."
        )
    base = adapter_base(folder)
    if not Path(base).is_dir() and is_local(base):
        raise ModelError(_missing_base(folder, base))


def _missing_base(folder: Path, base: str) -> str:
    """Where the base was expected, and what brings it back."""
    expected = (folder / base).resolve()
    finding = f"{folder}: the base of this adapter is not at {base if base.startswith('~') else expected}."
    if not (folder / MANIFEST).is_file():
        return (
            f"{finding} Write the path or the Hub name of the base into base_model_name_or_path in "
            f"{folder / ADAPTER_CONFIG}."
        )
    # An artifact of a project: a changed file would no longer have its digest.
    parents = read_json(folder / MANIFEST).get("parents")
    names = [
        str(parent.get("name"))
        for parent in (parents if isinstance(parents, list) else [])
        if isinstance(parent, dict) and parent.get("role") == "model"
    ]
    if names and ":" not in names[0]:
        return f"{finding} Make {names[0]} again with the command that made it, or restore its folder."
    return f"{finding} Put the base there, or a link to it: ln -s BASE {expected}"


def _indexed_shards(folder: Path) -> list[Path]:
    """The shards that the index lists.  Raises ModelError if a shard or a tensor is missing."""
    tensors = read_json(folder / INDEX).get("weight_map")
    if not isinstance(tensors, dict) or not tensors:
        raise ModelError(f"{folder / INDEX}: has no weight_map. Download or copy the file again.")
    elsewhere = [name for name in tensors.values() if not isinstance(name, str) or Path(name).name != name]
    if elsewhere:
        raise ModelError(
            f"{folder / INDEX}: names {elsewhere[0]!r} as a shard, which is no file of this folder. "
            "Download or copy the model again."
        )
    paths = [folder / name for name in sorted(set(tensors.values()))]
    missing = [path.name for path in paths if not path.is_file()]
    if missing:
        raise ModelError(
            f"{folder}: {len(missing)} of {counted(len(paths), 'shard')} "
            f"that {INDEX} lists {agreeing(len(missing), 'is')} missing, "
            f"{missing[0]} first. Download them."
        )
    held = {path.name: read_header(path) for path in paths}
    absent = [(tensor, name) for tensor, name in tensors.items() if tensor not in held[name]]
    if absent:
        tensor, name = absent[0]
        raise ModelError(
            f"{folder}: {name} does not hold {tensor}, which {INDEX} expects there. "
            "The files come from different models; download all of them again."
        )
    return paths


def _check_dtypes(header: Mapping[str, Any], folder: Path) -> None:
    """Raise ModelError for tensors that hold quantised weights, whatever config.json says."""
    for name, entry in header.items():
        if name.endswith(QUANTISED_TENSORS):
            _refuse_quantised(str(folder), f"it has a tensor {name}")
        dtype = str(entry.get("dtype"))
        is_number = dtype in FLOAT_DTYPES or (dtype[0] not in "F" and not name.endswith("weight"))
        if not is_number:  # integers may be buffers, such as positions; small floats never are
            _refuse_quantised(str(folder), f"{name} is stored as {dtype}")


def _refuse_quantised(reference: str, evidence: str) -> None:
    raise ModelError(
        f"{reference}: the weights are quantised already ({evidence}), so they cannot be trained. "
        "Take the full model, and set base_bits=4 to train an adapter on it in 4 bits."
    )


def _not_whole(path: Path, evidence: str) -> ModelError:
    return ModelError(
        f"{path}: was not downloaded or copied completely: {evidence}. Download or copy the file again."
    )


def _refuse_file(path: Path) -> None:
    kind = f" The file is in {OTHER_WEIGHTS['*.gguf']}." if path.suffix == ".gguf" else ""
    raise ModelError(f"{path}: is a file. A model is a folder with config.json and safetensors.{kind}")


def _refuse_folder(folder: Path) -> None:
    """Raise ModelError for a folder without config.json; says what it is instead."""
    for name, description in OTHER_FOLDERS.items():
        if (folder / name).exists():
            raise ModelError(f"{folder}: {description}")
    for pattern, kind in OTHER_WEIGHTS.items():
        if any(folder.glob(pattern)):
            raise ModelError(
                f"{folder}: the weights are in {kind}. Take the model with config.json and safetensors."
            )
    hint = ""
    if any(folder.glob("adapter_model.*")):
        hint = f" It holds an adapter without {ADAPTER_CONFIG}; copy this file too."
    elif inner := next(_inner_models(folder), None):
        hint = f" Did you mean {inner}?"
    raise ModelError(
        f"{folder}: is not a model: it has no config.json. A model is a folder that transformers saved.{hint}"
    )


def _inner_models(folder: Path) -> Iterator[Path]:
    """Folders directly below that are models or adapters, such as a trainer's checkpoints; the last first."""
    for name in ("config.json", ADAPTER_CONFIG):
        yield from sorted((path.parent for path in folder.glob(f"*/{name}")), key=_number, reverse=True)


def _number(folder: Path) -> tuple[int, str]:
    digits = folder.name.rpartition("-")[2]
    return (int(digits) if digits.isdigit() else -1, folder.name)


def _refuse_weights(folder: Path) -> None:
    """Raise ModelError for a folder without safetensors; says what it has instead."""
    pickles = sorted(path.name for pattern in PICKLES for path in folder.glob(pattern))
    pickles = [name for name in pickles if name not in ("training_args.bin", "optimizer.pt", "scheduler.pt")]
    if pickles:
        raise ModelError(
            f"{folder}: the weights are in a pickle file ({pickles[0]}), which can run code when "
            "loaded. Refused. "
            "Convert the file to safetensors first."
        )
    for pattern, kind in OTHER_WEIGHTS.items():
        if any(folder.glob(pattern)):
            raise ModelError(f"{folder}: the weights are in {kind}. Take the model in safetensors.")
    raise ModelError(f"{folder}: has no weights in safetensors.")
