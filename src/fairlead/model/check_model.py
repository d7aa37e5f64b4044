"""Check a model folder before anything is loaded: is it what it claims to be, and is it complete?

`check_model` reads names, sizes and headers of files only, so it costs milliseconds for any model.  What
shows only in a loaded network (weights that are not finite, attention to later tokens, token ids without an
embedding) is checked by `check_network.py`.  This module imports no torch.
"""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from fairlead.core.downloaded_files import check_downloaded
from fairlead.core.errors import ModelError
from fairlead.core.plural import counted
from fairlead.model.weight_files import (
    OTHER_WEIGHTS,
    check_weights,
    read_header,
    read_json,
    refuse_quantised,
)
from fairlead.store.artifact import MANIFEST

ADAPTER_CONFIG = "adapter_config.json"
ADAPTER_WEIGHTS = "adapter_model.safetensors"

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
            refuse_quantised(reference, f"the folder has {name}")
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
            refuse_quantised(reference, f"config.json says {method or 'quantization_config'}")
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
