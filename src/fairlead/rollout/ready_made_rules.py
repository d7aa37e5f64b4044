"""Rules that a reference names: `rule:maths`, `rule:exact`, `rule:regex=...`.  See docs/reference/rules.md.

Each scores 1 for an answer that is right and 0 for one that is not; `length` falls in between.  Answers are
hostile text: nothing in them is evaluated as Python, and every calculation is bounded in time and size.
"""

import json
import re
from collections.abc import Callable, Sequence
from fractions import Fraction

from fairlead.core.errors import ConfigError, RuleError
from fairlead.rollout.language import language_rule
from fairlead.rollout.maths_notation import canonical, rewritten
from fairlead.rollout.records import Answer
from fairlead.rollout.rules import Rule, RuleTimedOut, time_limit
from fairlead.rollout.symbolic_equality import are_equal
from fairlead.store.resolve_inputs import READY_MADE

Scorer = Callable[[Answer], float]

NEEDS_REFERENCE = ("maths", "exact")
LONGEST_NUMBER = 400  # characters; longer ones are no answers
_NUMBER = re.compile(r"[-+]?(?:\d[\d,]*(?:\.\d+)?|\.\d+)(?:[eE][-+]?\d{1,3}(?![\w.]))?(?:\s*/\s*\d[\d,]*)?")
_TAGGED = re.compile(r"<answer>(.*?)</answer>", re.DOTALL)
_MARKED = re.compile(r"####\s*(\S[^\n]*)")
_STATED = re.compile(r"(?:final answer|answer)\s*(?:is|:|=)\s*:?\s*([^\n]+)", re.IGNORECASE)
# What may follow a number: a unit in words.  A sign or a letter beside it makes it an expression.
_UNIT = re.compile(r"\s*[%€$£°]?(?:\s+[A-Za-z]{2,}\.?(?:\s+[A-Za-z]+\.?)*)?")
_FORMATS = ("json", "boxed", "think", "think-answer")


def ready_made(name: str, argument: str) -> Scorer:
    """The rule of this name.  Raises ConfigError if the argument does not fit it."""
    reference = f"rule:{name}={argument}" if argument else f"rule:{name}"
    if name in NEEDS_REFERENCE and argument:
        raise ConfigError(f"{reference}: takes no argument. Write rule:{name}.")
    if name not in NEEDS_REFERENCE and not argument:
        raise ConfigError(f"{reference}: needs an argument, for example rule:{READY_MADE[name]}.")
    if name == "maths":
        return lambda answer: float(is_right(answer.text, answer.row.reference or ""))
    if name == "exact":
        return lambda answer: float(_plain(answer.text) == _plain(answer.row.reference or ""))
    if name == "language":
        return language_rule(reference, argument)
    if name == "regex":
        return _regex(reference, argument)
    if name == "format":
        return _format(reference, argument)
    return _length(reference, argument)


def as_rule(reference: str, scorer: Scorer, *, timeout_s: float) -> Rule:
    """The rule for all answers of a step.  A comparison that takes too long is a fault of the rule."""

    def rule(answers: Sequence[Answer]) -> list[float]:
        scores = []
        for answer in answers:
            try:
                with time_limit(timeout_s):
                    scores.append(scorer(answer))
            except RuleTimedOut:
                raise RuleError(
                    f"{reference}: took longer than rule_timeout = {timeout_s:g} s on the answer "
                    f"{answer.text[:60]!r}. Take a simpler rule."
                ) from None
        return scores

    return rule


def is_right(text: str, reference: str) -> bool:
    """Whether the answer of a text equals the answer of the reference, as a number or as an expression."""
    answer, expected = answer_of(text), answer_of(reference, is_reference=True)
    if not answer or not expected:
        return False
    if _plain(answer) == _plain(expected):
        return True
    left, right = number_of(answer), number_of(expected)
    if left is not None and right is not None:
        return left == right
    first, second = _expression(answer), _expression(expected)
    return canonical(first) == canonical(second) or are_equal(first, second)


