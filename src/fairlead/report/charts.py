"""Charts as inline SVG inside a <figure>, without scripts and without further files.

Colours, fonts and dark mode come from templates/style.css, so a chart outside a report page is black and
white. All input text is untrusted and is escaped here.  Charts made of rows use percentages instead of a view
box, which keeps their text readable on a phone.  Line charts use a view box and suit columns of 280 to 460
px.
"""

import math
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from markupsafe import Markup

from fairlead.report import axis_scale, formatting
from fairlead.report.axis_scale import Scale
from fairlead.stats.interval import Interval

Point = tuple[float, float]

# The plot area of a line chart in its view box.  The left margin holds a tick label of five characters.
WIDTH, HEIGHT = 360.0, 200.0
LEFT, RIGHT, TOP, BOTTOM = 46.0, 10.0, 8.0, 24.0

MOST_POINTS = 400  # per curve; further points would fall on the same pixels
SMOOTH_FROM = 40  # points; curves of at least this length also show their moving average


class Series(NamedTuple):
    name: str
    points: Sequence[Point]  # (step, value), by step
    band: Sequence[tuple[float, float, float]] = ()  # (step, low, high)


class IntervalRow(NamedTuple):
    """One estimate of an interval chart.

    Example: IntervalRow("Aligned", Interval(0.84, 0.79, 0.88, 300), "aligned")
    """

    name: str
    interval: Interval
    tone: str = "a"  # a colour of style.css: a, b, c, base, sft, aligned, plain


class ValueGroup(NamedTuple):
    """One line of a bar or dot chart: a value for each key of the legend; a key may be missing."""

    name: str
    values: Mapping[str, float]


def line(
    series: Sequence[Series], *, title: str, unit: str = "", note: str = "", x_label: str = "step"
) -> Markup:
    """Curves over one axis, each with an optional band.

    A long curve is drawn twice: thin as logged, and thick as a moving average.  Values that are not finite
    are left out, and their number is shown.
    """
    finite = [_finite(curve) for curve in series]
    drawn = [curve for curve in finite if curve.points]
    if not drawn:
        return _figure(title, unit, "", _no_data(title), "", note)
    left_out = sum(
        len(before.points) - len(after.points) for before, after in zip(series, finite, strict=True)
    )
    xs = [x for curve in drawn for x, _ in curve.points]
    xs += [x for curve in drawn for x, _, _ in curve.band]
    ys = [y for curve in drawn for _, y in curve.points]
    ys += [y for curve in drawn for _, low, high in curve.band for y in (low, high)]
    y_ticks = axis_scale.ticks(min(ys), max(ys), outside=True)
    x_ticks = [tick for tick in axis_scale.ticks(min(xs), max(xs), about=6) if min(xs) <= tick <= max(xs)]
    to_x = Scale(min(xs), max(xs), LEFT, WIDTH - RIGHT)
    to_y = Scale(y_ticks[0], y_ticks[-1], HEIGHT - BOTTOM, TOP)

    parts = [_axes(x_ticks, y_ticks, to_x, to_y)]
    smoothed = any(len(curve.points) >= SMOOTH_FROM for curve in drawn)
    for index, curve in enumerate(drawn):
        tone = "abc"[index % 3]
        if curve.band:
            upper = [(to_x(x), to_y(high)) for x, _, high in curve.band]
            lower = [(to_x(x), to_y(low)) for x, low, _ in reversed(curve.band)]
            parts.append(
                Markup('<polygon class="band t-{}" points="{}"/>').format(tone, _path(upper + lower))
            )
        points = [(to_x(x), to_y(y)) for x, y in _thin(curve.points)]
        if len(curve.points) >= SMOOTH_FROM:
            average = [(to_x(x), to_y(y)) for x, y in _thin(_moving_average(curve.points))]
            parts.append(Markup('<polyline class="raw t-{}" points="{}"/>').format(tone, _path(points)))
            parts.append(Markup('<polyline class="curve t-{}" points="{}"/>').format(tone, _path(average)))
        elif len(points) > 1:
            parts.append(Markup('<polyline class="curve t-{}" points="{}"/>').format(tone, _path(points)))
        if len(points) <= 12:
            parts += [
                Markup('<circle class="dot t-{}" cx="{:.1f}" cy="{:.1f}" r="2.6"/>').format(tone, x, y)
                for x, y in points
            ]
        elif not smoothed:
            x, y = points[-1]
            parts.append(
                Markup('<circle class="dot t-{}" cx="{:.1f}" cy="{:.1f}" r="2.6"/>').format(tone, x, y)
            )
    parts.append(
        Markup('<text class="axis-name" x="{:.0f}" y="{:.0f}" text-anchor="end">{}</text>').format(
            WIDTH - RIGHT, HEIGHT - 7, x_label
        )
    )
    svg = Markup(
        '<svg class="curves" viewBox="0 0 {:.0f} {:.0f}" role="img"><title>{}</title><desc>{}</desc>{}</svg>'
    ).format(
        WIDTH, HEIGHT, formatting.visible(title), formatting.visible(_describe(drawn)), Markup("").join(parts)
    )
    legend = (
        _legend([("abc"[index % 3], curve.name) for index, curve in enumerate(drawn)])
        if len(drawn) > 1
        else Markup("")
    )
    remark = f"{formatting.count(left_out, 'value')} not finite, not drawn. " if left_out else ""
    return _figure(title, unit, legend, svg, _ranges(drawn), (remark + note).strip())


