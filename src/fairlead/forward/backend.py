"""Which of the equal ways a network is run: the fast ones until they have been seen to disagree with the plain one."""

from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass

import torch
from transformers import PreTrainedModel

from fairlead.core.precision import Precision
from fairlead.encoding.batching import Batch, Group, group_tokens, micro_batches
from fairlead.forward import attention, decoder, fused_ops, layout
from fairlead.forward.layout import Layout


def default_backend(network: PreTrainedModel) -> "Backend":
    """What a network is run with until it has been checked."""
    return Backend(
        fused_modules=attention.is_installed(decoder.base_network(network)),
        share_prompts=decoder.supports_tree_mask(network, 1),
    )


@dataclass
class Backend:
    """Ways of running one network; `train/verify_backend.py` chooses among them."""

    fused_modules: bool = (
        True  # Fairlead's attention, norms and gated activations in the place of the model's
    )
    packed: bool = False  # all rows of a micro-batch one after the other in a single one
    plain: bool = False  # padded rows with their mask, as every other library runs them
    share_prompts: bool = True  # answers to one prompt are one sequence
    chunked_logits: bool = True  # logits for the trained tokens only, in chunks
    precision: Precision = "float32"
    gradient_checkpointing: bool = False  # layers are computed again in the backward pass

    def layout(self, batch: Batch, network: PreTrainedModel, *, pad_id: int, share: bool = True) -> Layout:
        """Without `share` no two rows have a place in common, whatever the way."""
        if self.plain:
            return layout.padded(batch)
        if self.packed and decoder.supports_tree_mask(network, batch.tokens.shape[1]):
            return layout.packed(batch, pad_id=pad_id, blocks=batch.tokens.device.type == "cuda", share=share)
        if self.share_prompts and share:
            found = layout.tree(batch, pad_id=pad_id)
            if decoder.supports_tree_mask(network, found.tokens.shape[1]):
                return found
        return layout.plain(batch)

    def micro_groups(self, groups: Sequence[Group], micro_tokens: int) -> list[list[int]]:
        """Indices of the groups in each micro-batch, given how this backend lays out rows.  A group is never split."""
        sizes = [group_tokens(g, share_prompts=self.share_prompts, packed=self.packed) for g in groups]
        return micro_batches(sizes, micro_tokens, packed=self.packed)

    def apply_modules(self, network: PreTrainedModel) -> None:
        """Give the network the modules of this way: roles that share a network may run it in different ones."""
        plain = decoder.base_network(network)
        if self.fused_modules != attention.is_installed(plain):
            for kind in (attention, fused_ops):
                (kind.install if self.fused_modules else kind.uninstall)(plain)

    def autocast(self, device: torch.device) -> AbstractContextManager[None]:
        return torch.autocast(device.type, torch.bfloat16, enabled=self.precision == "bfloat16")
