"""Whether two expressions are equal, by sympy, within bounds of time and size.

Expressions come from models and may be hostile.  They are parsed here, not evaluated as Python: numbers,
names of one letter, + - * / ^, brackets, fractions, roots, and a few functions, in plain notation or LaTeX.
Powers and the length of a text are bounded, and the comparison runs at random points only, so `9**9**9` costs
nothing.
"""

import math
import random
import re
from collections.abc import Iterator
from typing import Any

import sympy

from fairlead.rollout.rules import RuleTimedOut, time_limit

LONGEST = 300  # characters
MOST_ITEMS = 12  # of a list or set
LARGEST_FACTORIAL = 170
DEEPEST = 30  # brackets inside each other
LARGEST_POWER = 200  # of a number; larger ones stay unknown
POINTS = 6  # values of the letters at which two expressions are compared
TOLERANCE = 1e-9
DIGITS = 30
SECONDS = 5.0  # for one comparison

_TOKEN = re.compile(r"\s*(\d+(?:\.\d+)?|\.\d+|\\[a-zA-Z]+|[a-zA-Z]+|[-+*/^(){}!|=,]|\[|\])")
_SHORT_FRACTION = re.compile(r"\\[dt]?frac\s*(\d)\s*(\d)")
_OPENING, _CLOSING = "([{", ")]}"
_FUNCTIONS = {"sin": sympy.sin, "cos": sympy.cos, "tan": sympy.tan, "ln": sympy.log}
_FUNCTIONS |= {"log": sympy.log, "sqrt": sympy.sqrt, "arcsin": sympy.asin, "arctan": sympy.atan}
_CONSTANTS = {"pi": sympy.pi, "e": sympy.E, "i": sympy.I}
_IGNORED = ("left", "right", "displaystyle", "mathrm", "text", "quad")


class _Unknown(ValueError):
    """Not an expression that this module reads."""


def are_equal(left: str, right: str) -> bool:
    """Whether both are expressions and have the same value; False for anything that cannot be read."""
    try:
        with time_limit(SECONDS):
            first, second = parse(left), parse(right)
            if len(first) != len(second) or len(first) > MOST_ITEMS:
                return False
            if str(first[0]) in ("(", "[") or str(first[0])[:1] in "([":
                return all(map(_same, first, second))
            return _same_in_any_order(first, second)
    except (RuleTimedOut, ValueError, TypeError, ArithmeticError, AttributeError, RecursionError):
        return False


def _same_in_any_order(left: list[Any], right: list[Any]) -> bool:
    """Sets, and lists of solutions, have no order."""
    rest = list(right)
    for value in left:
        place = next((index for index, other in enumerate(rest) if _same(value, other)), None)
        if place is None:
            return False
        del rest[place]
    return True


def parse(text: str) -> list[Any]:
    """The expressions of a text, one for each item of a list or pair."""
    plain = text.replace("**", "^").replace("×", "*").replace("·", "*").replace("−", "-").replace("π", "\\pi")
    if len(plain) > LONGEST:
        raise _Unknown(text)
    plain = _SHORT_FRACTION.sub(r"\\frac{\1}{\2}", plain)
    tokens = _tokens(plain)
    if brackets := _outer_brackets(tokens):  # a pair, an interval or a set
        items = parse_items(tokens[1:-1], text)
        return [sympy.Symbol(brackets), *items] if len(items) > 1 else items
    return parse_items(tokens, text)


def parse_items(tokens: list[str], text: str) -> list[Any]:
    reader = _Reader(tokens)
    items = [reader.sum()]
    while reader.peek() in (",", "="):
        # In x = 3 the value is what follows the sign.
        if reader.take() == "=":
            items.pop()
        items.append(reader.sum())
    if reader.peek():
        raise _Unknown(text)
    return items


def _outer_brackets(tokens: list[str]) -> str:
    """The first and the last token, if they are brackets around everything else."""
    if len(tokens) < 3 or tokens[0] not in _OPENING or tokens[-1] not in _CLOSING:
        return ""
    depth = 0
    for token in tokens[:-1]:
        depth += (token in _OPENING) - (token in _CLOSING)
        if depth == 0:
            return ""
    return tokens[0] + tokens[-1]


