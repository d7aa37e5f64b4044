"""What the tests of the training half share: a small tokenizer, small random models of several shapes, and a
project to train them in.

Nothing here is trained.  Weights are drawn wide (0.3, where libraries take 0.02), so that every output
depends on the whole context and a test about contexts can fail.
"""

import copy
import functools
import importlib
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import torch
from torch import nn
from transformers import (
    AutoModelForCausalLM,
    Gemma2Config,
    Gemma3TextConfig,
    GPT2Config,
    GPTNeoXConfig,
    LlamaConfig,
    MistralConfig,
    Olmo2Config,
    Phi3Config,
    PreTrainedConfig,
    PreTrainedModel,
    PreTrainedTokenizerFast,
    Qwen2Config,
    Qwen3Config,
    Qwen3NextConfig,
)

from fairlead.core import config as configs
from fairlead.core import digest, jsonl
from fairlead.core.errors import FairleadError
from fairlead.core.template_settings import OWN_TEMPLATE, Template
from fairlead.data.records import Message, Messages, Prompt
from fairlead.encoding.chat_format import ChatFormat
from fairlead.model import from_scratch
from fairlead.model.load import quiet_transformers
from fairlead.model.policy import Policy, load_policy
from fairlead.recipes import sft
from fairlead.rollout.records import Answer
from fairlead.store import lineage
from fairlead.store.artifact import Artifact, Provenance, publish_artifact
from fairlead.store.project import Project, create_project, load_project
from fairlead.store.run import open_run

os.environ["CUDA_VISIBLE_DEVICES"] = ""  # the comparisons here are with plain CPU arithmetic
torch.set_num_threads(1)  # small tensors gain nothing from more, and the suite shares its machine

SHAPES = ("llama", "qwen2", "qwen3", "mistral", "gpt2", "gpt_neox")
MORE_SHAPES = ("gemma2", "gemma3", "phi3", "olmo2")  # where only the ways of running a network are compared
HYBRID = "qwen3_next"  # attention in some layers, a recurrent state in the others
CONTEXT = 256
TEXTS = (
    "What is the color of the sky? The sky is blue, and the grass is green.",
    "Tell me a story about a fox. A small fox found a lantern in the garden.",
    "What is 3 plus 4? 3 plus 4 is 7. Please say it again. It is seven.",
)

# A rule that presses Ctrl-C the first time that it is asked.
STOPS_ONCE = """
import os, signal
from pathlib import Path

def score(prompt, answer, finished):
    mark = Path(__file__).with_suffix(".asked")
    if not mark.exists():
        mark.touch()
        os.kill(os.getpid(), signal.SIGINT)
    return float(len(answer))
"""

WORDS = ("red", "blue", "green", "fox", "dog", "cat", "lantern", "garden", "story", "seven")


@functools.cache
def tokenizer() -> PreTrainedTokenizerFast:
    """Byte-level BPE with about 400 tokens and Fairlead's own chat template."""
    return from_scratch.new_tokenizer(iter(TEXTS * 4), vocab_size=400, context=CONTEXT)


def chat_format(template: str | None = None, settings: Template = OWN_TEMPLATE) -> ChatFormat:
    """The chat format of `tokenizer`, or with another template."""
    changed = tokenizer()
    if template is not None:
        changed = copy.deepcopy(changed)
        changed.chat_template = template
    return ChatFormat(changed, settings)


def network(shape: str, *, seed: int = 0, hidden: int = 32) -> PreTrainedModel:
    """A two-layer causal language model of this shape with wide random weights."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        made = AutoModelForCausalLM.from_config(_config(shape, hidden), dtype=torch.float32)
        with torch.no_grad():
            for parameter in made.parameters():
                if (
                    parameter.dim() == 1
                ):  # norms and biases begin as ones and zeros, behind which a mistake could hide
                    parameter.add_(torch.randn_like(parameter) * 0.1)
    made.eval()
    return made  # type: ignore[no-any-return]


def save_model(folder: Path, shape: str = "llama", *, seed: int = 0, hidden: int = 32) -> Path:
    """A model folder as transformers writes it."""
    with quiet_transformers():
        network(shape, seed=seed, hidden=hidden).save_pretrained(folder)
    tokenizer().save_pretrained(folder)
    return folder


def policy(folder: Path, shape: str = "llama", *, seed: int = 0, **options: Any) -> Policy:
    """`load_policy` on a folder that is made here."""
    return load_policy(str(save_model(folder, shape, seed=seed)), **options)


def shake(parameters: dict[str, nn.Parameter], *, scale: float = 0.1, seed: int = 1) -> None:
    """Random steps on all of them, so that a fresh adapter does something."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in parameters.values():
            parameter.add_(torch.randn(parameter.shape, generator=generator) * scale)


