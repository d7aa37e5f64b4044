"""The books of one call of `sample`: every row's answer so far, and whether it has ended.  N rows, A of them drawn at a time."""

from collections.abc import Sequence

import torch
from torch import Tensor

from fairlead.rollout.records import Rollout, Sampling, Text
from fairlead.rollout.sampling import draw, greedy, sampler_logps, uniforms

KEEP = 0.75  # a cache is cut to the rows at work when they are at most this share: cutting copies it, so not for every row that ends


class Job:
    def __init__(
        self,
        prompts: Sequence[Sequence[int]],
        settings: Sampling,
        *,
        row_seeds: list[int],
        limits: Sequence[int],
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
        self.stopped = torch.zeros(count, dtype=torch.bool, device=device)

    @property
    def capacity(self) -> int:
        """The longest that any row can become, prompt and answer."""
        limits: list[int] = self.limits.tolist()
        return max(len(prompt) + limit for prompt, limit in zip(self.prompts, limits, strict=True))

    def draw(self, rows: Tensor, logits: Tensor) -> tuple[Tensor, Tensor]:
        """The next token of these rows, and whether it was their last.  [A], [A, V] -> [A], [A] bool"""
        settings, places = self.settings, self.lengths[rows]
        if settings.temperature == 0:
            logps = sampler_logps(logits, temperature=1.0, top_k=0, top_p=1.0)
            chosen = greedy(logps)
        else:
            logps = sampler_logps(
                logits, temperature=settings.temperature, top_k=settings.top_k, top_p=settings.top_p, min_p=settings.min_p
            )
            chosen = draw(logps, self.randoms[rows, places])
        self.tokens[rows, places] = chosen
        self.logps[rows, places] = logps.gather(1, chosen[:, None]).squeeze(1)
        self.lengths[rows] = places + 1
        stopped = torch.isin(chosen, self.stops)
        if settings.stop:
            stopped |= self._says_stop(rows)
        self.stopped[rows] = stopped
        return chosen, stopped | (places + 1 >= self.limits[rows])

    def _says_stop(self, rows: Tensor) -> Tensor:
        assert self.text is not None
        answers = (self.text(self.tokens[row, : int(self.lengths[row])].tolist()) for row in rows.tolist())
        return torch.tensor([any(stop in answer for stop in self.settings.stop) for answer in answers], device=rows.device)

    def rollouts(self) -> list[Rollout]:
        tokens, logps = self.tokens.tolist(), self.logps.tolist()
        return [
            Rollout(tuple(prompt), tuple(tokens[i][:length]), tuple(logps[i][:length]), "stop" if stopped else "length")
            for i, (prompt, length, stopped) in enumerate(zip(self.prompts, self.lengths.tolist(), self.stopped.tolist(), strict=True))
        ]