def intervals(
    rows: Sequence[IntervalRow],
    *,
    title: str,
    unit: str = "",
    note: str = "",
    as_percent: bool = False,
    reference: float | None = None,
) -> Markup:
    """A bar per estimate with its 95 % interval as an error bar; `reference` is a dashed line."""
    if not rows:
        return _figure(title, unit, "", _no_data(title), "", note)
    finite = [
        end
        for row in rows
        for end in (row.interval.value, row.interval.low, row.interval.high)
        if math.isfinite(end)
    ]
    axis = axis_scale.ticks(
        min([0.0, *finite, reference or 0.0]), max([0.0, *finite, reference or 0.0]), outside=True
    )
    to_x = Scale(axis[0], axis[-1], 0.0, 100.0)
    height = 64 * len(rows) + 26
    parts = [_row_axis(axis, to_x, height, as_percent)]
    if reference is not None:
        at = to_x(reference)
        parts.append(
            Markup('<line class="reference" x1="{0:.2f}%" x2="{0:.2f}%" y1="20" y2="{1}"/>').format(
                at, height - 20
            )
        )
    descriptions = []
    for index, row in enumerate(rows):
        top = 64 * index
        interval = row.interval
        value = formatting.percent(interval.value) if as_percent else formatting.fixed(interval.value)
        span = formatting.percent_range(interval) if as_percent else formatting.fixed_range(interval)
        bounded = math.isfinite(interval.low) and math.isfinite(interval.high)
        descriptions.append(f"{row.name}: {value} {span}, n = {interval.n}")
        start, end = sorted((to_x(0.0), to_x(interval.value)))
        parts.append(
            Markup(
                '<text class="row-name" x="0" y="{y}">{name}</text>'
                '<text class="row-value" x="100%" y="{y}" text-anchor="end">'
                '<tspan class="strong">{value}</tspan> {span}</text>'
                '<rect class="fill t-{tone}" x="{start:.2f}%" y="{bar}" width="{width:.2f}%" '
                'height="18" rx="2"/>'
            ).format(
                y=top + 15,
                name=formatting.visible(row.name),
                value=value,
                span=span if bounded else "no interval from one value",
                tone=row.tone,
                start=start,
                bar=top + 23,
                width=end - start,
            )
        )
        if bounded:
            low, high = to_x(interval.low), to_x(interval.high)
            line = Markup('<line class="error" x1="{:.2f}%" x2="{:.2f}%" y1="{}" y2="{}"/>')
            middle, upper, lower = top + 32, top + 26, top + 38
            ends = [(low, high, middle, middle), (low, low, upper, lower), (high, high, upper, lower)]
            parts.append(Markup("").join(line.format(*end) for end in ends))
    return _figure(title, unit, "", _rows_svg(title, descriptions, height, parts), "", note)


