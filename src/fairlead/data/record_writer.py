"""Rows to a file, whole or not at all, with the bad ones set aside beside it or refused."""

from collections.abc import Iterable
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fairlead.core import files, jsonl
from fairlead.core.errors import DataError
from fairlead.data.records import Record, to_row
from fairlead.data.row_problem import MAX_SHOWN, RowProblem, bad_rows_error


@dataclass(frozen=True)
class WriteReport:
    num_read: int
    num_written: int
    num_dropped: int
    rejected_path: Path | None  # None: nothing was dropped


def write_records(path: Path, records: Iterable[Record]) -> int:
    """Native rows, atomically; returns how many."""
    return jsonl.write(require_jsonl_name(path), (to_row(record) for record in records))


def write_rows(rows: Iterable[dict[str, Any] | RowProblem], out: Path, *, drop: bool) -> WriteReport:
    """Write the good rows to `out`.

    With `drop` the bad ones go to `rejected_beside(out)`, each with its reason.  Without, any bad row is a DataError about all
    of them and nothing is written.
    """
    require_jsonl_name(out)
    rejected = rejected_rows_path(out)
    problems: list[RowProblem] = []  # the first few
    num_written = num_bad = 0
    # The stack closes in reverse, so the rejected rows are on the disk before the file that lacks them.
    with ExitStack() as stack:
        good = stack.enter_context(files.atomic_file(out))
        bad = stack.enter_context(files.atomic_file(rejected)) if drop else None
        for row in rows:
            if not isinstance(row, RowProblem):
                good.write((jsonl.dumps(row) + "\n").encode("utf-8"))
                num_written += 1
                continue
            num_bad += 1
            if len(problems) < MAX_SHOWN:
                problems.append(row)
            if bad is not None:
                bad.write((jsonl.dumps(_rejection(row)) + "\n").encode("utf-8"))
        if num_bad and not drop:
            raise bad_rows_error(
                problems, num_bad, num_bad + num_written, "Nothing was written. Set them aside with --drop."
            )
        if num_bad and not num_written:
            raise bad_rows_error(problems, num_bad, num_bad, "Nothing was written, because no row is left.")
        if not num_written:
            raise DataError(f"{out}: not written, because the source holds no rows.")
    if drop and not num_bad:
        rejected.unlink()  # empty; an earlier one would be about another source
    return WriteReport(num_bad + num_written, num_written, num_bad, rejected if num_bad else None)


def rejected_rows_path(out: Path) -> Path:
    return out.with_name(out.name.removesuffix(".jsonl") + ".rejected.jsonl")


def require_jsonl_name(out: Path) -> Path:
    """`out`, unless its name promises something else than plain JSON Lines."""
    if out.suffix != ".jsonl":
        raise DataError(f"{out}: rows are written as plain JSON Lines. Choose a name that ends in .jsonl.")
    return out


def _rejection(problem: RowProblem) -> dict[str, Any]:
    where, reason = f"{problem.path}:{problem.line}", f"{problem.why}. {problem.remedy}"
    return {"where": where, "field": problem.field, "reason": reason, "row": problem.row}
