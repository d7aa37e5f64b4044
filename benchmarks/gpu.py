"""Fairlead on a GPU: share of the card's rate, speed relative to TRL, and sampled tokens per second.

run  python -m benchmarks.gpu --trl build/peers/trl1.16/bin/python --json benchmarks/results/gpu.json

rate    the card's rate on square bfloat16 matrix products, best of ten
sft     `fairlead train sft` with four times --batch rows per step, on all weights of a Qwen3 shape of 1.7
        billion parameters with random weights.  Rows have the lengths of HH-RLHF.  Reports tokens per second
        and the share of the card's rate.  The count is 6 floating-point operations per matrix weight and
        token; the head counts for trained tokens only.  Attention products, norms, the optimiser and
        recomputation count as zero.
peers   SFT, reward model and DPO beside TRL, step by step over the same rows, as in benchmarks.peers: TRL
        with its defaults, and with the best settings that its environment supports
sample  sampled tokens per second with 64, 128 and 256 slots; answers have the lengths of answers in the data

`--device cpu --small` runs everything on a CPU with a tiny shape, as a functional check without meaningful
figures.  Without `--trl`, the part `peers` is skipped.  If the file of pairs is missing, rows of random
words with similar lengths are used.
"""

import argparse
import json
import math
import os
import random
import statistics
import subprocess
import time
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any, get_args

import torch

from benchmarks import peers
from fairlead.core import jsonl
from fairlead.core.precision import Precision
from fairlead.data.records import Comparison, Message
from fairlead.model.load import default_device
from fairlead.model.policy import Policy, load_policy
from fairlead.rollout.records import SampleRequest, SamplingParams
from fairlead.rollout.sampler import sample

PARTS = ("rate", "sft", "peers", "sample")
LARGE = {
    "hidden_size": 2048,
    "num_hidden_layers": 28,
    "num_attention_heads": 16,
    "num_key_value_heads": 8,
    "head_dim": 128,
    "intermediate_size": 6144,
}
SMALL = {
    "hidden_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 16,
    "intermediate_size": 128,
}
VOCABULARY = 151_936  # Qwen3's
WARM = 4  # warm-up turns, in which kernels are compiled
# Mean and deviation of the log number of words in HH-RLHF's harmless pairs, and the largest number.
WORDS = {"prompt": (3.81, 1.15, 547), "chosen": (3.01, 0.99, 204), "rejected": (3.21, 1.05, 418)}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--parts", default=",".join(PARTS))
    parser.add_argument("--work", default="sft,reward,dpo", help="methods to compare in the part `peers`")
    parser.add_argument("--trl", type=Path, help="Python interpreter of an environment with TRL 1.16")
    parser.add_argument("--pairs", type=Path, default=Path("../shared/data/hh_harmless/pairs.jsonl.gz"))
    parser.add_argument("--out", type=Path, default=Path("build/gpu"))
    parser.add_argument("--device", choices=("cuda", "cpu"), default="cuda")
    parser.add_argument("--small", action="store_true", help="use a tiny model and few steps")
    parser.add_argument("--batch", type=int, default=32, help="rows per optimiser step")
    parser.add_argument("--micro-tokens", type=int, default=8192)
    parser.add_argument("--measure", type=int, default=5, help="pairs of measurements")
    parser.add_argument("--json", type=Path)
    parser.set_defaults(threads=os.cpu_count() or 1, slots=64)
    args = parser.parse_args()
    if args.device == "cpu":
        os.environ["CUDA_VISIBLE_DEVICES"] = ""  # for the workers too
    if default_device().type != args.device:
        raise SystemExit(
            "No CUDA device was found. Use `--device cpu --small` for a functional check on the CPU."
        )
    if args.small:
        args.batch, args.micro_tokens, args.threads = 4, 1024, 1
    comparisons = (
        peers.read_pairs(args.pairs) if args.pairs.is_file() else made_up_pairs(200 if args.small else 1144)
    )
    model = args.out / ("small" if args.small else "model")
    peers.make_model(
        model, comparisons, shape=SMALL if args.small else LARGE, vocabulary=0 if args.small else VOCABULARY
    )
    results: dict[str, Any] = {
        "device": device_name(args.device),
        "rows": "file" if args.pairs.is_file() else "made up",
    }
    results["versions"] = {name: version(name) for name in ("fairlead", "torch", "transformers")}
    parts = [part for part in args.parts.split(",") if part != "peers" or args.trl]
    for part in parts:
        match part:
            case "rate":
                results[part] = {"tflops": float(f"{rate(args) / 1e12:.3g}")}
            case "sft":
                results[part] = sft(model, comparisons, args)
            case "peers":
                results[part] = beside_trl(model, comparisons, args)
            case "sample":
                results[part] = sampling(model, comparisons, args)
            case _:
                raise SystemExit(f"unknown part {part!r}; choose from {', '.join(PARTS)}")
        print(json.dumps({part: results[part]}), flush=True)
        if args.json:
            args.json.parent.mkdir(parents=True, exist_ok=True)
            args.json.write_text(json.dumps(results, indent=2) + "\n", encoding="utf-8")


