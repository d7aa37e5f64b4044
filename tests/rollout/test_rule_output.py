import subprocess
import sys
from pathlib import Path

import pytest

from fairlead.rollout.rule_output import OutputClosed, output_kept

# What a command does: it loads a rule, reports what is wrong, and prints its result.
COMMAND = """
import sys
from fairlead.core.errors import FairleadError
from fairlead.rollout.rules import load_rule
for path in sys.argv[1:]:
    try:
        load_rule(path)([])
    except FairleadError as error:
        print(error, file=sys.stderr, flush=True)
    print("result", flush=True)
"""
CLOSE = (
    "sys.stdout.close()",
    "sys.stderr.close()",
    "sys.__stdout__.close()",
    "sys.__stderr__.close()",
    "sys.stderr.buffer.close()",
    "os.close(1)",
    "os.close(2)",
)


def test_a_rule_that_closes_an_output_is_refused_with_a_sentence(tmp_path: Path) -> None:
    rules = []
    for number, close in enumerate(CLOSE):
        in_call, on_load = tmp_path / f"call{number}.py", tmp_path / f"load{number}.py"
        in_call.write_text(f"import os, sys\ndef scores(answers):\n    {close}\n    return []\n")
        on_load.write_text(f"import os, sys\n{close}\ndef score(answer): return 1\n")
        rules += [str(in_call), str(on_load)]
    process = subprocess.run([sys.executable, "-c", COMMAND, *rules], capture_output=True, text=True)
    assert process.stdout == "result\n" * len(rules), process.stderr
    for rule, line in zip(rules, process.stderr.splitlines(), strict=True):
        assert line.startswith(f"{rule}: ")
        assert "closed std" in line or "closes a stream" in line, line


def test_streams_that_a_rule_replaces_come_back() -> None:
    before = sys.stdout, sys.stderr
    with output_kept():
        for name in ("stdout", "stderr"):
            setattr(sys, name, None)
    assert (sys.stdout, sys.stderr) == before
    with pytest.raises(OutputClosed, match="closes a stream"), output_kept():
        sys.stdout.close()
    assert (sys.stdout, sys.stderr) == before and not sys.stderr.closed
