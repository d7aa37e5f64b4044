"""Replay rows: demonstrations or plain text, mixed into another method's updates to prevent forgetting."""

from pathlib import Path
from typing import NamedTuple

from transformers import PreTrainedTokenizerBase

from fairlead.core.errors import DataError
from fairlead.core.plural import counted
from fairlead.data import file_source
from fairlead.data.file_source import SourceRow
from fairlead.data.pretraining_documents import read_documents
from fairlead.data.record_reader import read_demonstrations
from fairlead.data.records import Messages
from fairlead.encoding.chat import Encoded
from fairlead.encoding.chat_format import ChatFormat
from fairlead.encoding.record_rows import encode_demonstration
from fairlead.examples.pairs import fit_records
from fairlead.model.policy import Policy
from fairlead.store.run import Run
from fairlead.train.settings import LongRows


class Mix(NamedTuple):
    rows: list[Encoded]
    left_out: dict[str, int]  # reason -> records that are not used, or not whole


def read_mix(
    policy: Policy,
    path: Path,
    *,
    source: str,
    max_tokens: int | None = None,
    too_long: LongRows = "error",
    run: Run | None = None,
) -> Mix:
    """Encode the rows of a file.  Text is trained on every token, demonstrations on their answers.

    A file is text if its name ends in .txt or its rows have a `text` field.  Text is cut at `max_tokens`, or
    at the model's context.  Longer demonstrations are treated as `too_long` says.  Reasons of `left_out`
    begin with the name of the file.
    """
    longest = max_tokens or policy.context
    if _is_text(path):
        rows = [
            row
            for text in read_documents(path)
            for row in encode_text(policy.tokenizer, text, longest, policy.chat)
        ]
        if not rows:
            raise DataError(f"{source}: holds no text of two or more tokens.")
        return Mix(rows, {})
    records = read_demonstrations(path)
    result = fit_records(policy, records, encode_demonstration, longest, too_long, source=source, run=run)
    if not result.fitted:
        raise DataError(
            f"{source}: none of its {counted(len(records), 'record')} fits into "
            f"{longest} tokens. Use shorter rows."
        )
    left_out = {f"{source}: {reason}": number for reason, number in result.left_out.items()}
    return Mix([row for fitted in result.fitted for row in fitted.rows], left_out)


def encode_text(
    tokenizer: PreTrainedTokenizerBase,
    document: str | Messages,
    context: int | None,
    chat: ChatFormat | None,
) -> list[Encoded]:
    """Encode a document as rows of at most `context` tokens, every token trained.

    A conversation needs a chat format.
    """
    if isinstance(document, str):
        tokens = [*tokenizer(document, add_special_tokens=False)["input_ids"], tokenizer.eos_token_id]
    else:
        assert chat is not None, "a conversation among the documents"
        chat.check_texts(document)
        tokens = chat.tokens(chat.render(document, generation_prompt=False))
    size = context or len(tokens)
    chunks = [tokens[start : start + size] for start in range(0, len(tokens), size)]
    return [Encoded(tuple(chunk), (True,) * len(chunk)) for chunk in chunks if len(chunk) > 1]


def _is_text(path: Path) -> bool:
    if path.suffix == ".txt":
        return True
    first = next(file_source.read_file_rows(path), None)
    return isinstance(first, SourceRow) and "text" in first.value
