"""KTO: hand-worked numbers and swapped labels."""

from pytest import approx
from torch import tensor

from fairlead.losses import binary


def test_kto_by_hand() -> None:
    # r = 2, z = 1, beta = 1.  good: 2 * (1 - sigma(1)) = 2 * 0.26894;
    # bad: 0.5 * (1 - sigma(-1)) = 0.5 * 0.73106
    losses = binary.kto(
        tensor([2.0, 2.0]),
        tensor([True, False]),
        beta=1.0,
        reference_point=1.0,
        desirable_weight=2.0,
        undesirable_weight=0.5,
    )
    assert losses.tolist() == approx([0.53788, 0.36553], abs=1e-5)


def test_kto_punishes_swapped_labels() -> None:
    settings = dict(beta=0.5, reference_point=0.3, desirable_weight=1.0, undesirable_weight=1.0)
    ratios = tensor([2.0, -2.0])
    right, wrong = (
        binary.kto(ratios, tensor(labels), **settings) for labels in ([True, False], [False, True])
    )
    assert (right < 0.5).all() and (wrong > 0.5).all()


def test_the_reference_point_separates_good_from_bad() -> None:
    ratios, good = tensor([2.0, 0.5, 0.5, 1.0]), tensor([True, True, False, True])
    assert binary.accuracy(ratios, good, reference_point=1.0).tolist() == [1.0, 0.0, 1.0, 0.5]
