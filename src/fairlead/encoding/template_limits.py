"""Bounds for chat templates, which are programs of somebody else: time, and the size of what they make.

Jinja's sandbox bounds one range, but neither nested loops nor texts that grow.  Here a template runs in an
environment that counts at each turn of a loop, call, filter, operator and output.  A template beyond a bound
is refused for good: `ModelError` is no fault of the conversation.
"""

import re
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import wraps
from typing import Any

from jinja2 import Template, nodes
from jinja2.compiler import CodeGenerator, Frame
from jinja2.runtime import Context, LoopContext
from jinja2.sandbox import ImmutableSandboxedEnvironment
from transformers.utils.chat_template_utils import _compile_jinja_template

from fairlead.core import digest
from fairlead.core.errors import ModelError

SECONDS = 5.0  # processor time of one rendering; real ones take milliseconds
CHARACTERS = 500_000_000  # of all texts that one rendering makes, which bounds its memory
LONGEST = 50_000_000  # characters of one text
NUM_BITS = 1_000_000  # of an integer, so that one multiplication ends

PADDERS = frozenset("batch center expandtabs indent ljust rjust slice tojson zfill".split())
FORMATTERS = frozenset("format format_map %".split())
_LONG_NUMBER = re.compile(r"\d{6,}")  # a width or a precision, as in `{:>9}` and `%9d`
# A width that is an argument, as in `{:>{}}` and `%*d`: no length is known before the text is made.
_OPEN_WIDTH = re.compile(r"\{[^{}]*:[^{}]*\{|%[-+ #0-9.]*\*")


class _Spent(threading.local):
    """What the rendering in this thread has used."""

    origin = "the chat template"
    characters = 0
    num_steps = 0
    end = float("inf")  # in processor time of the thread


_spent = _Spent()


def start(origin: str) -> None:
    """A rendering, or the compilation of a template, begins in this thread.  Errors call it `origin`."""
    _spent.origin = origin
    _spent.characters = _spent.num_steps = 0
    _spent.end = time.thread_time() + SECONDS


def compiled(text: str) -> Template:
    """The template, which runs within the bounds."""
    template: Template = _compile_jinja_template(stand_in(text))
    return template


def stand_in(text: str) -> str:
    """A text under which transformers renders the template within the bounds.

    transformers compiles a comment, with its own filters and functions, and keeps the result.  The comment is
    then replaced by the template.  (transformers warns if it sees no block of generation.)
    """
    comment = f"{{# {digest.of_bytes(text.encode('utf-8', 'surrogatepass'))} {{% generation %}} #}}"
    template = _compile_jinja_template(comment)
    if not isinstance(template.environment, _Bounded):
        environment = object.__new__(_Bounded)
        environment.__dict__.update(template.environment.__dict__)
        environment.finalize = _output
        filters = template.environment.filters
        environment.filters = {name: _bounded_filter(name, function) for name, function in filters.items()}
        template.__dict__.update(environment.from_string(text).__dict__)
    return comment


class _BoundedCode(CodeGenerator):
    """Python code that passes loops, comparisons and `~` through the environment."""

    def visit_For(self, node: nodes.For, frame: Frame) -> None:  # noqa: N802
        node.iter = _call("counted", [node.iter])
        super().visit_For(node, frame)

    def visit_Concat(self, node: nodes.Concat, frame: Frame) -> None:  # noqa: N802
        self.visit(_call("joined", node.nodes), frame)

    def visit_Compare(self, node: nodes.Compare, frame: Frame) -> None:  # noqa: N802
        sides: list[Any] = [node, *node.ops]
        for compared in sides:
            if not isinstance(compared.expr, nodes.Const | nodes.TemplateData):
                compared.expr = _call("compared", [compared.expr])
        super().visit_Compare(node, frame)


def _call(name: str, arguments: Sequence[nodes.Node]) -> nodes.Call:
    return nodes.Call(nodes.EnvironmentAttribute(name), arguments, [], None, None)


