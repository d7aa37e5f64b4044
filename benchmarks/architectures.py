"""Which architectures of transformers Fairlead trains and samples as transformers does.

run  python -m benchmarks.architectures --out benchmarks/results/architectures.json [KIND ...]
     python -m benchmarks.architectures --table benchmarks/results/architectures.json

Every kind of causal language model is made small, with random weights drawn wide, saved, and read through
Fairlead.  Compared with transformers' own forward pass in float32: log-probabilities of a padded batch under
the backend that a run would choose, gradients of all LoRA weights under that backend and one row after the
other, and greedy answers.  A kind is *equal* if the largest difference is at most 2e-4 and all answers are
the same, or *refused* with a sentence.  Kinds that cannot be made small are not listed.
"""

import argparse
import json
import tempfile
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from transformers import AutoConfig, AutoModelForCausalLM, PreTrainedModel, PreTrainedTokenizerFast
from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING_NAMES

from fairlead.core.errors import FairleadError, ModelError
from fairlead.encoding.batching import Batch, collate
from fairlead.encoding.chat import Encoded
from fairlead.model import from_scratch
from fairlead.model.adapters import Lora, layers_without_adapter
from fairlead.model.load import quiet_transformers
from fairlead.model.policy import Policy, load_policy
from fairlead.rollout.engine import LocalEngine
from fairlead.rollout.records import SampleRequest, SamplingParams
from fairlead.train import verify_backend

TOLERANCE = 2e-4  # nats; gradients relative to the largest
NEW_TOKENS = 8
VOCABULARY = 400
CONTEXT = 128
MAX_PARAMETERS = 20_000_000

# Names that most configurations understand; the others ignore them.
SMALL: dict[str, Any] = {
    "vocab_size": VOCABULARY,
    "hidden_size": 32,
    "intermediate_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 8,
    "max_position_embeddings": CONTEXT,
    "initializer_range": 0.3,
    "n_embd": 32,
    "n_layer": 2,
    "n_head": 4,
    "d_model": 32,
    "n_positions": CONTEXT,
    "num_experts": 4,
    "num_local_experts": 4,
    "n_routed_experts": 4,
    "num_experts_per_tok": 2,
    "moe_intermediate_size": 16,
    "shared_expert_intermediate_size": 16,
    "shared_intermediate_size": 16,
    "q_lora_rank": 16,
    "kv_lora_rank": 16,
    "qk_nope_head_dim": 8,
    "qk_rope_head_dim": 8,
    "v_head_dim": 8,
}
MAMBA = {"mamba_n_heads": 8, "mamba_d_head": 8, "mamba_n_groups": 1, "mamba_d_state": 8}
LINEAR = {
    "linear_num_key_heads": 2,
    "linear_num_value_heads": 2,
    "linear_key_head_dim": 8,
    "linear_value_head_dim": 8,
}
MLA = {"head_dim": None, "num_key_value_heads": 4}  # multi-head latent attention has sizes of its own
# What single kinds need beside, or instead of, the names above.
SPECIAL: dict[str, dict[str, Any]] = {
    **dict.fromkeys(
        (
            "axk1",
            "axk2",
            "deepseek_v2",
            "deepseek_v3",
            "deepseek_v32",
            "glm4_moe_lite",
            "glm_moe_dsa",
            "longcat_flash",
            "minicpm3",
            "youtu",
        ),
        MLA,
    ),
    "codegen": {"rotary_dim": 8, "head_dim": None},
    "cwm": {"bos_token_id": 1},
    "gemma4_text": {
        "vocab_size_per_layer_input": VOCABULARY,
        "hidden_size_per_layer_input": 8,
        "global_head_dim": 8,
    },
    "gpt_neo": {"num_layers": 2, "attention_types": [[["global", "local"], 1]], "window_size": 64},
    "gptj": {"rotary_dim": 8, "head_dim": None},
    "lfm2_moe": {"layer_types": ["conv", "full_attention"], "num_dense_layers": 1},
    "modernbert-decoder": {"bos_token_id": 1},
    "dots1": {"n_shared_experts": 1},
    "bamba": MAMBA | {"attn_layer_indices": [1]},
    "bloom": {"head_dim": None},
    "falcon": {"num_kv_heads": 1, "head_dim": None},
    "falcon_h1": MAMBA | {"mamba_d_ssm": 64},
    "falcon_mamba": {"state_size": 4, "head_dim": None},
    "gpt2": {"head_dim": None},
    "granitemoehybrid": MAMBA | {"mamba_expand": 2, "layer_types": ["mamba", "attention"]},
    "jamba": {"attn_layer_period": 2, "attn_layer_offset": 1, "mamba_d_state": 8, "mamba_dt_rank": 4},
    "mamba": {"state_size": 4, "head_dim": None},
    "mamba2": {"num_heads": 8, "head_dim": 8, "state_size": 8, "n_groups": 1},
    "nemotron_h": {
        "layers_block_type": ["mamba", "attention"],
        "mamba_num_heads": 8,
        "mamba_head_dim": 8,
        "n_groups": 1,
        "ssm_state_size": 8,
    },
    "olmo_hybrid": LINEAR | {"layer_types": ["linear_attention", "full_attention"]},
    "qwen3_5_text": LINEAR | {"layer_types": ["linear_attention", "full_attention"]},
    "qwen3_5_moe_text": LINEAR | {"layer_types": ["linear_attention", "full_attention"]},
    "qwen3_next": LINEAR | {"layer_types": ["linear_attention", "full_attention"]},
    "recurrent_gemma": {
        "lru_width": 32,
        "block_types": ["recurrent", "attention"],
        "attention_window_size": 64,
        "w_init_variance_scale": 0.001,  # with wide weights its recurrence amplifies rounding to 2e-4
    },
    "rwkv": {"attention_hidden_size": 32, "context_length": CONTEXT},
}
TEXTS = ("What is the color of the sky?", "Tell me a story about a fox and a dog.", "Why?")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("kinds", nargs="*", help="by default all")
    parser.add_argument("--out", type=Path, help="results; kinds that it holds already are left out")
    parser.add_argument("--table", type=Path, help="print the results in this file as a table")
    args = parser.parse_args()
    if args.table:
        print(table(json.loads(args.table.read_text(encoding="utf-8"))))
        return
    results: dict[str, Any] = {}
    if args.out and args.out.exists():
        results = json.loads(args.out.read_text(encoding="utf-8"))
    for kind in args.kinds or list(MODEL_FOR_CAUSAL_LM_MAPPING_NAMES):
        if kind in results and not args.kinds:
            continue
        results[kind] = result = measure(kind)
        print(kind, json.dumps(result), flush=True)
        if args.out:
            text = json.dumps(dict(sorted(results.items())), indent=1, ensure_ascii=False)
            args.out.write_text(text + "\n", encoding="utf-8")


