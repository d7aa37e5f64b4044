"""Rules: functions in Python that score answers.  See docs/reference/rules.md.

A rule is a file or a module that defines `score`, which gets one answer, or `scores`, which gets a list of
answers; either may be `async`.  A function receives the columns that it names.  Whatever it raises, a wrong
number of scores and a score that is no finite number are faults of the rule: a RuleError that names the
file, the line, the answer and its row.  Only Ctrl-C passes through.
"""

import asyncio
import importlib
import inspect
import math
import reprlib
import signal
import sys
import threading
import traceback
from collections.abc import Callable, Coroutine, Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from types import FrameType, ModuleType
from typing import Any, NoReturn, TypeVar

import torch

from fairlead.core.errors import ConfigError, FairleadError, RuleError
from fairlead.core.plural import counted
from fairlead.data.records import to_row
from fairlead.rollout.process_kept import process_kept
from fairlead.rollout.records import Answer
from fairlead.rollout.rule_output import OutputClosed, output_kept

TIMEOUT_S = 300.0  # for one call of a rule
CONCURRENT_CALLS = 32  # of an async `score`
LARGEST_SCORE = 3e38  # scores are float32

T = TypeVar("T")

# Rule: the answers of a step -> one score each.
Rule = Callable[[Sequence[Answer]], list[float]]

# What a `score` may ask for by the name of a parameter, in the order of a call by position.
COLUMNS: Mapping[str, Callable[[Answer], Any]] = {
    "prompt": lambda answer: answer.row.prompt,
    "answer": lambda answer: answer.text,
    "finished": lambda answer: answer.finished,
    "reference": lambda answer: answer.row.reference,
    "tags": lambda answer: answer.row.tags,
    "metadata": lambda answer: dict(answer.row.metadata or {}),
    "id": lambda answer: answer.row.id,
    "row": lambda answer: to_row(answer.row),
}
# The same of a `scores`: lists, one entry for each answer.
LISTS: Mapping[str, str] = {
    "prompts": "prompt",
    "answers": "answer",
    "finished": "finished",
    "references": "reference",
    "tags": "tags",
    "metadata": "metadata",
    "ids": "id",
    "rows": "row",
}
NUM_BY_POSITION = 3  # prompt, answer, finished


class RuleTimedOut(BaseException):
    """The time of a call is up.  A rule that catches every Exception must not catch this."""


def load_rule(target: str, *, timeout_s: float = TIMEOUT_S) -> Rule:
    """The rule in a file or a module.  Raises ConfigError if it cannot be loaded or defines no function."""
    module = _load_module(target, timeout_s)
    for name, columns in (("score", list(COLUMNS)), ("scores", list(LISTS))):
        function = getattr(module, name, None)
        if callable(function):
            accepted = _accepted(function, columns, f"{target}: {name}")
            call = _Call(target, name, function, accepted, timeout_s)
            return _contained(target, call.one_by_one if name == "score" else call.all_at_once)
    raise ConfigError(
        f"{target}: defines no function score(prompt, answer, finished). A rule needs this function, or "
        "scores(prompts, answers, finished) for lists; it returns a number, or a list of numbers."
    )


def _contained(target: str, rule: Rule) -> Rule:
    """The rule, which leaves the process and its output as they were."""

    def score(answers: Sequence[Answer]) -> list[float]:
        try:
            with output_kept(), process_kept():
                return rule(answers)
        except OutputClosed as error:
            raise RuleError(f"{target}: {error}. Remove this from the rule.") from error

    return score


