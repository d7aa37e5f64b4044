"""Float32 copies of weights that the network keeps in bfloat16: what the optimiser moves, what a checkpoint holds, what is saved.

A step of 1e-5 of a weight's size is lost when it is added to a bfloat16 number, which has eight bits; added to the copy, it counts, and the
weight follows when enough steps have come together (arXiv:1710.03740, section 3.1).  A network in float32 has no copies: its weights are
their own master_weights.
"""

from collections.abc import Mapping

import torch
from torch import nn

from fairlead.core.precision import Precision


class MasterWeights:
    """`parameters`: name -> what the optimiser moves, in float32."""

    def __init__(self, weights: Mapping[str, nn.Parameter], precision: Precision) -> None:
        """Under pure-bfloat16 the weights become bfloat16 here; their float32 values live on in the copies."""
        self.weights = weights
        if precision == "pure-bfloat16":
            self.parameters = {name: nn.Parameter(weight.detach()) for name, weight in weights.items()}
            for weight in weights.values():
                weight.data = weight.data.bfloat16()
        else:
            self.parameters = dict(weights)

    def take_gradients(self) -> None:
        """The weights' gradients, in float32, one by one; the weights are left without."""
        for weight, master in self._pairs():
            master.grad = None if weight.grad is None else weight.grad.float()
            weight.grad = None

    @torch.no_grad()
    def copy_to_weights(self) -> None:
        """Round the copies into the weights."""
        for weight, master in self._pairs():
            weight.copy_(master)

    def restore_float32(self) -> None:
        """The weights are float32 again, with all their digits; for saving, when training is over."""
        for weight, master in self._pairs():
            weight.data = master.data

    def _pairs(self) -> list[tuple[nn.Parameter, nn.Parameter]]:
        pairs = [(weight, self.parameters[name]) for name, weight in self.weights.items()]
        return [(weight, master) for weight, master in pairs if weight is not master]
