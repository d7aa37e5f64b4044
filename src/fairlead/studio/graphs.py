"""SVG graphics of the studio's pages, without scripts or styles: column charts and lineage graphs.

Every text is untrusted and escaped here.  Colours and fonts are in watch.css.
"""

from collections.abc import Mapping, Sequence

from markupsafe import Markup

from fairlead.report import axis_scale
from fairlead.report.formatting import count, visible
from fairlead.studio.artifact_views import Graph, GraphEdge, GraphNode

# Column chart, in pixels
CHART_HEIGHT = 132
BASELINE = 108  # the axis, above its labels
TOP_MARGIN = 14

# Lineage graph, in pixels
NODE_WIDTH = 196
NODE_HEIGHT = 58
COLUMN_GAP = 64
ROW_GAP = 18
MARGIN = 10
PASSING_HEIGHT = 26  # room for an edge that passes through a column
LONGEST_NAME = 25  # characters of a name in a node
NUM_SWEEPS = 4  # passes of the layout

Place = tuple[str, int]  # (key of a node, or of an edge that passes, column)


def columns(counts: Sequence[tuple[str, int]], *, title: str, labels_every: int) -> Markup:
    """A column for each (label, count).  Widths are percentages, so text keeps its size on a phone."""
    largest = max((count for _, count in counts), default=0)
    ticks = [
        tick
        for tick in axis_scale.ticks(0, max(largest, 4), about=3, outside=True)
        if float(tick).is_integer()
    ]
    top = max(ticks[-1], 1)
    shapes = [_gridline(tick, top) for tick in ticks]
    width = 100 / max(len(counts), 1)
    for index, (label, value) in enumerate(counts):
        height = (BASELINE - TOP_MARGIN) * value / top
        shapes.append(_column(label, value, left=index * width, width=width, height=height))
        if (len(counts) - 1 - index) % labels_every == 0:
            is_last = index == len(counts) - 1
            shapes.append(
                Markup('<text x="{x:.3f}%" y="{y}" text-anchor="{anchor}">{label}</text>').format(
                    x=100 if is_last else (index + 0.5) * width,
                    y=BASELINE + 17,
                    anchor="end" if is_last else "middle",
                    label=visible(label),
                )
            )
    description = ", ".join(f"{label} {value}" for label, value in counts if value) or "none"
    return Markup(
        '<svg class="columns" width="100%" height="{}" role="img"><title>{}</title><desc>{}</desc>{}</svg>'
    ).format(CHART_HEIGHT, title, visible(description), Markup("").join(shapes))


def _gridline(tick: float, top: float) -> Markup:
    y = BASELINE - (BASELINE - TOP_MARGIN) * tick / top
    return Markup(
        '<line class="gridline" x1="0" x2="100%" y1="{y:.1f}" y2="{y:.1f}"/>'
        '<text x="0" y="{text_y:.1f}">{label}</text>'
    ).format(y=y, text_y=y - 3, label=f"{tick:,.0f}" if tick else "")


def _column(label: str, value: int, *, left: float, width: float, height: float) -> Markup:
    """A bar, and an invisible area over the full height that shows the tooltip."""
    return Markup(
        "<g><title>{label}: {count}</title>"
        '<rect class="hit" x="{left:.3f}%" y="0" width="{width:.3f}%" height="{baseline}"/>'
        '<rect class="fill" x="{bar_left:.3f}%" y="{y:.1f}" width="{bar_width:.3f}%" height="{height:.1f}"'
        ' rx="1.5"/></g>'
    ).format(
        label=visible(label),
        count=count(value, "judgement"),
        left=left,
        width=width,
        baseline=BASELINE,
        bar_left=left + 0.14 * width,
        y=BASELINE - height,
        bar_width=0.72 * width,
        height=height,
    )


def lineage(graph: Graph) -> Markup:
    """Sources on the left, artifacts made from them to the right.  Each artifact is a link."""
    centres = _centres(graph)
    levels = {node.key: node.level for node in graph.nodes}
    width = (max(levels.values()) + 1) * (NODE_WIDTH + COLUMN_GAP) - COLUMN_GAP + 2 * MARGIN
    height = max(centres.values()) + NODE_HEIGHT / 2 + MARGIN
    shapes = [
        _edge(edge, levels, centres, near=graph.focus in (edge.parent, edge.child))
        for edge in graph.edges
        if _points_right(edge, levels)
    ]
    for node in graph.nodes:
        y = centres[node.key, node.level] - NODE_HEIGHT / 2
        shapes.append(_node(node, _left(node.level), y, focus=node.key == graph.focus))
    return Markup(
        '<svg class="lineage" width="{width:.0f}" height="{height:.0f}"'
        ' viewBox="0 0 {width:.0f} {height:.0f}" role="group" aria-label="{label}">{shapes}</svg>'
    ).format(
        width=width,
        height=height,
        label="Lineage, from sources on the left to the artifacts made from them",
        shapes=Markup("").join(shapes),
    )


def href(node: GraphNode) -> str | None:
    """The address of a node's page, or None."""
    if node.kind == "campaign":
        return f"/c/{node.name}"
    return f"/lineage/{node.kind}/{node.name}" if node.status == "present" else None


