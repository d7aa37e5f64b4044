"""Rules in Python: which columns they get, how they are called, and that each fault names its place."""

import os
import signal
from pathlib import Path

import pytest

from fairlead.core.errors import ConfigError, GateRefused
from fairlead.core.interrupt import stop_on_interrupt
from fairlead.data.records import Prompt
from fairlead.rollout.records import Answer
from fairlead.rollout.rules import RuleTimedOut, load_rule, time_limit
from fakes import turns

ROWS = [
    Prompt(turns("What is 3 plus 4?"), reference="7", tags=("sum",), id="q1", metadata={"level": 3}),
    Prompt(turns("What is 5 plus 6?"), reference="11"),
]
ANSWERS = [Answer(ROWS[0], "It is 7.", True, number=1), Answer(ROWS[1], "It is 12.", False, number=2)]


def scores(folder: Path, text: str, *, timeout_s: float = 5.0) -> list[float]:
    """What the rule with this text gives the two answers."""
    path = folder / "rule.py"
    path.write_text(text)
    return load_rule(str(path), timeout_s=timeout_s)(ANSWERS)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("def score(prompt, answer, finished): return len(answer) + 100 * finished", [108, 9]),
        ("def score(p, a, f): return len(a) + 100 * f", [108, 9]),
        ("def score(p, a, f=None): return len(a) + 100 * f", [108, 9]),
        ("def score(*asked): return len(asked[1])", [8, 9]),
        ("score = lambda p, a, f, /: len(a)", [8, 9]),
        ("def score(answer, reference): return reference in answer", [1, 0]),
        ("def score(reference, answer): return reference in answer", [1, 0]),
        ("def score(prompt, answer, finished, reference): return reference in answer", [1, 0]),
        ("def score(p, a, f, reference=None): return reference in a", [1, 0]),
        ("def score(p, a, f, *, tags): return len(tags)", [1, 0]),
        ("def score(answer, **row): return row['reference'] in answer", [1, 0]),
        ("def score(p, a, f, **row): return row['reference'] in a", [1, 0]),
        ("def score(row): return int(row['reference'])", [7, 11]),
        ("def score(metadata, id): return metadata.get('level', 0) + 10 * (id == 'q1')", [13, 0]),
        ("def score(row): return 'id' in row and row['prompt'][0]['content'].count('3')", [1, 0]),
        (
            "def scores(ids, metadata): return [i == 'q1' and 3 for i, m in zip(ids, metadata)]",
            [3, 0],
        ),
        ("def score(answer, strength=2): return strength", [2, 2]),
        ("async def score(answer, reference): return reference in answer", [1, 0]),
        ("def scores(prompts, answers, finished): return [len(a) for a in answers]", [8, 9]),
        ("def scores(answers, references): return [r in a for a, r in zip(answers, references)]", [1, 0]),
        ("def scores(rows): return (int(row['reference']) for row in rows)", [7, 11]),
        ("async def scores(answers): return [len(a) for a in answers]", [8, 9]),
        ("import numpy\ndef scores(answers): return numpy.array([0.5, 1.5])", [0.5, 1.5]),
        ("import torch\ndef score(answer): return torch.tensor(0.25)", [0.25, 0.25]),
        ("class Rule:\n def __call__(self, answer): return 3\nscore = Rule()", [3, 3]),
    ],
)
def test_a_rule_gets_the_columns_that_it_names(tmp_path: Path, text: str, expected: list[float]) -> None:
    assert scores(tmp_path, text) == expected


