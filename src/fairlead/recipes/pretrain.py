"""Pretrain: a small language model from random weights, on conversations or plain text.

reads   documents: rows with `text`, or conversations (data.texts)
writes  model (tokenizer with chat template, safetensors), metrics
run     fairlead train pretrain configs/base_model/young.toml

This is for small models on one machine: the toy world's base model is made by it.  Loss is on every token, prompts included.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal, cast

import torch
from transformers import PreTrainedModel, PreTrainedTokenizerBase, PreTrainedTokenizerFast

from fairlead.core import files
from fairlead.core.config import DatasetRef, ModelRef
from fairlead.core.errors import require
from fairlead.core.progress import progress
from fairlead.data.pretraining_documents import read_documents
from fairlead.data.records import Messages
from fairlead.encoding import batching
from fairlead.examples.replay import encode_text
from fairlead.losses import sft
from fairlead.model import from_scratch
from fairlead.model.load import (
    default_device,
    load_causal_lm,
    load_tokenizer,
    quiet_transformers,
    to_default_device,
)
from fairlead.ops.logprobs import selected_logps
from fairlead.store.artifact import Artifact
from fairlead.store.run import Run
from fairlead.train import checkpoint
from fairlead.train.meter import Meter
from fairlead.train.optim import adamw_alone, muon, update
from fairlead.train.schedule import cosine

KIND = "model"


@dataclass(frozen=True, kw_only=True)
class Config:
    name: str  # of the model that is written
    documents: DatasetRef  # rows with `text` or `messages`, or a .txt file
    steps: int  # optimiser steps
    model: ModelRef = ""  # to go on from; its tokenizer and shape are kept: vocab_size, hidden, layers, heads, intermediate then mean nothing
    vocab_size: int = 2048  # byte-level BPE, trained on the documents
    hidden: int = 256  # width of the residual stream
    layers: int = 4
    heads: int = 4  # attention heads; hidden must be divisible by it
    intermediate: int = 704  # width inside the feed-forward blocks
    context: int = 256  # tokens; longer documents are cut into pieces of this length
    batch: int = 128  # documents (or pieces) per optimiser step
    optimizer: Literal["adamw", "muon"] = (
        "adamw"  # muon: for the matrices inside the blocks; learns more per step from scratch
    )
    lr: float = 2e-3  # at its peak; cosine to a tenth
    warmup: int = 100  # steps of linear warm-up
    weight_decay: float = 0.1
    max_norm: float = 1.0  # gradients are scaled down to this norm
    micro_tokens: int = 4096  # tokens per forward pass, padding included; memory, not results
    precision: Literal["float32", "bfloat16"] = "float32"  # of the matrix products; weights stay float32
    stored_as: Literal["float32", "float16"] = "float32"  # of the weights in the written model
    checkpoint_every: int = 200  # steps
    seed: int = 0

    def __post_init__(self) -> None:
        require(self.steps > 0, "steps", self.steps, "must be positive")
        require(
            self.heads > 0 and self.hidden % self.heads == 0,
            "hidden",
            self.hidden,
            f"must be divisible by heads = {self.heads}",
        )
        require(self.lr > 0, "lr", self.lr, "must be positive")
        require(self.batch > 0, "batch", self.batch, "must be positive")
        require(self.checkpoint_every > 0, "checkpoint_every", self.checkpoint_every, "must be positive")
        require(self.micro_tokens > 0, "micro_tokens", self.micro_tokens, "must be positive")
        require(self.max_norm > 0, "max_norm", self.max_norm, "must be positive")
        require(self.context > 1, "context", self.context, "must be at least 2 tokens")


def main(config: Config, run: Run) -> Artifact:
    if run.finished:
        return run.finished

    # 1. Documents, and a tokenizer and a network: the given model's, or a tokenizer trained on them and random weights
    documents = read_documents(run.data_path("documents"))
    tokenizer: PreTrainedTokenizerBase
    network: PreTrainedModel
    if config.model:
        tokenizer, network = load_tokenizer(run.model_path("model")), load_causal_lm(run.model_path("model"))
    else:
        # The tokenizer is kept with the run, so that a resumed run reads the same tokens.
        tokenizer = fresh_tokenizer = _tokenizer(config, run.folder / "tokenizer", documents)
        shape = from_scratch.Shape(
            config.hidden, config.layers, config.heads, config.intermediate, config.context
        )
        network = from_scratch.new_network(shape, fresh_tokenizer, run_seed=config.seed)
    to_default_device(network)
    device = default_device()
    rows = [piece for document in documents for piece in encode_text(tokenizer, document, config.context)]

    # 2. Optimiser
    parameters = dict(network.named_parameters())
    make = muon if config.optimizer == "muon" else adamw_alone
    optimizers = make(parameters, lr=config.lr, weight_decay=config.weight_decay, betas=(0.9, 0.95))
    state = checkpoint.State(parameters, optimizers)
    start = checkpoint.restore(run, state)

    # 3. Train
    autocast = torch.autocast(device.type, torch.bfloat16, enabled=config.precision == "bfloat16")
    order = batching.step_rows(len(rows), config.batch, config.steps, run_seed=config.seed)
    meter = Meter(run)
    with progress("pretrain", config.steps, done=start, quiet=run.quiet) as bar:
        for step in range(start, config.steps):
            items = [rows[i] for i in order[step]]
            num_tokens = sum(
                len(item) - 1 for item in items
            )  # the first token of a row has nothing before it
            total = 0.0
            for index in batching.micro_batches([len(item) for item in items], config.micro_tokens):
                micro = batching.collate(
                    [items[i] for i in index], pad_id=tokenizer.pad_token_id, device=device
                )
                with autocast:
                    logits = network(
                        input_ids=micro.tokens, attention_mask=micro.token_mask.long(), use_cache=False
                    ).logits
                loss = sft.negative_log_likelihood(
                    selected_logps(logits, micro.tokens, micro.response_mask)
                )  # [B, T]
                (loss.sum() / num_tokens).backward()
                total += float(loss.detach().sum())
            lr = cosine(step, config.steps, peak=config.lr, warmup=config.warmup)
            grad_norm = update(*optimizers.values(), lr=lr, max_norm=config.max_norm, step=step + 1)
            run.log(step + 1, loss=total / num_tokens, lr=lr, grad_norm=grad_norm)
            meter.count(num_tokens)
            bar.advance(f"loss {total / num_tokens:.3f}")
            checkpoint.save_if_due(run, step + 1, config.steps, state, meter, config.checkpoint_every)
    meter.flush()

    # 4. Save
    def fill(folder: Path) -> None:
        with quiet_transformers():
            network.to(getattr(torch, config.stored_as)).save_pretrained(folder)
        tokenizer.save_pretrained(folder)

    return run.publish(
        fill, metrics={"loss": run.read_metrics()[-1]["loss"], "parameters": network.num_parameters()}
    )


def _tokenizer(config: Config, folder: Path, documents: list[str | Messages]) -> PreTrainedTokenizerFast:
    if not folder.exists():
        texts = (
            document if isinstance(document, str) else " ".join(m.content for m in document)
            for document in documents
        )
        with files.atomic_folder(folder) as temporary:
            from_scratch.new_tokenizer(
                texts, vocab_size=config.vocab_size, context=config.context
            ).save_pretrained(temporary)
    return cast(PreTrainedTokenizerFast, PreTrainedTokenizerFast.from_pretrained(folder))
