"""The state of a sampling call, without a network: logits are written by hand."""

from collections.abc import Sequence

import torch
from pytest import approx
from torch import Tensor, tensor

from fairlead.core.seed import derive_seed
from fairlead.rollout.in_flight import RowsInFlight
from fairlead.rollout.records import SampleRequest, SamplingParams
from fairlead.rollout.sampling import uniforms

VOCAB = 6
STOP = 5


def rows_in_flight(
    params: SamplingParams,
    prompts: Sequence[Sequence[int]] = ((1, 2), (3,)),
    *,
    max_lengths: Sequence[int] | None = None,
    drafts: Sequence[Sequence[int]] | None = None,
    row_ids: Sequence[int] | None = None,
) -> RowsInFlight:
    return RowsInFlight(
        SampleRequest(prompts=prompts, params=params, seed=7, row_ids=row_ids, drafts=drafts),
        [params.max_new_tokens] * len(prompts) if max_lengths is None else max_lengths,
        stop_ids=frozenset({STOP}),
        decode=lambda tokens: "".join("abcdef"[token] for token in tokens),
        device=torch.device("cpu"),
    )


def preferring(*tokens: int) -> Tensor:
    """Logits of which each row gives nearly all probability to one token.  [A, VOCAB]"""
    logits = torch.zeros(len(tokens), VOCAB)
    logits[torch.arange(len(tokens)), tensor(tokens)] = 30.0
    return logits


def test_a_row_ends_with_a_stop_token_or_at_its_length() -> None:
    rows = rows_in_flight(SamplingParams(max_new_tokens=3, temperature=0))
    both = tensor([0, 1])
    tokens, ended = rows.sample_next(both, preferring(4, STOP))
    assert tokens.tolist() == [4, STOP] and ended.tolist() == [False, True]
    for token in (0, 1):
        tokens, ended = rows.sample_next(tensor([0]), preferring(token))
    assert ended.tolist() == [True]
    first, second = rows.rollouts()
    assert (first.prompt_tokens, first.tokens, first.finish_reason) == ((1, 2), (4, 0, 1), "length")
    assert (second.prompt_tokens, second.tokens, second.finish_reason) == ((3,), (STOP,), "stop")
    assert first.logps == approx((0.0, 0.0, 0.0), abs=1e-5) and not first.finished and second.finished


def test_each_row_has_its_own_maximum_length() -> None:
    rows = rows_in_flight(SamplingParams(max_new_tokens=9, temperature=0), max_lengths=[1, 2])
    assert rows.capacity == 3  # the prompt of two tokens and one, or of one token and two
    _, ended = rows.sample_next(tensor([0, 1]), preferring(4, 4))
    assert ended.tolist() == [True, False]
    _, ended = rows.sample_next(tensor([1]), preferring(4))
    assert ended.tolist() == [True]


def test_a_row_draws_with_the_random_numbers_of_its_id() -> None:
    rows = rows_in_flight(SamplingParams(max_new_tokens=2), row_ids=[10, 4])
    numbers = uniforms([derive_seed(7, "sample", 10), derive_seed(7, "sample", 4)], 2)
    # six equal probabilities: the token is the sixth in which the uniform number lies
    for position in range(2):
        tokens, logps = rows.draw_tokens(tensor([0, 1]), torch.full((2,), position), torch.zeros(2, VOCAB))
        assert tokens.tolist() == (numbers[:, position] * VOCAB).long().tolist()
        assert logps.tolist() == approx([-1.791759] * 2, abs=1e-5)  # log(1/6)


def test_a_stop_string_may_span_tokens() -> None:
    rows = rows_in_flight(SamplingParams(max_new_tokens=4, temperature=0, stop=("bc",)))
    both = tensor([0, 1])
    _, ended = rows.sample_next(both, preferring(1, 2))  # "b" and "c"
    assert ended.tolist() == [False, False]
    _, ended = rows.sample_next(both, preferring(2, 1))  # "bc" and "cb"
    assert ended.tolist() == [True, False]
    assert [rollout.finish_reason for rollout in rows.rollouts()] == ["stop", "length"]


def test_drafts_are_accepted_up_to_the_first_difference() -> None:
    rows = rows_in_flight(
        SamplingParams(max_new_tokens=4), ((1,), (2,), (3,)), drafts=[(4, 3, 2, 1), (4, STOP), ()]
    )
    # The last token of a response is followed by none, so the first draft is cut to three tokens.
    assert [rows.prefill_tokens(row) for row in range(3)] == [(1, 4, 3, 2), (2, 4, STOP), (3,)]
    drawn = tensor([4, 0, 2, 1, 4, STOP, 0, 2])  # four, three and one token, row after row
    newest, ended = rows.accept_drafts(tensor([0, 1, 2]), drawn, -torch.arange(8.0))
    assert newest.tolist() == [0, STOP, 2] and ended.tolist() == [False, True, False]
    assert [rollout.tokens for rollout in rows.rollouts()] == [(4, 0), (4, STOP), (2,)]
    assert [rollout.logps for rollout in rows.rollouts()] == [(0.0, -1.0), (-4.0, -5.0), (-7.0,)]
    assert [rollout.num_reused for rollout in rows.rollouts()] == [1, 2, 0]