def test_async_calls_wait_together(tmp_path: Path) -> None:
    text = """
import asyncio
waiting = 0
async def score(answer):
    global waiting
    waiting += 1
    while waiting < 2:
        await asyncio.sleep(0.001)
    return waiting
"""
    assert scores(tmp_path, text) == [2, 2]  # one after the other would wait for ever


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("def score(answer): return 1 / 0", "in line 1: ZeroDivisionError: division by zero"),
        ("import sys\ndef score(answer): sys.exit(3)", r"in line 2: it called sys.exit\(3\)"),
        ("def score(answer): raise SystemExit", r"in line 1: it called sys.exit\(None\)"),
        (
            "class Own(Exception): pass\ndef score(answer): raise Own('no number')",
            "in line 2: Own: no number",
        ),
        ("class Own(BaseException): pass\ndef score(answer): raise Own", "in line 2: Own"),
        ("def score(answer): raise GeneratorExit", "GeneratorExit"),
        ("def score(answer): raise StopIteration", "StopIteration"),
        ("def score(answer): return score(answer)", "RecursionError"),
        ("import asyncio\ndef score(answer): raise asyncio.CancelledError", "CancelledError"),
        ("import asyncio\nasync def score(answer): raise asyncio.CancelledError", "the call was cancelled"),
        ("async def score(answer): raise SystemExit(3)", r"it called sys.exit\(3\)"),
        ("async def score(answer): raise TimeoutError('slow')", "TimeoutError: slow"),
        ("def score(answer): raise TimeoutError", "TimeoutError"),
        ("def score(answer): return None", "returned None; a finite number is needed"),
        ("def score(answer): return '1'", "returned '1'; a finite number is needed"),
        ("def score(answer): return float('nan')", "returned nan; a finite number is needed"),
        ("def score(answer): return 1e39", "finite number is needed"),
        ("def score(answer): return 10 ** 400", "OverflowError"),
        ("def score(answer): return 1j", "returned 1j; a finite number is needed"),
        (
            "import numpy\ndef score(answer): return numpy.complex64(1j)",
            "a complex64; a finite number is needed",
        ),
        (
            "import numpy\ndef score(answer): return numpy.array([True, False])",
            "returned a ndarray; a",
        ),
        ("import numpy\ndef score(answer): return numpy.float32('inf')", "finite number is needed"),
        (
            "import torch\ndef score(answer): return torch.tensor([1.0, 2.0])",
            "returned a Tensor; a",
        ),
        ("import torch\ndef score(answer): return torch.tensor(float('nan'))", "a Tensor; a finite number"),
        ("def score(answer): return 'x' * 10**8", "returned 'xxxx.*; a finite number is needed"),
        ("def score(answer): return [[0] * 10**6]", "returned \\[\\[0, .*; a finite number is needed"),
        ("def score(answer): return int('9' * 4000)", "OverflowError"),
        ("def scores(answers):\n while True: yield 1.0", "returned more scores for 2 answers"),
        ("import numpy\ndef scores(answers): return numpy.array([True])", "returned 1 score for 2"),
        ("def scores(answers): return [True, 1j]", "row 2 of the prompts returned 1j"),
        ("def scores(answers): return {0: 1.0}", "a list of numbers is needed"),
        (
            "class Own(Exception):\n def __str__(self): raise ValueError\ndef score(answer): raise Own",
            "failed in line 3: Own",
        ),
        (
            "class R:\n def __repr__(self): raise ValueError\nimport sys\ndef score(answer): sys.exit(R())",
            "it called sys.exit",
        ),
        ("class R:\n def __float__(self): raise SystemExit\ndef score(answer): return R()", "sys.exit"),
        (
            "class L(list):\n def __len__(self): raise ValueError\ndef scores(answers): return L()",
            "scores for",
        ),
        ("def score(answer): return [1.0]", "returned \\[1.0\\]; a finite number is needed"),
        ("def scores(answers): return 1.0", "TypeError: 'float' object is not iterable"),
        (
            "def scores(answers): return [1.0]",
            "on 2 answers to rows 1 to 2 .* returned 1 score for 2",
        ),
        ("def scores(answers): return '12'", "returned '12'; a list of numbers is needed"),
        ("def scores(answers): return [1.0, None]", "row 2 of the prompts returned None"),
        ("def scores(answers): raise KeyError('x')", "in line 1: KeyError: 'x'"),
        (
            "class R:\n def __repr__(self): raise ValueError\ndef score(answer): return R()",
            "returned a R; a",
        ),
    ],
)
@pytest.mark.filterwarnings("ignore:coroutine")
def test_whatever_a_rule_raises_is_its_fault(tmp_path: Path, text: str, why: str) -> None:
    with pytest.raises(ConfigError, match=why) as caught:
        scores(tmp_path, text)
    message = str(caught.value)
    assert message.startswith(f"{tmp_path}/rule.py: score") and "\n" not in message
    assert "of the prompts" in message and caught.value.exit_code == 1


def test_the_fault_names_answer_and_row(tmp_path: Path) -> None:
    text = "def score(answer, finished):\n    if not finished: raise ValueError('cut')\n    return 1.0\n"
    with pytest.raises(ConfigError) as caught:
        scores(tmp_path, text)
    assert str(caught.value) == (
        f"{tmp_path}/rule.py: score on the answer 'It is 12.' to row 2 of the prompts failed in line 2: "
        "ValueError: cut. Correct the rule."
    )


def test_an_error_of_fairlead_inside_a_rule_keeps_its_text_and_ends_with_1(tmp_path: Path) -> None:
    text = "from fairlead.core import errors\ndef score(answer): raise errors.GateRefused('not admitted.')\n"
    with pytest.raises(ConfigError, match="in line 2: not admitted. Correct the rule") as caught:
        scores(tmp_path, text)
    assert caught.value.exit_code == 1 != GateRefused.exit_code


