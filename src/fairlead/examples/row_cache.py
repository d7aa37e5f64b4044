"""Keep the encoded rows of large files in the project's cache, so that a resumed run does not encode again.

The key is a digest of everything that the rows depend on: records, tokenizer, template, limit, the treatment
of long rows, and the version.  Only complete results are stored: refused records are encoded again.
"""

import hashlib
import json
from collections.abc import Callable, Iterator, Sequence
from typing import Any, TypeVar, cast

import torch
from torch import Tensor

from fairlead.core import jsonl
from fairlead.core.errors import DataError
from fairlead.data import parsing
from fairlead.data.records import Record, kind_of_record, to_row
from fairlead.data.row_problem import RowLocation
from fairlead.encoding.chat import Encoded
from fairlead.encoding.chat_format import ChatFormat
from fairlead.examples.too_long import Fitted, FittedRecords
from fairlead.store.artifact import code_version
from fairlead.store.run import Run
from fairlead.train.tensor_cache import Damaged, cached_as

R = TypeVar("R", bound=Record)
E = TypeVar("E")

FORMAT = 2  # of the stored tensors
SMALLEST_FILE = 500  # records; fewer are encoded in less than a second
ALONE = -1  # in place of a number of parts: a row, not a tuple of parts


def cached_rows(
    run: Run,
    chat: ChatFormat,
    records: Sequence[R],
    settings: dict[str, Any],
    encode: Callable[[], FittedRecords[R, E]],
) -> FittedRecords[R, E]:
    """The result of `encode` on these records, from the cache if it is there.

    `settings` are what the result depends on beside the records and the chat format.
    """
    if len(records) < SMALLEST_FILE or not chat.tokenizer.is_fast:
        return encode()
    key = {
        "format": FORMAT,
        "code": code_version(),
        "records": records_digest(records),
        "chat": chat_digest(chat),
        **settings,
    }
    return cached_as(
        run,
        "encoded",
        key,
        encode,
        pack=lambda result: pack(records, result),
        unpack=lambda tensors: unpack(records, tensors),
    )


def records_digest(records: Sequence[Record]) -> str:
    sha = hashlib.sha256()
    for record in records:
        sha.update(jsonl.dumps(to_row(record)).encode("utf-8") + b"\n")
    return sha.hexdigest()


def chat_digest(chat: ChatFormat) -> str:
    """Of the tokenizer, the template and the settings that a rendering depends on."""
    tokenizer = chat.tokenizer
    parts = [
        tokenizer.backend_tokenizer.to_str(),
        repr(sorted(tokenizer.special_tokens_map.items())),
        repr(tokenizer.chat_template),
        chat.template,
        repr(chat.settings),
        repr(sorted(chat.stop_ids)),
    ]
    return hashlib.sha256("\0".join(parts).encode("utf-8")).hexdigest()


def pack(records: Sequence[R], result: FittedRecords[R, E]) -> dict[str, Tensor]:
    """Flat tensors of the rows, and as JSON what was left out and the records that were cut."""
    position = {id(record): i for i, record in enumerate(records)}
    leaves: list[Encoded] = []
    nesting: list[int] = []
    for fitted in result.fitted:
        _flatten(fitted.rows, nesting, leaves)
    cut = {
        str(k): to_row(fitted.record)
        for k, fitted in enumerate(result.fitted)
        if fitted.record is not fitted.original
    }
    notes = json.dumps({"left_out": dict(result.left_out), "cut": cut}).encode("utf-8")
    return {
        "records": torch.tensor([position[id(fitted.original)] for fitted in result.fitted]),
        "nesting": torch.tensor(nesting, dtype=torch.int32),
        "lengths": torch.tensor([len(row) for row in leaves], dtype=torch.int32),
        "tokens": torch.tensor([token for row in leaves for token in row.tokens], dtype=torch.int32),
        "trained": torch.tensor([mark for row in leaves for mark in row.trained], dtype=torch.bool),
        "notes": torch.frombuffer(bytearray(notes), dtype=torch.uint8),
    }


def unpack(records: Sequence[R], tensors: dict[str, Tensor]) -> FittedRecords[R, Any]:
    """The inverse of `pack`.  Raises Damaged if the tensors do not belong to these records."""
    try:
        notes = json.loads(bytes(tensors["notes"].tolist()))
        cut = {int(k): _record(row, records[0]) for k, row in notes["cut"].items()}
        remaining = iter(_leaves(tensors))
        fitted = []
        nesting = iter(tensors["nesting"].tolist())
        for k, i in enumerate(tensors["records"].tolist()):
            rows = _nested(nesting, remaining)
            fitted.append(Fitted(records[i], cast(R, cut.get(k, records[i])), rows))
        return FittedRecords(fitted, notes["left_out"])
    except (KeyError, IndexError, ValueError, TypeError, StopIteration, RuntimeError, DataError) as error:
        raise Damaged from error


def _flatten(rows: Any, nesting: list[int], leaves: list[Encoded]) -> None:
    """Append the rows in order, and the number of parts of each tuple before its parts."""
    if isinstance(rows, Encoded):
        nesting.append(ALONE)
        leaves.append(rows)
        return
    nesting.append(len(rows))
    for part in rows:
        _flatten(part, nesting, leaves)


def _nested(nesting: Iterator[int], leaves: Iterator[Encoded]) -> Any:
    """The inverse of `_flatten`."""
    count = next(nesting)
    return next(leaves) if count == ALONE else tuple([_nested(nesting, leaves) for _ in range(count)])


def _leaves(tensors: dict[str, Tensor]) -> list[Encoded]:
    lengths = tensors["lengths"].tolist()
    numbers = list(range(int(tensors["tokens"].max()) + 1))  # one object for each id saves memory
    rows = []
    for tokens, trained in zip(
        tensors["tokens"].split(lengths), tensors["trained"].split(lengths), strict=True
    ):
        rows.append(Encoded(tuple([numbers[token] for token in tokens.tolist()]), tuple(trained.tolist())))
    return rows


def _record(row: dict[str, Any], like: Record) -> Record:
    return parsing.parse_row(kind_of_record(like), row, RowLocation("cache", 1))