def answer_of(text: str, *, is_reference: bool = False) -> str:
    r"""The answer in a text, after its reasoning: in <answer>, in the last \boxed{}, after the last ####,
    after "the answer is", or the last number.  A reference without a mark is the answer as it stands.
    """
    before, closed, after = text.rpartition("</think>")
    text = after if closed and after.strip() else text
    if tagged := _TAGGED.findall(text):
        return _without_end(str(tagged[-1]))
    boxed = _last_boxed(text)
    if boxed is not None:
        return boxed.strip()
    if marked := _MARKED.findall(text):
        return str(marked[-1]).strip()
    if is_reference:
        return text.strip()
    if stated := _STATED.findall(text):
        return _without_end(str(stated[-1]))
    numbers = _NUMBER.findall(text)
    return str(numbers[-1]) if numbers else ""


def number_of(text: str) -> Fraction | None:
    """The number that a text is, without thousands separators, currency, percent signs and units."""
    plain = _expression(text).removeprefix("$").strip()
    match = _NUMBER.match(plain)
    if match is None or len(match[0]) > LONGEST_NUMBER or not _UNIT.fullmatch(plain[match.end() :]):
        return None
    try:
        return Fraction("".join(match[0].replace(",", "").split()))
    except (ValueError, ZeroDivisionError):
        return None


def _last_boxed(text: str) -> str | None:
    r"""What the last \boxed{...} holds, with braces inside it."""
    start = max(text.rfind("\\boxed{"), text.rfind("\\fbox{"))
    if start < 0:
        return None
    begin = text.index("{", start) + 1
    depth = 1
    for place in range(begin, len(text)):
        depth += {"{": 1, "}": -1}.get(text[place], 0)
        if depth == 0:
            return text[begin:place]
    return None


def _expression(text: str) -> str:
    """Without the marks of a formula around it, and without the end of a sentence."""
    plain = text.strip().strip("*`").strip()
    for left, right in (("$$", "$$"), ("\\(", "\\)"), ("\\[", "\\]"), ("$", "$")):
        if plain.startswith(left) and plain.endswith(right) and len(plain) >= len(left) + len(right):
            plain = plain[len(left) : len(plain) - len(right)].strip()
    plain = plain.replace("\\$", "").replace("\\%", "%").replace("\\!", "")
    return _without_end(rewritten(plain).replace("\\,", " "))


def _without_end(text: str) -> str:
    plain = text.strip().strip("*`").rstrip(".;:, ")
    return re.sub(r"(?<![\w)}])!+$", "", plain).strip()  # 5! is a factorial


def _plain(text: str) -> str:
    return " ".join(_without_end(text).casefold().split())


def _regex(reference: str, pattern: str) -> Scorer:
    try:
        compiled = re.compile(pattern, re.DOTALL)
    except re.error as error:
        raise ConfigError(f"{reference}: is not a regular expression: {error}.") from error
    return lambda answer: float(compiled.search(answer.text) is not None)


def _format(reference: str, name: str) -> Scorer:
    if name not in _FORMATS:
        raise ConfigError(f"{reference}: no such format. Formats are {', '.join(_FORMATS)}.")
    checks: dict[str, Callable[[str], bool]] = {
        "json": _is_json,
        "boxed": lambda text: _last_boxed(text) is not None,
        "think": lambda text: _parts(text, r"<think>(.*?)</think>(.*)"),
        "think-answer": lambda text: _parts(text, r"<think>(.*?)</think>\s*<answer>(.*?)</answer>"),
    }
    check = checks[name]
    return lambda answer: float(check(answer.text.strip()))


def _is_json(text: str) -> bool:
    try:
        json.loads(text)
    except (ValueError, RecursionError):
        return False
    return True


def _parts(text: str, pattern: str) -> bool:
    """Whether the text is these two parts, each once and neither empty."""
    match = re.fullmatch(pattern, text, flags=re.DOTALL)
    tags = ("<think>", "</think>", "<answer>", "</answer>")
    if match is None or not all(part.strip() for part in match.groups()):
        return False
    return not any(tag in part for part in match.groups() for tag in tags)


def _length(reference: str, argument: str) -> Scorer:
    match = re.fullmatch(r"(\d+)-(\d+)(words|chars)?", argument)
    least, most = (int(match[1]), int(match[2])) if match else (0, 0)
    if match is None or not most > 0 or least > most:
        raise ConfigError(
            f"{reference}: needs the fewest and the most words, such as rule:length=20-100, or characters, "
            "such as rule:length=100-500chars."
        )
    in_characters = match[3] == "chars"

    def score(answer: Answer) -> float:
        length = len(answer.text.strip()) if in_characters else len(answer.text.split())
        if length < least:
            return length / least
        return max(0.0, 1.0 - max(0, length - most) / most)

    return score
