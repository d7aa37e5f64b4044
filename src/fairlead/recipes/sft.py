"""SFT: imitate demonstrations.

reads   demonstrations (data.records.Demonstration)      writes  model or adapter, metrics
run     fairlead train sft model=base demonstrations=data/demonstrations.jsonl name=sft

Loss is on assistant turns only, each with the token that ends it.  A step's loss is the mean over all its trained tokens, however it is
cut into micro-batches.  Part of the prompts is held out and never trained on.

Against forgetting, a share of earlier data can be replayed (arXiv:2502.06042); against memorising, noise on the embeddings (NEFTune,
arXiv:2310.05914) and a stop when the held-out loss no longer falls.
"""

from dataclasses import dataclass
from typing import Literal

import torch

from fairlead.core.config import DatasetRef, ModelRef
from fairlead.core.errors import require
from fairlead.core.precision import Precision
from fairlead.core.progress import progress
from fairlead.data.record_reader import read_demonstrations
from fairlead.encoding import batching
from fairlead.encoding.chat import Encoded, num_trained_tokens
from fairlead.examples.pairs import encode_and_split
from fairlead.examples.replay import read_mix
from fairlead.losses import sft
from fairlead.model.adapters import Lora
from fairlead.model.policy import Policy, load_policy
from fairlead.store.artifact import Artifact
from fairlead.store.run import Run
from fairlead.train import checkpoint, early_stopping, memory
from fairlead.train.knobs import check_learning_from_rows
from fairlead.train.master_weights import MasterWeights
from fairlead.train.meter import Meter
from fairlead.train.neftune import embedding_noise
from fairlead.train.optim import adamw, update
from fairlead.train.schedule import cosine
from fairlead.train.verify_backend import verify_backend

KIND = "model"


@dataclass(frozen=True, kw_only=True)
class Config:
    name: str  # of the model that is written
    model: ModelRef  # to start from: an artifact, a folder, or OWNER/NAME on the Hub
    demonstrations: DatasetRef  # native rows: prompt and completion, or messages
    replay: DatasetRef = (
        ""  # earlier data to mix in against forgetting: demonstrations, rows with `text`, or a .txt file
    )
    replay_share: float = (
        0.05  # share of the trained tokens that is replayed, where there is a replay; 0.01 to 0.05
    )
    epochs: int = 1  # times that every demonstration is seen
    batch: int = 32  # demonstrations per optimiser step
    lr: float = 1e-4  # at its peak; cosine to a tenth.  Suits LoRA; full fine-tuning of a large model wants about 1e-5
    warmup: int = 10  # steps of linear warm-up
    weight_decay: float = 0.0
    max_norm: float = 1.0  # gradients are scaled down to this norm
    neftune_alpha: float = 0.0  # noise on the embeddings while training, alpha / sqrt(tokens * width); 5 to 15 in the paper, 0 is none
    lora_rank: int = 16  # 0 trains all weights
    lora_alpha: int = 32  # strength of the adapter: alpha / rank
    base_bits: Literal[4, 32] = (
        32  # 4: the frozen network under an adapter is kept in 4 bits (QLoRA); needs bitsandbytes
    )
    held_out: float = 0.05  # share of the prompts kept for measuring; 0 keeps none
    max_tokens: int = 0  # longest conversation; 0 means the model's own context
    too_long: Literal["error", "drop"] = "error"  # what to do with longer ones; dropped rows are counted
    micro_tokens: int = (
        1024  # tokens per forward pass, padding included; memory, not results.  0 takes what the memory holds
    )
    precision: Precision = "float32"  # bfloat16: of the matrix products; pure-bfloat16: of all but the optimiser and its float32 copies
    optimizer_bits: Literal[8, 32] = 32  # 8: AdamW's moments take a quarter of the memory; needs bitsandbytes
    gradient_checkpointing: bool = (
        False  # compute layers again in the backward pass: less memory, about a third more time
    )
    measure_every: int = 50  # steps between measurements on the held-out part
    patience: int = 0  # stop after so many measurements without a lower held-out loss, and keep the best weights; 0 never stops
    checkpoint_every: int = 50  # steps
    seed: int = 0

    def __post_init__(self) -> None:
        check_learning_from_rows(self)
        require(self.epochs > 0, "epochs", self.epochs, "must be positive")
        require(
            0 < self.replay_share < 1,
            "replay_share",
            self.replay_share,
            "is a share between 0 and 1; without replay nothing is",
        )
        require(
            self.neftune_alpha >= 0,
            "neftune_alpha",
            self.neftune_alpha,
            "must not be negative; 0 is no noise",
        )
        require(self.patience >= 0, "patience", self.patience, "must not be negative; 0 never stops")
        require(
            self.patience == 0 or self.held_out > 0,
            "patience",
            self.patience,
            "needs a held-out part: held_out must be above 0",
        )
        require(0 <= self.held_out < 1, "held_out", self.held_out, "is a share, from 0 to below 1")


