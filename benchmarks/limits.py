"""How close Fairlead comes to the limits of the machine.

run  python -m benchmarks.limits --json benchmarks/results/limits.json

products  the machine's rate on square matrix products, fp32 and bf16, best of ten
sft       share of that rate that an SFT step reaches, forward and backward, on rows of equal length at
          hidden sizes 256 and 1,024.  The count is 6 floating-point operations per matrix weight and token;
          the head counts for trained tokens only.  Attention products, norms and the optimiser count as
          zero.
loss      memory and time of log-probabilities and their gradients at vocabularies of 32 k and 128 k: all
          logits at once, and in chunks
trees     time of K answers per prompt as separate rows over their time as one tree, both packed, beside the
          bound K(r+1)/(r+K)
decode    sampled tokens per second, beside the rate at which weights and caches alone could be read
roles     peak memory of PPO with LoRA (policy, reference, critic and reward model on one network) over that
          of SFT with LoRA
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from transformers import Qwen3Config, Qwen3ForCausalLM

from fairlead.core import jsonl
from fairlead.core.allocator import keep_freed_pages
from fairlead.core.config import from_dict
from fairlead.encoding.batching import Batch, collate
from fairlead.encoding.chat import Encoded
from fairlead.encoding.chat_format import ChatFormat
from fairlead.model.adapters import Lora
from fairlead.model.from_scratch import new_tokenizer
from fairlead.model.load import to_default_device
from fairlead.model.policy import Policy
from fairlead.model.reward_model import new_reward_model
from fairlead.ops.logprobs import Head, linear_logps, selected_logps
from fairlead.recipes import ppo, sft
from fairlead.rollout.records import SampleRequest, SamplingParams
from fairlead.rollout.sampler import sample
from fairlead.store.project import create_project
from fairlead.store.run import open_run
from fairlead.train.optim import adamw, update

DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16}
PARTS = ("products", "sft", "loss", "trees", "decode", "roles")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--parts", default=",".join(PARTS))
    parser.add_argument("--json", type=Path)
    parser.add_argument("--loss-child", nargs=2, metavar=("HOW", "VOCABULARY"), help=argparse.SUPPRESS)
    parser.add_argument("--role-child", nargs=2, metavar=("RECIPE", "FOLDER"), help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.loss_child:  # without keeping freed pages, so that the peak is visible
        print(json.dumps(one_loss(args.loss_child[0], int(args.loss_child[1]))))
        return
    keep_freed_pages()
    if args.role_child:
        print(json.dumps(one_role(args.role_child[0], Path(args.role_child[1]))))
        return
    results: dict[str, Any] = {"torch": torch.__version__, "threads": torch.get_num_threads()}
    for part in args.parts.split(","):
        results[part] = {
            "products": products,
            "sft": sft_shares,
            "loss": losses,
            "trees": trees,
            "decode": decode,
            "roles": roles,
        }[part]()
        print(json.dumps({part: results[part]}, indent=1), flush=True)
        if args.json:
            args.json.parent.mkdir(parents=True, exist_ok=True)
            args.json.write_text(json.dumps(results, indent=2) + "\n", encoding="utf-8")


def best_of(times: int, work: Callable[[], Any]) -> float:
    """Seconds of the fastest call, after one warm-up call."""
    work()
    seconds = []
    for _ in range(times):
        start = time.perf_counter()
        work()
        seconds.append(time.perf_counter() - start)
    return min(seconds)


def products() -> dict[str, float]:
    """GFLOP/s of square matrix products, by dtype."""
    rates = {}
    for name, dtype in DTYPES.items():
        a, b = (torch.randn(2048, 2048, dtype=dtype) for _ in range(2))
        rates[name] = round(2 * 2048**3 / best_of(10, lambda a=a, b=b: a @ b) / 1e9, 1)
    return rates


def policy_of(hidden: int, *, layers: int = 6, vocabulary: int = 8192) -> Policy:
    tokenizer = new_tokenizer(iter(["a b c"] * 4), vocab_size=300, context=1024)
    config = Qwen3Config(
        vocab_size=vocabulary,
        hidden_size=hidden,
        num_hidden_layers=layers,
        num_attention_heads=hidden // 64,
        num_key_value_heads=hidden // 128,
        head_dim=64,
        intermediate_size=3 * hidden,
        max_position_embeddings=2048,
        tie_word_embeddings=True,
        pad_token_id=0,
        eos_token_id=1,
        bos_token_id=None,
    )
    torch.manual_seed(0)
    network = Qwen3ForCausalLM(config).eval()
    to_default_device(network)
    policy = Policy(network, ChatFormat(tokenizer), "nowhere")
    policy.backend.packed = True  # the backend check selects packing for this shape
    return policy


def rows(count: int, prompt: int, answer: int, *, same_prompt: int = 1) -> Batch:
    """`count` rows of random tokens; every `same_prompt` rows share their prompt."""
    generator = torch.Generator().manual_seed(0)

    def tokens(number: int) -> tuple[int, ...]:
        return tuple(torch.randint(5, 8000, (number,), generator=generator).tolist())

    encoded = []
    for i in range(count):
        if i % same_prompt == 0:
            start = tokens(prompt)
        encoded.append(Encoded(start + tokens(answer), (False,) * prompt + (True,) * answer))
    return collate(encoded, pad_id=0)


def step(policy: Policy, batch: Batch, optimizer: torch.optim.Optimizer) -> None:
    (-policy.token_logps(batch).sum() / 1000).backward()
    update(optimizer, lr=1e-6, max_norm=1.0, step=1)


def sft_shares() -> dict[str, Any]:
    rates, shares = products(), {}
    for hidden, count in ((256, 16), (1024, 8)):
        for name in DTYPES:
            policy = policy_of(hidden)
            policy.backend.precision = "bfloat16" if name == "bf16" else "float32"
            batch = rows(count, 128, 128)
            optimizer = adamw(policy.trainable(), lr=1e-6)
            seconds = best_of(5, lambda p=policy, b=batch, o=optimizer: step(p, b, o))
            inside = sum(
                p.numel() for n, p in policy.trainable().items() if p.dim() == 2 and "embed" not in n
            )
            head = policy.network.get_output_embeddings().weight.numel()
            operations = 6 * inside * batch.tokens.numel() + 6 * head * int(batch.response_mask.sum())
            shares[f"hidden {hidden} {name}"] = {
                "seconds": round(seconds, 3),
                "tokens_per_s": round(batch.tokens.numel() / seconds),
                "gflops": round(operations / seconds / 1e9, 1),
                "share_of_machine": round(operations / seconds / 1e9 / rates[name], 3),
            }
    return shares


def losses() -> list[dict[str, Any]]:
    comparisons = []
    for vocabulary in (32_000, 128_000):
        pair = {}
        for how in ("whole", "chunks"):
            command = [sys.executable, "-m", "benchmarks.limits", "--loss-child", how, str(vocabulary)]
            pair[how] = json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
        ratio = {"memory_ratio": round(pair["whole"]["mb"] / pair["chunks"]["mb"], 1)}
        ratio["time_ratio"] = round(pair["chunks"]["seconds"] / pair["whole"]["seconds"], 3)
        comparisons.append(
            {"vocabulary": vocabulary, **pair, **ratio, "gradient_gap": gradient_gap(vocabulary)}
        )
    return comparisons


def _loss(how: str, hidden: Tensor, weight: Tensor, targets: Tensor) -> Tensor:
    if how == "chunks":
        return linear_logps(hidden, Head(weight), targets).logps.sum()
    logits = nn.functional.linear(hidden, weight)[None]
    tokens = torch.cat([targets[:1], targets])[None]
    mask = torch.ones_like(tokens, dtype=torch.bool)
    mask[0, 0] = False
    return selected_logps(torch.cat([logits, logits[:, -1:]], dim=1), tokens, mask).sum()


def _inputs(vocabulary: int, count: int) -> tuple[Tensor, Tensor, Tensor]:
    torch.manual_seed(0)
    hidden = torch.randn(count, 256, requires_grad=True)
    weight = (torch.randn(vocabulary, 256) * 0.05).requires_grad_()
    return hidden, weight, torch.randint(0, vocabulary, (count,))


def one_loss(how: str, vocabulary: int) -> dict[str, float]:
    """Memory beyond inputs and gradients, and seconds, of one loss and backward over 2,048 tokens."""
    hidden, weight, targets = _inputs(vocabulary, 2048)
    hidden.grad, weight.grad = torch.zeros_like(hidden), torch.zeros_like(weight)
    Path("/proc/self/clear_refs").write_text("5")  # resets the peak
    before = resident("VmRSS")
    _loss(how, hidden, weight, targets).backward()
    peak = resident("VmHWM") - before
    seconds = best_of(3, lambda: _loss(how, hidden, weight, targets).backward())
    return {"mb": round(peak, 1), "seconds": round(seconds, 3)}


def resident(field: str) -> float:
    """Resident memory in MB: VmRSS is the present value, VmHWM the peak."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(field)) / 1024


