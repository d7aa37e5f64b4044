"""Rules by name: right answers score, wrong and hostile ones do not, and nothing takes long."""

import json
import time
from pathlib import Path

import pytest

from fairlead.core.errors import ConfigError, RuleError
from fairlead.data.records import Prompt
from fairlead.rollout.ready_made_rules import as_rule, is_right, ready_made
from fairlead.rollout.records import Answer
from fairlead.rollout.rewards import open_reward
from fairlead.rollout.rules import time_limit
from fakes import turns

GSM8K = Path(__file__).parents[3] / "shared" / "data" / "gsm8k" / "train.jsonl"


def score(rule: str, text: str, reference: str | None = None) -> float:
    row = Prompt(turns("?"), reference=reference)
    return float(open_reward(f"rule:{rule}", micro_tokens=1)([Answer(row, text, True)]).values)


@pytest.mark.parametrize(
    ("text", "reference"),
    [
        (r"So it is \boxed{\frac{1}{2}}.", "0.5"),
        (r"\boxed{\frac12}", "1/2"),
        ("x = 3", "3"),
        (r"\boxed{x^2+2x+1}", "(x+1)^2"),
        (r"$\boxed{2\sqrt{2}}$", r"\sqrt{8}"),
        (r"\boxed{\frac{\sqrt{3}}{3}}", r"\frac{1}{\sqrt{3}}"),
        (r"\boxed{\pi/4}", r"\frac{\pi}{4}"),
        (r"\boxed{\sin(x)^2+\cos(x)^2}", "1"),
        (r"\boxed{2^{10}}", "1024"),
        (r"\boxed{(1, 2)}", "(1,2)"),
        (r"\boxed{6\text{ cm}}", "6"),
        (r"First \boxed{1}, then \boxed{2}.", "2"),
        ("#### 1,234", "1234"),
        ("The answer is $18.", "18"),
        ("The answer is 18 dollars.", "18"),
        ("It costs 3.50 in all.", "3.5"),
        ("She sold 48 + 24 = 72 clips.", "She sold 24.\n#### 72"),
        ("**Answer:** -3", "-3"),
    ],
)
def test_equal_answers_are_right(text: str, reference: str) -> None:
    assert score("maths", text, reference) == 1.0


@pytest.mark.parametrize(
    ("text", "reference"),
    [
        ("The answer is 4.", "3"),
        (r"\boxed{3}", "-3"),
        (r"\boxed{x}", "y"),
        (r"\boxed{(1,2)}", "[1,2]"),
        (r"\boxed{(2,1)}", "(1,2)"),
        ("I do not know.", "3"),
        ("", "3"),
        (r"\boxed{1/0}", "3"),
        (r"\boxed{9^{9^{9^9}}}", "3"),
        (r"\boxed{9**9**9}", "3"),
        (r"\boxed{((x^200)^200)^200}", "3"),
        (r"\boxed{" + "(" * 290 + "}", "3"),
        (r"\boxed{" * 5000, "3"),
        (r"\boxed{__import__('os').system('true')}", "3"),
        ("9" * 100_000, "3"),
        ("1," * 20_000, "3"),
        ("the answer is " * 2_000, "3"),
    ],
)
def test_wrong_and_hostile_answers_are_not_and_cost_no_time(text: str, reference: str) -> None:
    start = time.monotonic()
    assert score("maths", text, reference) == 0.0
    assert time.monotonic() - start < 2.0


@pytest.mark.skipif(not GSM8K.exists(), reason="needs the data set")
def test_the_solutions_of_gsm8k_are_right_and_others_are_not() -> None:
    for line in GSM8K.read_text(encoding="utf-8").splitlines()[:1000]:
        solution = json.loads(line)["answer"]
        answer = solution.rpartition("####")[2].strip()
        assert is_right(solution, answer) and is_right(f"It is {answer}.", solution)
        assert not is_right(solution, str(int(answer.replace(",", "")) + 1))


@pytest.mark.parametrize(
    ("rule", "text", "reference", "expected"),
    [
        ("exact", " Yes. ", "yes", 1.0),
        ("exact", "Yes, of course", "yes", 0.0),
        ("regex=^[A-Z].*[.]$", "It is.", None, 1.0),
        ("regex=^[A-Z].*[.]$", "it is", None, 0.0),
        ("regex=a=b", "a=b", None, 1.0),
        ("format=json", '{"a": [1]}', None, 1.0),
        ("format=json", "{a: 1}", None, 0.0),
        ("format=json", "[" * 100_000, None, 0.0),
        ("format=boxed", r"\boxed{1}", None, 1.0),
        ("format=boxed", r"\boxed{1", None, 0.0),
        ("format=think", "<think>So</think> 4", None, 1.0),
        ("format=think", "<think>So</think> ", None, 0.0),
        ("format=think", "<think>a</think><think>b</think> 4", None, 0.0),
        ("format=think-answer", "<think>So</think>\n<answer>4</answer>", None, 1.0),
        ("format=think-answer", "<think>So</think> 4", None, 0.0),
        ("length=2-4", "one two three", None, 1.0),
        ("length=2-4", "one", None, 0.5),
        ("length=2-4", "one two three four five", None, 0.75),
        ("length=2-4", "word " * 50, None, 0.0),
        ("length=1-3chars", "ab", None, 1.0),
        ("language=en", "The cat is on the table and it was not happy.", None, 1.0),
        ("language=de", "The cat is on the table and it was not happy.", None, 0.0),
        ("language=de", "Der Hund ist nicht auf dem Tisch und die Katze auch.", None, 1.0),
        ("language=ja", "これは日本語です。", None, 1.0),
        ("language=zh", "这是中文。", None, 1.0),
        ("language=en", "12345", None, 0.0),
    ],
)
def test_the_other_rules(rule: str, text: str, reference: str | None, expected: float) -> None:
    assert score(rule, text, reference) == expected


@pytest.mark.parametrize(
    ("name", "argument", "why"),
    [
        ("maths", "x", "takes no argument"),
        ("regex", "", "needs an argument, for example rule:regex="),
        ("regex", "(", "is not a regular expression"),
        ("format", "xml", "no such format. Formats are json, boxed"),
        ("length", "100", "needs the fewest and the most words"),
        ("length", "9-2", "needs the fewest and the most words"),
        ("language", "xx", "no such language. Languages are en, de"),
    ],
)
def test_an_unusable_argument_is_refused(name: str, argument: str, why: str) -> None:
    with pytest.raises(ConfigError, match=why):
        ready_made(name, argument)


def test_a_pattern_that_takes_too_long_is_a_fault_of_the_rule() -> None:
    rule = as_rule("rule:regex=(a+)+b", ready_made("regex", "(a+)+b"), timeout_s=0.05)
    with time_limit(10), pytest.raises(RuleError, match="took longer than rule_timeout = 0.05 s"):
        rule([Answer(Prompt(turns("?")), "a" * 60, True)])
