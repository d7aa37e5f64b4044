"""Keep the encoded rows of a large file of demonstrations in the project's cache, so that resuming is fast.

The key is a digest of everything that the rows depend on: records, tokenizer, template, limit and version.
"""

import hashlib
from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from fairlead.core import jsonl
from fairlead.core.errors import DataError
from fairlead.data.records import Demonstration, to_row
from fairlead.encoding.chat import Encoded
from fairlead.examples.pairs import encode_demonstration
from fairlead.model.policy import Policy
from fairlead.store.artifact import code_version
from fairlead.store.run import Run
from fairlead.train.tensor_cache import cached

FORMAT = 1  # of the stored tensors
SMALLEST_FILE = 2000  # records; fewer are encoded in seconds

Rows = tuple[Encoded, ...]
DemonstrationEncoder = Callable[[Policy, Demonstration, int | None], Rows]


def cached_encoder(
    run: Run,
    policy: Policy,
    records: Sequence[Demonstration],
    max_tokens: int | None,
    *,
    smallest: int = SMALLEST_FILE,
) -> DemonstrationEncoder:
    """`encode_demonstration`, with the rows of these records from the cache.

    Records that are not stored, because they are too long or faulty, are encoded when they are asked for.
    """
    if len(records) < smallest or not policy.tokenizer.is_fast:
        return encode_demonstration
    key = {
        "format": FORMAT,
        "code": code_version(),
        "records": records_digest(records),
        "chat": chat_digest(policy),
        "max_tokens": max_tokens,
    }
    stored = unpack(cached(run, "encoded", key, lambda: pack(_encode_all(policy, records, max_tokens))))
    of_record = {id(record): rows for record, rows in zip(records, stored, strict=True) if rows}

    def encode(policy: Policy, record: Demonstration, limit: int | None) -> Rows:
        rows = of_record.get(id(record)) if limit == max_tokens else None
        return encode_demonstration(policy, record, limit) if rows is None else rows

    return encode


def records_digest(records: Sequence[Demonstration]) -> str:
    sha = hashlib.sha256()
    for record in records:
        sha.update(jsonl.dumps(to_row(record)).encode("utf-8") + b"\n")
    return sha.hexdigest()


def chat_digest(policy: Policy) -> str:
    """Of the tokenizer, the template and the settings that a rendering depends on."""
    chat, tokenizer = policy.chat, policy.tokenizer
    parts = [
        tokenizer.backend_tokenizer.to_str(),
        repr(sorted(tokenizer.special_tokens_map.items())),
        repr(tokenizer.chat_template),
        chat.template,
        repr(chat.settings),
        repr(sorted(chat.stop_ids)),
    ]
    return hashlib.sha256("\0".join(parts).encode("utf-8")).hexdigest()


def pack(rows_of_records: Sequence[Rows]) -> dict[str, Tensor]:
    rows = [row for rows in rows_of_records for row in rows]
    return {
        "num_rows": torch.tensor([len(rows) for rows in rows_of_records], dtype=torch.int32),
        "lengths": torch.tensor([len(row) for row in rows], dtype=torch.int32),
        "tokens": torch.tensor([token for row in rows for token in row.tokens], dtype=torch.int32),
        "trained": torch.tensor([mark for row in rows for mark in row.trained], dtype=torch.bool),
    }


def unpack(tensors: dict[str, Tensor]) -> list[Rows]:
    tokens, trained = tensors["tokens"].tolist(), tensors["trained"].tolist()
    rows: list[Encoded] = []
    start = 0
    for length in tensors["lengths"].tolist():
        end = start + length
        rows.append(Encoded(tuple(tokens[start:end]), tuple(trained[start:end])))
        start = end
    remaining = iter(rows)
    return [tuple(next(remaining) for _ in range(count)) for count in tensors["num_rows"].tolist()]


def _encode_all(policy: Policy, records: Sequence[Demonstration], max_tokens: int | None) -> list[Rows]:
    """The rows of each record; none for a record that cannot be encoded."""
    rows_of_records: list[Rows] = []
    for record in records:
        try:
            rows_of_records.append(encode_demonstration(policy, record, max_tokens))
        except DataError:  # the caller encodes the record again, and says where the problem is
            rows_of_records.append(())
    return rows_of_records
