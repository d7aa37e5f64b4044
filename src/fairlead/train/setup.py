"""What every recipe sets up between its data and its training loop.

`prepare` does it for a recipe that trains one policy.  A recipe with several networks calls the functions
that `prepare` is made of.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from fairlead.encoding.batching import Batch, collate
from fairlead.encoding.chat import Encoded
from fairlead.model.adapters import Lora, layers_without_adapter
from fairlead.model.policy import Policy, load_policy
from fairlead.model.scalar_model import ScalarModel
from fairlead.store.artifact import Artifact
from fairlead.store.run import Run
from fairlead.train import checkpoint, memory, training_prompts
from fairlead.train.checkpoint import State
from fairlead.train.master_weights import MasterWeights
from fairlead.train.optim import adamw, update
from fairlead.train.settings import Hardware, Optim, ReadsConversations, TrainingSettings
from fairlead.train.template import given_template, note_template
from fairlead.train.threads import choose_threads
from fairlead.train.verify_backend import forward_and_backward, verify_backend


@dataclass(frozen=True)
class Prepared:
    """What the training loop needs beside the model."""

    optimizer: torch.optim.Optimizer
    master_weights: MasterWeights  # the weights that the optimiser moves, in float32
    micro_tokens: int  # tokens per forward pass that fit into the memory
    state: State  # what a checkpoint holds: weights, moments of the optimiser, numbers


def lora(config: TrainingSettings) -> Lora | None:
    """The adapter to load a model with; None trains all weights."""
    adapter = config.adapter
    if not adapter.rank:
        return None
    return Lora(adapter.rank, adapter.alpha, config.seed, config.hardware.precision, adapter.base_bits)


def open_policy(run: Run, config: ReadsConversations) -> Policy:
    """The policy that a run trains or samples from.  It reads conversations as `[template]` says."""
    adapter = lora(config) if isinstance(config, TrainingSettings) else None
    template = given_template(run, config.template)
    policy = load_policy(run.model_path("model"), lora=adapter, template=template)
    note_template(run, policy.chat)
    return policy


def prepare(run: Run, policy: Policy, examples: Sequence[Encoded], config: TrainingSettings) -> Prepared:
    """Choose the backend, make the master weights, budget the memory and build the optimiser, in this order.

    `examples` are a few rows of the run's own data.  The weights keep the values that they were loaded with,
    so a recipe can compute reference log-probabilities after this call; `resume` then loads the last
    checkpoint.
    """
    batch = collate(examples, pad_id=policy.pad_id, device=policy.device)
    return prepare_model(run, policy, batch, lambda: policy.token_logps(batch), config, what="policy")


def prepare_model(
    run: Run,
    model: Policy | ScalarModel,
    batch: Batch,
    forward: Callable[[], Tensor],
    config: TrainingSettings,
    *,
    what: str,
) -> Prepared:
    """`prepare` for any model; `forward` runs on `batch` what a training step differentiates."""
    choose_backend(run, model, forward, config.hardware, what=what)
    master_weights = MasterWeights(model.trainable(), config.hardware.precision)
    num_tokens = int(batch.token_mask.sum())
    micro_tokens = token_budget(run, model.network.parameters(), forward, num_tokens, config)
    optimizer = build_optimizer(master_weights, config.optim)
    state = State(master_weights.parameters, {"optimizer": optimizer})
    return Prepared(optimizer, master_weights, micro_tokens, state)


def resume(run: Run, prepared: Prepared) -> int:
    """Load the run's last checkpoint, if there is one; returns the number of steps that are done."""
    start = checkpoint.restore(run, prepared.state)
    prepared.master_weights.copy_to_weights()
    return start


def optimizer_step(prepared: Prepared, optim: Optim, *, lr: float, step: int) -> float:
    """Clip the gradients, move the weights, and clear the gradients; returns the norm before clipping."""
    return update(
        prepared.optimizer, lr=lr, max_norm=optim.max_norm, step=step, master_weights=prepared.master_weights
    )


def publish_policy(run: Run, policy: Policy, prepared: Prepared, *, metrics: Mapping[str, Any]) -> Artifact:
    """Write the trained policy, with the full precision of its master weights, as the run's artifact."""
    prepared.master_weights.restore_float32()
    return publish_model(run, policy, metrics=metrics)


def publish_model(run: Run, policy: Policy, *, metrics: Mapping[str, Any]) -> Artifact:
    """Write a policy and the prompts that it was trained on as the run's artifact."""

    def fill(folder: Path) -> None:
        policy.save(folder, final_folder=run.project.artifacts / run.kind / run.name)
        training_prompts.write(run, folder)

    return run.publish(fill, metrics=metrics)


def choose_backend(
    run: Run,
    model: Policy | ScalarModel,
    forward: Callable[[], Tensor],
    hardware: Hardware,
    *,
    what: str,
) -> None:
    """Set precision and activation checkpointing, and keep the fastest backend whose results equal the plain
    one's.

    The number of CPU threads is chosen with that backend, and kept when the run resumes.
    """
    if left_out := layers_without_adapter(model.network):
        run.warn(
            f"{what}: these layers have no adapter, because PEFT or the model's own code does not allow it: "
            f"{', '.join(left_out)}."
        )
    model.backend.precision = hardware.precision
    model.backend.gradient_checkpointing = hardware.gradient_checkpointing
    verify_backend(run, model, forward, what=what)
    choose_threads(run, lambda: forward_and_backward(model, forward))


def token_budget(
    run: Run,
    parameters: Iterable[nn.Parameter],
    forward: Callable[[], Tensor],
    num_tokens: int,
    config: TrainingSettings,
) -> int:
    """Tokens per forward pass: the configured number, or what fits into the memory.

    `parameters` are those of all networks; `forward` runs what a training step differentiates, on
    `num_tokens` tokens.
    """
    expected = memory.measure(parameters, forward, num_tokens, optimizer_bits=config.optim.bits)
    return memory.token_budget(run, expected, config.hardware.micro_tokens)


def build_optimizer(
    master_weights: MasterWeights, optim: Optim, *, lr: float | None = None
) -> torch.optim.Optimizer:
    """AdamW over the master weights; `lr` replaces the table's, for a second network."""
    return adamw(
        master_weights.parameters,
        lr=optim.lr if lr is None else lr,
        weight_decay=optim.weight_decay,
        bits=optim.bits,
    )