def _edge(
    edge: GraphEdge, levels: Mapping[str, int], centres: Mapping[Place, float], *, near: bool
) -> Markup:
    """A curve from parent to child that passes between the nodes of the columns in between."""
    first_level = levels[edge.parent]
    last_level = levels[edge.child]
    x = _left(first_level) + NODE_WIDTH
    y = centres[edge.parent, first_level]
    path = f"M{x:.0f} {y:.1f}"
    bend = COLUMN_GAP / 2
    for level in range(first_level + 1, last_level + 1):
        is_last = level == last_level
        next_y = centres[edge.child if is_last else _passing_key(edge), level]
        left = _left(level)
        path += f" C{x + bend:.0f} {y:.1f} {left - bend:.0f} {next_y:.1f} {left:.0f} {next_y:.1f}"
        if not is_last:
            path += f" H{left + NODE_WIDTH:.0f}"
        x = left + NODE_WIDTH
        y = next_y
    return Markup('<path class="edge{}" d="{}"/>').format(" near" if near else "", path)


def _node(node: GraphNode, x: float, y: float, *, focus: bool) -> Markup:
    caption = {
        "present": node.digest,
        "missing": f"{node.digest} · missing",
        "outside": "from outside",
    }[node.status]
    if node.kind == "campaign":
        caption = "labels from this studio"
    name = visible(node.name)
    if len(name) > LONGEST_NAME:
        name = f"{name[: LONGEST_NAME - 1]}…"
    shapes = Markup(
        '<g class="node {status} k-{kind}{focus}"><title>{label}</title>'
        '<rect x="{x:.0f}" y="{y:.0f}" width="{width}" height="{height}" rx="9"/>'
        '<rect class="mark" x="{x:.0f}" y="{mark_y:.0f}" width="4" height="{mark_height}" rx="2"/>'
        '<text class="kind" x="{text_x:.0f}" y="{kind_y:.0f}">{kind}</text>'
        '<text class="name" x="{text_x:.0f}" y="{name_y:.0f}">{name}</text>'
        '<text class="digest" x="{text_x:.0f}" y="{caption_y:.0f}">{caption}</text></g>'
    ).format(
        status=node.status,
        kind=visible(node.kind),
        focus=" focus" if focus else "",
        label=visible(node.label),
        x=x,
        y=y,
        width=NODE_WIDTH,
        height=NODE_HEIGHT,
        mark_y=y + 10,
        mark_height=NODE_HEIGHT - 20,
        text_x=x + 14,
        kind_y=y + 18,
        name_y=y + 34,
        caption_y=y + 49,
        name=name,
        caption=caption,
    )
    target = href(node)
    if target is None or focus:
        return shapes
    return Markup('<a href="{}">{}</a>').format(target, shapes)


def _points_right(edge: GraphEdge, levels: Mapping[str, int]) -> bool:
    """False only in a cycle, which needs a forged manifest."""
    return levels[edge.parent] < levels[edge.child]


def _left(level: int) -> float:
    return MARGIN + level * (NODE_WIDTH + COLUMN_GAP)


def _passing_key(edge: GraphEdge) -> str:
    """The key of the places where an edge passes through columns.  The space makes it unlike any node's."""
    return f"{edge.parent} {edge.child}"


def _centres(graph: Graph) -> dict[Place, float]:
    """The vertical centre of each node, and of each place where an edge passes through a column.

    A sweep moves each place of a column towards the average of its neighbours, in an order without overlaps.
    """
    levels = {node.key: node.level for node in graph.nodes}
    by_level: dict[int, list[Place]] = {}
    for node in graph.nodes:
        by_level.setdefault(node.level, []).append((node.key, node.level))
    neighbours: dict[Place, list[Place]] = {}
    for edge in graph.edges:
        if not _points_right(edge, levels):
            continue
        before: Place = (edge.parent, levels[edge.parent])
        for level in range(levels[edge.parent] + 1, levels[edge.child] + 1):
            place = (edge.child if level == levels[edge.child] else _passing_key(edge), level)
            if place[0] not in levels and place not in by_level[level]:
                by_level[level].append(place)
            neighbours.setdefault(place, []).append(before)
            neighbours.setdefault(before, []).append(place)
            before = place
    heights = {
        place: NODE_HEIGHT + ROW_GAP if place[0] in levels else PASSING_HEIGHT
        for column in by_level.values()
        for place in column
    }
    centres: dict[Place, float] = {}
    for column in by_level.values():
        _stack(column, heights, centres, around=0.0)
    for _ in range(NUM_SWEEPS):
        for level in sorted(by_level):
            column = by_level[level]
            targets = {place: _mean_centre(neighbours.get(place) or [place], centres) for place in column}
            column.sort(key=targets.__getitem__)
            _stack(column, heights, centres, around=sum(targets.values()) / len(column))
    top = min(centre - (NODE_HEIGHT / 2 if place[0] in levels else 0) for place, centre in centres.items())
    return {place: centre - top + MARGIN for place, centre in centres.items()}


def _mean_centre(places: Sequence[Place], centres: Mapping[Place, float]) -> float:
    return sum(centres[place] for place in places) / len(places)


def _stack(
    column: Sequence[Place], heights: Mapping[Place, float], centres: dict[Place, float], *, around: float
) -> None:
    """Place a column without gaps, with its middle at `around`."""
    y = around - sum(heights[place] for place in column) / 2
    for place in column:
        centres[place] = y + heights[place] / 2
        y += heights[place]
