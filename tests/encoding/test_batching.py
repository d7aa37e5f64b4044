import pytest
import torch
from torch import Tensor

from fairlead.core.errors import ConfigError
from fairlead.encoding.batching import (
    Batch,
    collate,
    map_micro_batches,
    micro_batches,
    replay_rows,
    step_rows,
    steps_per_epoch,
)
from fairlead.encoding.chat import Encoded

LONG = Encoded((5, 9, 2, 7), (False, False, True, True))
SHORT = Encoded((3, 4), (False, True))


def test_rows_are_padded_on_the_right() -> None:
    batch = collate([LONG, SHORT], pad_id=1)
    assert batch.tokens.tolist() == [[5, 9, 2, 7], [3, 4, 1, 1]]
    assert batch.token_mask.tolist() == [[True] * 4, [True, True, False, False]]
    assert batch.response_mask.tolist() == [[False, False, True, True], [False, True, False, False]]
    assert batch.lengths.tolist() == [4, 2]
    assert len(batch) == 2


def test_the_first_token_carries_no_loss_because_nothing_stands_before_it() -> None:
    batch = collate([Encoded((5, 6), (True, True))], pad_id=0)
    assert batch.response_mask.tolist() == [[False, True]]


def test_chosen_rows_are_cut_to_their_own_longest() -> None:
    batch = collate([LONG, SHORT, SHORT], pad_id=1).rows([2, 1])
    assert batch.tokens.tolist() == [[3, 4], [3, 4]]


def test_micro_batches_put_like_lengths_together_within_the_budget() -> None:
    # sorted 1 2 2 3 6: 2 rows of 2 -> 4; adding the other 2 -> 6 <= 6; adding the 3 -> 12 > 6; the 6 stands
    # alone
    assert micro_batches([3, 2, 6, 1, 2], max_tokens=6) == [[3, 1, 4], [0], [2]]


def test_every_row_is_in_one_micro_batch_even_one_over_the_budget() -> None:
    lengths = [9, 1, 4, 4, 30, 2, 7]
    for budget in (1, 8, 16, 1000):
        groups = micro_batches(lengths, budget)
        assert sorted(i for group in groups for i in group) == list(range(len(lengths)))
        for group in groups:
            assert len(group) == 1 or len(group) * max(lengths[i] for i in group) <= budget


def test_packed_micro_batches_are_few_and_even() -> None:
    # 24 tokens want four groups of 6; the 9 is over the budget and stands alone
    assert micro_batches([3, 2, 6, 1, 2, 9, 1], max_tokens=6, packed=True) == [[5], [2], [0, 3, 6], [1, 4]]
    assert micro_batches([4, 4, 4], max_tokens=6, packed=True) == [[0], [1], [2]]  # two of them would not fit
    assert micro_batches([], max_tokens=6, packed=True) == []


def first_columns(batch: Batch) -> Tensor:
    return batch.tokens[:, 0].float()


def as_floats(batch: Batch) -> Tensor:
    return torch.where(batch.token_mask, batch.tokens.float(), torch.zeros(()))


@pytest.mark.parametrize("budget", [1, 5, 8, 100])
def test_results_of_micro_batches_come_back_in_order(budget: int) -> None:
    batch = collate([SHORT, LONG, Encoded((8, 8, 8), (False, True, True)), SHORT], pad_id=1)
    assert map_micro_batches(first_columns, batch, budget).tolist() == [3.0, 5.0, 8.0, 3.0]
    assert torch.equal(map_micro_batches(as_floats, batch, budget), as_floats(batch))
    assert torch.equal(map_micro_batches(as_floats, batch, budget, packed=True), as_floats(batch))


def test_an_epoch_takes_every_row_once_in_an_order_of_its_own() -> None:
    steps = step_rows(7, 3, 6, run_seed=0)
    assert [len(step) for step in steps] == [3, 3, 1, 3, 3, 1]
    epochs = [[i for step in steps[start : start + 3] for i in step] for start in (0, 3)]
    assert [sorted(epoch) for epoch in epochs] == [list(range(7))] * 2
    assert epochs[0] != epochs[1]


def test_the_order_is_a_function_of_the_seed_and_not_of_where_one_begins() -> None:
    with pytest.raises(ConfigError, match="10,000,001 steps: a run has at most 10,000,000. Lower steps"):
        step_rows(7, 3, 10_000_001, run_seed=0)
    assert step_rows(7, 3, 9, run_seed=4)[:4] == step_rows(7, 3, 4, run_seed=4)
    assert step_rows(7, 3, 9, run_seed=4) != step_rows(7, 3, 9, run_seed=5)


def test_an_epochs_last_step_may_be_short() -> None:
    assert [steps_per_epoch(n, 4) for n in (1, 4, 5, 8)] == [1, 1, 2, 2]


def test_replayed_rows_make_up_their_share_of_the_tokens_at_every_step() -> None:
    steps, rows, share = [120, 80, 100, 110] * 50, [7, 30, 12, 5, 21], 0.05
    taken = replay_rows(steps, rows, share, run_seed=0)
    assert len(taken) == len(steps)
    own = other = 0
    for tokens, chosen in zip(steps, taken, strict=True):
        own, other = own + tokens, other + sum(rows[i] for i in chosen)
        assert abs(other - own * share / (1 - share)) <= max(rows) / 2 + 1e-6
    assert other / (own + other) == pytest.approx(share, abs=0.001)
    order = [i for chosen in taken for i in chosen]
    passes = [order[start : start + 5] for start in range(0, len(order) - 4, 5)]
    assert all(sorted(each) == [0, 1, 2, 3, 4] for each in passes)  # every row once before any of them again
    assert len({tuple(each) for each in passes}) > 1  # in an order of each pass's own


def test_replayed_rows_are_a_function_of_the_seed() -> None:
    assert replay_rows([50] * 20, [9, 8, 7], 0.3, run_seed=1) == replay_rows(
        [50] * 20, [9, 8, 7], 0.3, run_seed=1
    )
    assert replay_rows([50] * 20, [9, 8, 7], 0.3, run_seed=1) != replay_rows(
        [50] * 20, [9, 8, 7], 0.3, run_seed=2
    )
