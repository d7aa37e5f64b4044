r"""Fairlead beside TRL, step by step: the same rows in the same order, the same model, the same threads.

run  python -m benchmarks.peers --work sft,reward,dpo,ppo,sample --trl build/peers/trl1.16/bin/python \
         --json benchmarks/results/peers.json

TRL has a separate environment.  Create it with `python -m venv build/peers/trl1.16`, then install
torch==2.13.0 transformers==5.23.0 trl==1.16.0 with its pip.  PPO uses trl==1.12.0 in build/peers/trl1.12.

Each side is a process with its own training loop that pauses after every optimiser step.  The two sides take
turns, so that other load on the machine affects both.  A ratio compares one step of each side on the same
rows. There are three rounds: both sides with their defaults ("default"), TRL with Fairlead's allocator
settings ("kept"), and TRL with the settings of TUNED as well ("peer-tuned").  The model is a Qwen3 shape of
6.8 M parameters with random weights; the rows are HH-RLHF pairs.
"""

import argparse
import json
import random
import statistics
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
from transformers import Qwen3Config, Qwen3ForCausalLM

from fairlead.core import jsonl
from fairlead.data.formats import hh
from fairlead.data.records import Comparison, Messages
from fairlead.data.row_problem import BadRow, RowLocation
from fairlead.data.split import split_by_prompt
from fairlead.encoding import batching
from fairlead.encoding.chat import encode_prompt
from fairlead.encoding.chat_format import ChatFormat
from fairlead.model import from_scratch
from fairlead.model.load import quiet_transformers

HERE = Path(__file__).parent / "peer_workers"
CONTEXT = 1024
BATCH = 16
WORKS = ("sft", "reward", "dpo", "grpo", "ppo", "sample")
ASKED = 128  # prompts per sampling call
WINDOW = 3  # steps over which tuned TRL may group rows by length; a turn then has this many steps
SHOWN = ("work", "dtype", "allocator", "ratio", "peak_memory_ratio", "tokens_per_s")
PRECISION = {"fp32": "float32", "bf16": "bfloat16", "pure-bf16": "pure-bfloat16"}
SHAPE = {
    "hidden_size": 256,
    "num_hidden_layers": 6,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 64,
    "intermediate_size": 768,
}
ROUNDS = ("default", "kept", "peer-tuned")
# TRL's documented options for a CPU.  Grouping by length is done here: it reorders rows within WINDOW steps.
TUNED: dict[str, dict[str, Any]] = {
    "sft": {"gradient_checkpointing": False, "group_by_length": True},
    "reward": {"gradient_checkpointing": False, "group_by_length": True},
    "dpo": {"gradient_checkpointing": False, "precompute_ref_log_probs": True, "group_by_length": True},
    "grpo": {"gradient_checkpointing": False},
    "ppo": {"gradient_checkpointing": False},
    "sample": {"sort": True},
}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--work", default=",".join(WORKS))
    parser.add_argument("--dtype", default="bf16,fp32")
    parser.add_argument("--rounds", default=",".join(ROUNDS))
    parser.add_argument("--trl", type=Path, default=Path("build/peers/trl1.16/bin/python"))
    parser.add_argument(
        "--trl-ppo",
        type=Path,
        default=Path("build/peers/trl1.12/bin/python"),
        help="Python interpreter of TRL 1.12, the last version with PPO",
    )
    parser.add_argument("--pairs", type=Path, default=Path("../shared/data/hh_harmless/pairs.jsonl.gz"))
    parser.add_argument("--out", type=Path, default=Path("build/peers"))
    parser.add_argument("--measure", type=int, default=7, help="pairs of measurements")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--micro-tokens", type=int, default=1024)
    parser.add_argument("--slots", type=int, default=64)
    parser.add_argument("--batch", type=int, default=BATCH, help="rows per optimiser step")
    parser.add_argument("--json", type=Path)
    parser.set_defaults(device="cpu")
    args = parser.parse_args()
    comparisons = read_pairs(args.pairs)
    model = args.out / "model"
    make_model(model, comparisons)
    rows = []
    for work in args.work.split(","):
        for dtype in args.dtype.split(","):
            for round_name in args.rounds.split(","):
                settings = TUNED[work] if round_name == "peer-tuned" else {}
                row = measure(work, dtype, round_name, settings, model, comparisons, args)
                rows.append(row)
                print(json.dumps({k: row[k] for k in SHOWN}), flush=True)
                if args.json:
                    args.json.parent.mkdir(parents=True, exist_ok=True)
                    args.json.write_text(json.dumps({"rows": rows}, indent=2) + "\n", encoding="utf-8")


def read_pairs(path: Path) -> list[Comparison]:
    """The pairs that fit the context, estimated at three characters per token."""
    comparisons = []
    for number, row in jsonl.read(path):
        try:
            comparison = hh.convert(row, RowLocation(str(path), number))
        except BadRow:  # empty answers and the like
            continue
        if all(
            sum(len(m.content) for m in comparison.prompt + side) < 3 * CONTEXT
            for side in (comparison.chosen, comparison.rejected)
        ):
            comparisons.append(comparison)
    return comparisons


