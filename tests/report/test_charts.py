import math
import re
from xml.etree import ElementTree

from hypothesis import given
from hypothesis import strategies as some
from markupsafe import Markup
from pytest import approx

from fairlead.report import charts
from fairlead.report.charts import IntervalRow, Series, ValueGroup
from fairlead.stats.interval import Interval

HOSTILE = "<script>alert(1)</script>"
STAGES = (("base", "Base"), ("aligned", "Aligned"))

numbers = some.floats(allow_nan=True, allow_infinity=True)
points = some.lists(some.tuples(some.floats(0, 1e6), numbers), max_size=60)


def parse(chart: Markup) -> ElementTree.Element:
    return ElementTree.fromstring(chart)


def coordinates(chart: Markup) -> list[float]:
    """Every number that places something, percentages too."""
    found = []
    for element in parse(chart).iter():
        for name in ("x", "y", "x1", "x2", "y1", "y2", "cx", "cy", "width", "height"):
            if name in element.attrib:
                found.append(float(element.attrib[name].removesuffix("%")))
        found += [float(part) for part in re.split("[ ,]", element.attrib.get("points", "")) if part]
    return found


def words(chart: Markup) -> str:
    return " ".join("".join(parse(chart).itertext()).split())


@given(some.lists(points, max_size=3))
def test_a_line_chart_places_every_series_inside_its_view_box(all_points: list[list[charts.Point]]) -> None:
    chart = charts.line(
        [Series(f"s{index}", sorted(one)) for index, one in enumerate(all_points)], title="Any"
    )
    assert all(-1 <= place <= 361 for place in coordinates(chart))


def test_an_empty_series_says_no_data() -> None:
    assert "no data" in words(charts.line([Series("loss", [])], title="Loss"))
    assert "no data" in words(charts.line([], title="Loss"))
    assert "no data" in words(charts.intervals([], title="Gold"))
    assert "no data" in words(charts.bars([], STAGES, title="Faults"))
    assert "no data" in words(charts.dots([], STAGES, title="Families"))


def test_values_that_are_not_finite_are_counted() -> None:
    chart = charts.line([Series("loss", [(1, 1.0), (2, math.nan), (3, math.inf), (4, 2.0)])], title="Loss")
    assert "2 values not finite, not drawn." in words(chart)


def test_one_point_is_a_dot_in_the_middle() -> None:
    dot = next(
        element for element in parse(charts.line([Series("gold", [(7, 0.5)])], title="Gold")).iter("circle")
    )
    assert float(dot.attrib["cx"]) == approx((charts.LEFT + charts.WIDTH - charts.RIGHT) / 2, abs=0.1)


def test_a_rising_curve_rises_on_the_page() -> None:
    curve = next(
        parse(charts.line([Series("gold", [(0, 0.0), (1, 0.5), (2, 1.0)])], title="Gold")).iter("polyline")
    )
    places = [tuple(map(float, pair.split(","))) for pair in curve.attrib["points"].split()]
    assert places[0][0] < places[1][0] < places[2][0] and places[0][1] > places[1][1] > places[2][1]


def test_first_last_lowest_and_highest_can_be_read() -> None:
    said = words(
        charts.line([Series("loss", [(1, 2.0), (2, 3.5), (3, 0.25), (4, 0.5)])], title="Loss", unit="nats")
    )
    assert "2 → 0.500 min 0.250 · max 3.50" in said


def test_a_spike_survives_thinning() -> None:
    long = [(float(step), 1.0) for step in range(5000)]
    long[3217] = (3217.0, 9.0)
    raw = next(
        element for element in parse(charts.line([Series("loss", long)], title="Loss")).iter("polyline")
    )
    places = [float(pair.split(",")[1]) for pair in raw.attrib["points"].split()]
    assert len(places) <= charts.MOST_POINTS + 2
    assert min(places) < max(places) - 100  # the spike, most of the height of the plot


