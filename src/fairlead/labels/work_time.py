"""How long a judgement can have taken, and how long it takes at least to read what is judged.

The screen measures active time, and the server's clock bounds it: nobody works longer on an item than since
they first held it, and nobody works on two items at once.  More than that is cut off, and the judgement is
marked as implausible.  The bound is loose for people who work offline, because their answers arrive late.

Reading speeds are those of Trauzettel-Klosinski and Dietz, "Standardized assessment of reading performance:
the new International Reading Speed Texts IReST", Investigative Ophthalmology & Visual Science 53 (2012):
255 characters a minute in Chinese, 357 in Japanese, and about 1,000 in alphabets.  Languages with
spaces are counted by words, 250 a minute; they have 228 for English.  A judgement is quick when it took
less than a quarter of this time.
"""

import re
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta

from fairlead.labels.items import Item
from fairlead.labels.task_kinds import TaskKind

LOOK_BACK = timedelta(hours=1)  # earlier judgements of the rater that the bound takes into account
TOLERANCE_MS = 1000  # clocks run apart: what exceeds the bound by less is cut off without a mark
READING_FRAC = 0.25  # quick: below this share of the time that reading takes

MS_PER_WORD = 60_000 / 250
CHARACTERS_PER_WORD = 10  # a longer piece without spaces, such as code, counts as several words
# Scripts without spaces between words: characters, and the milliseconds that reading one takes.
UNSPACED: Sequence[tuple[re.Pattern[str], float]] = (
    # Chinese characters and their punctuation
    (
        re.compile(
            "[\u3000-\u303f\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\uff00-\uff65\U00020000-\U0003ffff]"
        ),
        60_000 / 255,
    ),
    (re.compile("[\u3040-\u30ff\u31f0-\u31ff\uff66-\uff9f]"), 60_000 / 357),  # kana
    # Thai, Lao, Tibetan, Burmese, Khmer, Tai Tham, Balinese, Javanese
    (
        re.compile(
            "[\u0e00-\u0fff\u1000-\u109f\u1780-\u17ff\u1950-\u19df\u1a20-\u1aaf\u1b00-\u1b7f\ua980-\ua9df]"
        ),
        60_000 / 1000,
    ),
)


def reading_ms(text: str) -> float:
    """Milliseconds that reading the text takes at a usual speed, in any script."""
    total = 0.0
    for script, ms_per_character in UNSPACED:
        text, number = script.subn(" ", text)
        total += number * ms_per_character
    num_words = sum(1 + (len(piece) - 1) // CHARACTERS_PER_WORD for piece in text.split())
    return total + num_words * MS_PER_WORD


def is_quick(kind: TaskKind, item: Item, active_ms: int) -> bool:
    """Whether the judgement was made faster than anybody reads what it is about.

    That is the answers, or the answers within the conversation.
    """
    judged = [message for answer in item.answers for message in answer.messages]
    if kind == "conversation":
        judged = [message for message in item.prompt if message.role == "assistant"]
    return active_ms < READING_FRAC * sum(reading_ms(message.content) for message in judged)


def longest_active_ms(since: datetime, at: datetime, others: Sequence[tuple[datetime, int]]) -> int:
    """The longest that a rater can have worked on an item that they have held `since` then, until `at`.

    `others` are the other judgements that the rater has made: since when they held the item, and its active
    time.  Work on all items that were held after some moment fits into the time since that moment.
    """
    longest = float("inf")
    worked = 0
    pending = sorted(others, reverse=True)  # latest first
    for start in (since, *sorted({began for began, _ in others if began < since}, reverse=True)):
        while pending and pending[0][0] >= start:
            worked += pending.pop(0)[1]
        longest = min(longest, (at - start) / timedelta(milliseconds=1) - worked)
    return max(0, int(longest))


def cut_dwell(dwell_ms: Mapping[str, int], active_ms: int) -> dict[str, int]:
    """Shorten the times per pane in proportion, so that together they last no longer than the active time."""
    total = sum(dwell_ms.values())
    if total <= active_ms + TOLERANCE_MS:
        return dict(dwell_ms)
    return {pane: milliseconds * active_ms // total for pane, milliseconds in dwell_ms.items()}
