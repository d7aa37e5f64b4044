"""Memory and speed of `fairlead data import` on large files.

run  python -m benchmarks.large_import --json benchmarks/results/large_import.json

Each file holds the same comparisons: a prompt of about 200 characters and two answers of about 600.  Every
import runs in a process of its own; its memory is the largest resident set that the system saw (ru_maxrss),
and its time includes the start of Python.
"""

import argparse
import csv
import json
import multiprocessing
import os
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import pyarrow
import pyarrow.parquet

Row = dict[str, str]

WORDS = """the boil water pan egg salt gently seven minutes before adding pepper fresh herbs until yolk firm
    because heat spreads evenly naïve façade “quoted” 1,000 grams über cool, then peel; serve: warm""".split()
ROWS_PER_GROUP = 100_000


def rows() -> Iterator[Row]:
    draw = random.Random(0)
    for number in range(10**9):
        words = draw.choices(WORDS, k=220)
        yield {
            "prompt": f"{number} " + " ".join(words[:30]),
            "chosen": " ".join(words[30:125]),
            "rejected": " ".join(words[125:]),
        }


def write_jsonl(path: Path, num_bytes: int) -> int:
    return _write_json(path, num_bytes, "", "\n", "\n")


def write_json(path: Path, num_bytes: int) -> int:
    return _write_json(path, num_bytes, "[\n", ",\n", "\n]\n")


def write_json_object(path: Path, num_bytes: int) -> int:
    return _write_json(path, num_bytes, '{"version": 1, "data": [\n', ",\n", "\n]}\n")


def _write_json(path: Path, num_bytes: int, head: str, between: str, tail: str) -> int:
    with path.open("w", encoding="utf-8") as file:
        file.write(head)
        for number, row in enumerate(rows()):
            if file.tell() >= num_bytes:
                break
            file.write((between if number else "") + json.dumps(row, ensure_ascii=False))
        file.write(tail)
    return number


def write_csv(path: Path, num_bytes: int) -> int:
    num_rows = 0
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["prompt", "chosen", "rejected"])
        for row in rows():
            if file.tell() >= num_bytes:
                break
            writer.writerow(row.values())
            num_rows += 1
    return num_rows


def write_parquet(path: Path, num_bytes: int) -> int:
    """`num_bytes` of text; the file is smaller."""
    source = rows()
    number = written = 0
    schema = pyarrow.schema({name: pyarrow.string() for name in ("prompt", "chosen", "rejected")})
    with pyarrow.parquet.ParquetWriter(path, schema) as writer:
        while written < num_bytes:
            group = list(islice(source, ROWS_PER_GROUP))
            writer.write_table(pyarrow.Table.from_pylist(group, schema=schema))
            number += len(group)
            written += sum(len(text.encode()) for row in group for text in row.values())
    return number


FILES: dict[str, Callable[[Path, int], int]] = {
    "pairs.jsonl": write_jsonl,
    "pairs.json": write_json,
    "object.json": write_json_object,
    "pairs.csv": write_csv,
    "pairs.parquet": write_parquet,
}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--gb", type=float, default=1.0, help="size of each file, in units of 10^9 bytes")
    parser.add_argument("--files", default=",".join(FILES))
    parser.add_argument("--json", type=Path, help="write the results to this file")
    options = parser.parse_args()
    results = []
    for name in options.files.split(","):
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / name
            # In another process: a child's ru_maxrss begins with the memory of the process that starts it.
            with multiprocessing.get_context("spawn").Pool(1) as pool:
                num_rows = pool.apply(FILES[name], (path, int(options.gb * 1e9)))
            results.append({"file": name, **measure(path, num_rows)})
            print(results[-1], flush=True)
    if options.json is not None:
        options.json.write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")


def measure(path: Path, num_rows: int) -> dict[str, Any]:
    out = path.with_name("out.jsonl")
    command = [sys.executable, "-m", "fairlead", "data", "import", str(path), "--out", str(out)]
    start = time.monotonic()
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    seconds = time.monotonic() - start
    process.returncode = os.waitstatus_to_exitcode(status)
    return {
        "exit_code": process.returncode,
        "file_mb": round(path.stat().st_size / 1e6),
        "rows": num_rows,
        "seconds": round(seconds, 1),
        "rows_per_second": round(num_rows / seconds),
        "peak_mib": round(usage.ru_maxrss / 1024),
    }


if __name__ == "__main__":
    main()