class _Call:
    """One function of a rule, and how it is called."""

    def __init__(
        self,
        target: str,
        name: str,
        function: Callable[..., Any],
        accepted: "_Accepted",
        timeout_s: float,
    ) -> None:
        self._target = target
        self._name = name
        self._function = function
        self._accepted = accepted
        self._timeout_s = timeout_s

    def one_by_one(self, answers: Sequence[Answer]) -> list[float]:
        if inspect.iscoroutinefunction(self._function):
            return self._run(self._gather(answers), answers)
        scores = []
        for answer in answers:
            columns = self._columns(answer)
            with self._blamed([answer]), time_limit(self._timeout_s):
                value = self._accepted(self._function, columns)
            if inspect.isawaitable(value):  # a plain function that returns a coroutine
                value = self._run(self._awaited(value, answer), [answer])
            scores.append(self._number(value, answer))
        return scores

    def all_at_once(self, answers: Sequence[Answer]) -> list[float]:
        columns = {plural: [COLUMNS[name](answer) for answer in answers] for plural, name in LISTS.items()}
        with self._blamed(answers), time_limit(self._timeout_s):
            values = self._accepted(self._function, columns)
        if inspect.isawaitable(values):
            values = self._run(self._awaited(values, *answers), answers)
        if isinstance(values, str | bytes | Mapping):
            self._refuse(f"returned {_shown(values)}; a list of numbers is needed", answers)
        with self._blamed(answers), time_limit(self._timeout_s):
            values = list(islice(values, len(answers) + 1))  # a generator may have no end
        if len(values) != len(answers):
            given = "more scores" if len(values) > len(answers) else counted(len(values), "score")
            self._refuse(f"returned {given} for {counted(len(answers), 'answer')}", answers)
        return [self._number(value, answer) for value, answer in zip(values, answers, strict=True)]

    def _columns(self, answer: Answer) -> dict[str, Any]:
        return {name: column(answer) for name, column in COLUMNS.items()}

    async def _gather(self, answers: Sequence[Answer]) -> list[float]:
        free = asyncio.Semaphore(CONCURRENT_CALLS)

        async def score(answer: Answer) -> float:
            async with free:
                columns = self._columns(answer)
                with self._blamed([answer]):
                    awaitable = self._accepted(self._function, columns)
                return self._number(await self._awaited(awaitable, answer), answer)

        tasks = [asyncio.ensure_future(score(answer)) for answer in answers]
        try:
            return list(await asyncio.gather(*tasks))
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _awaited(self, awaitable: Any, *answers: Answer) -> Any:
        current = asyncio.current_task()
        with self._blamed(answers):
            try:
                async with asyncio.timeout(self._timeout_s or None) as limit:
                    return await awaitable
            except TimeoutError:
                if limit.expired():
                    raise RuleTimedOut from None
                raise  # the rule's own
            except asyncio.CancelledError as error:
                if current is not None and current.cancelling():
                    raise _Cancelled from None  # because another answer failed
                raise RuntimeError("the call was cancelled") from error

    def _run(self, coroutine: Coroutine[Any, Any, T], answers: Sequence[Answer]) -> T:
        """Run to the end.  The alarm is for coroutines that do not yield; each call has its own limit."""
        rounds = 2 + len(answers) // CONCURRENT_CALLS
        with self._blamed(answers), time_limit(self._timeout_s * rounds):
            return asyncio.run(coroutine)

    @contextmanager
    def _blamed(self, answers: Sequence[Answer]) -> Iterator[None]:
        """Turn whatever the rule raises into a RuleError."""
        try:
            yield
        except (_Cancelled, RuleError):
            raise
        except RuleTimedOut:
            self._refuse(f"took longer than rule_timeout = {self._timeout_s:g} s", answers)
        except BaseException as error:
            if may_be_ctrl_c(error):
                raise
            self._refuse(f"failed{_line(self._target, error)}: {describe(error)}", answers, error)

    def _number(self, value: Any, answer: Answer) -> float:
        is_no_number = isinstance(value, str | bytes | complex) or value is None
        with self._blamed([answer]), time_limit(self._timeout_s):
            number = math.nan if is_no_number else _as_float(value)
        if not math.isfinite(number) or abs(number) > LARGEST_SCORE:
            self._refuse(f"returned {_shown(value)}; a finite number is needed", [answer])
        return number

    def _refuse(self, what: str, answers: Sequence[Answer], cause: BaseException | None = None) -> NoReturn:
        if len(answers) == 1:
            where = f" on the answer {answers[0].text[:60]!r}"
            where += f" to row {answers[0].number} of the prompts" if answers[0].number else ""
        else:
            numbers = [answer.number for answer in answers if answer.number]
            where = f" on {counted(len(answers), 'answer')}"
            where += f" to rows {min(numbers)} to {max(numbers)} of the prompts" if numbers else ""
        raise RuleError(f"{self._target}: {self._name}{where} {what}. Correct the rule.") from cause


def _as_float(value: Any) -> float:
    """The value as a number; NaN for what is none, such as a list or a tensor with two elements."""
    if isinstance(value, torch.Tensor):
        value = value.detach()
    try:
        # float() would drop the imaginary part of numpy's complex numbers.
        return math.nan if complex(value).imag else float(value)
    except (TypeError, ValueError):
        return math.nan


class _Cancelled(BaseException):
    """A call was cancelled because another one failed."""


# Function and all columns -> the function's result.
_Accepted = Callable[[Callable[..., Any], Mapping[str, Any]], Any]


