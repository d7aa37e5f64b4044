"""The state of one sampling call: each row's response so far, and whether the response has ended.

N rows in all, A of them in one call of a method, V vocabulary, W columns.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from fairlead.core.seed import derive_seed
from fairlead.rollout.records import Decode, Rollout, SampleRequest
from fairlead.rollout.sampling import draw, greedy, sampler_logps, uniforms
from fairlead.rollout.speculative import NO_TOKEN, num_accepted

# A cache is cut to the rows still running when their share falls to this value.  Cutting copies the cache, so
# not after each row.
SHRINK_AT = 0.75


class RowsInFlight:
    def __init__(
        self,
        request: SampleRequest,
        max_lengths: Sequence[int],
        *,
        stop_ids: frozenset[int],
        decode: Decode | None,
        device: torch.device,
    ) -> None:
        num_rows = len(request.prompts)
        longest = max(max_lengths)
        row_ids = range(num_rows) if request.row_ids is None else request.row_ids
        row_seeds = [derive_seed(request.seed, "sample", row_id) for row_id in row_ids]
        no_drafts: list[tuple[int, ...]] = [()] * num_rows
        drafts = no_drafts if request.drafts is None else request.drafts
        self.prompts = request.prompts
        self.params = request.params
        self.decode = decode
        self.max_lengths = torch.tensor(list(max_lengths), device=device)  # [N]
        self.stop_ids = torch.tensor(sorted(stop_ids), device=device)
        self.uniforms = uniforms(row_seeds, longest).to(device)  # [N, longest]
        self.tokens = torch.zeros((num_rows, longest), dtype=torch.int64, device=device)
        self.logps = torch.zeros((num_rows, longest), device=device)
        self.lengths = torch.zeros(num_rows, dtype=torch.int64, device=device)  # [N] tokens drawn so far
        # The last token of a response is never followed by another, so a draft is cut one token before the
        # limit.
        self.drafts = [
            tuple(draft[: max_length - 1]) for draft, max_length in zip(drafts, max_lengths, strict=True)
        ]
        self.num_reused = torch.zeros(num_rows, dtype=torch.int64, device=device)  # [N]
        self.stopped = torch.zeros(num_rows, dtype=torch.bool, device=device)  # [N]

    @property
    def capacity(self) -> int:
        """The greatest number of tokens that a row can hold, prompt and response."""
        max_lengths: list[int] = self.max_lengths.tolist()
        return max(
            len(prompt) + max_length for prompt, max_length in zip(self.prompts, max_lengths, strict=True)
        )

    def prefill_tokens(self, row: int) -> tuple[int, ...]:
        """Tokens that the network reads before the row's first token is drawn: prompt and draft."""
        return (*self.prompts[row], *self.drafts[row])

    def sample_next(self, rows: Tensor, logits: Tensor) -> tuple[Tensor, Tensor]:
        """Draw and store the next token of these rows.

        Returns the tokens, and whether each row has ended.  [A], [A, V] -> [A], [A] bool
        """
        tokens, logps = self.draw_tokens(rows, self.lengths[rows], logits)
        return self._append(rows, tokens[:, None], logps[:, None], torch.ones_like(rows))

    def draw_tokens(self, rows: Tensor, positions: Tensor, logits: Tensor) -> tuple[Tensor, Tensor]:
        """Draw the tokens at these positions of the responses, without storing them.

        Returns the tokens and their log-probabilities.  [A], [A], [A, V] -> [A], [A]
        """
        params = self.params
        if params.temperature == 0:
            logps = sampler_logps(logits, temperature=1.0, top_k=0, top_p=1.0)
            tokens = greedy(logps)
        else:
            logps = sampler_logps(
                logits,
                temperature=params.temperature,
                top_k=params.top_k,
                top_p=params.top_p,
                min_p=params.min_p,
            )
            tokens = draw(logps, self.uniforms[rows, positions])
        return tokens, logps.gather(1, tokens[:, None]).squeeze(1)

    def accept_drafts(self, rows: Tensor, tokens: Tensor, logps: Tensor) -> tuple[Tensor, Tensor]:
        """Store the tokens drawn along the drafts of these rows, up to the first token that differs from the
        draft.

        `tokens` and `logps` are flat, row after row: one more per row than the draft has tokens.  [A], [M],
        [M] -> as `sample_next`
        """
        drafts = [self.drafts[row] for row in rows.tolist()]
        width = max(map(len, drafts)) + 1
        expected = torch.tensor(
            [[*draft, *[NO_TOKEN] * (width - len(draft))] for draft in drafts], device=rows.device
        )  # [A, W]
        # Each row fills one column more than its draft: the token after the draft.
        filled = (expected != NO_TOKEN).roll(1, dims=1)
        filled[:, 0] = True
        token_table = torch.zeros_like(expected).masked_scatter(filled, tokens)
        logp_table = torch.zeros(filled.shape, device=rows.device).masked_scatter(filled, logps)
        accepted = num_accepted(token_table, expected)
        newest, ended = self._append(rows, token_table, logp_table, accepted + 1)
        self.num_reused[rows] = torch.minimum(accepted, self.lengths[rows])
        return newest, ended

    def _append(self, rows: Tensor, tokens: Tensor, logps: Tensor, counts: Tensor) -> tuple[Tensor, Tensor]:
        """Store the first `counts` tokens of each row, or fewer when a stop comes earlier.

        [A], [A, W], [A, W], [A] -> as `sample_next`
        """
        start = self.lengths[rows]
        columns = torch.arange(tokens.shape[1], device=rows.device)
        positions = start[:, None] + columns
        self.tokens[rows[:, None], positions] = tokens
        self.logps[rows[:, None], positions] = logps
        is_stop = torch.isin(tokens, self.stop_ids)
        if self.params.stop:
            is_stop |= self._completes_stop_string(rows, start, counts, tokens.shape[1])
        is_stop &= columns < counts[:, None]
        stopped = is_stop.any(dim=1)
        counts = torch.where(stopped, is_stop.int().argmax(dim=1) + 1, counts)
        self.lengths[rows] = start + counts
        self.stopped[rows] = stopped
        newest = tokens.gather(1, counts[:, None] - 1).squeeze(1)
        return newest, stopped | (start + counts >= self.max_lengths[rows])

    def _completes_stop_string(self, rows: Tensor, start: Tensor, counts: Tensor, width: int) -> Tensor:
        """True where the response up to this token contains a stop string.  [A, width] bool"""
        assert self.decode is not None, "`sample` checks this"
        completes = torch.zeros((len(rows), width), dtype=torch.bool)
        ranges = zip(rows.tolist(), start.tolist(), counts.tolist(), strict=True)
        for index, (row, length, count) in enumerate(ranges):
            for column in range(count):
                text = self.decode(self.tokens[row, : length + column + 1].tolist())
                completes[index, column] = any(stop in text for stop in self.params.stop)
        return completes.to(rows.device)

    def rollouts(self) -> list[Rollout]:
        tokens = self.tokens.tolist()
        logps = self.logps.tolist()
        lengths = self.lengths.tolist()
        stopped = self.stopped.tolist()
        num_reused = self.num_reused.tolist()
        return [
            Rollout(
                tuple(prompt),
                tuple(tokens[row][: lengths[row]]),
                tuple(logps[row][: lengths[row]]),
                "stop" if stopped[row] else "length",
                num_reused[row],
            )
            for row, prompt in enumerate(self.prompts)
        ]
