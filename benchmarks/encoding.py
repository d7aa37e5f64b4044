"""How fast conversations become training rows, and how fast the rows come back from the cache.

run  python -m benchmarks.encoding --data ../shared/data --json benchmarks/results/encoding.json

Conversations are those of HH-RLHF, GSM8K and an instruction set, repeated with a number in each first turn.
The tokenizer is a byte-level BPE with the pattern of Llama 3, trained on Python source files and these data.

Every pair of the small set measures, one after the other and in alternating order: one process, worker
processes, the cache, and transformers' `apply_chat_template` through `datasets.map` with as many processes.
The last one renders and tokenises, but proves nothing about its rows and keeps no mask of trained tokens, so
it does less.  The whole set is then encoded once with workers.
"""

import argparse
import gzip
import json
import os
import statistics
import sysconfig
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import datasets
from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerFast

from benchmarks.quickstart import machine
from fairlead.core import files
from fairlead.core.template_settings import Template
from fairlead.data.records import Demonstration, Message
from fairlead.encoding.chat_format import ChatFormat
from fairlead.encoding.encoders import PolicyEncoder
from fairlead.encoding.record_rows import encode_demonstration
from fairlead.encoding.worker_pool import encode_records
from fairlead.examples.row_cache import cached_rows
from fairlead.examples.too_long import Fitted, FittedRecords
from fairlead.store.project import create_project
from fairlead.store.run import Run, open_run
from fairlead.train.settings import Optim, TrainingSettings

MAX_TOKENS = 4096
CONTROLS = ("<|im_start|>", "<|im_end|>", "<|endoftext|>")
WORDS = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*"
    r"|\s*[\r\n]+|\s+(?!\S)|\s+"
)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--pairs", type=int, default=5)
    parser.add_argument("--small", type=int, default=5_000)
    parser.add_argument("--whole", type=int, default=200_000)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--vocabulary", type=int, default=128_256)
    parser.add_argument("--json", type=Path)
    args = parser.parse_args()
    sources = conversations(args.data)
    encoder = PolicyEncoder(
        ChatFormat(new_tokenizer(sources, args.vocabulary), Template(file="chatml"), source="benchmark")
    )
    results: dict[str, Any] = {
        "machine": machine(),
        "vocabulary": len(encoder.chat.tokenizer),
        "workers": args.workers,
        "small": args.small,
        "pairs": [],
    }
    small = records(sources, args.small)
    for pair in range(args.pairs):
        measured = measure(encoder, small, args.workers, backwards=pair % 2 == 1)
        results["pairs"].append(measured | {"load": os.getloadavg()[0]})
        print(json.dumps(results["pairs"][-1]), flush=True)
    results["ratios"] = {
        name: statistics.median(row[name] / row["one process"] for row in results["pairs"])
        for name in ("workers", "cache", "datasets.map")
    }
    if args.whole:
        results["whole"] = whole(encoder, records(sources, args.whole), args.workers)
    print(json.dumps(results["ratios"] | results.get("whole", {})))
    if args.json:
        files.write_text(args.json, json.dumps(results, indent=2) + "\n")


def measure(
    encoder: PolicyEncoder, rows: list[Demonstration], workers: int, *, backwards: bool
) -> dict[str, float]:
    """Conversations per second of each way."""
    ways: dict[str, Callable[[], float]] = {
        "one process": lambda: encoding_time(encoder, rows, 0)[0],
        "workers": lambda: encoding_time(encoder, rows, workers)[0],
        "cache": lambda: cache_time(encoder, rows),
        "datasets.map": lambda: map_time(encoder, rows, workers),
    }
    names = list(reversed(ways)) if backwards else list(ways)
    return {name: len(rows) / ways[name]() for name in names}


def encoding_time(
    encoder: PolicyEncoder, rows: list[Demonstration], workers: int
) -> tuple[float, FittedRecords[Demonstration, Any]]:
    """Seconds, the start of the workers included, and the rows."""
    began = time.perf_counter()
    fitted = []
    with closing(
        encode_records(encoder, encode_demonstration, rows, MAX_TOKENS, num_workers=workers)
    ) as outcomes:
        for record, outcome in zip(rows, outcomes, strict=True):
            assert isinstance(outcome, tuple), outcome
            fitted.append(Fitted(record, record, outcome))
    return time.perf_counter() - began, FittedRecords(fitted, {})


def cache_time(encoder: PolicyEncoder, rows: list[Demonstration]) -> float:
    """Seconds of the second time, the digest of the records included."""
    with opened_run() as run:
        return second_time(run, encoder, rows, encoding_time(encoder, rows, 0)[1])