def bars(
    groups: Sequence[ValueGroup],
    legend: Sequence[tuple[str, str]],
    *,
    title: str,
    unit: str = "",
    note: str = "",
) -> Markup:
    """A small drawing per group with one bar per key, all on one scale.

    Values are shares; `legend` holds (key, label) pairs.
    """
    if not groups:
        return _figure(title, unit, "", _no_data(title), "", note)
    height = 22 + 14 * len(legend)
    largest = max(
        [value for group in groups for value in group.values.values() if math.isfinite(value)] + [0.01]
    )
    drawings = []
    for group in groups:
        parts = [
            Markup('<text class="row-name" x="0" y="13">{}</text>').format(formatting.visible(group.name))
        ]
        descriptions = []
        for place, (key, label) in enumerate(entry for entry in legend if entry[0] in group.values):
            value = group.values[key]
            # Bars end at 84 %, which leaves room for the figure behind the longest bar.
            width = 84 * max(0.0, value) / largest
            descriptions.append(f"{label}: {formatting.percent(value)}")
            parts.append(
                Markup(
                    '<rect class="solid t-{key}" x="0" y="{y}" width="{width:.2f}%" height="9" rx="1.5"/>'
                    '<text class="bar-value" x="{width:.2f}%" dx="{gap}" y="{base}">{value}</text>'
                ).format(
                    key=key,
                    y=21 + 14 * place,
                    width=width,
                    gap=6 if value > 0 else 0,
                    base=30 + 14 * place,
                    value=formatting.percent(value),
                )
            )
        drawings.append(_rows_svg(group.name, descriptions, height, parts))
    multiples = Markup('<div class="multiples">{}</div>').format(Markup("").join(drawings))
    return _figure(title, unit, _legend(legend), multiples, "", note)


def dots(
    groups: Sequence[ValueGroup],
    legend: Sequence[tuple[str, str]],
    *,
    title: str,
    unit: str = "",
    note: str = "",
) -> Markup:
    """A line per group with one dot per key, all on one axis that includes zero; `legend` holds (key, label)
    pairs.
    """
    values = [value for group in groups for value in group.values.values()]
    if not values:
        return _figure(title, unit, "", _no_data(title), "", note)
    axis = axis_scale.ticks(min(0.0, *values, 0.0), max(0.0, *values, 0.0), outside=True)
    to_x = Scale(axis[0], axis[-1], 1.5, 98.5)  # room for a whole dot at both ends
    height = 35 * len(groups) + 22
    parts = [_row_axis(axis, to_x, height, False)]
    descriptions = []
    for index, group in enumerate(groups):
        y = 35 * index + 27
        known = [(key, label, group.values[key]) for key, label in legend if key in group.values]
        shown = " → ".join(formatting.fixed(value) for _, _, value in known)
        descriptions += [f"{group.name}, {label}: {formatting.fixed(value)}" for _, label, value in known]
        parts.append(
            Markup(
                '<text class="row-name" x="0" y="{y}">{name}</text>'
                '<text class="row-value" x="100%" y="{y}" text-anchor="end">{shown}</text>'
            ).format(y=y - 12, name=formatting.visible(group.name), shown=shown)
        )
        ends = [to_x(value) for _, _, value in known]
        if ends:
            parts.append(
                Markup('<line class="span" x1="{:.2f}%" x2="{:.2f}%" y1="{y}" y2="{y}"/>').format(
                    min(ends), max(ends), y=y
                )
            )
        parts += [
            Markup('<circle class="dot t-{}" cx="{:.2f}%" cy="{}" r="5"/>').format(key, to_x(value), y)
            for key, _, value in known
        ]
    return _figure(title, unit, _legend(legend), _rows_svg(title, descriptions, height, parts), "", note)


