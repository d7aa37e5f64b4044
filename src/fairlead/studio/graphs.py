"""Drawings for the studio's pages, as SVG without scripts and styles: columns over time, and the graph of a lineage.

Every text that comes in is untrusted and escaped here.  Colours and type are in watch.css.
"""

from collections.abc import Mapping, Sequence

from markupsafe import Markup

from fairlead.report import axis_scale, formatting
from fairlead.studio.artifact_views import Graph, GraphEdge, GraphNode

COLUMNS_HEIGHT = 132
BASE = 108  # of the columns, above their labels
NODE_WIDTH, NODE_HEIGHT = 196, 58
GAP_X, GAP_Y, EDGE = 64, 18, 10
PASSING = 26  # room for an edge that passes a column
LONGEST = 25  # characters of a name in a node

Place = tuple[str, int]  # a node's key, or that of an edge, and the column


def columns(values: Sequence[tuple[str, int]], *, title: str, labels_every: int) -> Markup:
    """A column per (label, count), in percentages of the width, so that text keeps its size on a phone."""
    most = max((count for _, count in values), default=0)
    ticks = [
        tick for tick in axis_scale.ticks(0, max(most, 4), about=3, outside=True) if float(tick).is_integer()
    ]
    top = max(ticks[-1], 1)
    parts = []
    for tick in ticks:
        y = BASE - (BASE - 14) * tick / top
        parts.append(
            Markup(
                '<line class="gridline" x1="0" x2="100%" y1="{y:.1f}" y2="{y:.1f}"/><text x="0" y="{up:.1f}">{label}</text>'
            ).format(y=y, up=y - 3, label=f"{tick:,.0f}" if tick else "")
        )
    width = 100 / max(len(values), 1)
    for place, (label, count) in enumerate(values):
        height = (BASE - 14) * count / top
        parts.append(
            Markup(
                '<g><title>{label}: {count}</title><rect class="hit" x="{x:.3f}%" y="0" width="{w:.3f}%" height="{base}"/>'
                '<rect class="fill" x="{bx:.3f}%" y="{y:.1f}" width="{bw:.3f}%" height="{h:.1f}" rx="1.5"/></g>'
            ).format(
                label=formatting.visible(label), count=formatting.count(count, "judgement"), x=place * width, w=width, base=BASE,
                bx=(place + 0.14) * width, y=BASE - height, bw=0.72 * width, h=height,
            )
        )  # fmt: skip
        if (len(values) - 1 - place) % labels_every == 0:
            last = place == len(values) - 1
            parts.append(
                Markup('<text x="{x:.3f}%" y="{y}" text-anchor="{anchor}">{label}</text>').format(
                    x=100 if last else (place + 0.5) * width,
                    y=BASE + 17,
                    anchor="end" if last else "middle",
                    label=formatting.visible(label),
                )
            )
    said = ", ".join(f"{label} {count}" for label, count in values if count) or "none"
    return Markup(
        '<svg class="columns" width="100%" height="{}" role="img"><title>{}</title><desc>{}</desc>{}</svg>'
    ).format(COLUMNS_HEIGHT, title, formatting.visible(said), Markup("").join(parts))


def lineage(graph: Graph) -> Markup:
    """Sources on the left, what was made from them to the right; each artifact is a link."""
    middle = _middles(graph)
    levels = {node.key: node.level for node in graph.nodes}
    width = (max(levels.values()) + 1) * (NODE_WIDTH + GAP_X) - GAP_X + 2 * EDGE
    height = max(middle.values()) + NODE_HEIGHT / 2 + EDGE
    parts = [
        _edge(edge, levels, middle, near=graph.focus in (edge.parent, edge.child))
        for edge in graph.edges
        if _forward(edge, levels)
    ]
    for node in graph.nodes:
        x, y = _x(node.level), middle[node.key, node.level] - NODE_HEIGHT / 2
        parts.append(_node(node, x, y, focus=node.key == graph.focus))
    return Markup(
        '<svg class="lineage" width="{w:.0f}" height="{h:.0f}" viewBox="0 0 {w:.0f} {h:.0f}" role="group" aria-label="{l}">{p}</svg>'
    ).format(
        w=width,
        h=height,
        l="Lineage, from sources on the left to what was made from them",
        p=Markup("").join(parts),
    )


