"""Number formats that a network can be run and trained in.  This module does not import torch."""

from typing import Literal

# float32        weights, activations and gradients in float32
# bfloat16       matrix products in bfloat16 through autocast; weights stay in float32
# pure-bfloat16  weights, activations and gradients in bfloat16; the optimiser updates float32 master weights
Precision = Literal["float32", "bfloat16", "pure-bfloat16"]
