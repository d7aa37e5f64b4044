"""Fairlead: from a pre-trained language model to a model that people prefer, with the evidence."""

__version__ = "0.1.0"