def second_time(
    run: Run,
    encoder: PolicyEncoder,
    rows: list[Demonstration],
    result: FittedRecords[Demonstration, Any],
) -> float:
    cached_rows(run, encoder.chat, rows, {}, lambda: result)
    began = time.perf_counter()
    again = cached_rows(run, encoder.chat, rows, {}, lambda: FittedRecords([], {}))
    seconds = time.perf_counter() - began
    assert len(again.fitted) == len(rows)
    return seconds


def map_time(encoder: PolicyEncoder, rows: list[Demonstration], workers: int) -> float:
    tokenizer = encoder.chat.tokenizer
    tokenizer.chat_template = encoder.chat.template
    messages = [[{"role": turn.role, "content": turn.content} for turn in record.messages] for record in rows]
    datasets.disable_progress_bars()
    table = datasets.Dataset.from_dict({"messages": messages})

    def tokenise(row: dict[str, Any]) -> dict[str, Any]:
        return {"input_ids": tokenizer.apply_chat_template(row["messages"], tokenize=True, return_dict=False)}

    began = time.perf_counter()
    mapped = table.map(tokenise, num_proc=workers, load_from_cache_file=False)
    assert len(mapped) == len(rows)
    return time.perf_counter() - began


def whole(encoder: PolicyEncoder, rows: list[Demonstration], workers: int) -> dict[str, float]:
    seconds, result = encoding_time(encoder, rows, workers)
    with opened_run() as run:
        again = second_time(run, encoder, rows, result)
    tokens = sum(len(row) for fitted in result.fitted for row in fitted.rows)
    return {
        "conversations": len(rows),
        "tokens": tokens,
        "seconds": seconds,
        "seconds_from_cache": again,
        "load": os.getloadavg()[0],
    }


class opened_run:
    """A run in a new project."""

    def __enter__(self) -> Run:
        self._folder = tempfile.TemporaryDirectory()
        project = create_project(Path(self._folder.name) / "project")
        self._run = open_run(
            project, "sft", TrainingSettings(name="encoded", optim=Optim(lr=1e-4)), kind="model", quiet=True
        )
        return self._run.__enter__()

    def __exit__(self, *error: Any) -> None:
        self._run.__exit__(*error)
        self._folder.cleanup()


def conversations(data: Path) -> list[tuple[Message, ...]]:
    result = []
    for row in json.loads((data / "instructions" / "instruction-data.json").read_text(encoding="utf-8")):
        result.append(turns(f"{row['instruction']}\n{row['input']}", row["output"]))
    with open(data / "gsm8k" / "train.jsonl", encoding="utf-8") as lines:
        result += [turns(row["question"], row["answer"]) for row in map(json.loads, lines)]
    with gzip.open(data / "hh_harmless" / "pairs.jsonl.gz", "rt", encoding="utf-8") as lines:
        for row in map(json.loads, lines):
            rounds = [part.partition("\n\nAssistant: ") for part in row["chosen"].split("\n\nHuman: ")[1:]]
            texts = [text for asked, _, answer in rounds for text in (asked, answer)]
            if texts and all(text.strip() for text in texts):
                result.append(turns(*texts))
    return [messages for messages in result if all(message.content for message in messages)]


def turns(*texts: str) -> tuple[Message, ...]:
    return tuple(Message("assistant" if i % 2 else "user", text.strip()) for i, text in enumerate(texts))


def records(sources: list[tuple[Message, ...]], number: int) -> list[Demonstration]:
    result = []
    step = 7919  # a prime, so that the small set has conversations of each source
    for i in range(number):
        first, *others = sources[i * step % len(sources)]
        result.append(Demonstration((), (Message(first.role, f"({i}) {first.content}"), *others)))
    return result


def new_tokenizer(sources: list[tuple[Message, ...]], size: int) -> PreTrainedTokenizerFast:
    """A tokenizer as large as those of present models."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(WORDS), "isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=size,
        special_tokens=list(CONTROLS),
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
        min_frequency=1,
    )
    tokenizer.train_from_iterator(texts(sources), trainer)
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, eos_token=CONTROLS[1], pad_token=CONTROLS[2], model_max_length=MAX_TOKENS
    )


def texts(sources: list[tuple[Message, ...]]) -> Iterator[str]:
    for messages in sources:
        yield from (message.content for message in messages)
    size = 0
    for path in sorted(Path(sysconfig.get_paths()["purelib"]).rglob("*.py")):
        text = path.read_text(encoding="utf-8", errors="replace")
        yield text
        size += len(text)
        if size > 60_000_000:
            return


if __name__ == "__main__":
    main()
