"""Split rows into a training side and a held-out side, with all rows of a prompt on the same side.

The side of a prompt depends only on the seed and on the canonical text of the prompt.  Adding, removing or
reordering rows never moves another row.  In return, the held-out share is met only on average.
"""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from fairlead.core import digest, files, jsonl
from fairlead.core.errors import ConfigError, DataError
from fairlead.core.plural import counted
from fairlead.core.seed import derive_seed
from fairlead.data.file_source import read_file_rows
from fairlead.data.prompt_digest import prompt_digest, trained_prompt_digests
from fairlead.data.record_reader import guess_kind, parse_rows
from fairlead.data.record_writer import require_jsonl_name
from fairlead.data.records import Record, RecordKind, prompt_messages, prompt_text
from fairlead.data.row_problem import MAX_SHOWN, RowProblem, bad_rows_error

R = TypeVar("R", bound=Record)

# Purpose of the draw for files.  Training draws for itself: with the same draw, the training side of a file
# would hold no prompt that training holds out, because those are on the held-out side of the file.
FILE = "split file"


@dataclass(frozen=True)
class SplitReport:
    kind: RecordKind
    num_train: int
    num_held_out: int
    num_judge: int = 0


def split_by_prompt(records: Iterable[R], *, held_out: float, seed: int) -> tuple[list[R], list[R]]:
    """(train, held out), each in the original order; raises DataError if a side is empty."""
    check_share(held_out)
    train: list[R] = []
    held: list[R] = []
    for record in records:
        side = held if is_held_out(record, held_out=held_out, seed=seed) else train
        side.append(record)
    _require_both_sides(len(train), len(held), held_out=held_out, seed=seed)
    return train, held


def without_trained_prompts(train: Sequence[R], held_out: Sequence[R], *, source: str) -> list[R]:
    """The held-out records whose prompt no training record has, apart from case and Unicode form.

    Raises DataError if none is left.
    """
    trained = set[str]().union(*(trained_prompt_digests(record) for record in train))
    fresh = [record for record in held_out if prompt_digest(prompt_messages(record)) not in trained]
    if held_out and not fresh:
        raise DataError(
            f"{source}: every held-out prompt is also a training prompt, apart from case, white space and "
            "Unicode form. Remove the repeated rows, or hold out more with data.held_out."
        )
    return fresh


def split_file(
    path: Path,
    out_train: Path,
    out_held_out: Path,
    *,
    held_out: float,
    seed: int,
    out_judge: Path | None = None,
    judge: float = 0.0,
) -> SplitReport:
    """Copy the rows of a native file, unchanged, to two or three files.  Writes all files or none.

    The rows for a judge are another share of the prompts: a judge must not be trained on what it examines,
    nor on what paid the policy.
    """
    check_share(held_out)
    outputs = [out_train, out_held_out, *([] if out_judge is None else [out_judge])]
    if len({require_jsonl_name(out).resolve() for out in outputs}) < len(outputs):
        raise DataError(f"{out_train}: is the output of two sides of the split. Choose different names.")
    if out_judge is not None and not 0 < judge < 1 - held_out:
        raise ConfigError(
            f"judge = {judge!r}: must be above 0, and leave prompts for training beside held_out = "
            f"{held_out:g}."
        )
    _check_overwritten(path, outputs)
    kind, rows = guess_kind(path)
    num_bad = 0
    counts = {"train": 0, "judge": 0, "held-out": 0}
    problems: list[RowProblem] = []  # the first few
    with ExitStack() as opened:
        sides = {
            "train": opened.enter_context(files.atomic_file(out_train)),
            "held-out": opened.enter_context(files.atomic_file(out_held_out)),
        }
        if out_judge is not None:
            sides["judge"] = opened.enter_context(files.atomic_file(out_judge))
        for result in parse_rows(rows, kind):
            if isinstance(result, RowProblem):
                num_bad += 1
                if len(problems) < MAX_SHOWN:
                    problems.append(result)
                continue
            side = "train"
            if is_held_out(result.record, held_out=held_out, seed=seed, purpose=FILE):
                side = "held-out"
            elif out_judge is not None and is_held_out(
                result.record, held_out=held_out + judge, seed=seed, purpose=FILE
            ):
                side = "judge"
            counts[side] += 1
            sides[side].write((jsonl.dumps(result.row.value) + "\n").encode("utf-8"))
        if num_bad:
            remedy = f"Nothing was written. Set them aside with `fairlead data check {path} --drop`."
            raise bad_rows_error(problems, num_bad, num_bad + sum(counts.values()), remedy)
        _require_both_sides(counts["train"], counts["held-out"], held_out=held_out, seed=seed)
        if out_judge is not None and not counts["judge"]:
            raise DataError(
                f"judge = {judge:g}, seed = {seed}: the judge's "
                f"side of {counted(sum(counts.values()), 'row')} is "
                "empty. Add rows of other prompts, or change the share or the seed."
            )
    assert kind is not None, "a row was written, so its kind is known"
    return SplitReport(kind, counts["train"], counts["held-out"], counts["judge"])


def _check_overwritten(path: Path, outputs: Sequence[Path]) -> None:
    """Refuse to overwrite rows that are nowhere else: sides of an earlier split are, in the file."""
    for out in outputs:
        if out.is_dir():
            raise DataError(f"{out}: is a folder. Name a file for the rows.")
        if out.exists() and path.exists() and out.samefile(path):
            raise DataError(
                f"{out}: holds the rows to split and would be overwritten. Choose another name for this side."
            )
    full = [out for out in outputs if out.exists() and out.stat().st_size]
    if full:
        source = set(_row_digests(path))
        for out in full:
            try:
                is_side = all(row in source for row in _row_digests(out))
            except DataError:  # no rows at all
                is_side = False
            if not is_side:
                raise DataError(
                    f"{out}: holds other rows than those of {path}, and would be overwritten. "
                    "Choose another name, or remove the file."
                )


def _row_digests(path: Path) -> Iterator[bytes]:
    for row in read_file_rows(path):
        yield digest.of_json(row.row if isinstance(row, RowProblem) else row.value).encode()


def is_held_out(record: Record, *, held_out: float, seed: int, purpose: str = "split") -> bool:
    # derive_seed is uniform over 0 .. 2**63 - 1
    return derive_seed(seed, purpose, prompt_text(record)) < held_out * 2**63


def check_share(held_out: float) -> None:
    if not 0 < held_out < 1:
        raise ConfigError(
            f"held_out = {held_out!r}: must be between 0 and 1; 0.1 holds out about every tenth prompt."
        )


def _require_both_sides(num_train: int, num_held_out: int, *, held_out: float, seed: int) -> None:
    for side, count in (("train", num_train), ("held-out", num_held_out)):
        if not count:
            total = num_train + num_held_out
            raise DataError(
                f"held_out = {held_out:g}, seed = {seed}: the "
                f"{side} side of {counted(total, 'row')} is empty. "
                "Add rows of other prompts, hold out another share, or use another seed: a side of an "
                "earlier split with this seed cannot be split by it again."
            )