class _Bounded(ImmutableSandboxedEnvironment):
    code_generator_class = _BoundedCode
    intercepted_binops = frozenset(("*", "**", "+", "%"))

    def call(__self, __context: Context, __obj: Any, *args: Any, **kwargs: Any) -> Any:  # noqa: B902, N805
        _step()
        if isinstance(__obj, LoopContext) and args:
            args = (_Counted(args[0]), *args[1:])
        method = getattr(__obj, "__wrapped__", __obj)  # the sandbox wraps `format`
        text = getattr(method, "__self__", None)
        if isinstance(text, str):
            _check_growth(method.__name__, text, (*args, *kwargs.values()))
        result = super().call(__context, __obj, *args, **kwargs)
        if isinstance(result, str):
            _spend(len(result))
        return result

    def call_binop(self, context: Context, operator: str, left: Any, right: Any) -> Any:
        _step()
        if operator in ("*", "**") and isinstance(left, int) and isinstance(right, int):
            bits = left.bit_length() * right if operator == "**" else left.bit_length() + right.bit_length()
            _require(bits <= NUM_BITS)
        elif operator == "*":
            _spend(max(_length(left) * _count(right), _length(right) * _count(left)))
        elif operator == "+":
            _spend(_length(left) + _length(right))
        elif isinstance(left, str):
            _check_growth("%", left, right if isinstance(right, tuple) else (right,))
        return super().call_binop(context, operator, left, right)

    def counted(self, iterable: Iterable[Any]) -> "_Counted":
        return _Counted(iterable)

    def compared(self, value: Any) -> Any:
        return _output(value) if isinstance(value, list | tuple | dict) else value

    def joined(self, *parts: Any) -> str:
        texts = [str(_output(part)) for part in parts]
        _spend(sum(map(len, texts)))
        return "".join(texts)


class _Counted:
    """An iterable that counts its turns.  It keeps the length, which a template may ask for."""

    def __init__(self, iterable: Iterable[Any]) -> None:
        self._iterable = iterable
        self._iterator = iter(iterable)

    def __iter__(self) -> Iterator[Any]:
        for item in self._iterator:
            _step()
            yield item

    def __len__(self) -> int:
        return len(self._iterable)  # type: ignore[arg-type]


def _bounded_filter(name: str, function: Callable[..., Any]) -> Callable[..., Any]:
    first = 1 if hasattr(function, "jinja_pass_arg") else 0  # the context or the environment comes before

    @wraps(function)
    def bounded(*args: Any, **kwargs: Any) -> Any:
        value = _output(args[first]) if len(args) > first else ""
        _check_growth(name, value if isinstance(value, str) else "", (*args[first + 1 :], *kwargs.values()))
        result = function(*args, **kwargs)
        _spend(_length(result))
        return result

    return bounded


def _output(value: Any) -> Any:
    """The value, of which a text will be made: every part counts as often as it is written."""
    open_values = [value]
    while open_values:
        part = open_values.pop()
        _spend(_length(part))
        if isinstance(part, dict):
            open_values += [*part, *part.values()]
        elif isinstance(part, list | tuple):
            open_values += part
    return value


def _check_growth(name: str, text: str, arguments: Sequence[Any]) -> None:
    """Count what a method of a text, or a filter, is about to make."""
    numbers = [value for value in arguments if isinstance(value, int)]
    if name in PADDERS:
        _spend(max([0, *numbers]) * (1 + text.count("\n") + text.count("\t")))
    elif name in FORMATTERS:
        _require(_OPEN_WIDTH.search(text.replace("{{", "")) is None)
        _spend(sum(int(number[:12]) for number in _LONG_NUMBER.findall(text)))
    elif name == "replace" and len(arguments) > 1:
        old, new = map(str, arguments[:2])
        _spend(text.count(old) * len(new))
    elif name == "translate" and arguments and isinstance(arguments[0], dict):
        _spend(len(text) * max(map(_length, arguments[0].values()), default=0))
    elif name == "join" and arguments:
        _spend(len(text) * _length(arguments[0]))


def _step() -> None:
    _spent.num_steps += 1
    if _spent.num_steps % 64 == 0 and time.thread_time() > _spent.end:
        raise ModelError(
            f"{_spent.origin} does not end within {SECONDS:g} seconds. Set another with template.file."
        )


def _spend(size: int) -> None:
    _step()
    _spent.characters += size
    _require(size <= LONGEST and _spent.characters <= CHARACTERS)


def _require(is_within: bool) -> None:
    if not is_within:
        raise ModelError(
            f"{_spent.origin} makes a text or a number without bounds. Set another with template.file."
        )


def _length(value: object) -> int:
    return len(value) if isinstance(value, str | bytes | list | tuple | dict) else 0


def _count(value: object) -> int:
    return value if isinstance(value, int) else 0