def measure(kind: str) -> dict[str, Any]:
    """What became of one kind: `verdict` is equal, refused, different, failed or not made."""
    warnings.simplefilter("ignore")
    words = from_scratch.new_tokenizer(iter(TEXTS * 4), vocab_size=VOCABULARY, context=CONTEXT)
    with tempfile.TemporaryDirectory() as scratch, quiet_transformers():
        folder = Path(scratch) / "model"
        try:
            network = small_network(kind, words)
            network.save_pretrained(folder)
            words.save_pretrained(folder)
            network(torch.arange(8)[None])
        except Exception as error:  # whatever keeps a configuration from being made small
            return {"verdict": "not made", "reason": f"{type(error).__name__}: {error}"[:300]}
        try:
            return compare(folder, words)
        except FairleadError as error:
            return {"verdict": "refused", "reason": str(error).replace(str(folder), kind)}
        except Exception as error:  # a bug in Fairlead
            return {"verdict": "failed", "reason": f"{type(error).__name__}: {error}"[:300]}


def small_network(kind: str, words: PreTrainedTokenizerFast) -> PreTrainedModel:
    ids = {"pad_token_id": words.pad_token_id, "eos_token_id": words.eos_token_id, "bos_token_id": None}
    names = SMALL | ids | SPECIAL.get(kind, {})
    config = AutoConfig.for_model(
        kind, **{name: value for name, value in names.items() if value is not None or name in ids}
    )
    with torch.device("meta"):  # costs no memory
        size = sum(p.numel() for p in AutoModelForCausalLM.from_config(config).parameters())
    if size > MAX_PARAMETERS:
        raise ValueError(f"{size} parameters are not small")
    torch.manual_seed(0)
    network: PreTrainedModel = AutoModelForCausalLM.from_config(config, dtype=torch.float32)
    network.eval()
    return network


def compare(folder: Path, words: PreTrainedTokenizerFast) -> dict[str, Any]:
    theirs = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()
    rows = [encoded_row(words, text) for text in TEXTS]
    expected = [row_logps(theirs, row) for row in rows]

    # 1. Log-probabilities under the backend that a run would choose
    policy = load_policy(str(folder))
    batch = collate(rows, pad_id=policy.pad_id)
    run = _Run()
    verify(run, policy, batch)
    with torch.no_grad():
        logps = policy.token_logps(batch)
    gap = max(float((logps[i][batch.response_mask[i]] - row).abs().max()) for i, row in enumerate(expected))

    # 2. Greedy answers
    prompts = [row.tokens[:6] for row in rows]
    engine = LocalEngine(policy)
    params = SamplingParams(max_new_tokens=NEW_TOKENS, temperature=0.0)
    rollouts = engine.sample(SampleRequest(prompts=prompts, params=params, seed=0))
    answers = [greedy(theirs, prompt, policy.stop_ids) for prompt in prompts]
    num_same = sum(rollout.tokens == answer for rollout, answer in zip(rollouts, answers, strict=True))

    # 3. Gradients of LoRA, under the chosen backend and with one plain row after the other
    gradient_gap, left_out = lora_gap(folder, rows)
    is_equal = gap <= TOLERANCE and gradient_gap <= TOLERANCE and num_same == len(answers)
    return {
        "verdict": "equal" if is_equal else "different",
        "logps": gap,
        "gradients": gradient_gap,
        "answers": f"{num_same} of {len(answers)}",
        "backend": run.chosen,
        "sampling": next(iter(engine.methods.values())),
        "left_out": left_out,
    }