def device_name(device: str) -> str:
    return torch.cuda.get_device_name() if device == "cuda" else "cpu"


def best_precision() -> str:
    """Weights in bfloat16 where the recipes offer it, otherwise matrix products in bfloat16."""
    return "pure-bf16" if peers.PRECISION["pure-bf16"] in get_args(Precision) else "bf16"


def made_up_pairs(count: int) -> list[Comparison]:
    """Pairs of random words from seed 0, with lengths like those of HH-RLHF."""
    draw = random.Random(0)
    words = ["".join(draw.choices("aeioubcdfgklmnprst", k=draw.randint(2, 8))) for _ in range(3000)]

    def text(side: str) -> str:
        mean, deviation, most = WORDS[side]
        return " ".join(
            draw.choices(words, k=min(most, max(1, round(math.exp(draw.gauss(mean, deviation))))))
        )

    return [
        Comparison(
            (Message("user", text("prompt")),),
            (Message("assistant", text("chosen")),),
            (Message("assistant", text("rejected")),),
        )
        for _ in range(count)
    ]


def seconds_of(work: Callable[[], Any], device: str) -> float:
    def wait() -> None:
        if device == "cuda":
            torch.cuda.synchronize()

    wait()
    start = time.perf_counter()
    work()
    wait()
    return time.perf_counter() - start


def rate(args: argparse.Namespace) -> float:
    """Floating-point operations per second of the fastest matrix product.

    That is bfloat16 on a GPU.  A CPU without instructions for bfloat16 is faster in float32.
    """
    dtypes = [torch.bfloat16, torch.float32] if args.device == "cpu" else [torch.bfloat16]
    return max(rate_in(dtype, args) for dtype in dtypes)


def rate_in(dtype: torch.dtype, args: argparse.Namespace) -> float:
    size = 512 if args.small else 8192
    a, b = (torch.randn(size, size, dtype=dtype, device=args.device) for _ in range(2))
    seconds_of(lambda: a @ b, args.device)
    return 2 * size**3 / min(seconds_of(lambda: a @ b, args.device) for _ in range(10))


def sft(model: Path, comparisons: list[Comparison], args: argparse.Namespace) -> dict[str, Any]:
    """The SFT recipe alone, step by step."""
    home = args.out / "sft"
    home.mkdir(parents=True, exist_ok=True)
    # More rows than beside TRL, because the cost of the optimiser does not depend on the number of tokens.
    sft_args = argparse.Namespace(**{**vars(args), "measure": args.measure + WARM, "batch": 4 * args.batch})
    ours, theirs, tokens = peers.write_rows("sft", home, model, comparisons, sft_args)
    dtype = best_precision()
    worker = peers.start_ours(peers.as_job("sft", dtype, "alone", {}, model, sft_args), ours, home)
    peers.listen(worker, home)  # the first step
    for _ in range(WARM):
        peers.turn(worker, home)
    seconds = [peers.turn(worker, home)["seconds"] for _ in range(args.measure)]
    peak = peers.turn(worker, home)["peak_mb"]
    worker.communicate("stop\n")
    policy = load_policy(str(model))
    trained = trained_tokens(policy, [row for _, row in jsonl.read(theirs)], [len(step) for step in tokens])
    first = 1 + WARM
    measured = slice(first, first + args.measure)
    inside, head = matrix_weights(policy)
    operations = [
        6 * inside * sum(step) + 6 * head * count
        for step, count in zip(tokens[measured], trained[measured], strict=True)
    ]
    own = rate(args)
    return {
        "parameters": sum(p.numel() for p in policy.network.parameters()),
        "precision": peers.PRECISION[dtype],
        "rows_per_step": sft_args.batch,
        "micro_tokens": args.micro_tokens,
        "backend": chosen_backend(home / "ours"),
        "tokens_per_step": round(statistics.mean(sum(step) for step in tokens[measured])),
        "tokens_per_s": round(
            statistics.median(sum(step) / s for step, s in zip(tokens[measured], seconds, strict=True))
        ),
        "share_of_rate": round(
            statistics.median(count / s / own for count, s in zip(operations, seconds, strict=True)), 4
        ),
        "card_tflops": round(own / 1e12, 2),
        "peak_mb": round(peak),
        "steps": len(seconds),
    }


