"""Read the files of a model folder: JSON, and the names, sizes and headers of its weights.

Nothing is loaded: the weights are complete if each file has the length that its header says, and if every
shard and tensor of the index is there.  This module imports no torch.
"""

import json
import struct
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from fairlead.core.downloaded_files import check_downloaded
from fairlead.core.errors import ModelError
from fairlead.core.plural import agreeing, counted

INDEX = "model.safetensors.index.json"
PICKLES = ("*.bin", "*.pt", "*.pth", "*.ckpt", "*.pkl")
OTHER_WEIGHTS = {
    "*.gguf": "GGUF, the quantised format of llama.cpp",
    "*.h5": "TensorFlow's format",
    "*.msgpack": "Flax's format",
    "*.onnx": "ONNX",
    "*.npz": "MLX's or NumPy's format",
}
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


def refuse_quantised(reference: str, evidence: str) -> None:
    raise ModelError(
        f"{reference}: the weights are quantised already ({evidence}), so they cannot be trained. "
        "Take the full model, and set base_bits=4 to train an adapter on it in 4 bits."
    )


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
            refuse_quantised(str(folder), f"it has a tensor {name}")
        dtype = str(entry.get("dtype"))
        is_number = dtype in FLOAT_DTYPES or (dtype[0] not in "F" and not name.endswith("weight"))
        if not is_number:  # integers may be buffers, such as positions; small floats never are
            refuse_quantised(str(folder), f"{name} is stored as {dtype}")


def _not_whole(path: Path, evidence: str) -> ModelError:
    return ModelError(
        f"{path}: was not downloaded or copied completely: {evidence}. Download or copy the file again."
    )


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
