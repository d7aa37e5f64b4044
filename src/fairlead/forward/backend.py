"""Which of the equal ways a network is run: the fast ones until they have been seen to disagree with the plain one."""

from contextlib import AbstractContextManager
from dataclasses import dataclass

import torch
from transformers import PreTrainedModel

from fairlead.core.precision import Precision
from fairlead.encoding.batching import Batch
from fairlead.forward import attention, decoder, fused_ops, layout
from fairlead.forward.layout import Layout


def of(network: PreTrainedModel) -> "Paths":
    """What a network is run with until it has been checked."""
    return Paths(
        own_modules=attention.in_use(decoder.plain_network(network)),
        share_prompts=decoder.takes_tree_masks(network, 1),
    )


@dataclass
class Paths:
    """Ways of running one network; `train/verify_backend.py` chooses among them."""

    own_modules: bool = True  # Fairlead's attention, norms and gated activations in the place of the model's
    packed: bool = False  # all rows of a micro-batch one after the other in a single one
    plain: bool = False  # padded rows with their mask, as every other library runs them
    share_prompts: bool = True  # answers to one prompt are one sequence
    own_logits: bool = True  # logits for the trained tokens only, in chunks
    precision: Precision = "float32"
    checkpointing: bool = False  # layers are computed again in the backward pass

    def layout(self, batch: Batch, network: PreTrainedModel, *, pad_id: int, share: bool = True) -> Layout:
        """Without `share` no two rows have a place in common, whatever the way."""
        if self.plain:
            return layout.padded(batch)
        if self.packed and decoder.takes_tree_masks(network, batch.tokens.shape[1]):
            return layout.packed(batch, pad_id=pad_id, blocks=batch.tokens.device.type == "cuda", share=share)
        if self.share_prompts and share:
            found = layout.tree(batch, pad_id=pad_id)
            if decoder.takes_tree_masks(network, found.tokens.shape[1]):
                return found
        return layout.plain(batch)

    def settle(self, network: PreTrainedModel) -> None:
        """Give the network the modules of this way: roles that share a network may run it in different ones."""
        plain = decoder.plain_network(network)
        if self.own_modules != attention.in_use(plain):
            for kind in (attention, fused_ops):
                (kind.use if self.own_modules else kind.leave)(plain)

    def autocast(self, device: torch.device) -> AbstractContextManager[None]:
        return torch.autocast(device.type, torch.bfloat16, enabled=self.precision == "bfloat16")