def _accepted(function: Callable[..., Any], columns: Sequence[str], where: str) -> _Accepted:
    """How to call the function: by the names of its parameters, or else with the first three by position.

    Raises ConfigError if a required parameter is no column and is not among the first three.
    """
    first = columns[:NUM_BY_POSITION]
    try:
        parameters = list(inspect.signature(function).parameters.values())
    except (TypeError, ValueError):  # of a function in C
        return lambda called, values: called(*(values[name] for name in first))
    kinds = inspect.Parameter
    by_name = [p for p in parameters if p.kind in (kinds.POSITIONAL_OR_KEYWORD, kinds.KEYWORD_ONLY)]
    by_position = [p for p in parameters if p.kind in (kinds.POSITIONAL_ONLY, kinds.POSITIONAL_OR_KEYWORD)]
    takes_rest = any(p.kind is kinds.VAR_KEYWORD for p in parameters)
    takes_many = any(p.kind is kinds.VAR_POSITIONAL for p in parameters)
    required = [p for p in parameters if p in (*by_position, *by_name) and p.default is kinds.empty]
    has_unknown = any(p.name not in columns or p.kind is kinds.POSITIONAL_ONLY for p in required)
    if not has_unknown and not (takes_many and not by_name):
        names = list(columns) if takes_rest else [p.name for p in by_name if p.name in columns]
        return lambda called, values: called(**{name: values[name] for name in names})
    rest = [p for p in by_name if p not in by_position[:NUM_BY_POSITION]]
    unknown = [p.name for p in rest if p.default is kinds.empty and p.name not in columns]
    if unknown or (len(by_position) < NUM_BY_POSITION and not takes_many):
        named = unknown or [p.name for p in required if p.name not in columns]
        raise ConfigError(
            f"{where} takes {', '.join(map(repr, named))}, which no row has. "
            f"A rule can take {', '.join(columns)}."
        )
    by_position_names = {p.name for p in by_position[:NUM_BY_POSITION]}
    names = [name for name in columns[NUM_BY_POSITION:] if takes_rest] or [
        p.name for p in rest if p.name in columns
    ]
    names = [name for name in names if name not in by_position_names]
    return lambda called, values: called(
        *(values[name] for name in first), **{name: values[name] for name in names}
    )


def _load_module(target: str, timeout_s: float) -> ModuleType:
    path = Path(target)
    try:
        with time_limit(timeout_s), output_kept(), process_kept():
            return _run_file(path) if path.is_file() else importlib.import_module(target)
    except RuleTimedOut:
        raise ConfigError(f"{target}: loading took longer than rule_timeout = {timeout_s:g} s.") from None
    except BaseException as error:
        if may_be_ctrl_c(error):
            raise
        raise ConfigError(f"{target}: cannot be loaded{_line(target, error)}: {describe(error)}.") from error


def _run_file(path: Path) -> ModuleType:
    """Run a file as a module, without a cache file beside it.  It can import the files beside it."""
    module = ModuleType(f"fairlead_rule_{path.stem}")
    module.__file__ = str(path)
    folder = str(path.resolve().parent)
    if folder not in sys.path:
        sys.path.append(folder)  # last, so that no file there hides a library
    sys.modules[module.__name__] = module  # dataclasses and pickle look it up
    source = path.read_bytes()
    exec(compile(source, str(path), "exec"), module.__dict__)
    return module


@contextmanager
def time_limit(seconds: float) -> Iterator[None]:
    """Raise RuleTimedOut in the block after this time; 0 sets no limit.

    It interrupts Python code of the main thread, and most waiting.  In another thread there is no limit.
    """
    if not seconds or threading.current_thread() is not threading.main_thread():
        yield
        return

    is_over = False

    def ring(number: int, frame: FrameType | None) -> None:
        if not is_over:
            raise RuleTimedOut

    handler = signal.signal(signal.SIGALRM, ring)
    # It rings again every second, in case the rule caught the first one.
    earlier, interval = signal.setitimer(signal.ITIMER_REAL, seconds, 1.0)
    try:
        yield
    finally:
        is_over = True
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, handler)
        if earlier:
            signal.setitimer(signal.ITIMER_REAL, earlier, interval)


def may_be_ctrl_c(error: BaseException) -> bool:
    """Whether the user pressed Ctrl-C, and not the rule raised KeyboardInterrupt by itself.

    During a run the first Ctrl-C sets a flag and raises nothing; see core/interrupt.py.
    """
    by_signal = signal.getsignal(signal.SIGINT) is signal.default_int_handler
    return isinstance(error, KeyboardInterrupt) and by_signal


def describe(error: BaseException) -> str:
    """The exception in one line."""
    if isinstance(error, SystemExit):
        return f"it called sys.exit({_text_of(error.code, repr)[:60]})"
    text = " ".join(_text_of(error, str).split()).rstrip(".")
    if isinstance(error, FairleadError):
        return text
    return f"{type(error).__name__}: {text[:300]}" if text else type(error).__name__


def _line(target: str, error: BaseException) -> str:
    """In which line of the rule's file the exception was raised."""
    if isinstance(error, SyntaxError):
        return f" in line {error.lineno}" if error.lineno else ""
    frames = traceback.extract_tb(error.__traceback__)
    module = sys.modules.get(target)
    files = {target, getattr(module, "__file__", None)}
    lines = [frame.lineno for frame in frames if frame.filename in files and frame.lineno]
    return f" in line {lines[-1]}" if lines else ""


def _shown(value: Any) -> str:
    if isinstance(value, int | float | complex):
        return _text_of(value, repr)[:60]
    plain = isinstance(value, str | bytes | list | tuple | dict) or value is None
    return _text_of(value, reprlib.repr)[:60] if plain else f"a {type(value).__name__}"


def _text_of(value: object, write: Callable[[Any], str]) -> str:
    """The value as text; the methods of a rule's own classes may fail."""
    try:
        return write(value)
    except BaseException as error:
        if may_be_ctrl_c(error):
            raise
        return ""