def make_model(
    folder: Path, comparisons: list[Comparison], *, shape: dict[str, int] = SHAPE, vocabulary: int = 0
) -> None:
    """Write a random Qwen3 model and a tokenizer of 8,192 tokens trained on the rows.

    A larger `vocabulary` widens the embedding and the head only.
    """
    if (folder / "config.json").exists():
        return
    texts = (message.content for c in comparisons for message in c.prompt + c.chosen + c.rejected)
    tokenizer = from_scratch.new_tokenizer(texts, vocab_size=8192, context=CONTEXT)
    config = Qwen3Config(
        vocab_size=max(vocabulary, len(tokenizer)),
        **shape,
        max_position_embeddings=CONTEXT,
        tie_word_embeddings=True,
        pad_token_id=tokenizer.pad_token_id,
        eos_token_id=tokenizer.eos_token_id,
        bos_token_id=None,
    )
    torch.manual_seed(0)
    with quiet_transformers():
        Qwen3ForCausalLM(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)


def measure(
    work: str,
    dtype: str,
    round_name: str,
    settings: dict[str, Any],
    model: Path,
    comparisons: list[Comparison],
    args: argparse.Namespace,
) -> dict[str, Any]:
    """Measure both sides step by step; `settings` are changes to TRL's defaults."""
    home = args.out / f"{work}-{dtype}-{round_name}"
    home.mkdir(parents=True, exist_ok=True)
    window = WINDOW if settings.get("group_by_length") else 1
    ours, theirs, tokens = write_rows(work, home, model, comparisons, args, window=window)
    job = as_job(
        work, dtype, round_name, {k: v for k, v in settings.items() if k != "group_by_length"}, model, args
    ) | {"window": window}
    subprocess.run(["rm", "-rf", str(home / "theirs")], check=True)
    us = start_ours(job, ours, home)
    them = start(
        (args.trl_ppo if work == "ppo" else args.trl).absolute(),
        HERE / "trl.py",
        job | {"rows": str(theirs), "home": str((home / "theirs").resolve())},
        home / "trl.log",
    )
    answers: dict[str, list[dict[str, Any]]] = {"us": [], "them": []}
    for name, process in (("us", us), ("them", them)):
        listen(process, home)  # ready: loaded, and the first step done
        answers[name].append(turn(process, home))  # warm-up turn
        answers[name].clear()
    for _ in range(args.measure):
        answers["us"].append(turn(us, home))
        answers["them"].append(turn(them, home))
    for process in (us, them):
        process.communicate("stop\n")
    ratios = [b["seconds"] / a["seconds"] for a, b in zip(answers["us"], answers["them"], strict=True)]
    starts = [1 + window * (1 + i) for i in range(args.measure)]  # after the first step and the warm-up turn
    num_tokens = [sum(sum(step) for step in tokens[start : start + window]) for start in starts]
    speed = {
        name: round(
            statistics.median(n / a["seconds"] for n, a in zip(num_tokens, measurements, strict=True))
        )
        for name, measurements in answers.items()
    }
    peak = {name: max(a["peak_mb"] for a in measurements) for name, measurements in answers.items()}
    return {
        "work": work,
        "dtype": dtype,
        "allocator": round_name,
        "peer": "trl 1.12" if work == "ppo" else "trl 1.16",
        "ratio": {
            "median": round(statistics.median(ratios), 2),
            "min": round(min(ratios), 2),
            "max": round(max(ratios), 2),
            "n": len(ratios),
        },
        "peak_memory_ratio": round(peak["us"] / peak["them"], 3),
        "peak_mb": {name: round(value) for name, value in peak.items()},
        "tokens_per_s": {"ours": speed["us"], "theirs": speed["them"]},
        "seconds": {
            name: [round(a["seconds"], 3) for a in measurements] for name, measurements in answers.items()
        },
        "settings": settings,
        "versions": {name: version(name) for name in ("fairlead", "torch", "transformers")},
    }


def as_job(
    work: str, dtype: str, round_name: str, settings: dict[str, Any], model: Path, args: argparse.Namespace
) -> dict[str, Any]:
    """The job description of a worker."""
    return {
        "work": work,
        "tag": f"{dtype}-{round_name}",
        "model": str(model.resolve()),
        "batch": ASKED if work == "sample" else args.batch,
        "window": 1,
        "precision": PRECISION[dtype],
        "device": args.device,
        "threads": args.threads,
        "micro_tokens": args.micro_tokens,
        "slots": args.slots,
        "allocator": "default" if round_name == "default" else "kept",
        "settings": settings,
    }