def verify(run: Any, policy: Policy, batch: Batch) -> None:
    verify_backend.verify_backend(run, policy, lambda: policy.token_logps(batch), what="policy")


class _Run:
    """Takes the place of a run: keeps the backend that was chosen."""

    chosen = ""

    def event(self, kind: str, **details: Any) -> None:
        self.chosen = details.get("chosen", self.chosen)

    def warn(self, text: str) -> None:
        pass


def lora_gap(folder: Path, rows: Sequence[Encoded]) -> tuple[float, list[str]]:
    """The largest difference of a LoRA gradient, relative to the largest, and the layers without an adapter.

    A ModelError means that the kind has no layers for an adapter: 0, and its reason.
    """
    try:
        policy = load_policy(str(folder), lora=Lora(2, 4))
    except ModelError as error:
        return 0.0, [str(error)]
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for parameter in policy.trainable().values():
            parameter.add_(torch.randn(parameter.shape, generator=generator) * 0.1)
    batch = collate(rows, pad_id=policy.pad_id)
    run = _Run()
    verify(run, policy, batch)
    fast = gradients(policy, policy.token_logps(batch).sum())
    policy.backend.fused_modules = False
    plain = gradients(policy, sum((row_logps(policy.network, row).sum() for row in rows), torch.zeros(())))
    largest = max(float(value.abs().max()) for value in plain.values())
    gap = max(float((fast[name] - plain[name]).abs().max()) for name in plain) / max(largest, 1e-6)
    return gap, layers_without_adapter(policy.network)


def gradients(policy: Policy, loss: Tensor) -> dict[str, Tensor]:
    for parameter in policy.trainable().values():
        parameter.grad = None
    loss.backward()
    return {
        name: torch.zeros_like(parameter) if parameter.grad is None else parameter.grad.clone()
        for name, parameter in policy.trainable().items()
    }


def encoded_row(words: PreTrainedTokenizerFast, text: str) -> Encoded:
    tokens = words(f"{text} {text}", add_special_tokens=False)["input_ids"]
    return Encoded(tuple(tokens), tuple(i >= len(tokens) // 2 for i in range(len(tokens))))


def row_logps(network: PreTrainedModel, row: Encoded) -> Tensor:
    """log p of the trained tokens by one forward pass over one row, as transformers does it.  [N]"""
    tokens = torch.tensor(row.tokens)
    logps = network(input_ids=tokens[None], use_cache=False).logits[0, :-1].float().log_softmax(dim=-1)
    chosen: Tensor = logps.gather(1, tokens[1:, None]).squeeze(1)
    return chosen[torch.tensor(row.trained[1:])]


@torch.no_grad()
def greedy(network: PreTrainedModel, prompt: Sequence[int], stop_ids: frozenset[int]) -> tuple[int, ...]:
    tokens = list(prompt)
    for _ in range(NEW_TOKENS):
        logits = network(input_ids=torch.tensor([tokens]), use_cache=False).logits[0, -1]
        tokens.append(int(logits.argmax()))
        if tokens[-1] in stop_ids:
            break
    return tuple(tokens[len(prompt) :])


def table(results: Mapping[str, Mapping[str, Any]]) -> str:
    """The results as a table in Markdown."""
    lines = [
        "| kind | log-probabilities | LoRA gradients | greedy answers | backend | sampling |",
        "|---|---|---|---|---|---|",
    ]
    for kind, result in sorted(results.items()):
        if result["verdict"] == "not made":
            continue
        if result["verdict"] in ("refused", "failed"):
            summary = result["reason"].removeprefix(f"{kind}: ").partition(": ")[0]
            lines.append(f"| `{kind}` | {result['verdict']}: {summary} | | | | |")
            continue
        lines.append(
            f"| `{kind}` | {result['logps']:.0e} | {result['gradients']:.0e} | {result['answers']} "
            f"| {result['backend']} | {result['sampling']} |"
        )
    return "\n".join(lines)


if __name__ == "__main__":
    main()