@pytest.mark.parametrize(
    "text",
    [
        "import time\ndef score(answer): time.sleep(60)",
        "def score(answer):\n    while True: pass",
        "def score(answer):\n    while True:\n        try: pass\n        except Exception: pass",
        "import re\ndef score(answer): return re.match('(a+)+b', 'a' * 60) is None",
        "import asyncio\nasync def score(answer): await asyncio.sleep(60)",
        "import time\nasync def score(answer): time.sleep(60)",
        "import time\ndef scores(answers): time.sleep(60)",
        "import time\ndef scores(answers):\n    yield 1\n    time.sleep(60)",
    ],
)
def test_a_rule_that_takes_too_long_is_stopped(tmp_path: Path, text: str) -> None:
    with pytest.raises(ConfigError, match=r"took longer than rule_timeout = 0.05 s. Correct the rule"):
        scores(tmp_path, text, timeout_s=0.05)


def test_a_limit_gives_the_alarm_back(tmp_path: Path) -> None:
    before = signal.getsignal(signal.SIGALRM)
    remaining, _ = signal.setitimer(signal.ITIMER_REAL, 100)
    try:
        with pytest.raises(RuleTimedOut), time_limit(0.01):
            signal.pause()
        assert signal.getsignal(signal.SIGALRM) is before
        assert 90 < signal.getitimer(signal.ITIMER_REAL)[0] <= 100
    finally:
        signal.setitimer(signal.ITIMER_REAL, remaining)


def test_ctrl_c_is_not_the_fault_of_a_rule(tmp_path: Path) -> None:
    text = "import os, signal\ndef score(answer):\n    os.kill(os.getpid(), signal.SIGINT)\n    return 1\n"
    handler = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        with pytest.raises(KeyboardInterrupt):
            scores(tmp_path, text)
    finally:
        signal.signal(signal.SIGINT, handler)


def test_a_rule_that_raises_keyboard_interrupt_during_a_run_is_at_fault(tmp_path: Path) -> None:
    with stop_on_interrupt(), pytest.raises(ConfigError, match="in line 1: KeyboardInterrupt"):
        scores(tmp_path, "def score(answer): raise KeyboardInterrupt\n")


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("x = 1\n", r"defines no function score\(prompt, answer, finished\)"),
        ("score = 3\n", r"defines no function score\(prompt, answer, finished\)"),
        ("def score(answer:\n", "cannot be loaded in line 1: SyntaxError"),
        ("import sys\nsys.exit(3)\n", r"cannot be loaded in line 2: it called sys.exit\(3\)"),
        ("class Own(BaseException): pass\nraise Own\n", "cannot be loaded in line 2: Own"),
        ("import no_such_module\n", "cannot be loaded in line 1: ModuleNotFoundError"),
        ("import time\ntime.sleep(60)\n", "loading took longer than rule_timeout = 0.05 s"),
        (
            "def score(answer, gold): return 1\n",
            "score takes 'gold', which no row has. A rule",
        ),
        ("def score(answer, *, gold): return 1\n", "score takes 'gold', which no row has"),
        (
            "def scores(answers, gold): return 1\n",
            "scores takes 'gold', which no row has. A rule",
        ),
    ],
)
def test_a_file_that_is_no_rule_is_refused(tmp_path: Path, text: str, why: str) -> None:
    with pytest.raises(ConfigError, match=f"rule.py: {why}"):
        scores(tmp_path, text, timeout_s=0.05)


def test_a_rule_may_import_files_beside_it_and_define_dataclasses(tmp_path: Path) -> None:
    (tmp_path / "words_of_the_rule.py").write_text("GOOD = 'It'\n")
    text = (
        "from __future__ import annotations\nfrom dataclasses import dataclass\n"
        "from words_of_the_rule import GOOD\n"
        "@dataclass\nclass Seen:\n    text: str\n"
        "def score(answer): return Seen(answer).text.startswith(GOOD)\n"
    )
    assert scores(tmp_path, text) == [1, 1]
    assert not os.path.exists(tmp_path / "__pycache__" / "rule.cpython-311.pyc")


def test_what_a_rule_prints_goes_to_the_error_stream(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert scores(tmp_path, "print('loading')\ndef score(answer): print('scoring'); return 1.0") == [1, 1]
    printed = capsys.readouterr()
    assert (printed.out, printed.err) == ("", "loading\nscoring\nscoring\n")


def test_the_time_limit_holds_while_a_score_is_turned_into_a_number(tmp_path: Path) -> None:
    text = "class R:\n def __float__(self):\n  while True: pass\ndef score(answer): return R()"
    with pytest.raises(ConfigError, match="took longer than rule_timeout"):
        scores(tmp_path, text, timeout_s=0.2)
