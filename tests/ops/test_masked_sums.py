import math

import pytest
import torch
from torch import tensor

from fairlead.ops.masked_sums import masked_mean, masked_sum, masked_whiten

VALUES = tensor([[1.0, 2.0, 3.0], [4.0, 100.0, 100.0]])
MASK = tensor([[True, True, True], [True, False, False]])


def test_a_sum_takes_what_the_mask_selects() -> None:
    assert masked_sum(VALUES, MASK).tolist() == [6.0, 4.0]


def test_a_mean_is_over_everything_selected_and_not_a_mean_of_rows() -> None:
    # (1 + 2 + 3 + 4) / 4 = 2.5; the mean of the rows' means would be (2 + 4) / 2 = 3
    assert masked_mean(VALUES, MASK).item() == 2.5


def test_what_is_outside_the_mask_may_be_anything() -> None:
    spoiled = VALUES.masked_fill(~MASK, math.nan)
    assert masked_sum(spoiled, MASK).tolist() == [6.0, 4.0]
    assert masked_mean(spoiled, MASK).item() == 2.5
    assert torch.equal(masked_whiten(spoiled, MASK), masked_whiten(VALUES, MASK))


def test_gradients_do_not_come_from_outside_the_mask() -> None:
    values = VALUES.masked_fill(~MASK, math.nan).requires_grad_()
    masked_mean(values, MASK).backward()
    assert values.grad is not None
    assert values.grad.tolist() == [[0.25, 0.25, 0.25], [0.25, 0.0, 0.0]]


def test_the_mean_of_nothing_is_refused() -> None:
    with pytest.raises(AssertionError, match="the mask selects nothing"):
        masked_mean(VALUES, torch.zeros_like(MASK))


def test_whitening_by_hand() -> None:
    # 1, 2, 3, 4: mean 2.5, variance (2.25 + 0.25 + 0.25 + 2.25) / 4 = 1.25, root 1.1180; (1 - 2.5) / 1.1180 =
    # -1.3416
    whitened = masked_whiten(VALUES, MASK)
    expected = tensor([[-1.3416, -0.4472, 0.4472], [1.3416, 0.0, 0.0]])
    assert (whitened - expected).abs().max() < 1e-4  # values of order 1


def test_whitening_without_a_shift_keeps_the_mean() -> None:
    whitened = masked_whiten(VALUES, MASK, shift_mean=False)
    expected = tensor([[1.1584, 2.0528, 2.9472], [3.8416, 0.0, 0.0]])  # the ones above, plus 2.5
    assert (whitened - expected).abs().max() < 1e-4


def test_equal_values_whiten_to_zero() -> None:
    assert masked_whiten(torch.full((2, 3), 7.0), MASK).tolist() == [[0.0, 0.0, 0.0], [0.0, 0.0, 0.0]]


def test_whitening_keeps_the_order() -> None:
    whitened = masked_whiten(VALUES, MASK)[MASK]
    assert whitened.tolist() == sorted(whitened.tolist())
