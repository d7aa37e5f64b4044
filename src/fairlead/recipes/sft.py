"""SFT: supervised fine-tuning on demonstrations.

reads   demonstrations (data.records.Demonstration)      writes  model or adapter, metrics
run     fairlead train sft model=base demonstrations=data/demonstrations.jsonl name=sft

The loss covers assistant turns only, each with its end-of-turn token.  It is the mean over all trained tokens
of a step, whatever the micro-batches.  Held-out prompts are measured and never trained on.

Against forgetting, a share of earlier data can be replayed (arXiv:2502.06042).  Against memorising, the
embeddings can get noise (NEFTune, arXiv:2310.05914), and training can stop when the held-out loss stops
falling.
"""

from dataclasses import dataclass

import torch

from fairlead.core.config import Advanced, DatasetRef, ModelRef
from fairlead.core.errors import require, require_positive
from fairlead.data.record_reader import read_demonstrations
from fairlead.encoding import batching
from fairlead.encoding.batching import NUM_CHECK_ROWS, epoch_steps
from fairlead.encoding.chat import Encoded, num_trained_tokens
from fairlead.encoding.record_rows import encode_demonstration
from fairlead.examples.pairs import encode_and_split, flatten_rows
from fairlead.examples.replay import read_mix
from fairlead.losses import sft
from fairlead.model.policy import Policy
from fairlead.store.artifact import Artifact
from fairlead.store.run import Run
from fairlead.train import checkpoint, early_stopping
from fairlead.train.loop import training_loop
from fairlead.train.metric_sums import MetricSums
from fairlead.train.neftune import embedding_noise
from fairlead.train.settings import Data, Optim, TrainingSettings
from fairlead.train.setup import open_policy, prepare, publish_policy

KIND = "model"


@dataclass(frozen=True, kw_only=True)
class Config(TrainingSettings):
    model: ModelRef  # model to start from: an artifact, a folder, or OWNER/NAME on the Hub
    demonstrations: DatasetRef  # native rows: prompt and completion, or messages
    # earlier data to replay against forgetting: demonstrations, rows with `text`, or a .txt file
    replay: DatasetRef = ""
    replay_share: Advanced[float] = 0.05  # share of the trained tokens that is replayed data; 0.01 to 0.05
    # noise on the embeddings while training, alpha / sqrt(tokens * width): 5 to 15 in the paper; 0 disables
    neftune_alpha: Advanced[float] = 0.0
    # stop after this many measurements without a lower held-out loss, and keep the best weights; 0 disables
    patience: int = 0
    epochs: int = 1  # passes over the demonstrations
    batch: int = 32  # demonstrations per optimiser step
    optim: Optim = Optim(lr=1e-4)  # suits LoRA; full fine-tuning of a large model wants about 1e-5
    data: Data = Data(held_out=0.05)

    def __post_init__(self) -> None:
        require_positive(self, "epochs", "batch")
        why = "is a share between 0 and 1; leave replay empty to replay nothing"
        require(0 < self.replay_share < 1, "replay_share", self.replay_share, why)
        why = "must not be negative; 0 disables the noise"
        require(self.neftune_alpha >= 0, "neftune_alpha", self.neftune_alpha, why)
        require(self.patience >= 0, "patience", self.patience, "must not be negative; 0 disables")
        why = "needs held-out rows: data.held_out must be above 0"
        require(self.patience == 0 or self.data.held_out > 0, "patience", self.patience, why)


