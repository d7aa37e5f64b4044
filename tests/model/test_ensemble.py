import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from fairlead.core.errors import ModelError
from fairlead.model import ensemble
from fairlead.model.ensemble import member_folders


def model(folder: Path, config: Any = None) -> Path:
    folder.mkdir(parents=True)
    (folder / "config.json").write_text(json.dumps({"model_type": "llama"} if config is None else config))
    return folder


def joined(root: Path) -> Path:
    home = model(root / "home")
    ensemble.combine(home, [model(root / "one"), model(root / "two")])
    return home


def test_joined_members_are_found_in_their_order(tmp_path: Path) -> None:
    home = joined(tmp_path)
    assert member_folders(str(home)) == [str(home), str(home / "member-1"), str(home / "member-2")]
    assert json.loads((home / "config.json").read_text()) == {"model_type": "llama", "reward_members": 3}
    assert member_folders(str(home / "member-1")) == [str(home / "member-1")]


def test_ten_members_and_more_are_in_the_order_of_their_numbers(tmp_path: Path) -> None:
    home = model(tmp_path / "home")
    ensemble.combine(home, [model(tmp_path / f"other-{k}", {"k": k}) for k in range(1, 12)])
    assert [
        json.loads((Path(member) / "config.json").read_text())["k"]
        for member in member_folders(str(home))[1:]
    ] == list(range(1, 12))


def test_a_plain_model_and_a_folder_that_is_gone_are_their_only_members(tmp_path: Path) -> None:
    assert member_folders(str(model(tmp_path / "plain"))) == [str(tmp_path / "plain")]
    assert member_folders("gone") == ["gone"]


@pytest.mark.parametrize("lost", [["member-1"], ["member-2"], ["member-1", "member-2"]])
def test_an_ensemble_that_lost_a_member_is_refused(tmp_path: Path, lost: list[str]) -> None:
    home = joined(tmp_path)
    for name in lost:
        shutil.rmtree(home / name)
    with pytest.raises(
        ModelError,
        match="home: config.json declares an ensemble of 3 members, but besides member 0 the folder holds",
    ):
        member_folders(str(home))


def test_a_member_too_many_and_a_gap_are_refused(tmp_path: Path) -> None:
    home = joined(tmp_path)
    model(home / "member-3")
    with pytest.raises(ModelError, match="the folder holds member-1, member-2, member-3"):
        member_folders(str(home))
    other = model(tmp_path / "other")  # not joined here: its config.json does not count
    model(other / "member-2")
    with pytest.raises(ModelError, match="the folder holds member-2"):
        member_folders(str(other))


@pytest.mark.parametrize("size", [0, -1, "2", 2.0, None, 10**12, [1]])
def test_a_number_of_members_that_cannot_be_is_refused(tmp_path: Path, size: Any) -> None:
    with pytest.raises(ModelError, match="declares an ensemble of"):
        member_folders(str(model(tmp_path / "m", {"reward_members": size})))


@pytest.mark.parametrize("content", ["{", "[]", "[" * 100_000])
def test_a_config_that_is_none_is_refused(tmp_path: Path, content: str) -> None:
    (model(tmp_path / "m") / "config.json").write_text(content)
    with pytest.raises(ModelError, match=r"config\.json: (cannot be read as JSON|is not a JSON object)"):
        member_folders(str(tmp_path / "m"))
