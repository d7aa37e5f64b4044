"""Fairlead and transformers read a reward model at the same token, whoever trained it."""

import copy
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import pytest
import torch
from pytest import approx
from transformers import AutoModelForSequenceClassification, AutoTokenizer, PreTrainedTokenizerBase

from fairlead.data.records import message_to_json
from fairlead.encoding.batching import collate
from fairlead.encoding.built_in_templates import BUILT_IN
from fairlead.model import load
from fairlead.model.adapters import Lora
from fairlead.model.critic import open_critic
from fairlead.model.policy import load_policy
from fairlead.model.reward_model import load_reward_model, new_reward_model
from fairlead.model.reward_reading import PADDING, is_read_elsewhere
from fairlead.rollout.rewards import from_model, open_members
from fakes import answers, assistant, network, shake, tokenizer, turns

EOT = "<|eot_id|>"
# Layout, network, the tokens of its template, and what ends a turn; the last two write a newline after it.
LAYOUTS = [
    ("llama3", "llama", ["<|begin_of_text|>", "<|start_header_id|>", "<|end_header_id|>", EOT], EOT),
    ("chatml", "qwen2", ["<|im_start|>", "<|im_end|>"], "<|im_end|>"),
    ("gemma", "gemma2", ["<bos>", "<start_of_turn>", "<end_of_turn>"], "<end_of_turn>"),
]
PROMPTS = [turns("What is 3 plus 4?"), turns("One?", "Yes.", "What is 5 plus 6?"), turns("Hello!")]
TEXTS = ["The answer is 7.", "It is 11. The sky is blue, and the grass is green.", "Hi."]


def base(folder: Path, layout: str, shape: str, tokens: Sequence[str], end: str, pad: str | None) -> Path:
    """A language model with this layout; without a padding token of its own, or with this one."""
    words = copy.deepcopy(tokenizer())
    words.add_special_tokens({"additional_special_tokens": list(tokens)})
    words.eos_token = end
    words.pad_token = pad
    words.chat_template = BUILT_IN[layout].text
    if tokens[0].startswith("<bos") or "begin" in tokens[0]:
        words.bos_token = tokens[0]
    made = network(shape)
    made.resize_token_embeddings(len(words), mean_resizing=False)
    made.generation_config.eos_token_id = words.convert_tokens_to_ids(end)
    with load.quiet_transformers():
        made.save_pretrained(folder)
    words.save_pretrained(folder)
    return folder


@torch.no_grad()
def read_by_transformers(folder: Path, side: Literal["left", "right"] | None) -> list[float]:
    """What transformers alone makes of the folder; without a side, one conversation after the other."""
    words = AutoTokenizer.from_pretrained(folder)
    classifier = AutoModelForSequenceClassification.from_pretrained(folder).float().eval()
    conversations = [
        [message_to_json(turn) for turn in (*prompt, assistant(text))]
        for prompt, text in zip(PROMPTS, TEXTS, strict=True)
    ]
    rendered = [words.apply_chat_template(turns, tokenize=False) for turns in conversations]
    if side is None:
        rows = [words(text, return_tensors="pt", add_special_tokens=False) for text in rendered]
    else:
        words.padding_side = side
        rows = [words(rendered, return_tensors="pt", padding=True, add_special_tokens=False)]
    logits = [classifier(**row).logits.squeeze(-1) for row in rows]
    return torch.cat(logits).tolist()


def read_by_fairlead(folder: Path) -> list[float]:
    model = load_reward_model(str(folder))
    return from_model(model, micro_tokens=64)(answers(PROMPTS, TEXTS)).values.tolist()


@pytest.mark.parametrize(("layout", "shape", "tokens", "end"), LAYOUTS, ids=[row[0] for row in LAYOUTS])
def test_transformers_reads_what_fairlead_trained(
    tmp_path: Path, layout: str, shape: str, tokens: list[str], end: str
) -> None:
    made = new_reward_model(str(base(tmp_path / "base", layout, shape, tokens, end, pad=None)), run_seed=0)
    shake(made.trainable(), scale=0.02)
    made.save(tmp_path / "reward")
    words = AutoTokenizer.from_pretrained(tmp_path / "reward")
    assert words.pad_token not in (end, words.eos_token) and words.pad_token_id not in made.stop_ids
    expected = read_by_fairlead(tmp_path / "reward")
    assert max(expected) - min(expected) > 1e-3
    for side in (None, "right", "left"):
        assert read_by_transformers(tmp_path / "reward", side) == approx(expected, abs=1e-4)


@pytest.mark.parametrize("pad", ["end", "other"])
@pytest.mark.parametrize(("layout", "shape", "tokens", "end"), LAYOUTS, ids=[row[0] for row in LAYOUTS])
def test_a_model_from_elsewhere_is_read_as_transformers_reads_it(
    tmp_path: Path, layout: str, shape: str, tokens: list[str], end: str, pad: str
) -> None:
    """Some trainers pad with the token that ends a turn, and read the token before it."""
    folder = base(tmp_path / "model", layout, shape, tokens, end, pad=end if pad == "end" else "<|pad|>")
    made = new_reward_model(str(folder), run_seed=0)
    shake(made.trainable(), scale=0.02)
    words = AutoTokenizer.from_pretrained(folder)
    made.network.config.pad_token_id = words.pad_token_id
    with load.quiet_transformers():
        made.network.save_pretrained(tmp_path / "other")
    words.save_pretrained(tmp_path / "other")
    assert "end_token_ids" not in json.loads((tmp_path / "other" / "config.json").read_text())
    expected = read_by_fairlead(tmp_path / "other")
    for side in (None, "right", "left"):
        assert read_by_transformers(tmp_path / "other", side) == approx(expected, abs=1e-4)


