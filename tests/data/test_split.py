import json
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fairlead.core import jsonl
from fairlead.core.errors import ConfigError, DataError
from fairlead.data import file_source, importer
from fairlead.data.record_reader import read_comparisons, read_prompts
from fairlead.data.records import Comparison, Message, Prompt, prompt_text, to_row
from fairlead.data.split import FILE, is_held_out, split_by_prompt, split_file


def prompt(number: int, tag: str = "") -> Prompt:
    return Prompt((Message("user", f"question {number}"),), tags=(tag,))


# Each prompt several times over, in any order.
many = st.lists(st.integers(0, 300), min_size=60, max_size=90).map(
    lambda numbers: [prompt(n, str(i)) for i, n in enumerate(numbers)]
)


@given(many, st.integers(0, 2**32))
def test_no_prompt_is_on_both_sides_and_no_row_is_lost(records: list[Prompt], seed: int) -> None:
    train = [record for record in records if not is_held_out(record, held_out=0.5, seed=seed)]
    if not 0 < len(train) < len(records):
        return
    left, right = split_by_prompt(records, held_out=0.5, seed=seed)
    assert not {prompt_text(record) for record in left} & {prompt_text(record) for record in right}
    assert sorted([*left, *right], key=records.index) == records


@given(st.permutations(range(40)), st.integers(0, 20))
def test_order_and_other_rows_move_no_row(order: list[int], num_more: int) -> None:
    train, held_out = split_by_prompt([prompt(n) for n in range(40)], held_out=0.5, seed=3)
    shuffled = [prompt(n) for n in order] + [prompt(n) for n in range(1000, 1000 + num_more)]
    train_again, held_out_again = split_by_prompt(shuffled, held_out=0.5, seed=3)
    assert {prompt_text(record) for record in train} <= {prompt_text(record) for record in train_again}
    assert {prompt_text(record) for record in held_out} <= {prompt_text(record) for record in held_out_again}


def test_the_share_is_about_what_was_asked() -> None:
    _, held_out = split_by_prompt([prompt(n) for n in range(4000)], held_out=0.1, seed=0)
    # Binomial with standard deviation sqrt(4000 * 0.1 * 0.9) = 19; four of them.
    assert len(held_out) == pytest.approx(400, abs=76)


def test_seeds_give_different_splits() -> None:
    records = [prompt(n) for n in range(100)]
    assert split_by_prompt(records, held_out=0.5, seed=0) != split_by_prompt(records, held_out=0.5, seed=1)
    assert split_by_prompt(records, held_out=0.5, seed=0) == split_by_prompt(records, held_out=0.5, seed=0)


@pytest.mark.parametrize(("held_out", "side"), [(0.001, "held-out"), (0.999, "train")])
def test_an_empty_side_is_an_error(held_out: float, side: str) -> None:
    with pytest.raises(DataError, match=f"seed = 0: the {side} side of 5 rows is empty. Add"):
        split_by_prompt([prompt(n) for n in range(5)], held_out=held_out, seed=0)


@pytest.mark.parametrize("held_out", [0.0, 1.0, -1.0, float("nan")])
def test_a_share_outside_zero_and_one_is_an_error(held_out: float) -> None:
    with pytest.raises(ConfigError, match="held_out = .*must be between 0 and 1"):
        split_by_prompt([prompt(1)], held_out=held_out, seed=0)


def test_a_file_is_split_like_its_records_and_rows_stay_as_they_are(tmp_path: Path) -> None:
    rows = [to_row(prompt(n)) | {"id": n} for n in range(50)]
    jsonl.write(tmp_path / "a.jsonl", rows)
    report = split_file(
        tmp_path / "a.jsonl", tmp_path / "train.jsonl", tmp_path / "held.jsonl", held_out=0.3, seed=1
    )
    train, held_out = (
        [json.loads(line) for line in (tmp_path / name).read_text().splitlines()]
        for name in ("train.jsonl", "held.jsonl")
    )
    prompts = [prompt(n) for n in range(50)]
    expected_held_out = [p for p in prompts if is_held_out(p, held_out=0.3, seed=1, purpose=FILE)]
    expected = [p for p in prompts if p not in expected_held_out]
    assert [prompt(row["id"]) for row in train] == expected
    assert [prompt(row["id"]) for row in held_out] == expected_held_out
    assert sorted([*train, *held_out], key=lambda row: int(row["id"])) == rows
    assert (report.kind, report.num_train, report.num_held_out) == (
        "prompt",
        len(expected),
        len(expected_held_out),
    )


