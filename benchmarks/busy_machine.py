"""How much slower training gets when another program keeps one core busy.

run  python -m benchmarks.busy_machine --pairs 5 --json benchmarks/results/busy_machine.json

The benchmark times SFT steps of the quickstart with two settings of how threads wait: the default of libgomp,
and the settings of Fairlead.  The time of Fairlead includes choosing the number of threads.  Each is measured
in turn on the idle machine and beside a program that keeps one core busy.  Every measurement is a separate
process, timed after torch is imported.  Use a machine with nothing else running.
"""

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from benchmarks.quickstart import machine
from fairlead.core import files
from fairlead.data.record_writer import write_records
from fairlead.loop import toy_world
from fairlead.simulate import campaign
from fairlead.store.project import create_project

BATCH = 16
LIBGOMP_SPIN_COUNT = "300000"  # libgomp's own default where every thread can have a core
SPIN_SETTINGS = {
    "default": {"GOMP_SPINCOUNT": LIBGOMP_SPIN_COUNT, "OMP_NUM_THREADS": "2"},
    "fairlead": {},
}
TRAIN = """
import sys, time
from fairlead.core.threads import limit_spinning
limit_spinning()
import torch, transformers, peft
from fairlead.cli.app import call
began = time.perf_counter()
assert call(sys.argv[1:]) == 0
print("seconds", time.perf_counter() - began)
"""


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--pairs", type=int, default=5)
    parser.add_argument("--steps", type=int, default=10)
    parser.add_argument("--json", type=Path)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        project = new_project(Path(folder) / "project", steps=args.steps)
        seconds: dict[str, list[float]] = {}
        for pair in range(args.pairs):
            for name, settings in SPIN_SETTINGS.items():
                for busy in (False, True):
                    with busy_core() if busy else idle():
                        key = f"{name}, {'busy' if busy else 'idle'}"
                        seconds.setdefault(key, []).append(train(project, f"{name}-{busy}-{pair}", settings))
                        print(f"{key}: {seconds[key][-1]:.2f} s", flush=True)
    ratios = {
        "slower_when_busy": {
            name: ratio(seconds, f"{name}, busy", f"{name}, idle") for name in SPIN_SETTINGS
        },
        "fairlead_over_default_idle": ratio(seconds, "fairlead, idle", "default, idle"),
    }
    print(json.dumps(ratios, indent=2))
    summary = {"machine": machine(), "steps": args.steps, "seconds": seconds} | ratios
    if args.json:
        files.write_text(args.json, json.dumps(summary, indent=2) + "\n")


def ratio(seconds: Mapping[str, Sequence[float]], numerator: str, denominator: str) -> dict[str, float]:
    """The paired ratios of two measurements: median, lowest and highest."""
    ratios = [a / b for a, b in zip(seconds[numerator], seconds[denominator], strict=True)]
    return {
        "median": round(statistics.median(ratios), 2),
        "lowest": round(min(ratios), 2),
        "highest": round(max(ratios), 2),
    }


def new_project(folder: Path, *, steps: int) -> Path:
    project = create_project(folder)
    shutil.copytree(toy_world.BASE_MODEL, folder / "base")
    write_records(project.data / "demonstrations.jsonl", campaign.demonstrations((steps + 1) * BATCH, 0))
    return folder


def train(project: Path, name: str, settings: dict[str, str]) -> float:
    arguments = ["train", "sft", f"name={name}", "model=base", "demonstrations=data/demonstrations.jsonl"]
    arguments += [f"batch={BATCH}", "held_out=0.1", "rank=0", "lr=3e-4", "warmup=5", "measure_every=100"]
    command = [sys.executable, "-c", TRAIN, *arguments, "--project", str(project)]
    environment = {
        key: value for key, value in os.environ.items() if key not in ("OMP_NUM_THREADS", "GOMP_SPINCOUNT")
    }
    finished = subprocess.run(
        command, cwd=project, env=environment | settings, capture_output=True, text=True, check=True
    )
    return float(finished.stdout.rsplit("seconds", 1)[1])


@contextmanager
def busy_core() -> Iterator[None]:
    """Run a program that keeps one core busy."""
    program = subprocess.Popen([sys.executable, "-c", "while True: pass"])
    try:
        yield
    finally:
        program.kill()
        program.wait()


@contextmanager
def idle() -> Iterator[None]:
    yield


if __name__ == "__main__":
    main()