def user(content: str) -> Message:
    return Message("user", content)


def assistant(content: str) -> Message:
    return Message("assistant", content)


def answers(prompts: Sequence[Messages], texts: Sequence[str], finished: Sequence[bool] = ()) -> list[Answer]:
    """Answers as a judge gets them; without `finished`, all of them ended by themselves."""
    ends = finished or [True] * len(texts)
    return [
        Answer(Prompt(prompt), text, end, number=number)
        for number, (prompt, text, end) in enumerate(zip(prompts, texts, ends, strict=True), start=1)
    ]


def turns(*contents: str) -> tuple[Message, ...]:
    """User and assistant in turn, the user first."""
    return tuple(user(content) if i % 2 == 0 else assistant(content) for i, content in enumerate(contents))


def project_with_base(root: Path, shape: str = "llama", *, hidden: int = 32) -> Project:
    """A project with a small random model, the artifact `base`, and learnable data in `data/`."""
    project = create_project(root)

    def fill(folder: Path) -> None:
        save_model(folder, shape, hidden=hidden)

    publish_artifact(
        project, "model", "base", Provenance(parents=(), config={}, seed=0, metrics={}), fill=fill
    )
    jsonl.write(project.data / "demonstrations.jsonl", _demonstrations())
    jsonl.write(project.data / "comparisons.jsonl", _comparisons())
    jsonl.write(project.data / "binary.jsonl", _binary())
    jsonl.write(project.data / "ratings.jsonl", _ratings())
    jsonl.write(project.data / "stepwise.jsonl", _stepwise())
    jsonl.write(project.data / "prompts.jsonl", _prompts())
    (project.data / "vowels.py").write_text(
        "def score(prompt, answer, finished):\n    return sum(c in 'aeiou' for c in answer) / 4\n"
    )
    return project


def project_with_sft(root: Path) -> Project:
    """`project_with_base`, and the model `sft`, whose answers differ and mostly end."""
    project = project_with_base(root)
    settings = {"epochs": 6, "batch": 8, "lr": 1e-2, "warmup": 2, "rank": 0, "held_out": 0.0}
    train(project, sft, name="sft", model="base", demonstrations="data/demonstrations.jsonl", **settings)
    return project


@dataclass(frozen=True)
class Trained:
    artifact: Artifact
    folder: Path  # of the run

    @property
    def rows(self) -> list[dict[str, float]]:
        return [row for _, row in jsonl.read(self.folder / "metrics.jsonl")]

    def series(self, name: str) -> list[float]:
        return [row[name] for row in self.rows]


def configuration(recipe: ModuleType, settings: Mapping[str, Any]) -> Any:
    """The recipe's configuration from keys with or without their table."""
    return configs.from_dict(recipe.Config, settings)


def train(project: Project, recipe: ModuleType, **settings: Any) -> Trained:
    """What the command line does: open the run, call the recipe."""
    config = configuration(recipe, settings)
    name = recipe.__name__.rpartition(".")[2]
    with open_run(project, name, config, kind=recipe.KIND, quiet=True) as run:
        return Trained(recipe.main(config, run), run.folder)


def train_in_child(root: str, recipe: str, settings: dict[str, Any]) -> None:
    """What a child process runs; it ends with the exit code that the command line would give."""
    try:
        train(load_project(Path(root)), importlib.import_module(f"fairlead.recipes.{recipe}"), **settings)
    except FairleadError as error:
        raise SystemExit(error.exit_code) from error


def check_finished(project: Project, recipe: ModuleType, made: Trained, **settings: Any) -> None:
    """What holds for every recipe: the lineage is whole, and the same command again does nothing."""
    assert lineage.verify(project, None).problems == []
    roles = set(configs.refs(configuration(recipe, settings)))
    assert {parent.role for parent in made.artifact.manifest.parents} == roles
    before = digest.of_files(project.root)
    again = train(project, recipe, **settings)
    assert again.artifact == made.artifact
    assert digest.of_files(project.root) == before


def _demonstrations() -> list[dict[str, Any]]:
    """The answer repeats the asked word, at lengths that differ."""
    return [
        {"prompt": _turn("user", f"Say {word}."), "completion": _turn("assistant", _answer(i, word))}
        for i, word in _asked()
    ]


