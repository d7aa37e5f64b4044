"""What a model's tokenizer and chat template make of a file: which tokens would be trained, and which rows could not be."""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from statistics import median
from typing import Any, NamedTuple

from rich.console import Console, RenderableType
from rich.text import Text

from fairlead.cli.output import visible
from fairlead.core.errors import DataError, ModelError
from fairlead.data.record_reader import guess_kind, parse_rows
from fairlead.data.records import Binary, Comparison, Demonstration, Messages, Ranking, Rating, Record
from fairlead.data.row_problem import RowProblem
from fairlead.encoding.chat import Encoded, TooLong
from fairlead.model.policy import Policy, load_policy

NUM_PREVIEWS = 3


class Piece(NamedTuple):
    """Text of neighbouring tokens that are all trained, or all not."""

    text: str
    trained: bool


@dataclass(frozen=True)
class Fit:
    context: int | None  # the longest text in tokens that the model was made for; None where it does not say
    num_tokens: tuple[int, ...]  # of each text that fits
    num_too_long: int
    unfit: tuple[
        str, ...
    ]  # one line for each text that the model cannot be trained on, the too long among them
    previews: tuple[tuple[Piece, ...], ...]

    @property
    def num_unfit(self) -> int:
        return len(self.unfit)

    def facts(self) -> dict[str, Any]:
        lengths = (
            {"median": median(self.num_tokens), "max": max(self.num_tokens)} if self.num_tokens else None
        )
        previews = [
            [{"text": piece.text, "trained": piece.trained} for piece in pieces] for pieces in self.previews
        ]
        return {
            "context": self.context,
            "tokens": lengths,
            "num_unfit": self.num_unfit,
            "num_too_long": self.num_too_long,
            "unfit": list(self.unfit),
            "previews": previews,
        }

    def describe(self, most: int) -> list[RenderableType]:
        shown: list[RenderableType] = []
        if self.num_tokens:
            room = f"; the model takes {self.context}" if self.context else ""
            shown.append(
                f"Tokens, in the middle: {median(self.num_tokens):g} (longest {max(self.num_tokens)}){room}."
            )
        if self.previews:
            shown.append(
                "The first rows as the model reads them; what is trained is green, or «between these»."
            )
        shown += [_drawn(pieces) for pieces in self.previews]
        shown += self.unfit[:most]
        if self.num_unfit > most:
            shown.append(f"… and {self.num_unfit - most} more.")
        return shown


def fit(file: Path, model: str) -> Fit:
    """Encode every good row for the model; a fault of the template itself is a ModelError."""
    policy = load_policy(model)
    num_tokens: list[int] = []
    unfit: list[str] = []
    num_too_long = 0
    previews: list[tuple[Piece, ...]] = []
    kind, rows = guess_kind(file)
    for result in parse_rows(rows, kind):
        if isinstance(result, RowProblem):
            continue
        for part, messages, num_context in _texts(result.record):
            where = f"{result.row.where}: {part}"
            try:
                encoded = _encode(policy, messages, num_context)
            except DataError as error:
                num_too_long += isinstance(error, TooLong)
                unfit.append(f"{where}: {error}")
                continue
            except ModelError as error:
                raise ModelError(f"{model}: {error}") from error
            num_tokens.append(len(encoded))
            if len(previews) < NUM_PREVIEWS:
                previews.append(_pieces(policy, encoded))
    return Fit(policy.context, tuple(num_tokens), num_too_long, tuple(unfit), tuple(previews))


def _texts(record: Record) -> Iterator[tuple[str, Messages, int | None]]:
    """What of a record a model reads: the column, the messages, and how many of them are context; None: all of them."""
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


def _encode(policy: Policy, messages: Messages, num_context: int | None) -> Encoded:
    if num_context is not None:
        return policy.encode(messages, num_context=num_context, max_tokens=policy.context)
    tokens = policy.encode_prompt(messages)
    if policy.context is not None and len(tokens) >= policy.context:
        raise TooLong(
            f"the prompt has {len(tokens)} tokens; the model takes {policy.context}, and the answer needs room too."
        )
    return Encoded(tokens, (False,) * len(tokens))


def _pieces(policy: Policy, encoded: Encoded) -> tuple[Piece, ...]:
    found = []
    for trained, group in groupby(
        zip(encoded.tokens, encoded.trained, strict=True), key=lambda pair: pair[1]
    ):
        tokens = [token for token, _ in group]
        found.append(Piece(str(policy.tokenizer.decode(tokens, skip_special_tokens=False)), trained))
    return tuple(found)


def _drawn(pieces: tuple[Piece, ...]) -> RenderableType:
    if not Console().is_terminal:
        return "".join(f"«{piece.text}»" if piece.trained else piece.text for piece in pieces)
    return Text.assemble(*((visible(piece.text), "green" if piece.trained else "dim") for piece in pieces))