def start_ours(job: dict[str, Any], rows: Path, home: Path) -> "subprocess.Popen[str]":
    subprocess.run(["rm", "-rf", str(home / "ours")], check=True)
    full_job = job | {"rows": str(rows), "home": str((home / "ours").resolve())}
    return start(Path(sys.executable), HERE / "ours.py", full_job, home / "ours.log")


def write_rows(
    work: str,
    home: Path,
    model: Path,
    comparisons: list[Comparison],
    args: argparse.Namespace,
    *,
    window: int = 1,
) -> tuple[Path, Path, list[list[int]]]:
    """Write both sides' rows; return their files and the tokens of each row by step.

    TRL's rows are in the order in which Fairlead takes its own.  With a `window`, TRL's rows are grouped by
    length within that many steps.
    """
    tokenizer = from_scratch.PreTrainedTokenizerFast.from_pretrained(model)
    chat = ChatFormat(tokenizer)
    num_steps = 1 + window * (args.measure + 2)
    if work == "sample":
        # Answers have the lengths of the data: row i gets as many tokens as its chosen answer.
        rows = [
            {
                "tokens": list(encode_prompt(chat, c.prompt)),
                "limit": min(256, len(tokenizer(c.chosen[-1].content)["input_ids"]) + 1),
            }
            for c in comparisons
        ]
        random.Random(0).shuffle(rows)
        rows = [row for row in rows if len(row["tokens"]) + row["limit"] <= CONTEXT]
        path = home / "rows.jsonl"
        jsonl.write(path, rows)
        lengths = [int(row["limit"]) for row in rows]
        steps = [[lengths[(s * ASKED + k) % len(rows)] for k in range(ASKED)] for s in range(num_steps)]
        return path.resolve(), path.resolve(), steps

    if work in ("ppo", "grpo"):
        prompts = [c for c in comparisons if len(encode_prompt(chat, c.prompt)) < 512]
        prompt_rows = [as_row("dpo", c)["prompt"] for c in prompts]
        jsonl.write(home / "ours.jsonl", [{"prompt": prompt} for prompt in prompt_rows])
        answers = 4 if work == "grpo" else 1
        order = batching.step_rows(len(prompts), args.batch // answers, num_steps, run_seed=0, drop_last=True)
        encoded = [list(encode_prompt(chat, c.prompt)) for c in prompts]
        jsonl.write(
            home / "theirs.jsonl",
            [{"prompt": prompt_rows[i], "tokens": encoded[i]} for step in order for i in step],
        )
        sizes = [[answers * (len(encoded[i]) + 64) for i in step] for step in order]
        return (home / "ours.jsonl").resolve(), (home / "theirs.jsonl").resolve(), sizes

    def size(c: Comparison) -> list[int]:
        chosen, rejected = (len(encode_prompt(chat, c.prompt + side)) for side in (c.chosen, c.rejected))
        return [chosen] if work == "sft" else [chosen, rejected]

    fitting = [c for c in comparisons if max(size(c)) < CONTEXT - 8]
    written = [as_row(work, c) for c in fitting]
    jsonl.write(home / "ours.jsonl", written)
    train, _ = split_by_prompt(fitting, held_out=0.01, seed=0)
    steps = batching.step_rows(len(train), args.batch, num_steps, run_seed=0)
    theirs = steps[:1]
    for start in range(1, num_steps, window):
        part = [i for step in steps[start : start + window] for i in step]
        theirs.append(sorted(part, key=lambda i: max(size(train[i]))) if window > 1 else part)
    jsonl.write(home / "theirs.jsonl", [as_row(work, train[i]) for part in theirs for i in part])
    return (
        (home / "ours.jsonl").resolve(),
        (home / "theirs.jsonl").resolve(),
        [[sum(size(train[i])) for i in step] for step in steps],
    )


def as_row(work: str, comparison: Comparison) -> dict[str, Any]:
    def turns(messages: Messages) -> list[dict[str, str]]:
        return [{"role": m.role, "content": m.content} for m in messages]

    if work == "sft":
        return {"prompt": turns(comparison.prompt), "completion": turns(comparison.chosen)}
    return {name: turns(getattr(comparison, name)) for name in ("prompt", "chosen", "rejected")}


def start(python: Path, script: Path, job: dict[str, Any], log: Path) -> "subprocess.Popen[str]":
    with log.open("w") as errors:
        return subprocess.Popen(
            [str(python), str(script), json.dumps(job)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
        )


def turn(process: "subprocess.Popen[str]", home: Path) -> dict[str, Any]:
    assert process.stdin is not None
    process.stdin.write("go\n")
    process.stdin.flush()
    return listen(process, home)


def listen(process: "subprocess.Popen[str]", home: Path) -> dict[str, Any]:
    assert process.stdout is not None
    line = process.stdout.readline()
    if not line:
        raise SystemExit(f"a worker ended; see the logs in {home}")
    answer: dict[str, Any] = json.loads(line)
    return answer


if __name__ == "__main__":
    main()