def main(config: Config, run: Run) -> Artifact:
    if run.finished:
        return run.finished

    # 1. Model
    lora = (
        Lora(config.lora_rank, config.lora_alpha, config.seed, config.precision, config.base_bits)
        if config.lora_rank
        else None
    )
    policy = load_policy(run.model_path("model"), lora=lora)

    # 2. Data: the same prompt never stands on both sides
    demonstrations = read_demonstrations(run.data_path("demonstrations"))
    longest = config.max_tokens or policy.context
    rows = encode_and_split(
        demonstrations,
        lambda d: policy.encode(d.messages, num_context=d.num_prompt_messages, max_tokens=longest),
        too_long=config.too_long,
        held_out=config.held_out,
        seed=config.seed,
        source=config.demonstrations,
    )
    run.event("data", train=len(rows.train), held_out=len(rows.held_out), dropped=rows.num_dropped)
    replay: list[Encoded] = []
    if config.replay:
        replay = read_mix(
            policy, run.data_path("replay", rows="demonstrations"), source=config.replay, max_tokens=longest
        )
        run.event("replay", rows=len(replay))
    policy.backend.precision, policy.backend.gradient_checkpointing = (
        config.precision,
        config.gradient_checkpointing,
    )
    few = batching.collate(
        rows.train_rows[: batching.NUM_CHECK_ROWS], pad_id=policy.pad_id, device=policy.device
    )
    verify_backend(run, policy, lambda: policy.token_logps(few), what="policy")
    master_weights = MasterWeights(policy.trainable(), config.precision)
    expected = memory.measure(
        policy.network.parameters(),
        lambda: policy.token_logps(few),
        int(few.token_mask.sum()),
        optimizer_bits=config.optimizer_bits,
    )
    micro_tokens = memory.token_budget(run, expected, config.micro_tokens)

    # 3. Optimiser
    optimizer = adamw(
        master_weights.parameters, lr=config.lr, weight_decay=config.weight_decay, bits=config.optimizer_bits
    )
    state = checkpoint.State(
        early_stopping.with_best_weights(master_weights.parameters)
        if config.patience
        else master_weights.parameters,
        {"optimizer": optimizer},
    )
    start = checkpoint.restore(run, state)
    master_weights.copy_to_weights()

    # 4. Train
    num_steps = config.epochs * batching.steps_per_epoch(len(rows.train), config.batch)
    order = batching.step_rows(len(rows.train), config.batch, num_steps, run_seed=config.seed)
    replayed: list[list[int]] = [[] for _ in order]
    if replay:
        step_tokens = [num_trained_tokens(rows.train_rows[i] for i in index) for index in order]
        row_tokens = [num_trained_tokens([row]) for row in replay]
        replayed = batching.replay_rows(step_tokens, row_tokens, config.replay_share, run_seed=config.seed)
    meter = Meter(run)
    with progress("sft", num_steps, done=start, quiet=run.quiet) as bar:
        for step in range(start, num_steps):
            if config.patience and early_stopping.num_without_progress(state) >= config.patience:
                checkpoint.save(run, step, state)
                run.event(
                    "early stop",
                    step=step,
                    best_step=state.numbers["best_step"],
                    held_out_loss=state.numbers["best_loss"],
                )
                break
            own = [rows.train_rows[i] for i in order[step]]
            items = own + [replay[i] for i in replayed[step]]
            num_own, num_tokens = (
                num_trained_tokens(own),
                num_trained_tokens(items),
            )  # known before the first backward
            total = torch.zeros(
                (), dtype=torch.float64, device=policy.device
            )  # there, so that nothing waits for it between micro-batches
            replay_total = torch.zeros_like(total)
            for index in batching.micro_batches(
                [len(item) for item in items], micro_tokens, packed=policy.backend.packed
            ):
                micro = batching.collate(
                    [items[i] for i in index], pad_id=policy.pad_id, device=policy.device
                )
                noise = None
                if config.neftune_alpha:
                    lengths, alpha = [len(items[i]) for i in index], config.neftune_alpha
                    noise = embedding_noise(
                        lengths, policy.width, alpha=alpha, run_seed=config.seed, step=step, rows=index
                    )
                    noise = batching.to_device(noise, policy.device)
                loss = sft.negative_log_likelihood(policy.token_logps(micro, noise))  # [B, T]
                (loss.sum() / num_tokens).backward()
                total += loss.detach().sum()
                replay_total += loss.detach()[[k for k, i in enumerate(index) if i >= len(own)]].sum()
            lr = cosine(step, num_steps, peak=config.lr, warmup=config.warmup)
            grad_norm = update(
                optimizer, lr=lr, max_norm=config.max_norm, step=step + 1, master_weights=master_weights
            )
            metrics = {"loss": float(total - replay_total) / num_own, "lr": lr, "grad_norm": grad_norm}
            if replayed[step]:
                metrics["replay_loss"] = float(replay_total) / (num_tokens - num_own)
            if rows.held_out and ((step + 1) % config.measure_every == 0 or step + 1 == num_steps):
                metrics["held_out_loss"] = mean_loss(policy, rows.held_out_rows, micro_tokens)
                if config.patience:
                    early_stopping.record(state, step + 1, metrics["held_out_loss"])
            run.log(step + 1, **metrics)
            meter.count(sum(len(item) for item in items))
            bar.advance(f"loss {metrics['loss']:.3f}")
            if (step + 1) % config.checkpoint_every == 0 or run.stop:
                meter.flush()
            checkpoint.save_if_due(run, step + 1, num_steps, state, every=config.checkpoint_every)
    meter.flush()

    # 5. Save: the last weights, or those of the lowest held-out loss
    logged = run.read_metrics()
    last = logged[-1]
    if config.patience:
        best_step = early_stopping.restore_best(state)
        last = next(row for row in logged if row["step"] == best_step)
    master_weights.restore_float32()
    kept = {name: last[name] for name in last if name.endswith("loss")} | (
        {"best_step": best_step} if config.patience else {}
    )
    home = run.project.artifacts / KIND / config.name
    return run.publish(lambda folder: policy.save(folder, final_folder=home), metrics=kept)


@torch.no_grad()
def mean_loss(policy: Policy, rows: list[Encoded], micro_tokens: int) -> float:
    """Mean negative log-likelihood per trained token, in nats."""
    batch = batching.collate(rows, pad_id=policy.pad_id, device=policy.device)
    losses = sft.negative_log_likelihood(
        batching.map_micro_batches(policy.token_logps, batch, micro_tokens, packed=policy.backend.packed)
    )
    return float(losses.sum() / batch.response_mask.sum())
