"""Every set of the shared folder, imported as docs/reference/import-formats.md says, with its counts."""

import shlex
from collections.abc import Callable
from pathlib import Path

import pytest

from outcome import Cli

PAGE = Path(__file__).parents[2] / "docs" / "reference" / "import-formats.md"
SECTION = PAGE.read_text(encoding="utf-8").partition("## Data sets in the repository's shared folder")[2]
LINES = [line for line in SECTION.splitlines() if line.startswith("|")]
TABLE = [[cell.strip() for cell in line.strip("|").split("|")] for line in LINES[2:]]


@pytest.mark.parametrize("row", TABLE, ids=[f"{row[0]} {row[1]}" for row in TABLE])
def test_a_set_is_imported_with_the_counts_of_the_page(
    cli: Cli, real_data: Callable[[str], Path], tmp_path: Path, row: list[str]
) -> None:
    file, options, format, num_read, written, num_left_out, num_dropped = (cell.strip("`") for cell in row)
    out = tmp_path / "out.jsonl"
    result = cli("data", "import", real_data(file), "--out", out, "--json", *shlex.split(options))
    assert result.code == 0, result.err
    report = result.json
    num_written, kind = written.split()
    assert (report["format"], report["num_read"], report["num_dropped"]) == (
        format,
        int(num_read),
        int(num_dropped),
    )
    assert (report["num_written"], f"{report['kind']}s") == (int(num_written), kind)
    assert sum(report["left_out"].values()) + report["num_repeated"] == int(num_left_out)
    assert out.read_text(encoding="utf-8").count("\n") == int(num_written)