def gradient_gap(vocabulary: int) -> float:
    grads = []
    for how in ("whole", "chunks"):
        hidden, weight, targets = _inputs(vocabulary, 64)
        _loss(how, hidden, weight, targets).backward()
        assert hidden.grad is not None and weight.grad is not None
        grads.append((hidden.grad, weight.grad))
    return max(float((whole - chunked).abs().max()) for whole, chunked in zip(*grads, strict=True))


def trees() -> list[dict[str, Any]]:
    """Gain of tree batches; prompts are four times as long as answers."""
    gains = []
    for name in DTYPES:
        for count in (2, 4):
            policy = policy_of(256)
            policy.backend.precision = "bfloat16" if name == "bf16" else "float32"
            optimizer = adamw(policy.trainable(), lr=1e-6)
            seconds = {}
            for same in (1, count):
                batch = rows(16, 256, 64, same_prompt=same)
                seconds[same] = best_of(5, lambda p=policy, b=batch, o=optimizer: step(p, b, o))
            gain, bound = seconds[1] / seconds[count], count * (4 + 1) / (4 + count)
            gains.append(
                {
                    "dtype": name,
                    "K": count,
                    "gain": round(gain, 2),
                    "bound": round(bound, 2),
                    "share": round(gain / bound, 3),
                }
            )
    return gains