def trained_tokens(policy: Policy, rows: list[dict[str, Any]], sizes: list[int]) -> list[int]:
    """Number of tokens with a loss in each step; the rows are in the order of the steps."""

    def encoded(row: dict[str, Any]) -> int:
        prompt, completion = (
            tuple(Message(m["role"], m["content"]) for m in row[side]) for side in ("prompt", "completion")
        )
        return sum(policy.encode(prompt + completion, num_context=len(prompt)).trained)

    counts = [encoded(row) for row in rows]
    starts = [sum(sizes[:s]) for s in range(len(sizes))]
    return [sum(counts[start : start + size]) for start, size in zip(starts, sizes, strict=True)]


def matrix_weights(policy: Policy) -> tuple[int, int]:
    """Number of matrix weights that every token passes, and of weights of the head."""
    head = policy.network.get_output_embeddings().weight
    inside = sum(
        p.numel()
        for name, p in policy.network.named_parameters()
        if p.dim() == 2 and "embed" not in name and p is not head
    )
    return inside, head.numel()


def chosen_backend(home: Path) -> str:
    """The backend that the run chose."""
    (events,) = home.glob("runs/*/events.jsonl")
    return str(next(event["chosen"] for _, event in jsonl.read(events) if event["event"] == "paths"))


def beside_trl(model: Path, comparisons: list[Comparison], args: argparse.Namespace) -> list[dict[str, Any]]:
    """TRL with its defaults, then with its best settings; results have the fields of benchmarks.peers."""
    has = installed(args.trl)
    rows = []
    for work in args.work.split(","):
        for name, settings in (("default", {}), ("best", best_settings(work, has))):
            rows.append(
                peers.measure(work, best_precision(), name, settings, model, comparisons, args)
                | {"installed": sorted(has)}
            )
            print(json.dumps({k: rows[-1][k] for k in peers.SHOWN}), flush=True)
    return rows


def installed(python: Path) -> set[str]:
    """The optional kernel packages in TRL's environment."""
    packages = ("flash_attn", "kernels", "liger_kernel")
    code = f"from importlib.util import find_spec; print(*[name for name in {packages} if find_spec(name)])"
    return set(
        subprocess.run([str(python), "-c", code], capture_output=True, text=True, check=True).stdout.split()
    )


def best_settings(work: str, has: set[str]) -> dict[str, Any]:
    """The fastest documented settings of TRL that keep the rows and their order.

    TRL chunks its loss by default.  Packing is excluded because it merges rows of several steps.
    Padding-free batches save the same tokens.
    """
    settings: dict[str, Any] = {"gradient_checkpointing": False}
    attention = (
        "flash_attention_2"
        if "flash_attn" in has
        else "kernels-community/flash-attn2"
        if "kernels" in has
        else None
    )
    if attention:
        settings["model"] = {"attn_implementation": attention}
        if work == "sft":  # TRL 1.16 disables it for DPO and has none for reward models
            settings |= {"padding_free": True, "max_length": None}
    if "liger_kernel" in has:
        settings["use_liger_kernel"] = True
    if work == "dpo":
        settings["precompute_ref_log_probs"] = True
    return settings


def sampling(model: Path, comparisons: list[Comparison], args: argparse.Namespace) -> list[dict[str, Any]]:
    """Sampling with bfloat16 weights and four prompts per slot, so that slots are refilled."""
    policy = load_policy(str(model))
    network = policy.network.to(torch.bfloat16)
    longest = 24 if args.small else 256
    rows = [
        (
            list(policy.encode_prompt(c.prompt)),
            len(policy.tokenizer(c.chosen[-1].content)["input_ids"]),
        )
        for c in comparisons
    ]
    measurements = []
    for slots in (4,) if args.small else (64, 128, 256):
        part = [rows[i % len(rows)] for i in range(4 * slots)]
        limits = [min(longest, limit + 1) for _, limit in part]

        def draw(slots: int = slots, part: list[Any] = part, limits: list[int] = limits) -> None:
            request = SampleRequest(
                prompts=[prompt for prompt, _ in part], params=SamplingParams(max_new_tokens=longest), seed=0
            )
            sample(
                network,
                request,
                stop_ids=frozenset(),
                pad_id=policy.pad_id,
                max_lengths=limits,
                num_slots=slots,
            )

        draw()
        seconds = [seconds_of(draw, args.device) for _ in range(1 if args.small else 3)]
        measurements.append(
            {
                "slots": slots,
                "tokens": sum(limits),
                "tokens_per_s": round(sum(limits) / statistics.median(seconds)),
            }
        )
    return measurements


if __name__ == "__main__":
    main()
