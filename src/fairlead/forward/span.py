"""What may look at what in a row where many texts stand one after the other, without a mask of all pairs of places."""

from typing import NamedTuple


class Span(NamedTuple):
    """Places `start` to `end`: each may look at itself, at those before it in the stretch, and at every place of the ranges `seen`.

    A prompt of places 0..3 with two answers, 3..5 and 5..9:  Span(0, 5) and Span(5, 9, ((0, 3),)).
    """

    start: int
    end: int
    seen: tuple[tuple[int, int], ...] = ()
