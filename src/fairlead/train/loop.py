"""What surrounds the steps of a training run: resume, learning rate, log, progress bar and checkpoints.

The recipe keeps the forward pass, the loss and `backward()`:

    with training_loop(run, prepared, config, num_steps) as loop:
        for step in loop:
            ...
            loss.backward()
            metrics = {"loss": float(loss)} | loop.update()
            if loop.measures:
                metrics["held_out_loss"] = ...
            loop.end_step(metrics, num_tokens=num_tokens)
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Protocol

from fairlead.core.progress import ProgressMeter, progress
from fairlead.store.run import Run
from fairlead.train import checkpoint, diagnostics
from fairlead.train.meter import Meter
from fairlead.train.schedule import learning_rate
from fairlead.train.settings import Checkpoints, Data, Optim
from fairlead.train.setup import Prepared, optimizer_step, resume


class LoopSettings(Protocol):
    """The tables of a `Config` that the loop reads."""

    @property
    def optim(self) -> Optim: ...
    @property
    def data(self) -> Data: ...
    @property
    def checkpoints(self) -> Checkpoints: ...


class TrainingLoop:
    """Iterates over the steps that are still to do.  Open one with `training_loop`."""

    def __init__(
        self,
        run: Run,
        prepared: Prepared,
        config: LoopSettings,
        num_steps: int,
        *,
        start: int,
        bar: ProgressMeter,
    ) -> None:
        self.step = start
        self.num_steps = num_steps
        self._run = run
        self._prepared = prepared
        self._config = config
        self._start = start
        self._bar = bar
        self.meter = Meter(run)

    def __iter__(self) -> Iterator[int]:
        """The steps from the last checkpoint on, counted from 0."""
        for step in range(self._start, self.num_steps):
            self.step = step
            yield step

    @property
    def measures(self) -> bool:
        """Whether this step ends with a measurement on the held-out rows."""
        return (self.step + 1) % self._config.data.measure_every == 0 or self.step + 1 == self.num_steps

    def update(self) -> dict[str, float]:
        """Clip the gradients, move the weights and clear the gradients.

        Returns the learning rate, and the norm of the gradients before clipping.  Raises NonFiniteStep before
        any weight moves.
        """
        lr = learning_rate(self._config.optim, self.step, self.num_steps)
        grad_norm = optimizer_step(self._prepared, self._config.optim, lr=lr, step=self.step + 1)
        return {"lr": lr, "grad_norm": grad_norm}

    def end_step(self, metrics: Mapping[str, float], *, num_tokens: int, caption: str = "") -> None:
        """Log the metrics, advance the progress bar, and save a checkpoint if one is due.

        `num_tokens` are the tokens that the step processed.  `caption` stands beside the progress bar; if
        empty, the bar shows the loss and the accuracy.  Raises Stopped when the user asked to stop.
        """
        shown = [name for name in ("loss", "accuracy") if name in metrics]
        self._run.log(self.step + 1, **metrics)
        diagnostics.warn_early(self._run, self.step + 1)
        self.meter.count(num_tokens)
        self._bar.advance(caption or "  ".join(f"{name} {metrics[name]:.3f}" for name in shown))
        every = self._config.checkpoints.every
        checkpoint.save_if_due(
            self._run, self.step + 1, self.num_steps, self._prepared.state, self.meter, every
        )


@contextmanager
def training_loop(
    run: Run, prepared: Prepared, config: LoopSettings, num_steps: int
) -> Iterator[TrainingLoop]:
    """Load the last checkpoint, if there is one, and open the loop over the steps after it."""
    start = resume(run, prepared)
    with progress(run.recipe, num_steps, done=start, quiet=run.quiet) as bar:
        loop = TrainingLoop(run, prepared, config, num_steps, start=start, bar=bar)
        yield loop
    loop.meter.flush()
    diagnostics.report_learning(run)
