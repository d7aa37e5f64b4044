"""Names of the pooling functions in `pooling.py`.  Does not import torch, so configurations can use them."""

from typing import Literal

Pool = Literal["mean", "worst", "mean-variance"]  # over the members of an ensemble
StepPool = Literal["minimum", "product", "mean", "last"]  # over the steps of an answer
