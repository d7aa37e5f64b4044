"""Pretraining: a small language model from random weights, on conversations or plain text.

reads   documents: rows with `text`, or conversations (data.pretraining_documents)
writes  model (tokenizer with chat template, safetensors), metrics
run     fairlead train pretrain configs/base_model/young.toml

This recipe is for small models on one machine; the base model of the toy world comes from it.  The loss
covers every token, prompts included.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal, cast

import torch
from transformers import PreTrainedModel, PreTrainedTokenizerBase, PreTrainedTokenizerFast

from fairlead.core import files
from fairlead.core.config import Advanced, DatasetRef, ModelRef
from fairlead.core.errors import require, require_positive
from fairlead.core.progress import progress
from fairlead.data.pretraining_documents import read_documents
from fairlead.data.records import Messages
from fairlead.encoding.batching import collate, micro_batches, step_rows
from fairlead.encoding.chat_format import ChatFormat
from fairlead.examples.replay import encode_text
from fairlead.losses import sft
from fairlead.model import from_scratch
from fairlead.model.check_model import check_model
from fairlead.model.check_network import check_vocabulary
from fairlead.model.load import (
    declared_stops,
    default_device,
    load_causal_lm,
    load_tokenizer,
    save_model,
    to_default_device,
)
from fairlead.ops.logprobs import selected_logps
from fairlead.store.artifact import Artifact
from fairlead.store.run import Run
from fairlead.train import checkpoint, diagnostics, training_prompts
from fairlead.train.meter import Meter
from fairlead.train.metric_sums import MetricSums
from fairlead.train.optim import adamw_alone, muon, update
from fairlead.train.schedule import learning_rate
from fairlead.train.settings import Checkpoints, Hardware, Optim, Template
from fairlead.train.template import given_template

KIND = "model"


@dataclass(frozen=True, kw_only=True)
class Config:
    name: str  # name of the model that is written
    documents: DatasetRef  # rows with `text` or `messages`, or a .txt file
    steps: int  # optimiser steps
    # model to continue from; its tokenizer and shape are kept, so vocab_size, hidden, layers, heads and
    # intermediate have no effect
    model: ModelRef = ""
    vocab_size: int = 2048  # tokens of the byte-level BPE tokenizer that is trained on the documents
    hidden: int = 256  # width of the residual stream
    layers: int = 4  # number of blocks
    heads: int = 4  # attention heads; hidden must be divisible by it
    intermediate: int = 704  # width inside the feed-forward blocks
    context: int = 256  # context length in tokens; longer documents are cut into pieces of this length
    batch: int = 128  # documents (or pieces) per optimiser step
    # muon for the matrices inside the blocks: learns more per step from random weights
    optimizer: Advanced[Literal["adamw", "muon"]] = "adamw"
    stored_as: Advanced[Literal["float32", "float16"]] = "float32"  # number format of the written weights
    seed: int = 0  # seed of the weights and the order of rows
    optim: Optim = Optim(lr=2e-3, warmup=100, weight_decay=0.1)
    hardware: Hardware = Hardware(micro_tokens=4096)
    checkpoints: Checkpoints = Checkpoints(every=200)
    template: Template = Template()  # for documents that are conversations

    def __post_init__(self) -> None:
        require_positive(self, "steps", "batch")
        why = f"must be divisible by heads = {self.heads}"
        require(self.heads > 0 and self.hidden % self.heads == 0, "hidden", self.hidden, why)
        require(self.context > 1, "context", self.context, "must be at least 2 tokens")
        hardware = self.hardware
        require(hardware.micro_tokens > 0, "hardware.micro_tokens", hardware.micro_tokens, "must be positive")
        why = "is not supported by pretrain, which is for small models"
        require(hardware.precision != "pure-bfloat16", "hardware.precision", hardware.precision, why)
        checkpointing = hardware.gradient_checkpointing
        require(not checkpointing, "hardware.gradient_checkpointing", checkpointing, why)
        require(self.optim.bits == 32, "optim.bits", self.optim.bits, why)


def main(config: Config, run: Run) -> Artifact:
    if run.finished:
        return run.finished

    # 1. Model: random weights and a tokenizer trained on the documents, or the model to continue from
    documents = read_documents(run.data_path("documents"))
    # a base model needs no chat template as long as no document is a conversation
    has_conversations = not all(isinstance(document, str) for document in documents)
    template = given_template(run, config.template)
    chat: ChatFormat | None = None
    tokenizer: PreTrainedTokenizerBase
    network: PreTrainedModel
    if config.model:
        check_model(run.model_path("model"))
        tokenizer = load_tokenizer(run.model_path("model"))
        chat = ChatFormat(tokenizer, template, source=config.model) if has_conversations else None
        network = load_causal_lm(run.model_path("model"))
        check_vocabulary(network, tokenizer, config.model)
    else:
        # stored with the run, so that a resumed run reads the same tokens
        tokenizer = new_tokenizer = _tokenizer(config, run.folder / "tokenizer", documents)
        shape = from_scratch.Shape(
            config.hidden, config.layers, config.heads, config.intermediate, config.context
        )
        network = from_scratch.new_network(shape, new_tokenizer, run_seed=config.seed)
    to_default_device(network)
    device = default_device()
    if has_conversations:
        chat = chat or ChatFormat(tokenizer, template, source="the new model")
        chat.declare(declared_stops(network))
    rows = [
        piece for document in documents for piece in encode_text(tokenizer, document, config.context, chat)
    ]

    # 2. Optimiser
    parameters = dict(network.named_parameters())
    new_optimizers = muon if config.optimizer == "muon" else adamw_alone
    optimizers = new_optimizers(
        parameters, lr=config.optim.lr, weight_decay=config.optim.weight_decay, betas=(0.9, 0.95)
    )
    state = checkpoint.State(parameters, optimizers)
    start = checkpoint.restore(run, state)

    # 3. Train
    autocast = torch.autocast(device.type, torch.bfloat16, enabled=config.hardware.precision == "bfloat16")
    order = step_rows(len(rows), config.batch, config.steps, run_seed=config.seed)
    meter = Meter(run)
    with progress("pretrain", config.steps, done=start, quiet=run.quiet) as bar:
        for step in range(start, config.steps):
            step_pieces = [rows[i] for i in order[step]]
            lengths = [len(row) for row in step_pieces]
            num_tokens = sum(lengths) - len(lengths)  # nothing predicts the first token of a row
            sums = MetricSums(device)
            for row_ids in micro_batches(lengths, config.hardware.micro_tokens):
                micro = collate(
                    [step_pieces[i] for i in row_ids], pad_id=tokenizer.pad_token_id, device=device
                )
                with autocast:
                    logits = network(
                        input_ids=micro.tokens, attention_mask=micro.token_mask.long(), use_cache=False
                    ).logits
                logps = selected_logps(logits, micro.tokens, micro.response_mask)
                loss = sft.negative_log_likelihood(logps)  # [B, T]
                (loss.sum() / num_tokens).backward()
                sums.add(loss=loss)
            lr = learning_rate(config.optim, step, config.steps)
            max_norm = config.optim.max_norm
            grad_norm = update(*optimizers.values(), lr=lr, max_norm=max_norm, step=step + 1)
            loss_per_token = sums.mean("loss", num_tokens)
            run.log(step + 1, loss=loss_per_token, lr=lr, grad_norm=grad_norm)
            meter.count(num_tokens)
            bar.advance(f"loss {loss_per_token:.3f}")
            checkpoint.save_if_due(run, step + 1, config.steps, state, meter, config.checkpoints.every)
    meter.flush()
    diagnostics.report_learning(run)

    # 4. Save
    def save(folder: Path) -> None:
        save_model(network.to(getattr(torch, config.stored_as)), tokenizer, folder)
        if chat is not None:
            chat.save(folder)
        training_prompts.write(run, folder)

    metrics = {"loss": run.read_metrics()[-1]["loss"], "parameters": network.num_parameters()}
    return run.publish(save, metrics=metrics)


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