def decode() -> dict[str, Any]:
    policy = policy_of(256)
    prompts = [row.tolist() for row in rows(64, 64, 1).tokens]
    request = SampleRequest(prompts=prompts, params=SamplingParams(max_new_tokens=64), seed=0)
    seconds = best_of(
        3, lambda: sample(policy.network, request, stop_ids=frozenset(), pad_id=0, num_slots=64)
    )
    block = torch.randn(64 << 20)  # 256 MiB, larger than any cache
    bandwidth = (
        2 * block.numel() * 4 / best_of(5, lambda: block.clone())
    )  # bytes per second, read and written
    weights = sum(p.numel() * 4 for p in policy.network.parameters())
    caches = 6 * 2 * 128 * 4 * 64 * 96  # layers, keys and values, width, bytes, rows, mean length
    return {
        "tokens_per_s": round(64 * 64 / seconds),
        "bandwidth_gb_per_s": round(bandwidth / 1e9, 1),
        "bound_tokens_per_s": round(64 * bandwidth / (weights + caches)),
    }


def roles() -> dict[str, Any]:
    """Peak memory over three steps: Qwen3 shape of hidden size 512, LoRA rank 16, 16 rows per step."""
    with tempfile.TemporaryDirectory() as folder:
        policy = policy_of(512)
        policy.network.save_pretrained(Path(folder) / "model")
        policy.tokenizer.save_pretrained(Path(folder) / "model")
        judge = new_reward_model(str(Path(folder) / "model"), run_seed=0, lora=Lora(16, 32))
        judge.save(Path(folder) / "judge")
        peaks = {}
        for recipe in ("sft", "ppo"):
            command = [sys.executable, "-m", "benchmarks.limits", "--role-child", recipe, folder]
            peaks[recipe] = json.loads(
                subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()[-1]
            )
    return {
        **{f"{name}_mb": peak["mb"] for name, peak in peaks.items()},
        "ratio": round(peaks["ppo"]["mb"] / peaks["sft"]["mb"], 3),
    }


def one_role(recipe: str, folder: Path) -> dict[str, float]:
    project = create_project(folder / recipe)
    question = {"role": "user", "content": "a b c " * 40}
    data = project.data / "rows.jsonl"
    answer = {"role": "assistant", "content": "c b a " * 20}
    jsonl.write(
        data,
        [
            {"prompt": [question | {"content": f"{question['content']} {i}"}], "completion": [answer]}
            for i in range(48)
        ],
    )
    prompts = project.data / "prompts.jsonl"
    jsonl.write(prompts, [{"prompt": row["prompt"]} for _, row in jsonl.read(data)])
    config = role_config(recipe, folder, data, prompts)
    module = {"sft": sft, "ppo": ppo}[recipe]
    with open_run(project, recipe, config, kind=module.KIND, quiet=True) as run:
        module.main(config, run)
    return {"mb": round(resident("VmHWM"), 1)}


def role_config(recipe: str, folder: Path, demonstrations: Path, prompts: Path) -> sft.Config | ppo.Config:
    """The configuration of the recipe whose peak memory is measured."""
    common = {
        "name": "trained",
        "model": str(folder / "model"),
        "batch": 16,
        "precision": "bfloat16",
        "rank": 16,
    }
    if recipe == "sft":
        data = {"demonstrations": str(demonstrations), "held_out": 0.0}
        return from_dict(sft.Config, common | data)
    rollouts = {"prompts": str(prompts), "reward": str(folder / "judge"), "max_new_tokens": 64}
    return from_dict(ppo.Config, common | rollouts | {"steps": 3, "epochs": 1})


if __name__ == "__main__":
    main()
