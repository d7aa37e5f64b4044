"""Spans: which places of a packed row attend to which, without a mask over all pairs of places."""

from typing import NamedTuple


class Span(NamedTuple):
    """Places `start` to `end` of a packed row.

    Each place attends to itself, to earlier places of its span, and to every place of the ranges in
    `visible`.

    A prompt at places 0..3 with two answers, at 3..5 and 5..9:
    Span(0, 5) for the prompt and the first answer, Span(5, 9, visible=((0, 3),)) for the second answer.
    """

    start: int
    end: int
    visible: tuple[tuple[int, int], ...] = ()
