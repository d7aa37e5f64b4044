"""Check a loaded network: finite weights, attention to earlier tokens only, an embedding for each token.

B rows, T tokens, V vocabulary.
"""

import torch
from torch import Tensor
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from fairlead.core.errors import ModelError
from fairlead.core.plural import counted

# What a network can raise when it is run in a way that it was not written for.
FAULTS = (
    RuntimeError,
    ValueError,
    TypeError,
    LookupError,
    AttributeError,
    AssertionError,
    ImportError,
)
NUM_TOKENS = 16  # of the two rows that the check of causality reads
# The largest change of an earlier hidden state, as a share of the change at the changed token.  In decoders
# it is rounding, mostly 0; attention to later tokens causes 1e-3 (a random BERT) and more.
CAUSAL_TOLERANCE = 1e-4
ROUNDING = 1e-2  # share of the largest hidden state; the least change at the changed token that is believed
MAX_REASON = 600  # characters of a library's error


def check_network(network: PreTrainedModel, reference: str) -> None:
    """Raise ModelError unless all weights are finite and no token sees a later one."""
    _check_finite(network, reference)
    _check_causal(network, reference)


def check_vocabulary(network: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, reference: str) -> None:
    """Raise ModelError if the tokenizer can write a token for which the network has no embedding.

    Special tokens that neither the chat template nor the tokenizer itself writes are left out: a text that
    contains one is refused anyway.  Gemma 3 1B, for example, has such a token for images.
    """
    num_rows = num_embeddings(network)
    beyond = {name: token for name, token in tokenizer.get_vocab().items() if token >= num_rows}
    written = {
        tokenizer.bos_token_id,
        tokenizer.eos_token_id,
        tokenizer.pad_token_id,
    }
    template = tokenizer.chat_template if isinstance(tokenizer.chat_template, str) else ""
    special = {token for token, added in tokenizer.added_tokens_decoder.items() if added.special}
    needed = {
        name: token
        for name, token in beyond.items()
        if token not in special or token in written or name in template
    }
    if needed:
        name, largest = max(needed.items(), key=lambda pair: pair[1])
        raise ModelError(
            f"{reference}: the tokenizer has token ids up to {largest} ({name}), but the network has "
            f"embeddings for {counted(num_rows, 'token')} only. "
            "The files come from different models, or tokens were "
            "added without resize_token_embeddings."
        )


def num_embeddings(network: PreTrainedModel) -> int:
    """The number of tokens that the network can read."""
    weight = network.get_input_embeddings().weight
    assert isinstance(weight, Tensor)
    return weight.shape[0]


@torch.no_grad()
def _check_finite(network: PreTrainedModel, reference: str) -> None:
    bad = {}
    for name, weight in network.named_parameters():
        # The largest magnitude is NaN if any value is; counting comes only then.
        if weight.is_floating_point() and weight.numel() and not bool(weight.abs().amax().isfinite()):
            bad[name] = int((~weight.isfinite()).sum())
    if bad:
        number = sum(bad.values())
        raise ModelError(
            f"{reference}: {number} {'weights are' if number > 1 else 'weight is'} not a finite number, "
            f"in {', '.join(list(bad)[:3])}{' and others' if len(bad) > 3 else ''}. "
            "Take an earlier checkpoint, or download the model again."
        )


@torch.no_grad()
def _check_causal(network: PreTrainedModel, reference: str) -> None:
    """Change the last token of a row: no earlier hidden state may change."""
    num_rows = num_embeddings(network)
    generator = torch.Generator().manual_seed(0)
    row = torch.randint(num_rows, (NUM_TOKENS,), generator=generator)
    changed = row.clone()
    changed[-1] = (changed[-1] + 1) % num_rows
    tokens = torch.stack([row, changed]).to(next(network.parameters()).device)  # [2, T]
    try:
        hidden = network.base_model(input_ids=tokens, use_cache=False)[0].float()  # [2, T, H]
    except FAULTS as error:
        raise ModelError(
            f"{reference}: this {network.config.model_type} model cannot be run on a plain text: "
            f"{reason(error)}"
        ) from error
    change = (
        (hidden[0] - hidden[1]).abs().flatten(1).amax(dim=1) if hidden.dim() == 3 else hidden.new_zeros(1)
    )
    # Comparing with NaN is False: hidden states that overflow are found where they are used.
    limit = CAUSAL_TOLERANCE * torch.maximum(change[-1], ROUNDING * hidden.abs().max())
    if bool(change[:-1].max() > limit):
        raise ModelError(
            f"{reference}: is not a causal language model: changing the last token changes what this "
            f"{network.config.model_type} model computes for the tokens before it, so training would learn "
            "by looking ahead. Take a decoder."
        )


def reason(error: Exception) -> str:
    """The whole text of an error in one line, shortened when very long."""
    text = " ".join(str(error).split())
    if not text or isinstance(error, KeyError):  # the text of a KeyError is the key alone
        text = f"{type(error).__name__} {text}".strip()
    return text if len(text) <= MAX_REASON else f"{text[:MAX_REASON]} ..."
