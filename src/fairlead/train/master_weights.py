"""Master weights: float32 copies of weights that the network stores in bfloat16.  arXiv:1710.03740, section
3.1

The optimiser updates the master weights; checkpoints and saved models hold them.  A bfloat16 number has
eight significant bits, so an update of 1e-5 of a weight would be rounded away.  In the float32 copy, updates
accumulate. A network in float32 has no copies: its weights are their own master weights.
"""

from collections.abc import Mapping

import torch
from torch import nn

from fairlead.core.precision import Precision


class MasterWeights:
    """`parameters` maps names to the float32 parameters that the optimiser updates."""

    def __init__(self, weights: Mapping[str, nn.Parameter], precision: Precision) -> None:
        """With pure-bfloat16, copies the weights and then converts them to bfloat16 in place."""
        self.weights = weights
        if precision == "pure-bfloat16":
            self.parameters = {name: nn.Parameter(weight.detach()) for name, weight in weights.items()}
            for weight in weights.values():
                weight.data = weight.data.bfloat16()
        else:
            self.parameters = dict(weights)

    def take_gradients(self) -> None:
        """Move the gradients to the master weights, in float32."""
        for weight, master in self._pairs():
            master.grad = None if weight.grad is None else weight.grad.float()
            weight.grad = None

    @torch.no_grad()
    def copy_to_weights(self) -> None:
        """Round the master weights into the network's weights."""
        for weight, master in self._pairs():
            weight.copy_(master)

    def restore_float32(self) -> None:
        """Replace the network's weights by the master weights, in full precision.

        Call it once, before saving.
        """
        for weight, master in self._pairs():
            weight.data = master.data

    def _pairs(self) -> list[tuple[nn.Parameter, nn.Parameter]]:
        pairs = [(weight, self.parameters[name]) for name, weight in self.weights.items()]
        return [(weight, master) for weight, master in pairs if weight is not master]
