"""The books of one call of `sample`: every row's answer so far, and whether it has ended.  N rows, A of them drawn at a time."""

from collections.abc import Sequence

import torch
from torch import Tensor

from fairlead.rollout.records import Rollout, Sampling, Text
from fairlead.rollout.sampling import draw, greedy, sampler_logps, uniforms
from fairlead.rollout.speculative import NOTHING, num_agreed

KEEP = 0.75  # a cache is cut to the rows at work when they are at most this share: cutting copies it, so not for every row that ends


class Job:
    def __init__(
        self,
        prompts: Sequence[Sequence[int]],
        settings: Sampling,
        *,
        row_seeds: list[int],
        limits: Sequence[int],
        drafts: Sequence[Sequence[int]],
        stop_ids: frozenset[int],
        text: Text | None,
        device: torch.device,
    ) -> None:
        self.prompts, self.settings, self.text = prompts, settings, text
        count, longest = len(prompts), max(limits)
        self.limits = torch.tensor(list(limits), device=device)  # [N]
        self.stops = torch.tensor(sorted(stop_ids), device=device)
        self.randoms = uniforms(row_seeds, longest).to(device)  # [N, longest]
        self.tokens = torch.zeros((count, longest), dtype=torch.int64, device=device)
        self.logps = torch.zeros((count, longest), device=device)
        self.lengths = torch.zeros(count, dtype=torch.int64, device=device)  # [N] tokens drawn so far
        # [N] what is read of the drafts: nothing is drawn behind an answer's last place
        self.drafts = [tuple(draft[: limit - 1]) for draft, limit in zip(drafts, limits, strict=True)]
        self.reused = torch.zeros(count, dtype=torch.int64, device=device)  # [N]
        self.stopped = torch.zeros(count, dtype=torch.bool, device=device)

    @property
    def capacity(self) -> int:
        """The longest that any row can become, prompt and answer."""
        limits: list[int] = self.limits.tolist()
        return max(len(prompt) + limit for prompt, limit in zip(self.prompts, limits, strict=True))

    def text_of(self, row: int) -> tuple[int, ...]:
        """What is read before the row's first token is drawn: its prompt and its draft."""
        return (*self.prompts[row], *self.drafts[row])

    def draw(self, rows: Tensor, logits: Tensor) -> tuple[Tensor, Tensor]:
        """The next token of these rows, and whether it was their last.  [A], [A, V] -> [A], [A] bool"""
        chosen, logps = self.pick(rows, self.lengths[rows], logits)
        return self._append(rows, chosen[:, None], logps[:, None], torch.ones_like(rows))

    def pick(self, rows: Tensor, places: Tensor, logits: Tensor) -> tuple[Tensor, Tensor]:
        """The tokens that these rows draw at these places of their answers, and their log-probabilities.  [A], [A], [A, V] -> [A], [A]"""
        settings = self.settings
        if settings.temperature == 0:
            logps = sampler_logps(logits, temperature=1.0, top_k=0, top_p=1.0)
            chosen = greedy(logps)
        else:
            logps = sampler_logps(
                logits,
                temperature=settings.temperature,
                top_k=settings.top_k,
                top_p=settings.top_p,
                min_p=settings.min_p,
            )
            chosen = draw(logps, self.randoms[rows, places])
        return chosen, logps.gather(1, chosen[:, None]).squeeze(1)

    def begin(self, rows: Tensor, drawn: Tensor, logps: Tensor) -> tuple[Tensor, Tensor]:
        """Take what was drawn behind each token of the rows' drafts as far as the drafts were right.  [A], [N], [N] -> as `draw`

        `drawn` and `logps` stand row by row, one more for each row than its draft has tokens.
        """
        drafts = [self.drafts[row] for row in rows.tolist()]
        width = max(map(len, drafts)) + 1
        expected = torch.tensor(
            [[*draft, *[NOTHING] * (width - len(draft))] for draft in drafts], device=rows.device
        )  # [A, W]
        filled = (expected != NOTHING).roll(1, dims=1)  # one more is drawn than was drafted
        filled[:, 0] = True
        table = torch.zeros_like(expected).masked_scatter(filled, drawn)
        logps = torch.zeros(filled.shape, device=rows.device).masked_scatter(filled, logps)
        agreed = num_agreed(table, expected)
        newest, ended = self._append(rows, table, logps, agreed + 1)
        self.reused[rows] = torch.minimum(agreed, self.lengths[rows])
        return newest, ended

    def _append(self, rows: Tensor, tokens: Tensor, logps: Tensor, counts: Tensor) -> tuple[Tensor, Tensor]:
        """Write down each row's first `counts` tokens, or fewer where it ends before.  [A], [A, W], [A, W], [A] -> as `draw`"""
        start, columns = self.lengths[rows], torch.arange(tokens.shape[1], device=rows.device)
        places = start[:, None] + columns
        self.tokens[rows[:, None], places], self.logps[rows[:, None], places] = tokens, logps
        ends = torch.isin(tokens, self.stops)
        if self.settings.stop:
            ends |= self._says_stop(rows, start, counts, tokens.shape[1])
        ends &= columns < counts[:, None]
        stopped = ends.any(dim=1)
        counts = torch.where(stopped, ends.int().argmax(dim=1) + 1, counts)
        self.lengths[rows], self.stopped[rows] = start + counts, stopped
        return tokens.gather(1, counts[:, None] - 1).squeeze(1), stopped | (
            start + counts >= self.limits[rows]
        )

    def _says_stop(self, rows: Tensor, start: Tensor, counts: Tensor, width: int) -> Tensor:
        """Where an answer's text holds a stop string.  [A, width] bool"""
        assert self.text is not None
        found = torch.zeros((len(rows), width), dtype=torch.bool)
        for k, (row, length, count) in enumerate(
            zip(rows.tolist(), start.tolist(), counts.tolist(), strict=True)
        ):
            for column in range(count):
                answer = self.text(self.tokens[row, : length + column + 1].tolist())
                found[k, column] = any(stop in answer for stop in self.settings.stop)
        return found.to(rows.device)

    def rollouts(self) -> list[Rollout]:
        tokens, logps, reused = self.tokens.tolist(), self.logps.tolist(), self.reused.tolist()
        return [
            Rollout(
                tuple(prompt),
                tuple(tokens[i][:length]),
                tuple(logps[i][:length]),
                "stop" if stopped else "length",
                reused[i],
            )
            for i, (prompt, length, stopped) in enumerate(
                zip(self.prompts, self.lengths.tolist(), self.stopped.tolist(), strict=True)
            )
        ]