def _edge(edge: GraphEdge, levels: Mapping[str, int], middle: Mapping[Place, float], *, near: bool) -> Markup:
    """A curve from parent to child that passes between the nodes of the columns on its way."""
    at = _x(levels[edge.parent]) + NODE_WIDTH, middle[edge.parent, levels[edge.parent]]
    path = f"M{at[0]:.0f} {at[1]:.1f}"
    for level in range(levels[edge.parent] + 1, levels[edge.child] + 1):
        last = level == levels[edge.child]
        y = middle[edge.child if last else f"{edge.parent} {edge.child}", level]
        half = GAP_X / 2
        path += f" C{at[0] + half:.0f} {at[1]:.1f} {_x(level) - half:.0f} {y:.1f} {_x(level):.0f} {y:.1f}"
        if not last:
            path += f" H{_x(level) + NODE_WIDTH:.0f}"
        at = _x(level) + NODE_WIDTH, y
    return Markup('<path class="edge{}" d="{}"/>').format(" near" if near else "", path)


def _forward(edge: GraphEdge, levels: Mapping[str, int]) -> bool:
    """Not so in a circle, which only a forged manifest has."""
    return levels[edge.parent] < levels[edge.child]


def _x(level: int) -> float:
    return EDGE + level * (NODE_WIDTH + GAP_X)


def href(node: GraphNode) -> str | None:
    """The page of a node, where it has one."""
    if node.kind == "campaign":
        return f"/c/{node.name}"
    return f"/lineage/{node.kind}/{node.name}" if node.status == "present" else None


def _node(node: GraphNode, x: float, y: float, *, focus: bool) -> Markup:
    under = {"present": node.digest, "missing": f"{node.digest} · missing", "outside": "from outside"}[
        node.status
    ]
    if node.kind == "campaign":
        under = "labels given in this studio"
    body = Markup(
        '<g class="node {status} k-{kind}{focus}"><title>{label}</title><rect x="{x:.0f}" y="{y:.0f}" width="{w}" height="{h}" rx="9"/>'
        '<rect class="mark" x="{x:.0f}" y="{my:.0f}" width="4" height="{mh}" rx="2"/>'
        '<text class="kind" x="{tx:.0f}" y="{y1:.0f}">{kind}</text><text class="name" x="{tx:.0f}" y="{y2:.0f}">{name}</text>'
        '<text class="digest" x="{tx:.0f}" y="{y3:.0f}">{under}</text></g>'
    ).format(
        status=node.status, kind=formatting.visible(node.kind), focus=" focus" if focus else "", label=formatting.visible(node.label), x=x, y=y,
        w=NODE_WIDTH, h=NODE_HEIGHT, my=y + 10, mh=NODE_HEIGHT - 20, tx=x + 14, y1=y + 18, y2=y + 34, y3=y + 49,
        name=_cut(formatting.visible(node.name)), under=under,
    )  # fmt: skip
    to = href(node)
    if to is None or focus:
        return body
    return Markup('<a href="{}">{}</a>').format(to, body)


def _middles(graph: Graph) -> dict[Place, float]:
    """How far down the middle of each node lies, and of each place where a long edge passes a column.

    In a column, everything lies near the middle of what it is connected with (four sweeps), in an order without overlaps.
    """
    levels = {node.key: node.level for node in graph.nodes}
    columns: dict[int, list[Place]] = {}
    for node in graph.nodes:
        columns.setdefault(node.level, []).append((node.key, node.level))
    near: dict[Place, list[Place]] = {}
    for edge in graph.edges:
        if not _forward(edge, levels):
            continue
        before: Place = (edge.parent, levels[edge.parent])
        for level in range(levels[edge.parent] + 1, levels[edge.child] + 1):
            here = (edge.child if level == levels[edge.child] else f"{edge.parent} {edge.child}", level)
            if here[0] not in levels and here not in columns[level]:
                columns[level].append(here)
            near.setdefault(here, []).append(before)
            near.setdefault(before, []).append(here)
            before = here
    size = {
        place: NODE_HEIGHT + GAP_Y if place[0] in levels else PASSING
        for column in columns.values()
        for place in column
    }
    middle: dict[Place, float] = {}
    for column in columns.values():
        _stack(column, size, middle, 0.0)
    for _ in range(4):
        for level in sorted(columns):
            column = columns[level]
            wanted = {
                place: sum(middle[one] for one in near[place]) / len(near[place])
                if near.get(place)
                else middle[place]
                for place in column
            }
            column.sort(key=lambda place: wanted[place])
            _stack(column, size, middle, sum(wanted.values()) / len(column))
    top = min(middle[place] - (NODE_HEIGHT / 2 if place[0] in levels else 0) for place in middle) - EDGE
    return {place: y - top for place, y in middle.items()}


def _stack(
    column: Sequence[Place], size: Mapping[Place, float], middle: dict[Place, float], around: float
) -> None:
    y = around - sum(size[place] for place in column) / 2
    for place in column:
        middle[place] = y + size[place] / 2
        y += size[place]


def _cut(name: str) -> str:
    return name if len(name) <= LONGEST else f"{name[: LONGEST - 1]}…"
