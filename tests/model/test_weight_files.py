"""Weights are complete if every file has the length that its header says, and every shard is there."""

import json
import struct
from pathlib import Path

import pytest

from fairlead.core.errors import ModelError
from fairlead.model.weight_files import INDEX, check_weights, read_header, read_json, weight_files


def write_weights(path: Path, *names: str, dtype: str = "F32") -> None:
    """A file of safetensors with tensors of one number."""
    header = {
        name: {"dtype": dtype, "shape": [1], "data_offsets": [4 * i, 4 * i + 4]}
        for i, name in enumerate(names)
    }
    text = json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(text)) + text + bytes(4 * len(names)))


def write_index(folder: Path, **files: str) -> None:
    (folder / INDEX).write_text(json.dumps({"weight_map": files}))


def test_a_header_names_the_tensors(tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"
    write_weights(path, "a", "b")
    assert set(read_header(path)) == {"a", "b"}
    assert weight_files(tmp_path) == [path]


@pytest.mark.parametrize("size", [3, 20, -1])
def test_a_file_that_was_cut_is_refused(tmp_path: Path, size: int) -> None:
    path = tmp_path / "model.safetensors"
    write_weights(path, "a", "b")
    path.write_bytes(path.read_bytes()[:size])
    with pytest.raises(ModelError, match="was not downloaded or copied completely"):
        read_header(path)


def test_shards_are_those_of_the_index(tmp_path: Path) -> None:
    first, second = tmp_path / "x-00001-of-00002.safetensors", tmp_path / "x-00002-of-00002.safetensors"
    write_weights(first, "a")
    write_weights(second, "b")
    with pytest.raises(ModelError, match="the weights are in 2 shards, but .* is missing"):
        weight_files(tmp_path)
    write_index(tmp_path, a=first.name, b=second.name)
    assert weight_files(tmp_path) == [first, second]
    write_index(tmp_path, a=second.name, b=first.name)
    with pytest.raises(ModelError, match="does not hold a.*different models"):
        weight_files(tmp_path)
    write_index(tmp_path, a=first.name, b="x-3.safetensors")
    with pytest.raises(ModelError, match="1 of 2 shards that .* lists is missing, x-3.safetensors first"):
        weight_files(tmp_path)


def test_quantised_tensors_are_refused_whatever_the_configuration_says(tmp_path: Path) -> None:
    write_weights(tmp_path / "model.safetensors", "a.weight")
    check_weights(tmp_path)
    write_weights(tmp_path / "model.safetensors", "a.weight", dtype="I32")
    with pytest.raises(ModelError, match="quantised already .a.weight is stored as I32"):
        check_weights(tmp_path)


def test_json_is_an_object(tmp_path: Path) -> None:
    path = tmp_path / "config.json"
    path.write_text("[1]")
    with pytest.raises(ModelError, match="is not a JSON object"):
        read_json(path)