def test_a_band_is_drawn_around_its_curve() -> None:
    chart = charts.line([Series("gold", [(0, 1.0), (1, 2.0)], [(0, 0.5, 1.5), (1, 1.5, 2.5)])], title="Gold")
    assert len(next(parse(chart).iter("polygon")).attrib["points"].split()) == 4


def test_a_chart_has_a_title_and_a_description_for_those_who_do_not_see_it() -> None:
    svg = next(parse(charts.line([Series("loss", [(1, 2.0), (2, 1.0)])], title="Loss")).iter("svg"))
    assert svg.attrib["role"] == "img"
    assert [child.tag for child in svg][:2] == ["title", "desc"]
    assert svg[1].text == "loss: 2 points from 2 to 1, lowest 1, highest 2"


def test_every_text_is_escaped() -> None:
    ok = Interval(0.5, 0.4, 0.6, 9)
    for chart in (
        charts.line(
            [Series(HOSTILE, [(1, 1.0)]), Series("b", [(1, 1.0)])], title=HOSTILE, unit=HOSTILE, note=HOSTILE
        ),
        charts.intervals([IntervalRow(HOSTILE, ok)], title=HOSTILE),
        charts.bars([ValueGroup(HOSTILE, {"base": 0.1})], STAGES, title=HOSTILE),
        charts.dots([ValueGroup(HOSTILE, {"base": 0.1})], STAGES, title=HOSTILE),
        charts.sparkline([1, 2], label=HOSTILE),
        charts.whisker(ok, label=HOSTILE),
    ):
        assert "<script" not in chart and HOSTILE in words(chart)


def test_an_interval_bar_ends_at_its_value_and_its_whisker_at_the_bounds() -> None:
    chart = charts.intervals(
        [IntervalRow("Aligned", Interval(0.5, 0.25, 0.75, 40), "aligned")], title="Gold", reference=1.0
    )
    bar = next(parse(chart).iter("rect"))
    assert (bar.attrib["x"], bar.attrib["width"]) == (
        "0.00%",
        "50.00%",
    )  # the axis runs from 0 to the reference, 1
    whisker = next(line for line in parse(chart).iter("line") if line.attrib["class"] == "error")
    assert (whisker.attrib["x1"], whisker.attrib["x2"]) == ("25.00%", "75.00%")
    assert "0.50 [0.25, 0.75]" in words(chart)


def test_a_negative_estimate_has_its_bar_left_of_zero() -> None:
    bar = next(parse(charts.intervals([IntervalRow("x", Interval(-1, -1, -1, 9))], title="t")).iter("rect"))
    assert float(bar.attrib["x"].rstrip("%")) + float(bar.attrib["width"].rstrip("%")) == approx(100)


def test_an_interval_without_bounds_has_no_whisker() -> None:
    chart = charts.intervals([IntervalRow("one", Interval(0.5, -math.inf, math.inf, 1))], title="Gold")
    assert "no interval from one value" in words(chart)
    assert not [line for line in parse(chart).iter("line") if line.attrib["class"] == "error"]


def test_a_fault_that_never_occurs_has_no_bar_but_a_figure() -> None:
    chart = charts.bars([ValueGroup("rude", {"base": 0.2, "aligned": 0.0})], STAGES, title="Faults")
    assert [rect.attrib["width"] for rect in parse(chart).iter("rect")] == ["84.00%", "0.00%"]
    assert words(chart).endswith("20 %0 %")


def test_dots_leave_out_a_stage_that_was_not_measured() -> None:
    chart = charts.dots([ValueGroup("sums", {"base": 0.2})], STAGES, title="Families")
    assert len(list(parse(chart).iter("circle"))) == 1


def test_a_sparkline_of_less_than_two_values_is_nothing() -> None:
    assert (
        charts.sparkline([], label="x")
        == charts.sparkline([1.0], label="x")
        == charts.sparkline([math.nan, 1], label="x")
        == ""
    )
    assert "polyline" in charts.sparkline([3.0, 3.0], label="x")
