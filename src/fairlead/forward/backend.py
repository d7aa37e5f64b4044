"""Backends: the mathematically equal ways to run a network, and which of them a model uses.

`default_backend` allows everything the architecture supports.  `train/verify_backend.py` compares the fast
backends with the padded one on rows of the run and keeps the fastest that agrees.
"""

from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass

import torch
from transformers import PreTrainedModel

from fairlead.core.precision import Precision
from fairlead.encoding.batching import Batch, Group, group_tokens, micro_batches
from fairlead.forward import attention, decoder, fused_ops, layout
from fairlead.forward.layout import Layout


@dataclass
class Backend:
    """How one network is run.  Every combination returns the same numbers up to rounding.

    Backend(packed=True) puts all rows of a micro-batch behind each other, without padding.
    Backend(padded=True, fused_modules=False, share_prompts=False, chunked_logits=False) runs the network as
    transformers does; the other backends are compared with this one.
    """

    fused_modules: bool = True  # replace the model's attention, norms and gated activations by Fairlead's
    packed: bool = False  # concatenate all rows of a micro-batch into one
    padded: bool = False  # padded rows with a padding mask; overrides packed and share_prompts
    share_prompts: bool = True  # compute a prompt once for all of its answers
    chunked_logits: bool = True  # compute logits for trained tokens only, in chunks
    precision: Precision = "float32"
    gradient_checkpointing: bool = False  # recompute each layer in the backward pass

    def layout(self, batch: Batch, network: PreTrainedModel, *, pad_id: int, share: bool = True) -> Layout:
        """Lay the batch out for the network.

        With `share=False` every row keeps its own copy of the prompt.
        """
        if self.padded:
            return layout.padded(batch)
        if self.packed and decoder.supports_tree_mask(network, batch.tokens.shape[1]):
            on_gpu = batch.tokens.device.type == "cuda"
            return layout.packed(batch, pad_id=pad_id, blocks=on_gpu, share=share)
        if self.share_prompts and share:
            tree = layout.tree(batch, pad_id=pad_id)
            if decoder.supports_tree_mask(network, tree.tokens.shape[1]):
                return tree
        return layout.plain(batch)

    def micro_groups(self, groups: Sequence[Group], micro_tokens: int) -> list[list[int]]:
        """Partition groups into micro-batches of at most `micro_tokens` tokens.

        Returns group indices; no group is split.
        """
        sizes = [group_tokens(g, share_prompts=self.share_prompts, packed=self.packed) for g in groups]
        return micro_batches(sizes, micro_tokens, packed=self.packed)

    def apply_modules(self, network: PreTrainedModel) -> None:
        """Install or remove Fairlead's modules.  Models that share a network may have different backends."""
        base = decoder.base_network(network)
        if self.fused_modules == attention.is_installed(base):
            return
        if self.fused_modules:
            attention.install(base)
            fused_ops.install(base)
        else:
            attention.uninstall(base)
            fused_ops.uninstall(base)

    def autocast(self, device: torch.device) -> AbstractContextManager[None]:
        """Autocast to bfloat16 for precision="bfloat16"; otherwise no effect."""
        return torch.autocast(device.type, torch.bfloat16, enabled=self.precision == "bfloat16")


def default_backend(network: PreTrainedModel) -> Backend:
    """The backend of a network that has not been verified yet."""
    return Backend(
        fused_modules=attention.is_installed(decoder.base_network(network)),
        share_prompts=decoder.supports_tree_mask(network, 1),
    )
