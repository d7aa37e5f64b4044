"""Shows which tokens of a file's rows a model would train on, and which rows do not fit the model."""

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from statistics import median
from typing import Any, NamedTuple

from rich.console import Console, RenderableType
from rich.text import Text

from fairlead.cli.output import visible
from fairlead.core.errors import DataError, ModelError
from fairlead.core.plural import counted
from fairlead.core.template_settings import OWN_TEMPLATE, Template
from fairlead.data.record_reader import guess_kind, parse_rows
from fairlead.data.records import Binary, Comparison, Demonstration, Messages, Ranking, Rating, Record
from fairlead.data.row_problem import RowProblem
from fairlead.encoding import row_proof
from fairlead.encoding.chat import Encoded, TooLong
from fairlead.model.policy import Policy, load_policy

NUM_PREVIEWS = 3


class PreviewPart(NamedTuple):
    """The text of consecutive tokens that are all trained or all not trained."""

    text: str
    trained: bool


class Refusal(NamedTuple):
    """Why a row cannot be trained on."""

    where: str  # file and line
    column: str
    reason: str

    def __str__(self) -> str:
        return f"{self.where}: {self.column}: {self.reason}"


@dataclass(frozen=True)
class FitReport:
    context: int | None  # maximum number of tokens of the model; None if the model does not state one
    num_rows: int  # good rows, which were encoded
    num_tokens: tuple[int, ...]  # of each row of training that fits
    num_too_long: int
    refusals: Mapping[int, Refusal]  # by line: the rows that cannot be trained on, too long ones included
    previews: tuple[tuple[PreviewPart, ...], ...]
    note: str | None  # about the chat template

    @property
    def num_unfit(self) -> int:
        return len(self.refusals)

    def facts(self) -> dict[str, Any]:
        tokens = None
        if self.num_tokens:
            tokens = {"median": median(self.num_tokens), "max": max(self.num_tokens)}
        return {
            "context": self.context,
            "tokens": tokens,
            "num_unfit": self.num_unfit,
            "num_too_long": self.num_too_long,
            "unfit": [str(refusal) for refusal in self.refusals.values()],
            "reasons": dict(Counter(refusal.reason for refusal in self.refusals.values())),
            "previews": [
                [{"text": part.text, "trained": part.trained} for part in preview]
                for preview in self.previews
            ],
        }

    def report_lines(self, max_unfit: int) -> list[RenderableType]:
        lines: list[RenderableType] = [] if self.note is None else [self.note]
        if self.num_tokens:
            limit = f"; the model takes {self.context}" if self.context else ""
            lines.append(
                f"Median tokens: {median(self.num_tokens):g} (longest {max(self.num_tokens)}){limit}."
            )
        if self.previews:
            lines.append("First rows as the model reads them; trained text is green or «in guillemets».")
        lines += [_render(preview) for preview in self.previews]
        refusals = self.refusal_lines()
        lines += refusals[:max_unfit]
        if len(refusals) > max_unfit:
            lines.append(f"… and {len(refusals) - max_unfit} more.")
        return lines

    def refusal_lines(self) -> list[str]:
        """One line for each reason, with the first row that it was given for."""
        first: dict[str, Refusal] = {}
        counts = Counter(refusal.reason for refusal in self.refusals.values())
        for refusal in self.refusals.values():
            first.setdefault(refusal.reason, refusal)
        return [
            str(refusal)
            if counts[reason] == 1
            else f"{self._share(counts[reason])}, the first at {refusal.where}: {reason}"
            for reason, refusal in first.items()
        ]

    def _share(self, number: int) -> str:
        return f"all {counted(number, 'row')}" if number == self.num_rows else counted(number, "row")


def check_fit(file: Path, model: str, template: Template = OWN_TEMPLATE) -> FitReport:
    """Encode every good row for the model; an error in the chat template itself is a ModelError."""
    policy = load_policy(model, template=template)
    num_tokens: list[int] = []
    refusals: dict[int, Refusal] = {}
    num_rows = 0
    num_too_long = 0
    previews: list[tuple[PreviewPart, ...]] = []
    kind, rows = guess_kind(file)
    for result in parse_rows(rows, kind):
        if isinstance(result, RowProblem):
            continue
        num_rows += 1
        sides: list[list[Encoded]] = []
        text_column = ""
        try:
            for column, messages, num_context in _conversations(result.record):
                text_column = column
                sides.append(_encode(policy, result.record, messages, num_context))
            if isinstance(result.record, Comparison) and result.record.tie is None:
                row_proof.check_sides(policy.chat, result.record, *sides)
        except DataError as error:
            num_too_long += isinstance(error, TooLong)
            refusals[result.row.where.line] = Refusal(str(result.row.where), text_column, str(error))
            continue
        except ModelError as error:
            raise ModelError(f"{model}: {error}") from error
        encoded = [row for rows in sides for row in rows]
        num_tokens += [len(row) for row in encoded]
        previews += [_parts(policy, row) for row in encoded[: NUM_PREVIEWS - len(previews)]]
    return FitReport(
        policy.context, num_rows, tuple(num_tokens), num_too_long, refusals, tuple(previews), policy.chat.note
    )


def _conversations(record: Record) -> Iterator[tuple[str, Messages, int | None]]:
    """Column, messages, and the number of context messages (None: all) of each text that a model reads."""
    if isinstance(record, Demonstration):
        yield "completion", record.messages, record.num_prompt_messages
    elif isinstance(record, Comparison):
        yield "chosen", record.prompt + record.chosen, len(record.prompt)
        yield "rejected", record.prompt + record.rejected, len(record.prompt)
    elif isinstance(record, Ranking):
        for completion in record.completions:
            yield "completions", record.prompt + completion, len(record.prompt)
    elif isinstance(record, Rating | Binary):
        yield "completion", record.prompt + record.completion, len(record.prompt)
    else:
        yield "prompt", record.prompt, None


def _encode(policy: Policy, record: Record, messages: Messages, num_context: int | None) -> list[Encoded]:
    tools, longest = record.tools, policy.context
    if num_context is not None:
        return policy.encode_rows(messages, num_context=num_context, max_tokens=longest, tools=tools)
    tokens = policy.encode_prompt(messages, tools=tools)
    if policy.context is not None and len(tokens) >= policy.context:
        raise TooLong(
            f"the prompt has {counted(len(tokens), 'token')}, which leaves no room for an answer: "
            f"the model takes {policy.context}."
        )
    return [Encoded(tokens, (False,) * len(tokens))]


def _parts(policy: Policy, encoded: Encoded) -> tuple[PreviewPart, ...]:
    parts = []
    labelled = zip(encoded.tokens, encoded.trained, strict=True)
    for trained, group in groupby(labelled, key=lambda pair: pair[1]):
        tokens = [token for token, _ in group]
        parts.append(PreviewPart(policy.chat.decode(tokens), trained))
    return tuple(parts)


def _render(preview: tuple[PreviewPart, ...]) -> RenderableType:
    if not Console().is_terminal:
        return "".join(f"«{part.text}»" if part.trained else part.text for part in preview)
    return Text.assemble(*((visible(part.text), "green" if part.trained else "dim") for part in preview))