def main(config: Config, run: Run) -> Artifact:
    if run.finished:
        return run.finished

    # 1. Model
    policy = open_policy(run, config)

    # 2. Data: rows that share a prompt stay on the same side of the split
    demonstrations = read_demonstrations(run.data_path("demonstrations"))
    rows = flatten_rows(
        encode_and_split(
            policy, demonstrations, encode_demonstration, config, source=config.demonstrations, run=run
        )
    )
    replay: list[Encoded] = []
    left_out: dict[str, int] = {}
    if config.replay:
        path = run.data_path("replay", rows="demonstrations")
        max_tokens = config.data.max_tokens or policy.context
        replay, left_out = read_mix(
            policy,
            path,
            source=config.replay,
            max_tokens=max_tokens,
            too_long=config.data.too_long,
            run=run,
        )
        run.event("replay", rows=len(replay))
    left_out |= rows.left_out
    run.record_data(left_out, train=len(rows.train), held_out=len(rows.held_out))

    # 3. Backend check, master weights, memory budget, optimiser, last checkpoint
    prepared = prepare(run, policy, rows.train_rows[:NUM_CHECK_ROWS], config)
    if config.patience:  # a checkpoint then holds the best weights too
        prepared.state.parameters = early_stopping.with_best_weights(prepared.state.parameters)

    # 4. Train
    order = epoch_steps(len(rows.train), config.batch, config.epochs, run_seed=config.seed)
    replay_order: list[list[int]] = [[] for _ in order]
    if replay:
        step_tokens = [num_trained_tokens(rows.train_rows[i] for i in row_ids) for row_ids in order]
        replay_tokens = [num_trained_tokens([row]) for row in replay]
        replay_order = batching.replay_rows(
            step_tokens, replay_tokens, config.replay_share, run_seed=config.seed
        )
    with training_loop(run, prepared, config, len(order)) as loop:
        for step in loop:
            if config.patience and early_stopping.num_without_progress(prepared.state) >= config.patience:
                checkpoint.save(run, step, prepared.state)
                numbers = prepared.state.numbers
                best = {"best_step": numbers["best_step"], "held_out_loss": numbers["best_loss"]}
                run.event("early stop", step=step, **best)
                break
            step_rows = [rows.train_rows[i] for i in order[step]]
            step_examples = step_rows + [replay[i] for i in replay_order[step]]
            # counted before the first backward, so that the loss is a mean over the step and not over each
            # micro-batch
            num_demonstrated = num_trained_tokens(step_rows)
            num_tokens = num_trained_tokens(step_examples)
            sums = MetricSums(policy.device)
            lengths = [len(row) for row in step_examples]
            for row_ids in batching.micro_batches(
                lengths, prepared.micro_tokens, packed=policy.backend.packed
            ):
                micro = batching.collate(
                    [step_examples[i] for i in row_ids], pad_id=policy.pad_id, device=policy.device
                )
                noise = None
                if config.neftune_alpha:
                    noise = embedding_noise(
                        [lengths[i] for i in row_ids],
                        policy.width,
                        alpha=config.neftune_alpha,
                        run_seed=config.seed,
                        step=step,
                        rows=row_ids,
                    )
                    noise = batching.to_device(noise, policy.device)
                loss = sft.negative_log_likelihood(policy.token_logps(micro, noise))  # [B, T]
                (loss.sum() / num_tokens).backward()
                is_replay = [k for k, i in enumerate(row_ids) if i >= len(step_rows)]
                sums.add(loss=loss, replay_loss=loss[is_replay])
            own_loss = sums.total("loss") - sums.total("replay_loss")
            metrics = {"loss": own_loss / num_demonstrated} | loop.update()
            if replay_order[step]:
                metrics["replay_loss"] = sums.total("replay_loss") / (num_tokens - num_demonstrated)
            if rows.held_out and loop.measures:
                metrics["held_out_loss"] = mean_loss(policy, rows.held_out_rows, prepared.micro_tokens)
                if config.patience:
                    early_stopping.record(prepared.state, step + 1, metrics["held_out_loss"])
            loop.end_step(metrics, num_tokens=sum(lengths))

    # 5. Save the last weights, or those with the lowest held-out loss
    logged = run.read_metrics()
    published = logged[-1]
    if config.patience:
        best_step = early_stopping.restore_best(prepared.state)
        published = next(row for row in logged if row["step"] == best_step) | {"best_step": best_step}
    evidence = {name: published[name] for name in published if name.endswith("loss") or name == "best_step"}
    return publish_policy(run, policy, prepared, metrics=evidence)


@torch.no_grad()
def mean_loss(policy: Policy, rows: list[Encoded], micro_tokens: int) -> float:
    """Mean negative log-likelihood per trained token, in nats."""
    batch = batching.collate(rows, pad_id=policy.pad_id, device=policy.device)
    logps = batching.map_micro_batches(policy.token_logps, batch, micro_tokens, packed=policy.backend.packed)
    return float(sft.negative_log_likelihood(logps).sum() / batch.response_mask.sum())
