"""Write native rows to a file, atomically.

Bad rows are refused, or written to a second file with their reasons.
"""

from collections.abc import Callable, Iterable
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fairlead.core import files, jsonl
from fairlead.core.errors import DataError
from fairlead.core.output_path import require_outside_artifacts
from fairlead.data.records import Record, to_row
from fairlead.data.row_problem import MAX_SHOWN, RowProblem, bad_rows_error


@dataclass(frozen=True)
class WriteReport:
    num_read: int
    num_written: int
    num_dropped: int
    rejected_path: Path | None  # None if nothing was dropped


def write_records(path: Path, records: Iterable[Record]) -> int:
    """Write records as native rows, atomically; returns their number."""
    return jsonl.write(require_jsonl_name(path), (to_row(record) for record in records))


def write_rows(
    rows: Iterable[dict[str, Any] | RowProblem],
    out: Path,
    *,
    drop: bool,
    num_source_rows: Callable[[], int] | None = None,
) -> WriteReport:
    """Write the good rows to `out`.

    `num_source_rows` gives the number of rows that were read so far, where it differs from the number of rows
    that arrive here: a row of the source may give none or several.

    With `drop`, bad rows go to `rejected_rows_path(out)` with their reasons.  Without, any bad row raises a
    DataError about all of them, and nothing is written.
    """
    require_jsonl_name(out)
    rejected_path = rejected_rows_path(out)
    problems: list[RowProblem] = []  # the first few
    num_written = 0
    num_bad = 0
    # The stack closes in reverse order: the rejected rows are on disk before the file without them.
    with ExitStack() as stack:
        good_file = stack.enter_context(files.atomic_file(out))
        bad_file = stack.enter_context(files.atomic_file(rejected_path)) if drop else None
        for row in rows:
            if not isinstance(row, RowProblem):
                good_file.write((jsonl.dumps(row) + "\n").encode("utf-8"))
                num_written += 1
                continue
            num_bad += 1
            if len(problems) < MAX_SHOWN:
                problems.append(row)
            if bad_file is not None:
                bad_file.write((jsonl.dumps(_rejected_row(row)) + "\n").encode("utf-8"))
        num_rows = num_bad + num_written if num_source_rows is None else max(num_source_rows(), num_bad)
        if num_bad and not drop:
            remedy = "Nothing was written. Set them aside with --drop."
            raise bad_rows_error(problems, num_bad, num_rows, remedy)
        if num_bad and not num_written:
            raise bad_rows_error(problems, num_bad, num_rows, "Nothing was written, because no row is left.")
        if not num_written:
            raise DataError(f"{out}: not written, because the source has no rows.")
    if drop and not num_bad:
        rejected_path.unlink()  # empty; also removes the file of an earlier import
    return WriteReport(num_rows, num_written, num_bad, rejected_path if num_bad else None)


def rejected_rows_path(out: Path) -> Path:
    return out.with_name(out.name.removesuffix(".jsonl") + ".rejected.jsonl")


def require_jsonl_name(out: Path) -> Path:
    """Return `out`; raise DataError if its name does not end in .jsonl, or ProjectError if it is in an
    artifact.
    """
    if out.suffix != ".jsonl":
        raise DataError(f"{out}: rows are written as plain JSON Lines. Choose a name that ends in .jsonl.")
    require_outside_artifacts(out)
    return out


def _rejected_row(problem: RowProblem) -> dict[str, Any]:
    return {
        "where": f"{problem.path}:{problem.line}",
        "field": problem.field,
        "reason": f"{problem.why}. {problem.remedy}",
        "row": problem.row,
    }