def test_the_template_of_a_reward_model_ends_with_the_answer_only(tmp_path: Path) -> None:
    layout, shape, tokens, end = LAYOUTS[1]
    made = new_reward_model(str(base(tmp_path / "base", layout, shape, tokens, end, pad=None)), run_seed=0)
    made.save(tmp_path / "reward")
    load_reward_model(str(tmp_path / "reward")).save(tmp_path / "again")
    original, saved, again = (
        AutoTokenizer.from_pretrained(tmp_path / name) for name in ("base", "reward", "again")
    )
    rows = [{"role": "user", "content": "Hello "}, {"role": "assistant", "content": "Hi."}]

    def render(words: PreTrainedTokenizerBase, *, prompt: bool) -> str:
        return str(words.apply_chat_template(rows, tokenize=False, add_generation_prompt=prompt))

    assert render(original, prompt=False) == render(saved, prompt=False) + "\n"
    assert render(original, prompt=True) == render(saved, prompt=True)
    assert saved.chat_template == again.chat_template


def test_a_template_with_generation_blocks_ends_with_the_answer_too(tmp_path: Path) -> None:
    layout, shape, tokens, end = LAYOUTS[1]
    folder = base(tmp_path / "base", layout, shape, tokens, end, pad=None)
    template = (
        "{% set word = 'x' %}{% for m in messages %}{{ '<|im_start|>' + m.role + '\n' }}"
        "{% if m.role == 'assistant' %}{% generation %}{% set word = 'y' %}{{ m.content + '<|im_end|>\n' }}"
        "{%- endgeneration -%}{% else %}{{ m.content + '<|im_end|>\n' }}{% endif %}"
        "{{ '' if word == 'x' else '!' }}{% endfor %}"
        "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
    )
    (folder / "chat_template.jinja").write_text(template)
    made = new_reward_model(str(folder), run_seed=0)
    shake(made.trainable(), scale=0.02)
    made.save(tmp_path / "reward")
    original, saved = (AutoTokenizer.from_pretrained(tmp_path / name) for name in ("base", "reward"))
    rows = [{"role": "user", "content": "Hello "}, {"role": "assistant", "content": "Hi."}]
    for prompt in (False, True):
        texts = [
            str(words.apply_chat_template(rows, tokenize=False, add_generation_prompt=prompt))
            for words in (original, saved)
        ]
        assert texts[1] == (texts[0] if prompt else texts[0].rstrip())
    assert read_by_transformers(tmp_path / "reward", None) == approx(
        read_by_fairlead(tmp_path / "reward"), abs=1e-4
    )
    assert not is_read_elsewhere(str(tmp_path / "reward"))


def test_a_padding_token_that_ends_nothing_is_kept(tmp_path: Path) -> None:
    layout, shape, tokens, end = LAYOUTS[1]
    folder = base(tmp_path / "base", layout, shape, tokens, end, pad="<|pad|>")
    made = new_reward_model(str(folder), run_seed=0)
    assert made.tokenizer.pad_token == "<|pad|>" and made.network.config.pad_token_id == made.pad_id


@pytest.mark.parametrize("rank", [0, 4])
def test_a_reward_model_with_a_new_token_starts_a_critic_and_shares_a_network(
    tmp_path: Path, rank: int
) -> None:
    """Where no token of the vocabulary is free, the vocabulary grows by the padding token."""
    folder = base(tmp_path / "base", "chatml", "llama", LAYOUTS[1][2], "<|im_end|>", pad=None)
    words = AutoTokenizer.from_pretrained(folder)
    taken = " ".join(token.content for token in words.added_tokens_decoder.values())
    words.chat_template = "{% if false %}" + taken + "{% endif %}" + words.chat_template
    words.bos_token = words.unk_token = None
    words.save_pretrained(folder)
    lora = Lora(rank, 8) if rank else None
    made = new_reward_model(str(folder), run_seed=0, lora=lora)
    assert (made.tokenizer.pad_token, made.tokenizer.pad_token_id) == (PADDING, len(words))
    shake(made.trainable(), scale=0.02)
    made.save(tmp_path / "reward")
    expected = read_by_fairlead(tmp_path / "reward")
    policy = load_policy(str(folder), lora=lora)
    [member] = open_members(str(tmp_path / "reward"), micro_tokens=64, policy=policy)
    assert member(answers(PROMPTS, TEXTS)).values.tolist() == approx(expected, abs=1e-4)
    critic = open_critic(policy, str(tmp_path / "reward"), lora=lora, run_seed=0)
    rows = [policy.encode((*prompt, assistant("Yes.")), num_context=len(prompt)) for prompt in PROMPTS]
    batch = collate(rows, pad_id=policy.pad_id, device=policy.device)
    assert bool(critic.state_values(batch).isfinite().all())
    for side in (None, "right"):
        assert read_by_transformers(tmp_path / "reward", side) == approx(expected, abs=1e-4)
