"""Names of the ways to pool scores (see `pooling`).  Imports nothing, so that configurations can name them without torch."""

from typing import Literal

Pool = Literal["mean", "worst", "mean-variance"]  # over the members of an ensemble
StepPool = Literal["minimum", "product", "mean", "last"]  # over the steps of an answer