def sparkline(values: Sequence[float], *, label: str, tone: str = "a") -> Markup:
    """A curve as high as a line of text; empty for fewer than two values."""
    finite = [
        max(-axis_scale.LARGEST, min(axis_scale.LARGEST, value)) for value in values if math.isfinite(value)
    ]
    if len(finite) < 2:
        return Markup("")
    to_x = Scale(0.0, len(finite) - 1.0, 2.0, 98.0)
    to_y = Scale(min(finite), max(finite), 25.0, 3.0)
    points = [
        (to_x(x), to_y(y))
        for x, y in _thin([(float(index), value) for index, value in enumerate(finite)], most=100)
    ]
    return Markup(
        '<svg class="spark" viewBox="0 0 100 28" preserveAspectRatio="none" role="img"><title>{}</title>'
        '<polyline class="curve t-{}" points="{}"/></svg>'
    ).format(formatting.visible(label), tone, _path(points))


def whisker(interval: Interval, *, label: str, reference: float | None = None, tone: str = "a") -> Markup:
    """An estimate between 0 and 1 as a dot with its interval, as high as a line of text."""
    low, high, value = (
        100 * max(0.0, min(1.0, end)) for end in (interval.low, interval.high, interval.value)
    )
    mark = Markup("")
    if reference is not None:
        at = 100 * max(0.0, min(1.0, reference))
        mark = Markup('<line class="reference" x1="{0:.2f}%" x2="{0:.2f}%" y1="2" y2="18"/>').format(at)
    return Markup(
        '<svg class="whisker" width="100%" height="20" role="img"><title>{}</title>'
        '<line class="track" x1="0" x2="100%" y1="10" y2="10"/>{}'
        '<line class="reach t-{tone}" x1="{:.2f}%" x2="{:.2f}%" y1="10" y2="10"/>'
        '<circle class="dot t-{tone}" cx="{:.2f}%" cy="10" r="5"/></svg>'
    ).format(formatting.visible(label), mark, low, high, value, tone=tone)


def _finite(series: Series) -> Series:
    """Drop values that are not finite, and clamp values too large to draw."""
    points = [
        (x, max(-axis_scale.LARGEST, min(axis_scale.LARGEST, y)))
        for x, y in series.points
        if math.isfinite(x) and math.isfinite(y)
    ]
    band = [row for row in series.band if all(math.isfinite(value) for value in row)]
    return Series(series.name, points, band)


