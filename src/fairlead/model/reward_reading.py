"""At which token a reward model is read, so that Fairlead and transformers read the same one.

transformers' classifiers read the last token of a row that is not the padding token, whatever the attention
mask says.  A padding token that also ends answers would make them read one token early.

- A reward model that Fairlead trains is read at the token that ends the answer.  It gets a padding token that
  ends no answer, and its stored chat template writes nothing after the last end of turn, so that
  `apply_chat_template` and transformers' own `forward` read the same token.
- A reward model from elsewhere is read as it was trained: at the last token of its whole rendering that is
  not its padding token.
"""

import re
from pathlib import Path

import torch
from torch import Tensor
from transformers import PreTrainedConfig, PreTrainedModel, PreTrainedTokenizerBase

from fairlead.data.records import Message
from fairlead.encoding.chat import encode_conversation
from fairlead.encoding.chat_format import ChatFormat
from fairlead.encoding.encoders import RewardEncoder
from fairlead.model import load

PADDING = "<|fairlead_pad|>"  # the name of a padding token that is added
# What models call tokens that no text uses.
UNUSED_NAMES = ("pad", "reserved", "unused", "extra", "placeholder")
GENERATION = re.compile(r"(\{%[-+]?\s*)(end)?generation(\s*[-+]?%\})")
PROBE = (Message("user", "Hello"), Message("assistant", "Hi."))
TRIMMED = "{#- ends with the answer -#}"  # marks a template that was trimmed before


def choose_padding(chat: ChatFormat, network: PreTrainedModel) -> None:
    """Give the tokenizer a padding token that ends no answer, if its own does.

    An unused special token of the vocabulary is preferred, then a free row of the embeddings.  The unknown
    token and BOS serve as well: no conversation ends with them.  Otherwise the vocabulary grows by one token.
    """
    tokenizer = chat.tokenizer
    ends = chat.stop_ids | {tokenizer.eos_token_id}
    if chat.end_of_turn is not None:
        ends = frozenset({_id(tokenizer, chat.end_of_turn)})  # other stop tokens end no conversation
    num_rows = num_embeddings(network)
    if tokenizer.pad_token_id in ends or tokenizer.pad_token_id >= num_rows:
        free = _unused_token(chat, ends, num_rows)
        if free is None and len(tokenizer) >= num_rows:
            names = (tokenizer.unk_token, tokenizer.bos_token)
            free = next((name for name in names if name and _id(tokenizer, name) not in ends), None)
        if free is None:
            tokenizer.add_special_tokens({"pad_token": PADDING})
            if len(tokenizer) > num_rows:
                network.resize_token_embeddings(len(tokenizer), mean_resizing=False)
                weight = network.get_input_embeddings().weight
                assert isinstance(weight, Tensor)
                with torch.no_grad():  # the same in every run; what it holds is masked
                    weight[num_rows:] = 0.0
        else:
            tokenizer.pad_token = free
    _text_config(network.config).pad_token_id = network.config.pad_token_id = tokenizer.pad_token_id


def _unused_token(chat: ChatFormat, ends: frozenset[int], num_rows: int) -> str | None:
    """A special token that the chat template does not write and that has no role."""
    tokenizer = chat.tokenizer
    roles = {tokenizer.bos_token, tokenizer.unk_token, tokenizer.eos_token}
    unused = [
        token.content
        for token_id, token in sorted(tokenizer.added_tokens_decoder.items())
        if token.special
        and token_id < num_rows
        and token_id not in ends
        and token.content not in roles
        and token.content not in chat.template
    ]
    named = [token for name in UNUSED_NAMES for token in unused if name in token.lower()]
    return next(iter(named or unused), None)


def num_embeddings(network: PreTrainedModel) -> int:
    weight = network.get_input_embeddings().weight
    assert isinstance(weight, Tensor)
    return weight.shape[0]


def is_read_at_end_of_answer(config: PreTrainedConfig) -> bool:
    """Whether Fairlead trained the model: it stores the tokens that end an answer."""
    return getattr(config, "end_token_ids", None) is not None


def padding_of(config: PreTrainedConfig) -> int | None:
    """The padding token that transformers skips in a row."""
    return getattr(_text_config(config), "pad_token_id", None)


def is_read_elsewhere(reference: str) -> bool:
    """Whether transformers reads a reward model of Fairlead at another token than Fairlead does.

    That is so for models whose padding token ends answers, or whose template writes something after them.
    """
    config = load.read_config(reference)
    if not is_read_at_end_of_answer(config):
        return False
    chat = load.load_chat_format(reference, declared=config.end_token_ids)
    own = encode_conversation(chat, PROBE, num_context=len(PROBE) - 1)
    reader = RewardEncoder(chat, reads_whole_rendering=True, skipped_padding=padding_of(config))
    theirs = reader.encode(PROBE)
    return theirs.tokens != own.tokens


def trim_template(folder: Path) -> None:
    """Let the stored chat template write nothing after the last answer.

    Many templates end a turn with a newline, at which transformers would read the score.
    """
    for path in [folder / "chat_template.jinja", *(folder / "additional_chat_templates").glob("*.jinja")]:
        if not path.is_file():
            continue
        text = path.read_text(encoding="utf-8")
        if TRIMMED in text:
            continue
        # Generation blocks mark what a language model is trained on.  They count characters from the start
        # of the text, which the block below would hide; `with` has the same scope and writes the same text.
        text = GENERATION.sub(lambda tag: f"{tag[1]}{tag[2] or ''}with{tag[3]}", text)
        # Jinja drops one newline at the end of a template, but not in the middle.
        trimmed = (
            "{%- set rendered %}" + text.removesuffix("\n") + "{% endset -%}"
            "{{- rendered if add_generation_prompt else rendered.rstrip() -}}" + TRIMMED
        )
        path.write_text(trimmed, encoding="utf-8")


def _text_config(config: PreTrainedConfig) -> PreTrainedConfig:
    text_config: PreTrainedConfig = config.get_text_config()
    return text_config


def _id(tokenizer: PreTrainedTokenizerBase, name: str) -> int:
    token_id = tokenizer.convert_tokens_to_ids(name)
    assert isinstance(token_id, int)
    return token_id
