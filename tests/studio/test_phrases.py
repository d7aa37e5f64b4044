"""Figures and verdicts in words."""

import math
from datetime import date
from zoneinfo import ZoneInfo

from fairlead.labels import datasheet
from fairlead.stats.interval import Interval
from fairlead.studio import phrases


def test_a_judged_conversation_in_words() -> None:
    assert (
        phrases.verdict({"turns": {"11": {"score": 2}, "1": {"label": True}}})
        == "turn 2: good; turn 12: score 2"
    )


def test_an_interval_in_words() -> None:
    assert phrases.share_range(Interval(0.634, 0.612, 0.6554, 90)) == "61.2\u202f% to 65.5\u202f%"
    assert phrases.share(0.634) == "63.4\u202f%" and phrases.share(0.634).replace("\u202f", "") == (
        datasheet.percent_text(0.634)
    )
    assert phrases.estimate(Interval(0.5, -0.1, 0.72, 90)) == "\u22120.10 to 0.72"
    for words in (phrases.estimate, phrases.share_range):
        assert words(Interval(0.5, -math.inf, math.inf, 1)) == "one item is too few for an interval"


def test_times_are_those_of_the_studio_and_named() -> None:
    berlin = ZoneInfo("Europe/Berlin")
    late, now = "2026-07-31T22:30:00.000000Z", "2026-08-01T08:00:00.000000Z"
    assert phrases.ago(late, now) == "2026-07-31"
    assert phrases.ago(late, now, berlin) == "00:30 CEST"
    assert phrases.ago(None, now, berlin) == "\u2013"
    assert phrases.hour("2026-07-31T22") == "22:00"
    assert phrases.hour("2026-07-31T22", ZoneInfo("Asia/Kolkata")) == "03:30"
    assert phrases.day_and_month(date(2026, 7, 31)) == "31 Jul"


def test_a_time_to_finish_in_words() -> None:
    assert phrases.finish(Interval(30, 24, 120, 5)) == "24 hours to 5 days"
    assert phrases.finish(Interval(72, 48, math.inf, 5)) == "at least 2 days"
    assert phrases.hours(math.inf) == "cannot be estimated"