def test_training_holds_out_rows_of_the_training_side_of_a_file_with_the_same_seed(tmp_path: Path) -> None:
    jsonl.write(tmp_path / "a.jsonl", [to_row(prompt(n)) for n in range(200)])
    names = ("train.jsonl", "judge.jsonl", "held.jsonl")
    train, judge, held_out = (tmp_path / name for name in names)
    report = split_file(
        tmp_path / "a.jsonl", train, held_out, held_out=0.1, seed=0, out_judge=judge, judge=0.3
    )
    sides = [{record.prompt for record in read_prompts(path)} for path in (train, judge, held_out)]
    assert [len(side) for side in sides] == [report.num_train, report.num_judge, report.num_held_out]
    assert len(set.union(*sides)) == 200 == sum(map(len, sides))
    assert 30 < report.num_judge < 90 and 5 < report.num_held_out < 40
    inner = split_by_prompt(read_prompts(train), held_out=0.05, seed=0)
    assert len(inner[1]) > 0


def test_the_share_of_the_judge_leaves_rows_for_training(tmp_path: Path) -> None:
    jsonl.write(tmp_path / "a.jsonl", [to_row(prompt(n)) for n in range(20)])
    out = [tmp_path / name for name in ("t.jsonl", "h.jsonl", "j.jsonl")]
    for share in (0.0, 0.9, 1.5):
        with pytest.raises(ConfigError, match="judge = .*leave prompts for training"):
            split_file(
                tmp_path / "a.jsonl", out[0], out[1], held_out=0.1, seed=0, out_judge=out[2], judge=share
            )


def test_a_file_with_bad_rows_is_not_split(tmp_path: Path) -> None:
    jsonl.write(tmp_path / "a.jsonl", [*(to_row(prompt(n)) for n in range(50)), *[{"prompt": []}] * 11])
    with pytest.raises(
        DataError, match=r"11 of 61 rows cannot be used \(first 10 shown\). Nothing was written"
    ):
        split_file(
            tmp_path / "a.jsonl", tmp_path / "train.jsonl", tmp_path / "held.jsonl", held_out=0.3, seed=1
        )
    assert [path.name for path in tmp_path.iterdir()] == ["a.jsonl"]


def test_a_split_with_an_empty_side_writes_nothing(tmp_path: Path) -> None:
    jsonl.write(tmp_path / "a.jsonl", [to_row(prompt(1))])
    with pytest.raises(DataError, match="is empty"):
        split_file(
            tmp_path / "a.jsonl", tmp_path / "train.jsonl", tmp_path / "held.jsonl", held_out=0.3, seed=1
        )
    assert [path.name for path in tmp_path.iterdir()] == ["a.jsonl"]


def test_a_side_replaces_an_earlier_side_and_no_other_file(tmp_path: Path) -> None:
    source, train, held_out = (tmp_path / name for name in ("a.jsonl", "train.jsonl", "held.jsonl"))
    jsonl.write(source, [to_row(prompt(n)) for n in range(50)])
    split_file(source, train, held_out, held_out=0.3, seed=1)
    jsonl.append(source, to_row(prompt(50)))
    split_file(source, train, held_out, held_out=0.3, seed=2)
    sides = train.read_bytes(), held_out.read_bytes()
    for other in ([to_row(prompt(1)), to_row(prompt(99))], ["no row"]):
        jsonl.write(tmp_path / "other.jsonl", other)
        before = (tmp_path / "other.jsonl").read_bytes()
        with pytest.raises(DataError, match="other.jsonl: holds other rows than those of .*Choose another"):
            split_file(source, train, tmp_path / "other.jsonl", held_out=0.3, seed=1)
        with pytest.raises(DataError, match="other.jsonl: holds other rows"):
            split_file(
                source, train, held_out, held_out=0.3, seed=1, out_judge=tmp_path / "other.jsonl", judge=0.2
            )
        assert (tmp_path / "other.jsonl").read_bytes() == before
    with pytest.raises(DataError, match="a.jsonl: holds the rows to split"):
        split_file(source, source, held_out, held_out=0.3, seed=1)
    (tmp_path / "folder.jsonl").mkdir()
    with pytest.raises(DataError, match="folder.jsonl: is a folder"):
        split_file(source, tmp_path / "folder.jsonl", held_out, held_out=0.3, seed=1)
    assert (train.read_bytes(), held_out.read_bytes()) == sides


def test_both_sides_need_their_own_file(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="is the output of two sides"):
        split_file(
            tmp_path / "a.jsonl",
            tmp_path / "b.jsonl",
            tmp_path / "x" / ".." / "b.jsonl",
            held_out=0.3,
            seed=1,
        )


def test_real_pairs_that_share_a_prompt_stay_together(
    real_data: Callable[[str], Path], tmp_path: Path
) -> None:
    source, out = real_data("instructions/instruction-data-with-preference.json"), tmp_path / "a.jsonl"
    importer.import_file(file_source.read_file_rows(source), out, drop=True)
    pairs = read_comparisons(out)
    train, held_out = split_by_prompt(pairs, held_out=0.1, seed=0)

    def prompts(side: list[Comparison]) -> set[str]:
        return {" ".join(pair.prompt[0].content.split()) for pair in side}

    assert len(prompts(pairs)) < len(pairs)  # some do share one
    assert not prompts(train) & prompts(held_out)