def _comparisons() -> list[dict[str, Any]]:
    """The chosen answer repeats the word of the prompt; the rejected answer is about another word."""
    return [
        {
            "prompt": _turn("user", f"Say {word}."),
            "chosen": _turn("assistant", _answer(i, word)),
            "rejected": _turn("assistant", "What is it? " * (1 + i % 2) + "Please!"),
        }
        for i, word in _asked()
    ]


def _binary() -> list[dict[str, Any]]:
    """One answer to each prompt: in two of three rows the chosen one of the comparison, with a thumb up, else
    the rejected one.
    """
    good = [i % 3 > 0 for i in range(len(_comparisons()))]
    return [
        {"prompt": row["prompt"], "completion": row["chosen"] if up else row["rejected"], "label": up}
        for row, up in zip(_comparisons(), good, strict=True)
    ]


def _ratings() -> list[dict[str, Any]]:
    """Both answers of every comparison, the chosen one with the higher score."""
    both = [
        (row, side, score) for row in _comparisons() for side, score in (("chosen", 0.9), ("rejected", 0.3))
    ]
    return [{"prompt": row["prompt"], "completion": row[side], "score": score} for row, side, score in both]


def _stepwise() -> list[dict[str, Any]]:
    """One to four steps, each of which repeats the asked word or, wrongly, asks back; those of every fifth
    answer are all right.
    """
    rows = []
    for i, word in _asked():
        labels = [i % 5 == 0 or (i * 7 + k * 3) % 5 > 1 for k in range(1 + i % 4)]
        steps = [
            f"It is {word}." if right else "What is it" + " please" * ((i + k) % 3) + "!"
            for k, right in enumerate(labels)
        ]
        rows.append({"prompt": _turn("user", f"Say {word}."), "completions": steps, "labels": labels})
    return rows


def _prompts() -> list[dict[str, Any]]:
    return [{"prompt": _turn("user", f"Say {word}." + " Please." * (i % 3))} for i, word in _asked()]


def _asked() -> list[tuple[int, str]]:
    pairs = [f"{one} and {two}" for one in WORDS[:6] for two in WORDS[:6] if one != two]
    return list(enumerate([*WORDS, *pairs]))


def _answer(i: int, word: str) -> str:
    return " ".join([f"It is {word}."] * (1 + i % 3))


def _turn(role: str, content: str) -> list[dict[str, str]]:
    return [{"role": role, "content": content}]


def _config(shape: str, hidden: int) -> PreTrainedConfig:
    ids = {
        "pad_token_id": tokenizer().pad_token_id,
        "eos_token_id": tokenizer().eos_token_id,
        "bos_token_id": None,
    }
    common: dict[str, Any] = {
        "vocab_size": len(tokenizer()),
        "hidden_size": hidden,
        "intermediate_size": 2 * hidden,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "max_position_embeddings": CONTEXT,
        "initializer_range": 0.3,
        **ids,
    }
    match shape:
        case "llama":
            return LlamaConfig(**common, num_key_value_heads=2, tie_word_embeddings=True)
        case "qwen2":
            return Qwen2Config(**common, num_key_value_heads=2)
        case "qwen3":
            return Qwen3Config(**common, num_key_value_heads=2, head_dim=8)
        case "mistral":
            return MistralConfig(**common, num_key_value_heads=2)
        case "gpt2":
            return GPT2Config(
                vocab_size=len(tokenizer()),
                n_embd=hidden,
                n_layer=2,
                n_head=4,
                n_positions=CONTEXT,
                initializer_range=0.3,
                **ids,
            )
        case "gpt_neox":
            return GPTNeoXConfig(**common)
        case "gemma2":
            common["attn_implementation"] = "eager"  # its soft-capped attention has no fused form
            return Gemma2Config(**common, num_key_value_heads=2, head_dim=8, final_logit_softcapping=3.0)
        case "gemma3":
            return Gemma3TextConfig(**common, num_key_value_heads=2, head_dim=8)
        case "phi3":
            return Phi3Config(**common, num_key_value_heads=2)
        case "olmo2":
            return Olmo2Config(**common, num_key_value_heads=2)
        case "qwen3_next":
            experts = {
                "num_experts": 2,
                "num_experts_per_tok": 1,
                "moe_intermediate_size": 16,
                "shared_expert_intermediate_size": 16,
            }
            linear = {
                "linear_num_key_heads": 2,
                "linear_num_value_heads": 2,
                "linear_key_head_dim": 8,
                "linear_value_head_dim": 8,
            }
            layers = {"layer_types": ["linear_attention", "full_attention"]}
            settings: dict[str, Any] = common | experts | linear | layers
            return Qwen3NextConfig(**settings, num_key_value_heads=2, head_dim=8)
        case _:
            raise AssertionError(f"no shape {shape}")