def _thin(points: Sequence[Point], most: int = MOST_POINTS) -> Sequence[Point]:
    """The lowest and the highest point of each segment, so that no spike is lost."""
    if len(points) <= most:
        return points
    size = math.ceil(len(points) / (most // 2))
    kept: list[Point] = []
    for start in range(0, len(points), size):
        segment = points[start : start + size]
        kept += sorted({min(segment, key=lambda point: point[1]), max(segment, key=lambda point: point[1])})
    return kept


def _moving_average(points: Sequence[Point]) -> list[Point]:
    """Centred average over about a twelfth of the curve.

    The ends are left out: half a window there would distort the curve.
    """
    half = max(2, len(points) // 24)
    averaged = []
    for index in range(half, len(points) - half):
        window = points[index - half : index + half + 1]
        averaged.append((points[index][0], sum(y / len(window) for _, y in window)))
    return averaged


def _axes(x_ticks: Sequence[float], y_ticks: Sequence[float], to_x: Scale, to_y: Scale) -> Markup:
    parts = []
    y_step = y_ticks[1] - y_ticks[0]
    for tick in y_ticks:
        parts.append(
            Markup(
                '<line class="grid" x1="{:.0f}" x2="{:.0f}" y1="{y:.1f}" y2="{y:.1f}"/>'
                '<text class="tick" x="{:.0f}" y="{label:.1f}" text-anchor="end">{}</text>'
            ).format(
                LEFT,
                WIDTH - RIGHT,
                LEFT - 7,
                axis_scale.tick_label(tick, y_step),
                y=to_y(tick),
                label=to_y(tick) + 3.8,
            )
        )
    x_step = x_ticks[1] - x_ticks[0] if len(x_ticks) > 1 else 1.0
    for tick in x_ticks:
        x = to_x(tick)
        if x > WIDTH - RIGHT - 30:  # reserved for the name of the axis
            continue
        parts.append(
            Markup('<text class="tick" x="{:.1f}" y="{:.0f}" text-anchor="middle">{}</text>').format(
                x, HEIGHT - 7, axis_scale.tick_label(tick, x_step)
            )
        )
    return Markup("").join(parts)


def _row_axis(axis: Sequence[float], to_x: Scale, height: int, as_percent: bool) -> Markup:
    parts = []
    for place, tick in enumerate(axis):
        anchor = "start" if place == 0 else "end" if place == len(axis) - 1 else "middle"
        label = formatting.percent(tick) if as_percent else axis_scale.tick_label(tick, axis[1] - axis[0])
        parts.append(
            Markup(
                '<line class="grid" x1="{x:.2f}%" x2="{x:.2f}%" y1="20" y2="{bottom}"/>'
                '<text class="tick" x="{x:.2f}%" y="{y}" text-anchor="{anchor}">{label}</text>'
            ).format(x=to_x(tick), bottom=height - 20, y=height - 5, anchor=anchor, label=label)
        )
    return Markup("").join(parts)


def _rows_svg(title: str, descriptions: Sequence[str], height: int, parts: Sequence[Markup]) -> Markup:
    return Markup(
        '<svg class="rows" width="100%" height="{}" role="img"><title>{}</title><desc>{}</desc>{}</svg>'
    ).format(
        height, formatting.visible(title), formatting.visible("; ".join(descriptions)), Markup("").join(parts)
    )


def _figure(
    title: str, unit: str, legend: Markup | str, svg: Markup, ranges: Markup | str, note: str
) -> Markup:
    unit_mark = Markup('<span class="unit">{}</span>').format(formatting.visible(unit)) if unit else ""
    note_mark = Markup('<p class="note">{}</p>').format(formatting.visible(note)) if note else ""
    return Markup('<figure class="chart"><figcaption>{}{}</figcaption>{}{}{}{}</figure>').format(
        formatting.visible(title), unit_mark, legend, svg, ranges, note_mark
    )


def _legend(entries: Sequence[tuple[str, str]]) -> Markup:
    items = [
        Markup('<li><i class="swatch t-{}"></i>{}</li>').format(tone, formatting.visible(label))
        for tone, label in entries
    ]
    return Markup('<ul class="legend">{}</ul>').format(Markup("").join(items))


def _ranges(drawn: Sequence[Series]) -> Markup:
    """First, last, lowest and highest value of each curve, as text."""
    lines = []
    for curve in drawn:
        values = [y for _, y in curve.points]
        name = Markup("<b>{}</b> ").format(formatting.visible(curve.name)) if len(drawn) > 1 else ""
        lines.append(
            Markup("<p>{}{} → {} <span>min {} · max {}</span></p>").format(
                name,
                *(formatting.number(value) for value in (values[0], values[-1], min(values), max(values))),
            )
        )
    return Markup('<div class="range">{}</div>').format(Markup("").join(lines))


def _describe(drawn: Sequence[Series]) -> str:
    descriptions = []
    for curve in drawn:
        values = [y for _, y in curve.points]
        first, last, low, high = (
            formatting.number(value) for value in (values[0], values[-1], min(values), max(values))
        )
        descriptions.append(
            f"{curve.name}: {len(values)} points from {first} to {last}, lowest {low}, highest {high}"
        )
    return "; ".join(descriptions)


def _no_data(title: str) -> Markup:
    return Markup('<p class="no-data" role="img" aria-label="{0}: no data">no data</p>').format(
        formatting.visible(title)
    )


def _path(points: Sequence[Point]) -> str:
    return " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
