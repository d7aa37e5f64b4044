from collections.abc import Iterator
from datetime import date
from typing import Any

import pytest

from fairlead.core.errors import DataError
from fairlead.data.file_source import SourceRow
from fairlead.data.row_problem import RowLocation

hub_source = pytest.importorskip("fairlead.data.hub_source", reason="the extra `hub` is not installed")


def load(
    name: str, subset: str | None, *, split: str, revision: str | None, streaming: bool
) -> Iterator[dict[str, Any]]:
    assert streaming
    row = {"name": name, "subset": subset, "split": split, "revision": revision}
    yield {key: value for key, value in row.items() if value is not None}
    yield {key: value for key, value in row.items() if value is not None}


def test_rows_are_numbered_and_the_split_is_train_unless_named() -> None:
    first, second = hub_source.read_hub_rows("hf:owner/name", load)
    assert first == SourceRow(RowLocation("hf:owner/name:train", 1), {"name": "owner/name", "split": "train"})
    assert second.where == RowLocation("hf:owner/name:train", 2)
    assert next(hub_source.read_hub_rows("hf:owner/name:test[:10%]", load)).value["split"] == "test[:10%]"


def test_a_subset_and_a_revision_can_be_named() -> None:
    row = next(hub_source.read_hub_rows("hf:owner/name@main:test", load, revision="v1"))
    assert row.where.path == "hf:owner/name@main:test"
    assert row.value == {"name": "owner/name", "subset": "main", "split": "test", "revision": "v1"}
    assert next(hub_source.read_hub_rows("hf:owner/name@main", load)).where.path == "hf:owner/name@main:train"


@pytest.mark.parametrize(
    "source", ["hf:name", "owner/name", "hf:a/b/c", "hf:owner/name:", "hf:owner/name@", "hf:../x:y z"]
)
def test_other_names_are_refused(source: str) -> None:
    with pytest.raises(DataError, match="Write hf:OWNER/NAME"):
        hub_source.parse_hub_name(source)


@pytest.mark.parametrize(
    "error", [ConnectionError("no network.\nmore"), ValueError("Bad split: x"), OSError()]
)
def test_what_cannot_be_loaded_is_one_sentence(error: Exception) -> None:
    def fails(name: str, subset: None, **options: Any) -> Iterator[dict[str, Any]]:
        raise error

    with pytest.raises(DataError, match="^hf:owner/name:train: cannot be read: .*Check the name") as caught:
        list(hub_source.read_hub_rows("hf:owner/name", fails))
    assert "\n" not in str(caught.value)


def test_values_that_json_lacks_are_made_ready_for_it() -> None:
    def table(name: str, subset: None, **options: Any) -> Iterator[dict[str, Any]]:
        yield {
            "margin": float("nan"),
            "at": date(2024, 5, 1),
            "chosen": [{"content": "4", "score": 0.5}],
            "label": True,
            "tie": None,
        }

    (row,) = hub_source.read_hub_rows("hf:owner/name", table)
    expected = {
        "margin": None,
        "at": "2024-05-01",
        "chosen": [{"content": "4", "score": 0.5}],
        "label": True,
        "tie": None,
    }
    assert row.value == expected