def _tokens(text: str) -> list[str]:
    tokens, place = [], 0
    while text[place:].strip():
        match = _TOKEN.match(text, place)
        if match is None:
            raise _Unknown(text)
        place = match.end()
        token = match[1].removeprefix("\\")
        if token in _IGNORED:
            continue
        token = {"cdot": "*", "times": "*", "div": "/", "dfrac": "frac", "tfrac": "frac"}.get(token, token)
        tokens += list(_split(token))
    return tokens


def _split(token: str) -> Iterator[str]:
    """A word that is no function or constant is a product of letters."""
    if token.isalpha() and len(token) > 1 and token not in {*_FUNCTIONS, *_CONSTANTS, "frac"}:
        yield from token
    else:
        yield token


class _Reader:
    """A parser by recursive descent."""

    def __init__(self, tokens: list[str]) -> None:
        self._tokens = tokens
        self._place = 0
        self._depth = 0

    def peek(self) -> str:
        return self._tokens[self._place] if self._place < len(self._tokens) else ""

    def take(self, expected: str = "") -> str:
        token = self.peek()
        if not token or (expected and token != expected):
            raise _Unknown(token)
        self._place += 1
        return token

    def sum(self) -> Any:
        self._depth += 1
        if self._depth > DEEPEST:
            raise _Unknown("too deep")
        value = self._signed()
        while self.peek() in ("+", "-") and self.peek():
            value = value + self._signed() if self.take() == "+" else value - self._signed()
        self._depth -= 1
        return value

    def _signed(self) -> Any:
        sign = 1
        while self.peek() in ("+", "-") and self.peek():
            sign = -sign if self.take() == "-" else sign
        return sign * self._product()

    def _product(self) -> Any:
        value = self._power()
        while self.peek() and self.peek() not in ("+", "-", ")", "}", "]", ",", "=", "|", "^", "!"):
            if self.peek() in ("*", "/"):
                operator = self.take()
                factor = self._signed() if self.peek() == "-" else self._power()
                value = value * factor if operator == "*" else value / factor
            else:
                value = value * self._power()
        return value

    def _power(self) -> Any:
        base = self._atom()
        if self.peek() == "!":
            self.take()
            if not (base.is_Integer and 0 <= base <= LARGEST_FACTORIAL):
                raise _Unknown("a factorial")
            base = sympy.factorial(base)
        if self.peek() == "^":
            self.take()
            exponent = -self._power() if self.peek() == "-" and self.take() else self._power()
            return _bounded_power(base, exponent)
        return base

    def _atom(self) -> Any:
        token = self.take()
        for left, right in (("(", ")"), ("{", "}"), ("[", "]")):
            if token == left:
                value = self.sum()
                self.take(right)
                return value
        if token == "frac":
            return self._atom() / self._atom()
        if token == "sqrt" and self.peek() == "[":
            self.take("[")
            root = self.sum()
            self.take("]")
            return _bounded_power(self._atom(), 1 / root)
        if token in _FUNCTIONS:
            return _FUNCTIONS[token](self._atom())
        if token in _CONSTANTS:
            return _CONSTANTS[token]
        if token[0].isdigit() or token[0] == ".":
            return sympy.Rational(token)
        if token.isalpha() and len(token) == 1:
            return sympy.Symbol(token)
        raise _Unknown(token)


def _bounded_power(base: Any, exponent: Any) -> Any:
    """The power, unless it would be a very large number."""
    if exponent.is_number and (not exponent.is_Rational or abs(exponent) > LARGEST_POWER):
        raise _Unknown("a large power")
    if base.is_Rational and max(abs(base.p), base.q) > 10**12:
        raise _Unknown("a power of a large number")
    return sympy.Pow(base, exponent)


def _same(left: Any, right: Any) -> bool:
    """Equal at random values of the letters: a test of identity that costs the same for any power."""
    letters = sorted(left.free_symbols | right.free_symbols, key=str)
    generator = random.Random(0)
    for _ in range(POINTS if letters else 1):
        values = {letter: sympy.Float(generator.uniform(1.1, 3.0), DIGITS) for letter in letters}
        first, second = (complex(sympy.N(side.subs(values), DIGITS)) for side in (left, right))
        if not (math.isfinite(abs(first)) and math.isfinite(abs(second))):
            return False
        if not abs(first - second) <= TOLERANCE * max(1.0, abs(first), abs(second)):
            return False
    return True
